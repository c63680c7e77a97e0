"""Transparent colours of PNG files (tRNS), compared at the depth of the file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.images.file_headers import low_bytes, png_chunks

_GREY, _RGB = 0, 2


@dataclass(frozen=True)
class Key:
    """A transparent colour: its values in Pillow's pixels, with one band or three.

    low, low_image: the lower bytes of 16-bit colours; Pillow's pixels only have the upper bytes.
    """

    values: tuple[int, ...]
    low: tuple[int, ...] = ()
    low_image: Image.Image | None = None


def key_of(image: Image.Image) -> Key | None:
    """Return the transparent colour of an opened image without palette, or None."""
    said = image.info.get("transparency")
    if said is None or (image.mode not in ("1", "L", "RGB") and not image.mode.startswith("I")):
        return None
    values = said if isinstance(said, tuple) else (said,)
    if not all(isinstance(value, int) for value in values):
        return None
    if len(values) != (3 if image.mode == "RGB" else 1):
        return None
    chunks = png_chunks(image)
    body = chunks.get(b"tRNS", b"")
    depth_and_kind = tuple(chunks.get(b"IHDR", b"")[8:10])
    if len(depth_and_kind) == 2 and depth_and_kind[1] in (_GREY, _RGB) and _says(body, values):
        return _stored(image, body, *depth_and_kind)
    if image.mode == "RGB" and max(values) > 255:
        values = tuple(value >> 8 for value in values)
    return Key(values)


def _says(body: bytes, values: tuple[int, ...]) -> bool:
    """Return whether Pillow's values come from a chunk tRNS (1-bit values become 0 or 255)."""
    count = len(values)
    if len(body) < 2 * count:
        return False
    said = tuple(int.from_bytes(body[2 * i : 2 * i + 2], "big") for i in range(count))
    return said == values or (count == 1 and values[0] == (255 if said[0] else 0))


def _stored(image: Image.Image, body: bytes, depth: int, kind: int) -> Key:
    """Return the key as in the file; below 16 bits, the lowest bits count (PNG, 11.3.1.1)."""
    count = 3 if kind == _RGB else 1
    full = 2**depth - 1
    samples = [int.from_bytes(body[2 * i : 2 * i + 2], "big") & full for i in range(count)]
    if depth == 16 and count == 3:
        low = tuple(sample & 255 for sample in samples)
        return Key(tuple(sample >> 8 for sample in samples), low, low_bytes(image))
    if depth < 8:
        samples = [sample * (255 // full) for sample in samples]
    return Key(tuple(samples))


def opacity(
    key: Key, values: NDArray[np.generic], low: NDArray[np.generic] | None
) -> NDArray[np.uint8]:
    """Return alpha (h, w) for values (h, w, bands): 0 where they equal the key, 255 elsewhere.

    low: the lower bytes of the same pixels.
    """
    found = (values == np.array(key.values)).all(axis=2)
    if low is not None:
        found &= (low == np.array(key.low)).all(axis=2)
    return np.where(found, 0, 255).astype(np.uint8)
