"""Chunks, boxes and headers before the pixels of a file that Pillow does not expose.

All functions take an opened image, whose file keeps its position. The file of a loaded image is
opened again if it still exists; otherwise the functions return nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

_MAX_HEAD_BYTES = 2**22
"""Largest chunk or box that is read."""
_MAX_START = 2**62
_BMP_HEADER = 14
_PNG = b"\x89PNG\r\n\x1a\n"


def head(image: Image.Image, num_bytes: int) -> bytes:
    """Return the first bytes of the file, or none."""
    return _part(image, 0, num_bytes)


def png_chunks(image: Image.Image) -> dict[bytes, bytes]:
    """Return the first chunk of each type before the pixels of a PNG file (third edition, 5.3)."""
    found: dict[bytes, bytes] = {}
    if image.format != "PNG":
        return found
    with suppress(OSError, ValueError), _file(image) as file:
        if file is None:
            return found
        file.seek(0)
        if file.read(len(_PNG)) != _PNG:
            return found
        while len(start := file.read(8)) == 8:
            length, tag = int.from_bytes(start[:4], "big"), start[4:]
            if tag in (b"IDAT", b"IEND"):
                break
            if length <= _MAX_HEAD_BYTES and tag in (b"IHDR", b"tRNS", b"cICP"):
                found.setdefault(tag, file.read(length))
                length = 0
            file.seek(length + 4, 1)
    return found


def low_bytes(image: Image.Image) -> Image.Image | None:
    """Return the lower bytes of a PNG file's 16-bit colours; Pillow's pixels have the upper bytes.

    The file is read again, as if its samples were little-endian. The result is None for other
    files.
    """
    if png_chunks(image).get(b"IHDR", b"")[8:9] != b"\x10":
        return None
    try:
        other = PngImagePlugin.PngImageFile(BytesIO(head(image, -1)))
        kinds = [str(tile.args) for tile in other.tile]
        if not all(kind in ("RGB;16B", "RGBA;16B") for kind in kinds):
            return None
        other.tile = [
            tile._replace(args=kind.replace("16B", "16L"))
            for tile, kind in zip(other.tile, kinds, strict=True)
        ]
        other.load()
    except Exception:  # a damaged file, which loading the image will report
        return None
    return other


def avif_properties(image: Image.Image) -> list[bytes]:
    """Return the properties of an AVIF file's picture and tiles, each preceded by its type.

    Properties of the primary item come first (ISO/IEC 23008-12, 9.3).
    """
    if image.format != "AVIF":
        return []
    try:
        meta = _top_box(image, b"meta")[4:]
        boxes = dict(reversed(list(_boxes(meta))))
        primary = boxes[b"pitm"]
        inside = dict(reversed(list(_boxes(boxes[b"iprp"]))))
        properties = [kind + body for kind, body in _boxes(inside[b"ipco"])]
        number = int.from_bytes(primary[4:], "big")
        own = [index - 1 for index in _associated(inside[b"ipma"], number)]
    except (KeyError, IndexError, OSError, ValueError):  # arbitrary boxes
        return []
    first = [properties[index] for index in own if 0 <= index < len(properties)]
    return first + [each for index, each in enumerate(properties) if index not in own]


def jpeg_2000_colours(image: Image.Image) -> list[bytes]:
    """Return the contents of the colour specification boxes of a JP2 file (T.800, I.5.3.3)."""
    try:
        boxes = _boxes(_top_box(image, b"jp2h"))
        return [body for kind, body in boxes if kind == b"colr"]
    except (OSError, ValueError):
        return []


def bmp_header(image: Image.Image) -> bytes:
    """Return the BITMAPV4HEADER or BITMAPV5HEADER of a BMP file, or nothing."""
    start = head(image, _BMP_HEADER + 124)[_BMP_HEADER:]
    size = int.from_bytes(start[:4], "little")
    return start[:size] if size in (108, 124) and len(start) >= size else b""


def bmp_profile(image: Image.Image) -> bytes | None:
    """Return the profile in a BMP file of version 5 (BITMAPV5HEADER), or None."""
    start = bmp_header(image)
    if len(start) < 124 or start[56:60] != b"DEBM":
        return None
    place, size = (int.from_bytes(start[i : i + 4], "little") for i in (112, 116))
    if not 128 <= size <= _MAX_HEAD_BYTES:
        return None
    content = _part(image, _BMP_HEADER + place, size)
    return content if len(content) == size else None


def gif_profile(image: Image.Image) -> bytes | None:
    """Return the profile in a GIF file (ICC.1:2022, B.5: an application extension), or None."""
    with suppress(OSError, ValueError), _file(image) as file:
        if file is None:
            return None
        file.seek(0)
        start = file.read(13)
        if len(start) == 13 and start[10] & 0x80:
            file.seek(3 * 2 ** ((start[10] & 7) + 1), 1)  # the global colour table
        while file.read(1) == b"!":
            kind = file.read(1)
            blocks = _gif_blocks(file)
            if kind == b"\xff" and next(blocks, b"") == b"ICCRGBG1012":
                return b"".join(blocks)
            for _ in blocks:
                pass
    return None


def _gif_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the data blocks up to the empty one or the end of the file."""
    taken = 0
    while (size := file.read(1)) not in (b"", b"\0") and taken < _MAX_HEAD_BYTES:
        taken += size[0]
        yield file.read(size[0])


