"""Pictures to `.scae` bytes and back: where network, coder, container and pictures meet."""

from collections.abc import Callable, Collection
from copy import copy
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from slimcae import container
from slimcae.alpha import pack_alpha
from slimcae.codec.decoding import Crop, decode_picture, decode_symbols
from slimcae.codec.draft import Draft
from slimcae.codec.encoding import Encoding
from slimcae.codec.sources import Data, opened
from slimcae.codec.target import Target
from slimcae.codec.tiles import latent_grid, split
from slimcae.codec.transforms import Pixels, Symbols, Transforms, quantise
from slimcae.codec.watched import WatchedTransforms
from slimcae.coding.coder import SymbolCoder
from slimcae.errors import BitstreamError, ConfigError, ModelError
from slimcae.images import MAX_PIXELS, Picture, read_picture
from slimcae.model.checkpoint import fingerprint
from slimcae.model.config import ModelInfo
from slimcae.model.slimcae import DOWNSAMPLING, SlimCAE
from slimcae.quality import Point, QualityScale

TILE_SIDE = 1024
"""Side of the tiles that pictures are coded and computed in, in pixels."""

Source = str | Path | Image.Image | Picture


class Codec:
    """Compresses pictures at any width and rate of one model, and decompresses them.

    ::

        picture ─ g_a ─► y ─ round((y − median) / Δ) ─► symbols ─ range coder ─► bytes
        picture ◄─ g_s ─ y_hat ◄── median + Δ · symbol ───── range decoder ◄──── bytes

    The network takes no part in entropy coding: the integer tables come from the model file,
    so that symbols decode to the same integers everywhere. Pixels decoded in float32 may differ
    by one level between machines, in bfloat16 by a few.

    A large picture is computed and coded in tiles, each with the true neighbourhood around it,
    so that memory is bounded and no seam appears.

    A codec may be used from several threads at once.
    """

    def __init__(
        self,
        model: SlimCAE,
        *,
        device: str = "cpu",
        precision: str = "auto",
        tile_side: int = TILE_SIDE,
    ) -> None:
        """Make a codec of a model that has tables.

        device: `cpu`, `cuda` or `auto`. precision: `float32`, or `bfloat16` for the
        network's products, which costs 0.01 dB on average; `auto` takes bfloat16 where the
        processor computes it natively. tile_side: a power of two from 16 on; the network's
        memory grows with its square. The model's weights must not change afterwards.

        Raises:
            ConfigError: unknown or absent device, unknown precision, impossible tiles.
            ModelError: a model without tables (`update()` was never called).
        """
        if set(model.tables) != set(model.widths):
            raise ModelError("the model has no coding tables: call model.update() or save it first")
        if not (DOWNSAMPLING <= tile_side <= 2**20 and tile_side.bit_count() == 1):
            raise ConfigError(f"tile side {tile_side}: must be a power of two, 16 to 1,048,576")
        self.transforms = Transforms(model, device, precision)
        self.model = model
        self.tile_side = tile_side
        self.coder: Callable[[Point], SymbolCoder] = cache(
            lambda point: SymbolCoder(model.tables[point.width][point.step])
        )
        """The coder with the tables of an operating point; made once."""
        self._fingerprint = cache(lambda width: fingerprint(model, width))

    @property
    def widths(self) -> tuple[int, ...]:
        """The model's widths, widest (best quality, most bits) first."""
        return self.model.widths

    @property
    def info(self) -> ModelInfo:
        """Name, version and training of the model."""
        return self.model.info

    @property
    def _side(self) -> int:
        return self.tile_side // DOWNSAMPLING

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
        widths: Collection[int] | None = None,
        closest: bool = False,
        metadata: str = "icc",
        verify: bool = False,
    ) -> bytes:
        """A whole `.scae` file of a picture.

        Give at most one of these (default: the widest width at Δ = 1, step 0):

        width: one of the model's, with `step`, an index of its quantisation steps (default 0).
        quality: 0 to 100, along the model's rate–distortion hull on its validation images.
        bpp: bits per pixel of the whole file, at most. target_size: bytes, at most.
        target_psnr: dB of the decoded 8-bit RGB picture, at least.

        widths: the widths that may be used, for what the decoder can afford; alone, the best
            quality within them. closest: take the nearest point if the target is out of range.
        metadata: `all`, `icc` (no EXIF, which can hold a position, and no XMP) or `none`.
        verify: decode everything in memory and compare before returning.

        Raises:
            ImageError: the picture cannot be read.
            ConfigError: choices that contradict each other, a width or step that the model lacks,
                or a target out of range.
        """
        picture = (image if isinstance(image, Picture) else read_picture(image)).keeping(metadata)
        target = Target(
            width, step, quality, bpp, target_size, target_psnr, self._allowed(widths), closest
        )
        draft = self.draft(picture)
        point = target.choose(self.scale, draft.encoding, len(self.model.steps))
        data = draft.file(point, verify=verify)
        if verify:
            self._verify(data, picture)
        return data

    def draft(self, picture: Picture) -> Draft:
        """A picture to compress at several operating points; all its metadata are kept."""
        alpha = None if picture.alpha is None else pack_alpha(picture.alpha)
        header = self._header(picture)
        extras = (alpha, picture.icc_profile, picture.exif, picture.xmp)
        encoding = Encoding(
            picture.pixels,
            picture.grey,
            container.overhead(header(Point(self.widths[0], 0)), *extras),
            self._side,
            self.transforms,
            self.coder,
        )
        return Draft(encoding, header, extras)

    def watched(self, watch: Callable[[], None]) -> "Codec":
        """The same codec, which calls `watch` before each tile that the network computes.

        What `watch` raises ends the work, and nothing is lost by that: so a long one can show how
        far it is, and be stopped. Model and tables are shared, not copied.
        """
        other = copy(self)
        other.transforms = WatchedTransforms(self.transforms, watch)
        return other

    def decompress(
        self, data: Data, *, crop: Crop | None = None, max_pixels: int = MAX_PIXELS
    ) -> Image.Image:
        """The picture of a `.scae` file, or a part of it, as 8-bit L, RGB, LA or RGBA.

        data: the file's bytes, its path, or a seekable binary file. crop: (x, y, width, height)
        in pixels; only the tiles that it needs are read and decoded.

        Raises:
            BitstreamError: damaged or foreign data, more than `max_pixels`, or another model's.
            ConfigError: a crop beyond the picture.
        """
        with opened(data) as reader:
            header = reader.header
            self._check_model(header)
            coder = self.coder(_point(header))
            picture = decode_picture(reader, crop, max_pixels, coder, self.transforms, self._side)
        return picture.to_image()

    def read_symbols(self, data: Data) -> Symbols:
        """The symbols (width, ⌈H/16⌉, ⌈W/16⌉) that a file holds, without running the network.

        Raises:
            BitstreamError: damaged or foreign data, or another model's.
        """
        with opened(data) as reader:
            self._check_model(reader.header)
            reader.verify()
            return decode_symbols(reader, self.coder(_point(reader.header)))

    def analyse(self, pixels: Pixels, width: int, step: int = 0) -> Symbols:
        """Symbols (width, ⌈H/16⌉, ⌈W/16⌉) of an image (H, W, 3): round((y − median) / Δ).

        The image's last row and column are repeated up to multiples of 16. Symbols beyond
        ±32767 are clipped.

        Raises:
            ModelError: latents that are not finite.
        """
        grid = latent_grid((pixels.shape[0], pixels.shape[1]))
        symbols = np.empty((width, grid.height, grid.width), np.int16)
        for tile in split(grid, self._side):
            residuals = self.transforms.residuals(pixels, tile, width)
            symbols[:, *tile.slices(grid)] = quantise(residuals, self.model.steps[step])
        return symbols

    def synthesise(self, symbols: Symbols, size: tuple[int, int], step: int = 0) -> Pixels:
        """Image (H, W, 3) of `size` (H, W) from symbols (width, ⌈H/16⌉, ⌈W/16⌉).

        Raises:
            ModelError: a reconstruction that is not finite.
        """
        return self.transforms.image(symbols, size, self.model.steps[step], self._side)

    def estimated_bits(self, image: Source, width: int) -> float:
        """What the density says the symbols cost at Δ = 1: the sum of −log2 of likelihoods."""
        bottleneck = self.model.entropy_bottleneck(width)
        picture = image if isinstance(image, Picture) else read_picture(image)
        bits = 0.0
        for tile in split(latent_grid(picture.pixels.shape[:2]), self._side):
            residuals = self.transforms.residuals(picture.pixels, tile, width)
            k = torch.from_numpy(np.rint(residuals)).to(self.transforms.device)
            with torch.inference_mode():
                y_hat = (k + bottleneck.medians[:, None, None])[None]
                bits -= float(torch.log2(bottleneck.likelihood(y_hat)).double().sum())
        return bits

    @cached_property
    def scale(self) -> QualityScale:
        """Mean rate and quality of the model's operating points."""
        return QualityScale.of_model(self.model.steps, self.widths, self.info.quality)

    def _allowed(self, widths: Collection[int] | None) -> tuple[int, ...] | None:
        if widths is None:
            return None
        for width in widths:
            self.model.entropy_bottleneck(width)  # refuses a width that the model lacks
        return tuple(width for width in self.widths if width in widths)

    def _header(self, picture: Picture) -> Callable[[Point], container.Header]:
        height, columns, _ = picture.pixels.shape

        def header(point: Point) -> container.Header:
            return container.Header(
                image_height=height,
                image_width=columns,
                grey=picture.grey,
                srgb=picture.srgb,
                num_filters=point.width,
                step=point.step,
                tile_side=self.tile_side,
                model_name=self.info.name,
                model_fingerprint=self._fingerprint(point.width),
            )

        return header

    def _check_model(self, header: container.Header) -> None:
        """Refuse what another model has coded: its symbols would decode to noise."""
        needs = f"{header.model_name} width {header.num_filters} ({header.model_fingerprint.hex()})"
        if header.num_filters not in self.widths:
            have = ", ".join(map(str, self.widths))
            raise BitstreamError(
                f"the file needs model {needs}; the model here, {self.info.name}, "
                f"has widths {have}: give the right --model"
            )
        have = self._fingerprint(header.num_filters).hex()
        if header.model_fingerprint.hex() != have:
            raise BitstreamError(
                f"the file needs model {needs}; the model here is {self.info.name} "
                f"({have}): give the right --model"
            )
        if header.step >= len(self.model.steps):
            raise BitstreamError(
                f"quantisation step {header.step}: the model has {len(self.model.steps)}"
            )

    def _verify(self, data: bytes, picture: Picture) -> None:
        """Compare all that is kept exactly; the symbols were compared with their streams."""
        restored = read_picture(self.decompress(data, max_pixels=picture.pixels.size))
        same = (
            restored.pixels.shape == picture.pixels.shape
            and restored.grey == picture.grey
            and _equal(restored.alpha, picture.alpha)
        )
        if not same:
            raise BitstreamError("verification failed: the decoded picture differs")


def _point(header: container.Header) -> Point:
    return Point(header.num_filters, header.step)


def _equal(first: Pixels | None, second: Pixels | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)
