"""What Pillow's reader of TIFF files gets wrong, or leaves out without a word."""

import sys
from collections.abc import Iterable
from typing import BinaryIO

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2

_SAMPLES_PER_PIXEL = 277
_NATIVE = {"I;16BS": "I;16S", "I;32BS": "I;32S", "F;32BF": "F;32F"}
"""Pillow's names of big-endian samples, and those of the same ones in the order of this machine."""

_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_COLOURS = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELAB",
    32803: "raw sensor", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw",
}  # fmt: skip
_BIG = 43  # BigTIFF
_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}


_NEEDED = {ExifTags.Base.ImageWidth, ExifTags.Base.PhotometricInterpretation}
_PLACES = {ExifTags.Base.StripOffsets, ExifTags.Base.TileOffsets}
"""Tags of every TIFF file; in damaged ones they may be missing."""


def unread_layout(file: BinaryIO) -> str | None:
    """Return which colours, channels and bits a TIFF file has that Pillow cannot read.

    None: the file is not a TIFF file, or its tags are damaged.
    """
    try:
        file.seek(0)
        head = file.read(8)
        tags = ImageFileDirectory_v2(head + (file.read(8) if _BIG in head[2:4] else b""))
        file.seek(tags.next)
        tags.load(file)
        if not _NEEDED.issubset(tags) or _PLACES.isdisjoint(tags):
            return None
        compression = int(tags.get(ExifTags.Base.Compression, 1))
        if compression not in COMPRESSION_INFO:
            return f"compression {compression}"
        photometric = int(tags.get(ExifTags.Base.PhotometricInterpretation, 0))
        channels = int(tags.get(_SAMPLES_PER_PIXEL, 1))
        extra = len(tags.get(_EXTRA_SAMPLES, ()))
        bits = "/".join(map(str, sorted(_numbers(tags.get(ExifTags.Base.BitsPerSample, 1)))))
        formats = sorted(_numbers(tags.get(_SAMPLE_FORMAT, 1)))
    except Exception:  # arbitrary files
        return None
    colours = _COLOURS.get(photometric, f"colours of kind {photometric}")
    kinds = "/".join(_KINDS.get(number, f"kind {number}") for number in formats)
    more = f" with {extra} extra" if extra else ""
    return f"{colours}, {channels} channel{'s'[: channels > 1]}{more}, {bits} {kinds} bits"


def _numbers(value: object) -> set[int]:
    return {int(number) for number in value} if isinstance(value, Iterable) else {int(str(value))}


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