@contextmanager
def _file(image: Image.Image) -> Iterator[BinaryIO | None]:
    """Yield the file of an image temporarily."""
    file: BinaryIO | None = getattr(image, "fp", None)
    name = getattr(image, "filename", "")
    if file is not None and getattr(image, "tile", None) and not getattr(file, "closed", False):
        position = file.tell()
        try:
            yield file
        finally:
            file.seek(position)
    elif isinstance(name, str) and Path(name).is_file():
        with Path(name).open("rb") as again:
            yield again
    else:
        yield None


def _part(image: Image.Image, start: int, num_bytes: int) -> bytes:
    with _file(image) as file:
        if file is None:
            return b""
        file.seek(start)
        return file.read(num_bytes)


def _top_box(image: Image.Image, wanted: bytes) -> bytes:
    """Return the contents of a top-level box (ISO/IEC 14496-12, 4.2), or nothing."""
    with _file(image) as file:
        start = 0
        while file is not None and start < _MAX_START:
            file.seek(start)
            begin = file.read(16)
            size, skipped = int.from_bytes(begin[:4], "big"), 8
            if size == 1:
                size, skipped = int.from_bytes(begin[8:16], "big"), 16
            last = size == 0  # extends to the end
            if len(begin) < 8 or not (last or size >= skipped):
                break
            if begin[4:8] == wanted:
                file.seek(start + skipped)
                return file.read(_MAX_HEAD_BYTES if last else min(size - skipped, _MAX_HEAD_BYTES))
            if last:
                break
            start += size
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield types and contents of the boxes in a box."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big") or len(data) - position
        if size < 8:
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + size]
        position += size


def _associated(ipma: bytes, item: int) -> list[int]:
    """Return the indices, from 1, of the properties of an item (ISO/IEC 23008-12, 9.3.2)."""
    id_bytes = 4 if ipma[0] else 2
    wide = ipma[3] & 1
    position = 8
    for _ in range(int.from_bytes(ipma[4:8], "big")):
        number = int.from_bytes(ipma[position : position + id_bytes], "big")
        count = ipma[position + id_bytes]
        position += id_bytes + 1
        each = 2 if wide else 1
        entries = [ipma[position + each * i : position + each * (i + 1)] for i in range(count)]
        if number == item:
            mask = 0x7FFF if wide else 0x7F
            return [int.from_bytes(entry, "big") & mask for entry in entries]
        position += each * count
    return []
