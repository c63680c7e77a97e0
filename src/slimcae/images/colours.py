"""Colour spaces given by primaries and a transfer function, and their conversion.

A picture with primaries other than sRGB's gets a profile for them. A transfer function that spaces
levels about perceptually is kept, in the profile; linear light and HDR (PQ and HLG) are converted
to the curve of sRGB, for which the codec is made. So no colour leaves its gamut, and only HDR
values brighter than white are clipped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimcae.images.icc import Chromaticities, grey_profile, rgb_profile

D65 = (0.3127, 0.329)
SRGB = (D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
ADOBE_RGB = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256
PQ, HLG = "PQ", "HLG"

_SPACED = (1.6, 3.0)
"""Range of gammas whose 8-bit levels are kept."""
SAME_GAMMA = 0.05
_SAME_XY = 0.004
"""Tolerances within which gammas (by their ratio) and rounded chromaticities count as equal."""

_REFERENCE_WHITE = 203.0
"""Luminance in cd/m² of white on SDR displays (ITU-R BT.2408)."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""cd/m² of a nominal display for HLG, and its system gamma (ITU-R BT.2100)."""


@dataclass(frozen=True)
class Colours:
    """Primaries, and a transfer function: a gamma, PQ, HLG, or None for sRGB's curve."""

    primaries: Chromaticities = SRGB
    transfer: float | str | None = None

    @property
    def are_srgb(self) -> bool:
        """Whether they mean sRGB, also with the gamma of 2.2 that PNG files give for its curve."""
        near = isinstance(self.transfer, float) and abs(self.transfer / 2.2 - 1) <= SAME_GAMMA
        return _same(self.primaries, SRGB) and (self.transfer is None or near)

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer function is HDR, with values brighter than white."""
        return isinstance(self.transfer, str)

    def table(self) -> NDArray[np.uint8] | None:
        """Return the level with sRGB's curve for each of the 256 levels; None: keep the levels."""
        if self.transfer is None or (
            isinstance(self.transfer, float) and _SPACED[0] <= self.transfer <= _SPACED[1]
        ):
            return None
        return np.rint(255 * self.encoded(np.arange(256) / 255)).astype(np.uint8)

    def encoded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert values from 0 to 1 from their own curve to that of sRGB."""
        return srgb_encoded(np.minimum(_linear(values, self.transfer), 1))

    def profile(self, grey: bool) -> bytes | None:
        """Return an ICC profile for the result of `table`, or None if that is sRGB.

        Raises:
            ValueError: The primaries are invalid.
        """
        gamma = None
        if isinstance(self.transfer, float) and self.table() is None and not self.are_srgb:
            gamma = self.transfer
        if grey:
            return None if gamma is None else grey_profile(gamma)
        if gamma is None and _same(self.primaries, SRGB):
            return None
        return rgb_profile(self.primaries, gamma)


def _same(first: Chromaticities, second: Chromaticities) -> bool:
    return bool(np.abs(np.subtract(first, second)).max() <= _SAME_XY)


def _linear(levels: NDArray[np.float64], transfer: float | str | None) -> NDArray[np.float64]:
    """Convert encoded levels from 0 to 1 to linear light, where 1 is white (HDR: ITU-R BT.2100)."""
    if transfer == PQ:
        root = levels ** (32 / 2523)
        ratio = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
        return 10_000 / _REFERENCE_WHITE * ratio ** (16384 / 2610)
    if transfer == HLG:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        scene = np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
        return _HLG_PEAK / _REFERENCE_WHITE * scene**_HLG_GAMMA
    assert isinstance(transfer, float)
    return levels**transfer


def srgb_encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert linear light to sRGB values, both from 0 to 1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
