"""The codec: it combines pictures, transforms, entropy coding and the container."""

import operator
from collections.abc import Callable, Collection, Iterable, Iterator
from copy import copy
from functools import partial
from typing import Any, SupportsIndex, TypedDict, Unpack

import numpy as np
from PIL import Image

from slimcae import container, images
from slimcae.codec.batches import in_order
from slimcae.codec.decoding import Crop, decode_picture, decode_symbols
from slimcae.codec.draft import Compressed, Draft
from slimcae.codec.effort import checked_effort, needs_gradients
from slimcae.codec.encoding import Encoding
from slimcae.codec.sources import Data, opened
from slimcae.codec.target import Target
from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.codec.tiles import split
from slimcae.container.header import MAX_TILE_SIDE, MIN_TILE_SIDE
from slimcae.errors import BitstreamError, ConfigError, SettingError, checked_bool
from slimcae.images import MAX_PIXELS, Picture, read_picture
from slimcae.images.alpha import constant_level, pack_alpha
from slimcae.model.config import ModelInfo, whole_number
from slimcae.model.model import DEFAULT_EFFORT, Model
from slimcae.model.quality import Point, QualityScale
from slimcae.transforms import (
    Gradients,
    Pixels,
    Symbols,
    Transforms,
    open_gradients,
    open_transforms,
)

TILE_SIDE = 1024
"""Default side in pixels of the tiles in which pictures are computed and coded."""

Source = images.Source | Picture
"""A path, the bytes of a file, a binary file, a Pillow image, or pixels (H, W, C), uint8."""


class CompressOptions(TypedDict, total=False):
    """The keyword arguments of `Codec.compress`."""

    step: int | None
    quality: float | None
    bpp: float | None
    target_size: int | None
    target_psnr: float | None
    point: int | None
    widths: Collection[int] | None
    closest: bool
    effort: int
    metadata: str
    verify: bool


