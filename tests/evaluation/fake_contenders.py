"""Codecs with known rates and errors, and times by a clock that the test controls."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from slimcae.evaluation.contenders import Pixels
from slimcae.evaluation.measure import RDPoint
from slimcae.images import Picture


@dataclass
class FakeContender:
    """A codec with `point` bytes per pixel and an error of `error` levels everywhere."""

    name: str
    points: Sequence[float]
    error: int = 1
    clock: list[float] = field(default_factory=lambda: [0.0])
    calls: list[tuple[str, float]] = field(default_factory=list)
    settings: str = "fake 1.0, all defaults"

    def label(self, point: float) -> str:
        return f"level {point:g}"

    def encode(self, picture: Picture, point: float) -> bytes:
        pixels = picture.pixels
        self.calls.append(("encode", point))
        self.clock[0] += point * len(self.calls)  # slower with every call
        self._pixels = pixels
        return bytes(int(point * pixels.shape[0] * pixels.shape[1]))

    def decode(self, data: bytes) -> Pixels:
        self.clock[0] += 0.5
        return np.asarray(self._pixels + self.error, np.uint8)


def points(
    codec: str, *, rate: float = 1.0, gain: float = 0.0, seconds: float = 0.01
) -> list[RDPoint]:
    """Return a plausible curve of four points, with scaled rates and shifted quality."""
    return [
        RDPoint(
            codec=codec,
            label=f"width {setting}",
            setting=setting,
            bpp=rate * bpp,
            mse=10 ** (-(psnr + gain) / 10),
            psnr=psnr + gain,
            ms_ssim=1 - 10 ** (-(psnr - 15) / 10),
            ms_ssim_db=psnr - 15 + gain,
            encode_seconds=seconds * setting,
            decode_seconds=2 * seconds * setting,
        )
        for setting, bpp, psnr in ((1, 0.125, 28), (2, 0.25, 30), (3, 0.5, 32), (4, 1.0, 34))
    ]
