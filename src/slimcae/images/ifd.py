"""Reader of numbers and texts in EXIF data, for arbitrary bytes.

Pillow's reader warns about damaged data, which a single thread cannot silence. This one ignores
unreadable values.
"""

import struct

Value = tuple[float, ...] | bytes

_PREFIX = b"Exif\0\0"
_MAX_ENTRIES, _MAX_COUNT = 1000, 64
_EXIF, _INTEROP = 0x8769, 0xA005
_TEXT = 2
_KINDS = {3: "H", 4: "I", 5: "II", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
"""TIFF's number types as struct characters; two numbers are a fraction."""


def exif_values(exif: bytes) -> dict[int, Value]:
    """Return the values of the first, the Exif and the interoperability directory.

    Source: TIFF 6.0, section 2, and Exif 2.32, 4.6.2 and 4.6.3. The tags of the three are distinct.
    """
    tiff = exif
    while tiff.startswith(_PREFIX):
        tiff = tiff[len(_PREFIX) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    found: dict[int, Value] = {}
    if order is None or len(tiff) < 8:
        return found
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    for pointer in (_EXIF, _INTEROP, None):
        found = _directory(tiff, order, start) | found
        place = found.get(pointer) if pointer is not None else None
        if not isinstance(place, tuple) or not place:
            break
        start = int(place[0])
    return found


def _directory(tiff: bytes, order: str, start: int) -> dict[int, Value]:
    if start + 2 > len(tiff):
        return {}
    (count,) = struct.unpack_from(order + "H", tiff, start)
    found: dict[int, Value] = {}
    for number in range(min(count, _MAX_ENTRIES)):
        entry = start + 2 + 12 * number
        if entry + 12 > len(tiff):
            break
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, entry)
        value = _value(tiff, order, entry + 8, kind, length)
        if value is not None:
            found.setdefault(tag, value)
    return found


def _value(tiff: bytes, order: str, place: int, kind: int, count: int) -> Value | None:
    size = 1 if kind == _TEXT else struct.calcsize(order + _KINDS.get(kind, ""))
    if size == 0 or not 0 < count <= _MAX_COUNT:
        return None
    if size * count > 4:
        (place,) = struct.unpack_from(order + "I", tiff, place)
    if place + size * count > len(tiff):
        return None
    if kind == _TEXT:
        return tiff[place : place + count].rstrip(b"\0")
    numbers = struct.unpack_from(order + count * _KINDS[kind], tiff, place)
    if len(_KINDS[kind]) == 1:
        return numbers
    return tuple(a / b if b else 0.0 for a, b in zip(numbers[::2], numbers[1::2], strict=True))
