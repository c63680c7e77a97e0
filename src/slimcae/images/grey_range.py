"""The values for black and white in grey pictures with more than 8 bits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from slimcae.errors import ImageError

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Parts = Sequence[Callable[[], NDArray[Any]]]
"""Iterable of the values of an image, in parts."""

_SIGNED = 2
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_FULL = (255, 65535)


@dataclass(frozen=True)
class Scale:
    """The values of black and white; black may be the larger one.

    kind: number type, if Pillow stores the bits as another type. notice: text about assumptions.
    """

    black: float = 0
    white: float = 65535
    kind: type[np.integer[Any]] | None = None
    notice: str | None = None

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the stored values as numbers of their actual type."""
        return stored if self.kind is None else stored.view(self.kind)

    def levels(self, stored: NDArray[Any], curve: Curve | None = None) -> NDArray[np.uint8]:
        """Return rounded 8-bit greys; curve: applied before to values from 0 to 1."""
        span = self.white - self.black
        share = (self.values(stored).astype(np.float64) - self.black) / (span or 1)
        share = np.clip(share, 0, 1)
        return np.rint((share if curve is None else curve(share)) * 255).astype(np.uint8)


def is_signed(image: Image.Image) -> bool:
    """Return whether a TIFF file's samples are signed."""
    return _tag(image, _SAMPLE_FORMAT) == _SIGNED


def scale_of(image: Image.Image, parts: Parts, name: str) -> Scale:
    """Return the scale of an image in one of Pillow's deep modes.

    Integers use the full range of their type. Floats are from 0 to 1; otherwise, integral values up
    to 255 or 65535 use that range, and all others their own minimum and maximum. Pillow reads
    16-bit greys of some formats as mode I, so this counts as 16 bits unless a TIFF file says
    otherwise.

    Raises:
        ImageError: Values are not finite, or out of the range of their type.
    """
    bits = _tag(image, ExifTags.Base.BitsPerSample)
    scale = _float_scale(parts, name) if image.mode == "F" else _scale(image, bits, parts, name)
    if _tag(image, ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO:
        return Scale(scale.white, scale.black, scale.kind, scale.notice)
    return scale


def _scale(image: Image.Image, bits: int | None, parts: Parts, name: str) -> Scale:
    if image.format == "FITS" and image.mode == "I;16":  # always signed (FITS 4.0, 5.2)
        return _signed_scale(16, np.int16)
    if bits is None or bits not in (12, 16, 32):
        if image.mode == "I":
            _check(Scale(), parts, name)
        return Scale()
    if is_signed(image):
        scale = _signed_scale(bits)
    else:
        scale = Scale(0, float(2**bits - 1), np.uint32 if bits == 32 else None)
    if bits == 32:
        _check_span(scale, parts, name)
    return scale


def _signed_scale(bits: int, kind: type[np.integer[Any]] | None = None) -> Scale:
    full = float(2 ** (bits - 1))
    notice = f"signed values: {-full:.0f} is black and {full - 1:.0f} is white"
    return Scale(-full, full - 1, kind, notice)


def _check(scale: Scale, parts: Parts, name: str) -> None:
    least, greatest = _range(scale, parts)
    if least < scale.black or greatest > scale.white:
        raise ImageError(
            f"{name} has values from {least:.0f} to {greatest:.0f}, beyond those of 16 bits "
            f"(0 to {scale.white:.0f}): scale them first"
        )


def _check_span(scale: Scale, parts: Parts, name: str) -> None:
    """Reject values that would all map to one grey, because they use a tiny part of the range."""
    least, greatest = _range(scale, parts)
    one_end = least == greatest and least in (scale.black, scale.white)
    if greatest - least < (scale.white - scale.black) / 255 and not one_end:
        raise ImageError(
            f"{name} has values of 32 bits, but only from {least:.0f} to {greatest:.0f}, which "
            "would all be one grey: convert it to 16 bits first"
        )


def _float_scale(parts: Parts, name: str) -> Scale:
    least, greatest, whole = np.inf, -np.inf, True
    for part in parts:
        values = part()
        if not np.isfinite(values).all():
            raise ImageError(
                f"{name} has values that are not finite: replace them by numbers first"
            )
        least, greatest = min(least, float(values.min())), max(greatest, float(values.max()))
        whole = whole and bool((values == np.rint(values)).all())
    if least >= 0 and greatest <= 1:
        return Scale(0, 1)
    if whole and least >= 0:
        for full in _FULL:
            if greatest <= full:
                return Scale(0, full)
    notice = f"floating values: {least:g} is black and {greatest:g} is white"
    return Scale(least, greatest, notice=notice)


def _range(scale: Scale, parts: Parts) -> tuple[float, float]:
    least, greatest = np.inf, -np.inf
    for part in parts:
        values = scale.values(part())
        least, greatest = min(least, float(values.min())), max(greatest, float(values.max()))
    return least, greatest


def _tag(image: Image.Image, tag: int) -> int | None:
    """Return a number from a TIFF tag, the first if there are several."""
    tags = getattr(image, "tag_v2", None)
    value = None if tags is None else tags.get(tag)
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, int) else None
