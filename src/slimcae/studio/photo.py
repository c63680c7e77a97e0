"""A photo on the page, and its cached versions."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import TypeVar

import numpy as np
from PIL import Image

from slimcae.codec import Codec, Draft
from slimcae.codec.decoding import Crop
from slimcae.container import Header, Reader
from slimcae.evaluation.metrics import Pixels
from slimcae.images import Picture, png_bytes, read_picture
from slimcae.model.cost import decoder_memory, padded_pixels
from slimcae.model.quality import Point
from slimcae.studio import fidelity, notices, other_formats, schemas
from slimcae.studio.failures import Refused
from slimcae.studio.limits import Limits, check_picture_format, is_scae, read_upload
from slimcae.studio.lru_cache import Recent
from slimcae.studio.other_formats import Setting
from slimcae.studio.served_models import Offers
from slimcae.studio.work import stage

KEPT_VERSIONS = 3
KEPT_DRAFTS = 2
KEPT_RIVALS = 4

Key = tuple[str, Point]
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A photo coded by one model: the file, the decoded picture as PNG, and figures."""

    data: bytes
    png: bytes
    figures: schemas.Figures


@dataclass(frozen=True)
class RivalVersion:
    """A photo in another format."""

    data: bytes
    media_type: str
    figures: schemas.RivalFigures


@dataclass
class _Bench:
    """A photo's draft for one model, for one thread at a time."""

    draft: Draft
    analysis_ms: dict[int, float]
    lock: threading.Lock


class Photo:
    """A picture in memory with its last few versions. Thread-safe.

    opened: the version in a `.scae` file, if the photo was uploaded as one. notices: texts about
    parts that were left out when it was read.
    """

    def __init__(
        self,
        picture: Picture,
        upload_bytes: int,
        opened: Version | None = None,
        notices: Sequence[str] = (),
    ) -> None:
        self.picture = picture
        self.upload_bytes = upload_bytes
        self.opened = opened
        self.notices = notices
        self._benches: Recent[str, _Bench] = Recent(KEPT_DRAFTS)
        self._versions: Recent[Key, Version] = Recent(KEPT_VERSIONS)
        self._rivals: Recent[tuple[str, Setting], RivalVersion] = Recent(KEPT_RIVALS)
        self._rival_sizes: dict[tuple[str, Setting], int] = {}
        self._lock = threading.Lock()

    @property
    def num_pixels(self) -> int:
        """Number of pixels of the picture."""
        rows, columns, _ = self.picture.pixels.shape
        return int(rows * columns)

    def original_png(self) -> bytes:
        """Return the original picture, for a browser."""
        if self.opened is not None:
            return self.opened.png
        return png_bytes(self.picture.to_image())

    def version(self, name: str, codec: Codec, point: Point, *, ms_ssim: bool) -> Version:
        """Return the photo at an operating point of a model."""
        key = (name, point)
        found = self._versions.get(key)
        if found is None:
            bench = self._bench(name, codec)
            with bench.lock:
                found = self._made(name, codec, point, bench)
            self._versions.put(key, found)
        if ms_ssim and found.figures.ms_ssim is None:
            stage("measuring")
            value = fidelity.ms_ssim(self.picture.pixels, _rgb(found.png), self.picture.visible)
            figures = found.figures.model_copy(update={"ms_ssim": value})
            found = self._versions.put(key, replace(found, figures=figures))
        return found

    def nearest(self, name: str, codec: Codec, ladder: Sequence[Point], wanted: int) -> Point:
        """Return the ladder point (by increasing rate) with the file nearest to `wanted` bytes."""
        bench = self._bench(name, codec)
        with bench.lock:

            def size(index: int) -> int:
                self._analyse(bench, ladder[index].width, codec)
                return bench.draft.encoding.size(ladder[index])

            return ladder[other_formats.nearest_quality(size, 0, len(ladder) - 1, wanted)]

    def rival(self, kind: str, wanted: int) -> RivalVersion:
        """The photo in another format, in the file nearest to `wanted` bytes."""
        image = other_formats.opaque_image(self.picture)

        def size(setting: Setting) -> int:
            known = self._rival_sizes.get((kind, setting))
            if known is None:
                known = len(other_formats.encode(image, kind, setting))
                self._rival_sizes[kind, setting] = known
            return known

        stage(f"looking for the nearest {other_formats.RIVALS[kind].title}")
        return self.rival_at(kind, other_formats.nearest_setting(size, kind, wanted))

    def rival_at(self, kind: str, setting: Setting) -> RivalVersion:
        """The photo in another format."""
        found = self._rivals.get((kind, setting))
        if found is not None:
            return found
        image = other_formats.opaque_image(self.picture)
        start = time.perf_counter()
        data = other_formats.encode(image, kind, setting)
        between = time.perf_counter()
        decoded = _rgb(data)
        end = time.perf_counter()
        figures = schemas.RivalFigures(
            format=kind,
            quality=setting.quality,
            strength=setting.strength,
            bytes=len(data),
            bpp=8 * len(data) / self.num_pixels,
            psnr=fidelity.psnr(self.picture.pixels, decoded, self.picture.visible),
            ms_ssim=fidelity.ms_ssim(self.picture.pixels, decoded, self.picture.visible),
            encode_ms=1000 * (between - start),
            decode_ms=1000 * (end - between),
        )
        version = RivalVersion(data, other_formats.RIVALS[kind].media_type, figures)
        return self._rivals.put((kind, setting), version)

    def _bench(self, name: str, codec: Codec) -> _Bench:
        with self._lock:
            found = self._benches.get(name)
            if found is None:
                found = _Bench(codec.draft(self.picture), {}, threading.Lock())
                self._benches.put(name, found)
            return found

    def _made(self, name: str, codec: Codec, point: Point, bench: _Bench) -> Version:
        self._analyse(bench, point.width, codec)
        found, coding_ms = _ms(partial(bench.draft.file, point))
        stage(f"decoding at {codec.model.label(point.width)}", self._tiles(codec.tile_side))
        image, decode_ms = _ms(partial(codec.decompress, found.data, max_pixels=self.num_pixels))
        analysis_ms = bench.analysis_ms[point.width]
        figures = _figures(
            name,
            codec,
            found.header,
            size=len(found.data),
            alpha_bytes=found.alpha_bytes,
            decode_ms=decode_ms,
            psnr=fidelity.psnr(
                self.picture.pixels, np.asarray(image.convert("RGB")), self.picture.visible
            ),
            encode_ms=analysis_ms + coding_ms,
            analysis_ms=analysis_ms,
        )
        return Version(found.data, png_bytes(image), figures)

    def _analyse(self, bench: _Bench, width: int, codec: Codec) -> None:
        if width not in bench.draft.analysed:
            stage(f"encoding at {codec.model.label(width)}", self._tiles(codec.tile_side))
            _, bench.analysis_ms[width] = _ms(partial(bench.draft.analyse, width))

    def _tiles(self, side: int) -> int:
        rows, columns, _ = self.picture.pixels.shape
        return _tiles(rows, columns, side)


