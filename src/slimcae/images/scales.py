"""Which values of a grey picture of more than 8 bits mean black and white."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from slimcae.errors import ImageError

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Parts = Sequence[Callable[[], NDArray[Any]]]
"""The values of an image, part by part."""

_SIGNED = 2
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_FULL = (255, 65535)


@dataclass(frozen=True)
class Scale:
    """The values of black and white, of which black may be the larger one.

    kind: of the numbers, where Pillow has their bits as another one. notice: what was assumed.
    """

    black: float = 0
    white: float = 65535
    kind: type[np.integer[Any]] | None = None
    notice: str | None = None

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Values as the file means them."""
        return stored if self.kind is None else stored.view(self.kind)

    def levels(self, stored: NDArray[Any], curve: Curve | None = None) -> NDArray[np.uint8]:
        """Greys of 8 bits, rounded; curve: what becomes of values from 0 to 1 before."""
        span = self.white - self.black
        share = (self.values(stored).astype(np.float64) - self.black) / (span or 1)
        share = np.clip(share, 0, 1)
        return np.rint((share if curve is None else curve(share)) * 255).astype(np.uint8)


def is_signed(image: Image.Image) -> bool:
    """Whether a TIFF file's samples are signed."""
    return _tag(image, _SAMPLE_FORMAT) == _SIGNED


def scale_of(image: Image.Image, parts: Parts, name: str) -> Scale:
    """The scale of an image of one of Pillow's deep modes.

    Integers have the full range of their kind. Floats are from 0 to 1; if they are not, whole
    numbers up to 255 or 65535 are taken for those, and all others for what lies between the least
    and the greatest. Mode I is also what Pillow makes of 16-bit greys in some formats, so it
    counts as such unless a TIFF file says more.

    Raises:
        ImageError: values that are not finite, or that do not fit their kind.
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
            f"{name} has values from {least:.0f} to {greatest:.0f}, which are not those of 16 "
            f"bits (0 to {scale.white:.0f}): scale them first"
        )


def _check_span(scale: Scale, parts: Parts, name: str) -> None:
    """Refuse values that would all be one grey: their range is another than the file's."""
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
            raise ImageError(f"{name} has values that are not finite")
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
    """A number of a TIFF file, the first if there are several."""
    tags = getattr(image, "tag_v2", None)
    value = None if tags is None else tags.get(tag)
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, int) else None