class Codec:
    """Compresses pictures at any operating point and rate of one model, and decompresses them.

    ::

        picture ─ g_a ─► y ─ round((y − median) / Δ) ─► symbols ─ range coder ─► bytes
        picture ◄─ g_s ─ y_hat ◄── median + Δ · symbol ───── range decoder ◄──── bytes

    Entropy coding uses only integer arithmetic and integer tables from the model file, so symbols
    decode to the same integers on every machine. Pixels may differ by one level between machines
    in float32, and by a few levels in bfloat16.

    Large pictures are computed and coded in tiles. Each tile is computed with its halo, so memory
    is bounded and there are no seams.

    A codec is thread-safe. It can be pickled, with its model. After a fork it computes with one
    thread.
    """

    def __init__(
        self,
        model: Model,
        transforms: Transforms | None = None,
        *,
        tile_side: int = TILE_SIDE,
        **options: Any,
    ) -> None:
        """Create a codec for a model.

        transforms: transforms of this model; None opens them with `options`: `device`,
        `precision`, `backend`, `threads`, `megapixels` (see `slimcae.transforms.open_transforms`).
        tile_side: a power of two, at least 16; memory grows with its square.

        Raises:
            ConfigError: Options do not work on this machine, or the tile side is invalid.
        """
        side = whole_number(tile_side)
        if side is None or not MIN_TILE_SIDE <= side <= MAX_TILE_SIDE or side.bit_count() != 1:
            raise ConfigError(
                f"tile side {tile_side}: must be a power of two, {MIN_TILE_SIDE} to "
                f"{MAX_TILE_SIDE:,}"
            )
        if not isinstance(model, Model):
            raise ConfigError(
                f"{type(model).__name__} is not a Model: use slimcae.load for a name or file"
            )
        if transforms is None:
            transforms = open_transforms(model, **options)
        self.model = model
        self.transforms = transforms
        self.tile_side = side
        self._watch: Callable[[], None] | None = None
        self._gradients: list[Gradients] = []  # at most one; copies of the codec share the list

    def __repr__(self) -> str:
        where = f"{self.transforms.backend} on {self.transforms.device}"
        return f"<Codec of {self.model!r}, {where}>"

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, best (of most bits) first."""
        return self.model.widths

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point, best first: its width, or n … 1."""
        return self.model.points

    @property
    def info(self) -> ModelInfo:
        """Name, version and training of the model."""
        return self.model.info

    @property
    def tiled(self) -> TiledTransforms:
        """The transforms on parts of a picture."""
        return TiledTransforms(self.transforms, self.model.architecture, self._watch)

    @property
    def gradients(self) -> Gradients:
        """The derivatives that efforts from 3 on need, opened when first used.

        Raises:
            MissingPackageError: ONNX Runtime is not installed.
        """
        if not self._gradients:
            self._gradients.append(open_gradients(self.model, self.transforms.threads))
        return self._gradients[0]

    @property
    def _side(self) -> int:
        return self.tile_side // self.model.architecture.downsampling

    def compress(
        self,
        image: Source,
        width: int | None = None,
        *,
        step: int | None = None,
        quality: float | None = None,
        bpp: float | None = None,
        target_size: int | None = None,
        target_psnr: float | None = None,
        point: int | None = None,
        widths: Collection[int] | None = None,
        closest: bool = False,
        effort: int = DEFAULT_EFFORT,
        metadata: str = "icc",
        verify: bool = False,
    ) -> bytes:
        """Compress a picture and return the bytes of the `.scae` file.

        Give at most one of these (default: the largest width at Δ = 1, step 0):

        width: a width of the model, with `step`, an index of its quantisation steps (default 0).
        quality: 0 to 100, along the model's rate–distortion hull on its validation images.
        bpp: maximal bits per pixel of the whole file. target_size: maximal number of bytes.
        target_psnr: minimal PSNR in dB of the decoded 8-bit RGB picture, where alpha is not 0.
        point: one of `points`, with `step`, for models whose points do not differ in width.

        widths: the operating points that the decoder can afford; given alone, the codec uses the
            best quality among them. closest: use the nearest point if a target is out of range.
        effort: 1 to 9. Effort 1 encodes and decodes fastest, with a simpler entropy model if the
            model has one; 2 is the default; from 3 on, the encoder searches for symbols with fewer
            bits at equal quality (see `slimcae.codec.effort`), which needs torch. Decoding time is
            the same from 2 to 9. With a fixed `width` or `quality`, higher efforts reduce the bytes
            at about the same PSNR; with `bpp` or `target_size`, they increase the PSNR.
        metadata: `all`, `icc` (without EXIF, which may contain a location, and XMP) or `none`.
        verify: decode the file in memory and compare before returning.

        Raises:
            ImageError: The picture cannot be read.
            ConfigError: Options contradict each other, the model does not have the width or step,
                or a target is out of range.
            MissingPackageError: The effort needs ONNX Runtime, which is not installed.
        """
        target = Target(
            width, step, quality, bpp, target_size, target_psnr, widths, closest, effort, point
        )
        return self.encode(image, target, metadata=metadata, verify=verify).data

    def compress_many(
        self,
        images: Iterable[Source],
        width: int | None = None,
        *,
        jobs: SupportsIndex = 1,
        **options: Unpack[CompressOptions],
    ) -> Iterator[bytes]:
        """Compress pictures, each as `compress` does, and yield their files in the same order.

        images: a list, say, or pixels (N, H, W, C); taken when they are needed. jobs: pictures at a
        time, each in a thread; a codec loaded with `threads=1` then makes the best of the cores.

        Raises:
            ConfigError: one picture instead of several, or an impossible number of jobs.
            SlimCAEError: while iterating, as `compress`, with the number of the picture before it.
        """
        return in_order(partial(self.compress, width=width, **options), images, jobs, "picture")

    def encode(
        self,
        image: Source,
        target: Target = Target(),  # noqa: B008 (frozen)
        *,
        metadata: str = "icc",
        verify: bool = False,
    ) -> Compressed:
        """Compress a picture; return the file and the chosen operating point (see `compress`).

        Raises:
            ImageError: The picture cannot be read.
            ConfigError: Options contradict each other, the model does not have the width or step,
                or a target is out of range.
        """
        if not isinstance(target, Target):
            raise ConfigError(f"target {type(target).__name__}: must be a slimcae.codec.Target")
        verify = checked_bool("verify", verify)
        target.check(self.model)
        picture = (image if isinstance(image, Picture) else read_picture(image)).keeping(metadata)
        draft = self.draft(picture, target.effort)
        compressed = draft.file(target.choose(self.model, draft.encoding), verify=verify)
        if verify:
            self._verify(compressed.data, picture)
        return compressed

    def draft(self, picture: Picture, effort: int = DEFAULT_EFFORT) -> Draft:
        """Prepare a picture for compression at several operating points, with all its metadata.

        Colours where alpha is 0 are replaced by smooth ones.

        Raises:
            SettingError: The effort is out of range.
            MissingPackageError: The effort needs ONNX Runtime, which is not installed.
        """
        effort = checked_effort(effort)
        alpha = _alpha_chunks(picture)
        metadata = container.pack_chunks(
            icc_profile=picture.icc_profile, exif=picture.exif, xmp=picture.xmp
        )
        header = self._header(picture, effort)
        encoding = Encoding(
            picture.filled().pixels,
            picture.visible,
            picture.grey,
            container.overhead(header(Point(self.points[0], 0)), [*metadata, *alpha]),
            self._side,
            self.model,
            self.tiled,
            effort,
            self.gradients if needs_gradients(effort) else None,
        )
        return Draft(encoding, header, alpha, metadata)

    def watched(self, watch: Callable[[], None]) -> "Codec":
        """Return a copy of the codec that calls `watch` before each tile that the network computes.

        Use it to show progress, or to stop a long call with an exception, which leaves the codec
        usable. The copy shares model and tables.
        """
        other = copy(self)
        other._watch = watch
        return other

    def decompress(
        self, data: Data, *, crop: Crop | None = None, max_pixels: int = MAX_PIXELS
    ) -> Image.Image:
        """Decode a `.scae` file, or a part of its picture, to 8-bit L, RGB, LA or RGBA.

        data: the bytes of the file, its path, or a seekable binary file. crop: (x, y, width,
        height) in pixels; only the tiles that it needs are read and decoded.

        Raises:
            BitstreamError: The data is damaged or not a `.scae` file, has more than `max_pixels`,
                or needs another model.
            ConfigError: The crop is not within the picture.
        """
        if not isinstance(max_pixels, SupportsIndex):
            raise SettingError("max_pixels", max_pixels, "a whole number")
        with opened(data) as reader:
            width = self._check_model(reader.header)
            picture = decode_picture(
                reader, width, crop, max_pixels, self.model, self.tiled, self._side
            )
        return picture.to_image()

    def decompress_many(
        self,
        files: Iterable[Data],
        *,
        crop: Crop | None = None,
        max_pixels: int = MAX_PIXELS,
        jobs: SupportsIndex = 1,
    ) -> Iterator[Image.Image]:
        """Decompress files, each as `decompress` does, and yield their pictures in the same order.

        files: a list, say; taken when they are needed. jobs: see `compress_many`.

        Raises:
            ConfigError: one file instead of several, or an impossible number of jobs.
            SlimCAEError: while iterating, as `decompress`, with the number of the file before it.
        """
        work = partial(self.decompress, crop=crop, max_pixels=max_pixels)
        return in_order(work, files, jobs, "file")

    def read_symbols(self, data: Data) -> Symbols:
        """Decode the symbols (C, ⌈H/16⌉, ⌈W/16⌉) of a file, without running the network.

        Raises:
            BitstreamError: The data is damaged or not a `.scae` file, or needs another model.
        """
        with opened(data) as reader:
            width = self._check_model(reader.header)
            reader.verify()
            return decode_symbols(reader, width, self.model)

    def analyse(self, pixels: Pixels, width: int, step: int = 0) -> Symbols:
        """Return symbols (C, ⌈H/16⌉, ⌈W/16⌉) of an image (H, W, 3): round((y − median) / Δ).

        width: an operating point. The last row and column of the image are repeated up to
        multiples of 16. Symbols are clipped to ±32767.

        Raises:
            ModelError: Latents are not finite.
        """
        width = self.model.check_point(width)
        grid = self.tiled.grid((pixels.shape[0], pixels.shape[1]))
        channels = self.model.architecture.latent_channels(self.model.filters(width))
        symbols = np.empty((channels, grid.height, grid.width), np.int16)
        for tile in split(grid, self._side):
            residuals = self.tiled.residuals(pixels, tile, width)
            symbols[:, *tile.slices(grid)] = quantise(residuals, self.model.steps[step])
        return symbols

    def synthesise(
        self, symbols: Symbols, size: tuple[int, int], width: int, step: int = 0
    ) -> Pixels:
        """Return the image (H, W, 3) of `size` (H, W) from symbols (C, rows, columns).

        width: an operating point.

        Raises:
            ModelError: The reconstruction is not finite.
        """
        width = self.model.check_point(width)
        return self.tiled.image(symbols, size, width, self.model.steps[step], self._side)

    def ideal_bits(self, pixels: Pixels, width: int, step: int = 0) -> float:
        """Return the information content in bits of the symbols of an image (H, W, 3).

        width: an operating point.

        Raises:
            ConfigError: The model does not have the point.
            ModelError: Latents are not finite.
        """
        width, step = self.model.check_point(width), operator.index(step)
        entropy_model = self.model.entropy_model(width)
        bits = 0.0
        for tile in split(self.tiled.grid((pixels.shape[0], pixels.shape[1])), self._side):
            residuals = self.tiled.residuals(pixels, tile, width)
            bits += entropy_model.ideal_bits(quantise(residuals, self.model.steps[step]), step)
        return bits

    def macs(self, width: int) -> tuple[float, float]:
        """Return the multiply-accumulates per pixel of g_a and of g_s.

        width: an operating point.

        Raises:
            ConfigError: The model does not have the point.
        """
        architecture = self.model.architecture
        width = self.model.filters(self.model.check_point(width))
        return architecture.encoder_macs(width), architecture.decoder_macs(width)

    @property
    def scale(self) -> QualityScale:
        """Mean rate and quality of the model's operating points."""
        return self.model.scale

    def _header(self, picture: Picture, effort: int) -> Callable[[Point], container.Header]:
        height, columns, _ = picture.pixels.shape

        def header(point: Point) -> container.Header:
            return container.Header(
                image_height=height,
                image_width=columns,
                grey=picture.grey,
                srgb=picture.srgb,
                num_filters=self.model.filters(point.width),
                step=point.step,
                entropy_model=self.model.kind(point.width, effort),
                tile_side=self.tile_side,
                model_name=self.info.name,
                model_fingerprint=self.model.fingerprint(point.width),
            )

        return header

    def _check_model(self, header: container.Header) -> int:
        """Return the operating point of a file; reject files of other models.

        Their symbols would decode to noise.
        """
        needs = f"{header.model_name} width {header.num_filters} ({header.model_fingerprint.hex()})"
        if header.num_filters not in self.widths:
            have = ", ".join(map(str, dict.fromkeys(self.widths)))
            raise BitstreamError(
                f"the file needs model {needs}; the model here, {self.info.name}, "
                f"has widths {have}",
                field="model",
            )
        point = self.model.point_of(header.num_filters, header.model_fingerprint)
        if point is None:
            of_width = (p for p in self.points if self.model.filters(p) == header.num_filters)
            have = " ".join(self.model.fingerprint(p).hex() for p in of_width)
            raise BitstreamError(
                f"the file needs model {needs}; the model here is {self.info.name} ({have})",
                field="model",
            )
        kinds = self.model.entropy_models[point]
        if header.entropy_model not in kinds:
            raise BitstreamError(
                f"the file's symbols need an entropy model of kind {header.entropy_model}: the "
                f"model has {', '.join(kinds)} at {self.model.label(point)}"
            )
        if header.step >= len(self.model.steps):
            raise BitstreamError(
                f"quantisation step {header.step}: the model has {len(self.model.steps)}"
            )
        return point

    def _verify(self, data: bytes, picture: Picture) -> None:
        """Compare all lossless parts; the symbols were compared when their streams were made."""
        with opened(data) as reader:
            width = self._check_model(reader.header)
            restored = decode_picture(
                reader, width, None, picture.pixels.size, self.model, self.tiled, self._side
            )
        same = (
            restored.pixels.shape == picture.pixels.shape
            and restored.grey == picture.grey
            and _equal(restored.alpha, picture.alpha)
        )
        if not same:
            raise BitstreamError("verification failed: the decoded picture differs")


def _alpha_chunks(picture: Picture) -> list[bytes]:
    if picture.alpha is None:
        return []
    level = constant_level(picture.alpha)
    if level is not None:
        return container.pack_chunks(constant_alpha=level)
    return container.pack_chunks(alpha=pack_alpha(picture.alpha))


def _equal(first: Pixels | None, second: Pixels | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)