def open_upload(data: bytes, offers: Offers, limits: Limits) -> Photo:
    """Return the photo of an upload: a picture file, or a `.scae` file.

    Raises:
        Refused: 400, 413 or 415.
        SlimCAEError: The file is damaged.
    """
    if is_scae(data):
        found = decode(data, None, offers, limits)
        reader = Reader(data)
        figures = _figures(
            found.model,
            found.codec,
            reader.header,
            size=len(data),
            alpha_bytes=reader.alpha_bytes,
            decode_ms=found.decode_ms,
        )
        version = Version(data, png_bytes(found.image), figures)
        picture = read_picture(found.image, limits.max_pixels)
        return Photo(picture, len(data), version, found.notices)
    check_picture_format(data)
    stage("reading the picture")
    with notices.heard() as heard:
        picture = read_upload(data, limits).keeping("icc")
    return Photo(picture, len(data), notices=heard)


@dataclass(frozen=True)
class Decoded:
    """A decoded `.scae` file, with its model, the milliseconds, and notices."""

    model: str
    codec: Codec
    image: Image.Image
    decode_ms: float
    notices: list[str]


def decode(
    data: bytes, model: str | None, offers: Offers, limits: Limits, crop: Crop | None = None
) -> Decoded:
    """Decode a `.scae` file, or a part of it.

    model: name of the model; None: the one that encoded the file.

    Raises:
        Refused: 404, or 413 for too many pixels.
        SlimCAEError: The file is damaged, its model is not offered, or the crop is invalid.
    """
    header = Reader(data).header
    if crop is None and header.image_height * header.image_width > limits.max_pixels:
        raise Refused(
            413,
            f"the picture has {header.image_width}x{header.image_height} pixels, "
            f"more than the limit of {limits.max_pixels:,}",
        )
    name = offers.maker_of(header) if model is None else model
    codec = offers.codec(name)
    if crop is None:
        tiles = -(-header.image_height // codec.tile_side) * -(
            -header.image_width // codec.tile_side
        )
        stage(f"decoding at width {header.num_filters}", tiles)
    run = partial(codec.decompress, data, crop=crop, max_pixels=limits.max_pixels)
    with notices.heard() as heard:
        image, decode_ms = _ms(run)
    return Decoded(name, codec, image, decode_ms, heard)


def _figures(
    name: str,
    codec: Codec,
    header: Header,
    *,
    size: int,
    alpha_bytes: int,
    decode_ms: float,
    psnr: float | None = None,
    encode_ms: float | None = None,
    analysis_ms: float | None = None,
) -> schemas.Figures:
    """Return the figures of a file; without an original, those of quality and encoding are None."""
    architecture = codec.model.architecture
    macs = architecture.decoder_macs(header.num_filters)
    point = codec.model.point_of(header.num_filters, header.model_fingerprint)
    assert point is not None  # the codec has coded or decoded it
    return schemas.Figures(
        model=name,
        width=point,
        label=codec.model.label(point),
        step=header.step,
        delta=codec.model.steps[header.step],
        bytes=size,
        colour_bytes=size - alpha_bytes,
        bpp=8 * size / (header.image_height * header.image_width),
        psnr=psnr,
        ms_ssim=None,
        encode_ms=encode_ms,
        analysis_ms=analysis_ms,
        decode_ms=decode_ms,
        decoder_macs_per_pixel=macs,
        decoder_macs=macs * padded_pixels(architecture, header),
        decoder_memory=decoder_memory(architecture, header),
    )


def _rgb(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _tiles(rows: int, columns: int, side: int) -> int:
    return -(-rows // side) * -(-columns // side)


def _ms(function: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a function, and its milliseconds."""
    start = time.perf_counter()
    result = function()
    return result, 1000 * (time.perf_counter() - start)
