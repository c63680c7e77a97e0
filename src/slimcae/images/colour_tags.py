"""Colour descriptions in a file other than ICC profiles: chunks, boxes, headers and tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from slimcae.images.colours import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    D65,
    HLG,
    PQ,
    SAME_GAMMA,
    SRGB,
    Colours,
    srgb_encoded,
)
from slimcae.images.file_headers import (
    avif_properties,
    bmp_header,
    bmp_profile,
    gif_profile,
    jpeg_2000_colours,
    png_chunks,
)
from slimcae.images.icc import Chromaticities
from slimcae.images.ifd import Value, exif_values

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
_TRANSFERS: dict[int, float | str | None] = {
    # camera curves, which are displayed like sRGB's: 709, 601, 240, 2020 and their extensions
    **dict.fromkeys((1, 6, 7, 11, 12, 13, 14, 15)),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: PQ,
    18: HLG,
}
"""ITU-T H.273, table 3: TransferCharacteristics, as a gamma, a name, or None for sRGB's curve."""


@dataclass(frozen=True)
class Stated:
    """The colour descriptions of a file.

    first: colours that take precedence over a profile in `info`. icc_profile: a profile that Pillow
    does not read. then: colours that apply without a profile. unknown: text about an unknown
    description.
    """

    first: Colours | None = None
    icc_profile: bytes | None = None
    then: Colours | None = None
    unknown: str | None = None

    def beside(self, profile: bytes | None) -> Colours | None:
        """Return the applicable colours for a file with this profile, or None."""
        return self.then if self.first is None and not profile else self.first


