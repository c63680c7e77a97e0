"""What Pillow's reader of TIFF files gets wrong, or leaves out without a word."""

import sys

from PIL import Image

_SAMPLES_PER_PIXEL = 277
_NATIVE = {"I;16BS": "I;16S", "I;32BS": "I;32S", "F;32BF": "F;32F"}
"""Pillow's names of big-endian samples, and those of the same ones in the order of this machine."""


def in_native_order(image: Image.Image) -> None:
    """Let Pillow take the samples of a compressed file in the order in which libtiff gives them.

    That is this machine's, as Pillow knows of unsigned 16 bits, but not of signed ones, nor of 32.
    image: as it was opened; others stay as they are.
    """
    if sys.byteorder != "little" or image.format != "TIFF":
        return
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff"
        else tile
        for tile in getattr(image, "tile", ())
    ]


def left_out_channels(image: Image.Image) -> int:
    """Return the number of channels that Pillow does not read: alpha that is not called so, say."""
    tags = getattr(image, "tag_v2", None)
    stored = tags.get(_SAMPLES_PER_PIXEL) if tags is not None else None
    return max(0, stored - len(image.getbands())) if isinstance(stored, int) else 0
