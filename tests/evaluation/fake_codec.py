"""A codec without a network: narrower widths have fewer grey levels, and zlib codes the bytes."""

import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from slimcae.evaluation.measure import RDPoint
from slimcae.images import Picture

STEP = {8: 8, 4: 32}
"""Quantiser step of each width."""


@dataclass(frozen=True)
class FakeInfo:
    lmbda: tuple[float, ...] | None


@dataclass
class QuantisingCodec:
    lmbda: tuple[float, ...] | None = (200.0, 50.0)
    shift: int = 0
    calls: list[tuple[str, int]] = field(default_factory=list)

    @property
    def info(self) -> FakeInfo:
        return FakeInfo(self.lmbda)

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(STEP)

    @property
    def points(self) -> tuple[int, ...]:
        return self.widths

    def quantise(self, picture: Picture, width: int) -> np.ndarray:
        step = STEP[width]
        middles = picture.pixels // step * step + step // 2 + self.shift
        return np.asarray(np.clip(middles, 0, 255), np.uint8)

    def compress(self, picture: Picture, *, point: int) -> bytes:
        self.calls.append(("compress", picture.pixels.shape[0]))
        coarse = Picture(
            self.quantise(picture, point), picture.grey, picture.alpha, picture.icc_profile
        )
        file = io.BytesIO()
        coarse.to_image().save(file, "png", compress_level=0)
        return zlib.compress(file.getvalue())

    def decompress(self, data: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(zlib.decompress(data)))
        image.load()
        return image

    def ideal_bits(self, pixels: np.ndarray, width: int) -> float:
        return 1000.0 * width

    def macs(self, width: int) -> tuple[float, float]:
        return 3.0 * width, 2.0 * width


def make_image(path: Path, height: int, width: int, mode: str = "RGB", seed: int = 0) -> np.ndarray:
    """Write a smooth random picture as PNG and return its pixels, (H, W) or (H, W, C)."""
    rng = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    coarse = rng.integers(0, 256, (6, 6, channels), dtype=np.uint8)
    planes = [
        np.asarray(
            Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for c in range(channels)
    ]
    pixels = planes[0] if channels == 1 else np.stack(planes, axis=-1)
    Image.fromarray(pixels).save(path)
    return pixels


def make_points(name: str, *, rate: float = 1.0, gain: float = 0.0) -> list[RDPoint]:
    """Return a plausible RD curve of five widths, with scaled rates and shifted PSNR."""
    table = [
        # width, bpp, psnr, ms_ssim, ms_ssim_db
        (192, 1.0, 36.5, 0.99, 20.0),
        (144, 0.7, 34.5, 0.98, 16.989700043360187),
        (96, 0.4, 32.0, 0.96, 13.979400086720377),
        (72, 0.25, 30.0, 0.94, 12.218487496163565),
        (48, 0.125, 28.0, 0.9, 10.0),
    ]
    return [
        RDPoint(
            codec=name,
            label=f"width {width}",
            setting=width,
            lmbda=None if width == 48 else 10.0 * width,
            bpp=rate * bpp,
            bpp_estimated=0.99 * rate * bpp,
            mse=10 ** (-(psnr + gain) / 10),
            psnr=psnr + gain,
            ms_ssim=ms_ssim,
            ms_ssim_db=ms_ssim_db,
            encode_seconds=0.0125,
            decode_seconds=0.025,
            encoder_macs=0.5 * width**2,
            decoder_macs=0.6 * width**2,
        )
        for width, bpp, psnr, ms_ssim, ms_ssim_db in table
    ]