def stated_colours(image: Image.Image) -> Stated:
    """Return the colour descriptions in an image's file, without the profile that Pillow reads.

    image: an opened image. For a loaded one, PNG's cICP and the boxes of AVIF and JPEG 2000 are
    read only if its file still exists.
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
        return _jpeg_2000(jpeg_2000_colours(image))
    if image.format == "BMP":
        found, unknown = _bmp_colours(bmp_header(image))
        return Stated(icc_profile=bmp_profile(image), then=found, unknown=unknown)
    if image.format == "GIF":
        return Stated(icc_profile=gif_profile(image))
    if hasattr(image, "tag_v2"):
        found, unknown = _tiff_colours(image.tag_v2)
        return Stated(then=found, unknown=unknown)
    cicp = png_chunks(image).get(b"cICP", b"")
    if len(cicp) == 4:
        found, unknown = _by_codes(bytes([0, cicp[0], 0, cicp[1]]))
        if cicp[2:] != b"\0\1":  # a matrix, or levels from 16 to 235
            unknown = "its chunk cICP says that its levels are not those of RGB from 0 to 255"
        if found is not None:
            return Stated(then=found, unknown=unknown) if unknown else Stated(first=found)
    found, unknown = _png_colours(image.info)
    return Stated(then=found, unknown=unknown)


def exif_colours(exif: bytes | None) -> tuple[Colours | None, str | None]:
    """Return the colours in EXIF data (Exif 2.32, 4.6.5, and DCF 2.0), and text about unknown ones.

    Both are None if the data say sRGB or nothing.
    """
    values = exif_values(exif or b"")
    (space, *_), (gamma, *_) = _numbers(values, _COLOR_SPACE), _numbers(values, _GAMMA)
    index = values.get(_INTEROP_INDEX, b"")
    primaries = _primaries_of_tags(values)
    if space == 2 or (space != 1 and isinstance(index, bytes) and index.startswith(b"R03")):
        return Colours(ADOBE_RGB, ADOBE_GAMMA), None
    if space not in (0, 1):
        if primaries is None:
            return None, "its EXIF data say that its colours are not sRGB, but not which they are"
        return Colours(primaries, gamma if _can_be(gamma) else 2.2), None
    return None, None


_COLOR_SPACE, _GAMMA, _INTEROP_INDEX = 0xA001, 0xA500, 1


def _jpeg_2000(boxes: Sequence[bytes]) -> Stated:
    """Of the colour specification boxes (ITU-T T.800, I.5.3.3, and T.801, M.11.7.3)."""
    said = [(body[0], body[3:]) for body in boxes if len(body) > 3]
    profile = next((body for method, body in said if method in _PROFILES), None)
    found, unknown = None, None
    for method, body in said:
        if method == _CODES and len(body) >= 4:
            found, unknown = _by_codes(body[:4])
        elif method == _NUMBER and int.from_bytes(body[:4], "big") in _KNOWN_TO_PILLOW:
            return Stated(icc_profile=profile)
        elif method not in _PROFILES:
            unknown = "its colours are said in a way that is not known here"
    return Stated(icc_profile=profile, then=found, unknown=unknown)


_NUMBER, _CODES, _PROFILES = 1, 5, (2, 3)
_KNOWN_TO_PILLOW = (12, 16, 17, 18)
"""CMYK, sRGB, greys of its curve, and its luma and chroma."""


def _numbers(values: Mapping[int, Value], tag: int) -> tuple[float, ...]:
    """Return the numbers of a tag, or a zero."""
    found = values.get(tag)
    return found if isinstance(found, tuple) else (0.0,)


def _primaries_of_tags(tags: Mapping[int, Any]) -> Chromaticities | None:
    """Return the primaries in TIFF or EXIF tags (TIFF 6.0, section 20)."""
    white = tags.get(ExifTags.Base.WhitePoint)
    others = tags.get(ExifTags.Base.PrimaryChromaticities)
    if white is None or others is None:
        return None
    try:
        return _pairs([float(value) for value in (*white, *others)])
    except (TypeError, ValueError, ZeroDivisionError):  # arbitrary types of tags
        return None


def _tiff_colours(tags: Mapping[int, Any]) -> tuple[Colours | None, str | None]:
    """Return the colours of a TIFF file (TIFF 6.0, section 20), and text about unknown ones."""
    primaries = _primaries_of_tags(tags)
    table = tags.get(ExifTags.Base.TransferFunction)
    try:
        light = np.asarray(table, np.float64) / 65535
    except (TypeError, ValueError):  # an arbitrary type of tag
        light = np.empty(0)
    if light.ndim != 1 or light.size < 2:
        return None if primaries is None else Colours(primaries, 2.2), None
    one_for_all = (
        light.size & (light.size - 1) == 0
    )  # a power of two; otherwise one curve for each channel
    curves = light[None] if one_for_all else light[: light.size // 3 * 3].reshape(3, -1)
    values = np.linspace(0, 1, curves.shape[1])
    gamma = _gamma_of(values, curves[0])
    if np.ptp(curves, axis=0).max() > _SAME_LIGHT or gamma is None:
        return None if primaries is None else Colours(primaries, 2.2), (
            "its transfer function is not a gamma"
        )
    srgb = np.abs(srgb_encoded(curves[0]) - values).max() <= _SAME_LIGHT
    return Colours(primaries or SRGB, None if srgb else gamma), None


_SAME_LIGHT = 0.01
"""Largest difference, of 1, between a curve and its approximation."""


def _gamma_of(values: NDArray[np.float64], light: NDArray[np.float64]) -> float | None:
    """Return the gamma of a curve, or approximately that of sRGB; None: it has none."""
    inside = (light > _SAME_LIGHT) & (light < 1) & (values > 0) & (values < 1)
    if not inside.any():
        return None
    gamma = float(np.median(np.log(light[inside]) / np.log(values[inside])))
    near = np.abs(values**gamma - light).max() <= _SAME_LIGHT if _can_be(gamma) else False
    is_srgb = np.abs(srgb_encoded(light) - values).max() <= _SAME_LIGHT
    return gamma if near or is_srgb else None


def _bmp_colours(header: bytes) -> tuple[Colours | None, str | None]:
    """Return the colours of a BITMAPV4HEADER or later ("Windows GDI", from `bV4CSType` on)."""
    kind = header[56:60]
    if kind == b"KNIL":
        return None, "its ICC profile is another file"
    if kind != bytes(4) or len(header) < 108:  # calibrated RGB is 0
        return None, None
    xyz = np.frombuffer(header[60:96], "<i4").reshape(3, 3) / 2**30
    sums = xyz.sum(axis=1)
    gammas = [int.from_bytes(header[at : at + 4], "little") / 2**16 for at in (96, 100, 104)]
    primaries = SRGB
    if (sums > 0).all():
        red, green, blue = (
            (float(x / s), float(y / s)) for (x, y, _), s in zip(xyz, sums, strict=True)
        )
        primaries = (D65, red, green, blue)
    elif not any(gammas):
        return None, None  # zeros, which mean nothing
    gamma = gammas[1]
    if not _can_be(gamma):
        return Colours(primaries, 2.2), None
    if max(gammas) > gamma * (1 + SAME_GAMMA) or min(gammas) < gamma / (1 + SAME_GAMMA):
        return None, "its three colours have different gammas"
    return Colours(primaries, gamma), None


def _png_colours(info: dict[Any, Any]) -> tuple[Colours | None, str | None]:
    """Return the colours of the chunks sRGB, gAMA and cHRM (PNG, third edition, 4.3)."""
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
    """Return the colours for two big-endian code points, and text about unknown ones."""
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
