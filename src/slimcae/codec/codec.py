"""Pictures to `.scae` bytes and back: where network, coder, container and pictures meet."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from slimcae import container
from slimcae.alpha import pack_alpha, unpack_alpha
from slimcae.coding.coder import SymbolCoder
from slimcae.coding.tables import MAX_SYMBOL
from slimcae.errors import BitstreamError, ConfigError, ModelError
from slimcae.images import MAX_PIXELS, Picture, read_picture
from slimcae.model.checkpoint import fingerprint, load_model, shipped_model
from slimcae.model.config import PRECISIONS, ModelInfo
from slimcae.model.device import resolve_device
from slimcae.model.slimcae import DOWNSAMPLING, SlimCAE

log = logging.getLogger("slimcae")

Pixels = NDArray[np.uint8]
Symbols = NDArray[np.int32]


class Codec:
    """Compresses pictures at any width of one model, and decompresses them.

    ::

        picture ─ g_a ─► y ─ round(y − median) ─► symbols ─ range coder ─► bytes
        picture ◄─ g_s ─ y_hat ◄── symbols + median ──── range decoder ◄── bytes

    The network takes no part in entropy coding: the integer tables come from the model file,
    so that symbols decode to the same integers everywhere. Pixels decoded in float32 may differ
    by one level between machines.

    A codec may be used from several threads at once.
    """

    def __init__(self, model: SlimCAE, *, device: str = "cpu", precision: str = "float32") -> None:
        """Make a codec of a model that has tables.

        device: `cpu`, `cuda` or `auto`. precision: `float32`, or `bfloat16` for the network's
        inner layers (faster where the processor has it; costs a little quality).

        Raises:
            ConfigError: unknown or absent device, unknown precision.
            ModelError: a model without tables (`update()` was never called).
        """
        if precision not in PRECISIONS:
            raise ConfigError(
                f"unknown precision {precision!r}: choose from {', '.join(PRECISIONS)}"
            )
        if set(model.tables) != set(model.widths):
            raise ModelError("the model has no coding tables: call model.update() or save it first")
        self.device = resolve_device(device)
        self.precision = precision
        self.model = model.to(self.device).eval()
        self._coder = cache(lambda width: SymbolCoder(model.tables[width][0]))
        self._fingerprint = cache(lambda width: fingerprint(model, width))

    @property
    def widths(self) -> tuple[int, ...]:
        """The model's operating points, widest (best quality, most bits) first."""
        return self.model.widths

    @property
    def info(self) -> ModelInfo:
        """Name, version and training of the model."""
        return self.model.info

    def compress(
        self, image: str | Path | Image.Image | Picture, width: int | None = None
    ) -> bytes:
        """A whole `.scae` file of a picture, at one width (None: the widest).

        Raises:
            ImageError: the picture cannot be read.
            ConfigError: a width that the model lacks.
        """
        picture = _picture(image)
        width = self._known(width)
        symbols = self.analyse(picture.pixels, width)
        image_height, image_width, _ = picture.pixels.shape
        header = container.Header(
            image_height=image_height,
            image_width=image_width,
            grey=picture.grey,
            num_filters=width,
            step=0,
            model_name=self.info.name,
            model_fingerprint=self._fingerprint(width),
        )
        latents = self._coder(width).encode(symbols)
        alpha = None if picture.alpha is None else pack_alpha(picture.alpha)
        return container.write(container.Contents(header, latents, alpha, picture.icc_profile))

    def decompress(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """The picture of a `.scae` file, as 8-bit L, RGB, LA or RGBA.

        Raises:
            BitstreamError: damaged or foreign data, more than `max_pixels`, or another model's.
        """
        contents = container.read(bytes(data))
        header = contents.header
        size = (header.image_height, header.image_width)
        if size[0] * size[1] > max_pixels:
            raise BitstreamError(
                f"{size[1]}x{size[0]} pixels are more than the limit of {max_pixels:,}"
            )
        self._check_model(header)
        grid = (-(-size[0] // DOWNSAMPLING), -(-size[1] // DOWNSAMPLING))
        symbols = self._coder(header.num_filters).decode(
            contents.latents, (header.num_filters, *grid)
        )
        pixels = self.synthesise(symbols, size)
        if header.grey:
            grey = np.rint(pixels.mean(axis=2)).astype(np.uint8)
            pixels = np.repeat(grey[:, :, None], 3, axis=2)
        alpha = None if contents.alpha is None else unpack_alpha(contents.alpha, size)
        return Picture(pixels, header.grey, alpha, contents.icc_profile).to_image()

    def analyse(self, pixels: Pixels, width: int) -> Symbols:
        """Symbols (width, ⌈H/16⌉, ⌈W/16⌉) of an image (H, W, 3): round(y − median).

        The image's last row and column are repeated up to multiples of 16. Symbols beyond
        ±32767 are clipped.

        Raises:
            ModelError: latents that are not finite.
        """
        medians = self.model.entropy_bottleneck(width).medians[:, None, None]
        residual = self._latents(pixels, width) - medians
        if not torch.isfinite(residual).all():
            raise ModelError(f"the model's latents at width {width} are not finite")
        symbols = torch.round(residual)
        beyond = int((symbols.abs() > MAX_SYMBOL).sum())
        if beyond:
            log.info("%d symbols beyond ±%d were clipped", beyond, MAX_SYMBOL)
        return symbols.clamp(-MAX_SYMBOL, MAX_SYMBOL).to(torch.int32).cpu().numpy()

    def synthesise(self, symbols: Symbols, size: tuple[int, int]) -> Pixels:
        """Image (H, W, 3) of `size` (H, W) from symbols (width, ⌈H/16⌉, ⌈W/16⌉).

        Raises:
            ModelError: a reconstruction that is not finite.
        """
        medians = self.model.entropy_bottleneck(len(symbols)).medians[:, None, None]
        with self._inference():
            y_hat = torch.from_numpy(symbols).to(self.device).float() + medians
            x_hat = self.model.g_s(y_hat[None])[0, :, : size[0], : size[1]].float()
        if not torch.isfinite(x_hat).all():
            raise ModelError(f"the reconstruction at width {len(symbols)} is not finite")
        levels = torch.round(x_hat.clamp(0, 1) * 255).to(torch.uint8)
        return levels.permute(1, 2, 0).contiguous().cpu().numpy()

    def estimated_bits(self, image: str | Path | Image.Image | Picture, width: int) -> float:
        """What the density says the symbols cost: the sum of −log2 of their likelihoods."""
        bottleneck = self.model.entropy_bottleneck(self._known(width))
        with torch.inference_mode():
            y_hat = bottleneck.quantize(self._latents(_picture(image).pixels, width)[None])
            return float(-torch.log2(bottleneck.likelihood(y_hat)).double().sum())

    def _known(self, width: int | None) -> int:
        if width is None:
            return self.widths[0]
        self.model.entropy_bottleneck(width)  # refuses a width that the model lacks
        return width

    def _check_model(self, header: container.Header) -> None:
        """Refuse what another model has coded: its symbols would decode to noise."""
        if header.step != 0:
            raise BitstreamError(f"quantization step {header.step}: this model has step 0 only")
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

    @contextmanager
    def _inference(self) -> Iterator[None]:
        reduced = self.precision == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=reduced),
        ):
            yield

    def _latents(self, pixels: Pixels, width: int) -> Tensor:
        """Latents y (width, ⌈H/16⌉, ⌈W/16⌉), float32."""
        height, columns, _ = pixels.shape
        pad = ((0, -height % DOWNSAMPLING), (0, -columns % DOWNSAMPLING), (0, 0))
        padded = torch.from_numpy(np.pad(pixels, pad, mode="edge")).to(self.device)
        with self._inference():
            # as channels-last, which the pixels already are
            y: Tensor = self.model.g_a(padded.permute(2, 0, 1)[None].float() / 255, width)
        return y[0].float()


def load(
    model: str | Path | None = None, *, device: str = "cpu", precision: str = "float32"
) -> Codec:
    """A codec of a model file (None: the shipped model); see `Codec` for the options.

    Raises:
        ModelError: the file is missing, damaged or not a model.
        ConfigError: unknown or absent device, unknown precision.
    """
    path = shipped_model() if model is None else Path(model)
    return Codec(load_model(path), device=device, precision=precision)


@cache
def _shipped_codec() -> Codec:
    return load()


def compress(image: str | Path | Image.Image | Picture, width: int | None = None) -> bytes:
    """`Codec.compress` with the shipped model, which is loaded once."""
    return _shipped_codec().compress(image, width)


def decompress(data: bytes) -> Image.Image:
    """`Codec.decompress` with the shipped model, which is loaded once."""
    return _shipped_codec().decompress(data)


def _picture(image: str | Path | Image.Image | Picture) -> Picture:
    return image if isinstance(image, Picture) else read_picture(image)
