"""What a file says about its colours without an ICC profile, and what becomes of it.

A picture of other primaries gets a profile of them. A transfer function that spaces levels about
as eyes do stays as it is, in the profile; linear light and HDR (PQ and HLG) are turned into sRGB's
curve, which is what the codec is made for. So no colour leaves its gamut, and nothing is clipped
but what is brighter than white in HDR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from slimcae.images.heads import avif_properties, bmp_profile, jpeg_2000_colours, png_chunks
from slimcae.images.icc import Chromaticities, grey_profile, rgb_profile
from slimcae.images.ifd import Value, exif_values

D65 = (0.3127, 0.329)
SRGB = (D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
ADOBE_RGB = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256

_C = (0.31, 0.316)
_SMPTE_170M = (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07))
_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), *_P3),
    12: (D65, *_P3),
    22: (D65, (0.63, 0.34), (0.295, 0.605), (0.155, 0.077)),
}
"""ITU-T H.273, table 2: ColourPrimaries."""

_UNSPECIFIED = 2
_PQ, _HLG = "PQ", "HLG"
_TRANSFERS: dict[int, float | str | None] = {
    # cameras' curves, which are shown as sRGB's: 709, 601, 240, 2020 and their extensions
    **dict.fromkeys((1, 6, 7, 11, 12, 13, 14, 15)),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: _PQ,
    18: _HLG,
}
"""ITU-T H.273, table 3: TransferCharacteristics, as a gamma, a name, or None for sRGB's curve."""

_SPACED = (1.6, 3.0)
"""Gammas whose 8-bit levels are so spaced that they may stay."""
_SAME_XY, _SAME_GAMMA = 0.004, 0.05
"""How far rounded chromaticities, and gammas by their ratio, may lie apart and mean the same."""

_REFERENCE_WHITE = 203.0
"""cd/m² that is white on other displays (ITU-R BT.2408)."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""cd/m² of a nominal display for HLG, and its system gamma (ITU-R BT.2100)."""


@dataclass(frozen=True)
class Colours:
    """Primaries, and a transfer function: a gamma, PQ, HLG, or None for sRGB's curve."""

    primaries: Chromaticities = SRGB
    transfer: float | str | None = None

    @property
    def are_srgb(self) -> bool:
        """Whether they mean sRGB: also by the gamma of 2.2 that PNG files give for its curve."""
        near = isinstance(self.transfer, float) and abs(self.transfer / 2.2 - 1) <= _SAME_GAMMA
        return _same(self.primaries, SRGB) and (self.transfer is None or near)

    @property
    def is_hdr(self) -> bool:
        """Whether there is something brighter than white."""
        return isinstance(self.transfer, str)

    def table(self) -> NDArray[np.uint8] | None:
        """Levels with sRGB's curve for each of the 256 levels, or None if they may stay."""
        if self.transfer is None or (
            isinstance(self.transfer, float) and _SPACED[0] <= self.transfer <= _SPACED[1]
        ):
            return None
        return np.rint(255 * self.encoded(np.arange(256) / 255)).astype(np.uint8)

    def encoded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values from 0 to 1 with sRGB's curve instead of their own."""
        return _srgb_encoded(np.minimum(_linear(values, self.transfer), 1))

    def profile(self, grey: bool) -> bytes | None:
        """An ICC profile of what `table` leaves, or None if that is sRGB.

        Raises:
            ValueError: primaries that no picture can have.
        """
        gamma = None
        if isinstance(self.transfer, float) and self.table() is None and not self.are_srgb:
            gamma = self.transfer
        if grey:
            return None if gamma is None else grey_profile(gamma)
        if gamma is None and _same(self.primaries, SRGB):
            return None
        return rgb_profile(self.primaries, gamma)


@dataclass(frozen=True)
class Stated:
    """What a file says about its colours.

    first: what counts more than a profile in `info`. icc_profile: one that Pillow does not look
    for. then: what counts less than a profile. unknown: something was said that is not known here.
    """

    first: Colours | None = None
    icc_profile: bytes | None = None
    then: Colours | None = None
    unknown: str | None = None

    def beside(self, profile: bytes | None) -> Colours | None:
        """What counts in a file that has this profile, or none."""
        return self.then if self.first is None and not profile else self.first


def stated_colours(image: Image.Image) -> Stated:
    """What the file of an image says about its colours beside the profile that Pillow finds.

    image: as it was opened; of one that was loaded, PNG's cICP and the boxes of AVIF and JPEG 2000
    are seen if its file still lies where it was.
    """
    if image.format == "AVIF":
        codes = [each for each in avif_properties(image) if each.startswith(b"colrnclx")]
        found, unknown = _by_codes(codes[0][8:12]) if codes else (None, None)
        return Stated(then=found, unknown=unknown)
    if image.format == "HEIF":
        told = image.info.get("nclx_profile") or {}
        names = ("color_primaries", "transfer_characteristics")
        codes = [int(told.get(name, 2)).to_bytes(2, "big") for name in names]
        found, unknown = _by_codes(b"".join(codes)) if told else (None, None)
        return Stated(then=found, unknown=unknown)
    if image.format == "JPEG2000":
        profiles = [body[3:] for body in jpeg_2000_colours(image) if body[:1] == b"\2"]
        return Stated(icc_profile=profiles[0] if profiles else None)
    if image.format == "BMP":
        return Stated(icc_profile=bmp_profile(image))
    if hasattr(image, "tag_v2"):
        primaries = _primaries_of_tags(image.tag_v2)
        return Stated(then=None if primaries is None else Colours(primaries, 2.2))
    cicp = png_chunks(image).get(b"cICP", b"")
    if len(cicp) == 4:
        found, unknown = _by_codes(bytes([0, cicp[0], 0, cicp[1]]))
        if found is not None:
            return Stated(then=found, unknown=unknown) if unknown else Stated(first=found)
    found, unknown = _png_colours(image.info)
    return Stated(then=found, unknown=unknown)


def exif_colours(exif: bytes | None) -> tuple[Colours | None, str | None]:
    """What EXIF data say about colours (Exif 2.32, 4.6.5, and DCF 2.0), and what is not known.

    Neither if they say sRGB or nothing.
    """
    values = exif_values(exif or b"")
    (space, *_), (gamma, *_) = _numbers(values, _COLOR_SPACE), _numbers(values, _GAMMA)
    index = values.get(_INTEROP_INDEX, b"")
    primaries = _primaries_of_tags(values)
    if space == 2 or (space != 1 and isinstance(index, bytes) and index.startswith(b"R03")):
        return Colours(ADOBE_RGB, ADOBE_GAMMA), None
    if space == _UNCALIBRATED:
        if primaries is None:
            return None, "its EXIF data say that its colours are not sRGB, and not what they are"
        return Colours(primaries, gamma if _can_be(gamma) else 2.2), None
    return None, None


_COLOR_SPACE, _GAMMA, _INTEROP_INDEX = 0xA001, 0xA500, 1
_UNCALIBRATED = 0xFFFF


def _numbers(values: Mapping[int, Value], tag: int) -> tuple[float, ...]:
    """Those of a tag, or a zero."""
    found = values.get(tag)
    return found if isinstance(found, tuple) else (0.0,)


def _primaries_of_tags(tags: Mapping[int, Any]) -> Chromaticities | None:
    """As TIFF and EXIF have them (TIFF 6.0, section 20)."""
    white = tags.get(ExifTags.Base.WhitePoint)
    others = tags.get(ExifTags.Base.PrimaryChromaticities)
    if white is None or others is None:
        return None
    try:
        return _pairs([float(value) for value in (*white, *others)])
    except (TypeError, ValueError, ZeroDivisionError):  # tags of any type
        return None


def _png_colours(info: dict[Any, Any]) -> tuple[Colours | None, str | None]:
    """Of the chunks sRGB, gAMA and cHRM (PNG, third edition, 4.3), as Pillow gives them."""
    if "srgb" in info:
        return Colours(), None
    said, primaries = info.get("gamma"), info.get("chromaticity")
    gamma = 1 / said if isinstance(said, float) and said else None
    if gamma is not None and not _can_be(gamma):
        return None, f"its gamma is {gamma:g}"
    xy = _pairs(primaries) if isinstance(primaries, tuple) else None
    if gamma is None and xy is None:
        return None, None
    return Colours(xy or SRGB, gamma), None


def _can_be(gamma: float) -> bool:
    return 0.1 <= gamma <= 10


def _by_codes(codes: bytes) -> tuple[Colours | None, str | None]:
    """Colours of two big-endian code points, of primaries and transfer, and what is not known."""
    primaries = int.from_bytes(codes[:2], "big")
    transfer = int.from_bytes(codes[2:4], "big")
    unknown = [
        f"{kind} {code}"
        for kind, code, known in (
            ("primaries", primaries, _PRIMARIES),
            ("transfer function", transfer, _TRANSFERS),
        )
        if code not in (_UNSPECIFIED, *known)
    ]
    said = f"its colours have {' and '.join(unknown)} of H.273" if unknown else None
    if primaries == transfer == _UNSPECIFIED:
        return None, None
    found = Colours(_PRIMARIES.get(primaries, SRGB), _TRANSFERS.get(transfer))
    return found, said


def _pairs(values: Sequence[float]) -> Chromaticities | None:
    if len(values) != 8:
        return None
    white, red, green, blue = zip(values[::2], values[1::2], strict=True)
    return white, red, green, blue


def _same(first: Chromaticities, second: Chromaticities) -> bool:
    return bool(np.abs(np.subtract(first, second)).max() <= _SAME_XY)


def _linear(levels: NDArray[np.float64], transfer: float | str | None) -> NDArray[np.float64]:
    """Light of encoded levels from 0 to 1, of which 1 is white (ITU-R BT.2100 for HDR)."""
    if transfer == _PQ:
        root = levels ** (32 / 2523)
        ratio = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
        return 10_000 / _REFERENCE_WHITE * ratio ** (16384 / 2610)
    if transfer == _HLG:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        scene = np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
        return _HLG_PEAK / _REFERENCE_WHITE * scene**_HLG_GAMMA
    assert isinstance(transfer, float)
    return levels**transfer


def _srgb_encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
