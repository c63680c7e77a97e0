"""A slow decoder of `.scae` files and their symbols, written from docs/format.md alone.

It shares nothing with the package: no numpy, no constriction, only integers and the document.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

Table = tuple[int, Sequence[int]]
"""First symbol and counts, the last one the escape's."""
Plane = list[list[int]]


class DamagedError(Exception):
    pass


class RangeDecoder:
    """docs/format.md, "Range decoder"."""

    def __init__(self, data: bytes) -> None:
        if len(data) % 4:
            raise DamagedError("not a whole number of words")
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.words_read = 0
        self.distance = self.next_word() << 32 | self.next_word()
        self.range = 2**64 - 1

    def next_word(self) -> int:
        self.words_read += 1
        return self.words[self.words_read - 1] if self.words_read <= len(self.words) else 0

    def decode(self, counts: Sequence[int]) -> int:
        """The index of the next symbol in a table of counts that sum to 2**24."""
        scale = self.range >> 24
        quantile = self.distance // scale
        if quantile >= 2**24:
            raise DamagedError("no encoder gets here")
        cumulative, index = 0, 0
        while cumulative + counts[index] <= quantile:
            cumulative += counts[index]
            index += 1
        self.distance -= scale * cumulative
        self.range = scale * counts[index]
        if self.range < 2**32:
            self.distance = self.distance << 32 | self.next_word()
            self.range <<= 32
        return index

    def check_end(self) -> None:
        if not len(self.words) <= self.words_read <= len(self.words) + 1:
            raise DamagedError(f"{self.words_read} words were read of {len(self.words)}")
        if self.distance >= 2**33 - 1:
            raise DamagedError("the last word is not the encoder's")


@dataclass
class Contexts:
    """docs/format.md, "Symbols": what a model says of a width and a step."""

    tables: Sequence[Table]
    groups: Sequence[int]
    thresholds: Sequence[Sequence[int]]
    choice: Sequence[Sequence[int]]


def plain(tables: Sequence[Table]) -> Contexts:
    """One group and one class: channel c has table c."""
    return Contexts(tables, [len(tables)], [[]], [[c] for c in range(len(tables))])


def decode_symbols(data: bytes, contexts: Contexts, height: int, width: int) -> list[Plane]:
    """docs/format.md, "Symbols": the planes of one tile, channel by channel."""
    if not data:
        raise DamagedError("no data")
    decoder = RangeDecoder(data)
    uniform = [256] * 65536
    planes: list[Plane] = []
    places = [(row, column) for row in range(height) for column in range(width)]
    for size, thresholds in zip(contexts.groups, contexts.thresholds, strict=True):
        channels = range(len(planes), len(planes) + size)
        active = {place: activity(planes, *place) for place in places}
        table_of = {
            (c, *place): contexts.choice[c][sum(bound <= active[place] for bound in thresholds)]
            for c in channels
            for place in places
        }
        values: dict[tuple[int, int, int], int] = {}
        for b, (minimum, counts) in enumerate(contexts.tables):
            mine = [where for where, table in table_of.items() if table == b]
            indices = [decoder.decode(counts) for _ in mine]
            for where, index in zip(mine, indices, strict=True):
                if index < len(counts) - 1:
                    values[where] = minimum + index
                    continue
                values[where] = decoder.decode(uniform) - 32768
                if values[where] == -32768:
                    raise DamagedError("beyond the range of symbols")
        planes += [
            [[values[c, row, column] for column in range(width)] for row in range(height)]
            for c in channels
        ]
    decoder.check_end()
    return planes


def activity(planes: Sequence[Plane], row: int, column: int) -> int:
    """A[i, j] of what the planes so far say."""

    def here(i: int, j: int) -> int:
        i = min(max(i, 0), len(planes[0]) - 1)
        j = min(max(j, 0), len(planes[0][0]) - 1)
        return sum(min(abs(plane[i][j]), 2) for plane in planes)

    if not planes:
        return 0
    around = (here(row + u, column + v) for u in (-1, 0, 1) for v in (-1, 0, 1))
    return 9 * here(row, column) + sum(around)


@dataclass
class File:
    num_filters: int
    height: int
    width: int
    grey: bool
    srgb: bool
    step: int
    tile_side: int
    fingerprint: bytes
    model_name: str
    chunks: dict[str, bytes]
    """As stored, known or not."""
    tiles: list[bytes]


def decode_file(data: bytes) -> File:
    """docs/format.md, "File", "Head" and "Chunks"; every checksum verified."""
    if data[:4] != bytes([0x89, 0x53, 0x0D, 0x0A]):
        raise DamagedError("magic")
    if data[4:5] != b"\x03":
        raise DamagedError("version")
    if len(data) < 28 or len(data) < 28 + data[27]:
        raise DamagedError("short header")
    flags, exponent, num_chunks = data[5], data[17], data[18]
    name = data[28 : 28 + data[27]]
    if flags > 3 or not 4 <= exponent <= 20:
        raise DamagedError("flags or tiles")
    if not 1 <= len(name) <= 24 or any(not 0x20 <= byte <= 0x7E for byte in name):
        raise DamagedError("name")
    file = File(
        num_filters=number(data[6:8]),
        height=number(data[8:12]),
        width=number(data[12:16]),
        grey=flags & 1 == 1,
        srgb=flags & 2 == 2,
        step=data[16],
        tile_side=2**exponent,
        fingerprint=data[19:27],
        model_name=name.decode("ascii"),
        chunks={},
        tiles=[],
    )
    if not (file.num_filters and file.height and file.width):
        raise DamagedError("size")
    index = 28 + len(name)
    num_tiles = ceil(file.height, file.tile_side) * ceil(file.width, file.tile_side)
    at = index + 8 * num_tiles
    if len(data) < at + 4 or number(data[at : at + 4]) != zlib.crc32(data[:at]):
        raise DamagedError("index, or checksum of the head")
    at += 4
    for _ in range(num_chunks):
        at = decode_chunk(data, at, file.chunks)
    for entry in range(index, index + 8 * num_tiles, 8):
        length, checksum = number(data[entry : entry + 4]), number(data[entry + 4 : entry + 8])
        stream = data[at : at + length]
        if len(stream) < length or zlib.crc32(stream) != checksum:
            raise DamagedError("stream of a tile")
        file.tiles.append(stream)
        at += length
    if at != len(data):
        raise DamagedError("data behind the last tile")
    return file


def decode_chunk(data: bytes, at: int, chunks: dict[str, bytes]) -> int:
    """Put the chunk at this place into `chunks`; returns where it ends."""
    head = data[at : at + 12]
    if len(head) < 12:
        raise DamagedError("short chunk head")
    length = number(head[4:8])
    payload = data[at + 12 : at + 12 + length]
    if len(payload) < length or number(head[8:]) != zlib.crc32(head[:8] + payload):
        raise DamagedError("chunk")
    if any(not (0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A) for byte in head[:4]):
        raise DamagedError("tag")
    tag = head[:4].decode("ascii")
    if tag in chunks:
        raise DamagedError("tag twice")
    if tag[0].isupper() and tag != "ALPH":
        raise DamagedError("unknown mandatory chunk")
    chunks[tag] = payload
    return at + 12 + length


def metadata(file: File, tag: str) -> bytes | None:
    """What a chunk of metadata holds, or None if it is not there or not as it must be."""
    if tag not in file.chunks:
        return None
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(file.chunks[tag], 2**24)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data
    return found if found and whole else None


def decode_planes(file: File, contexts: Contexts) -> list[Plane]:
    """docs/format.md, "Tiles": the symbols of the whole picture, channel by channel."""
    rows, columns, side = ceil(file.height, 16), ceil(file.width, 16), file.tile_side // 16
    if sum(contexts.groups) != file.num_filters:
        raise DamagedError("contexts of another width")
    planes = [[[0] * columns for _ in range(rows)] for _ in contexts.choice]
    streams = iter(file.tiles)
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            height, width = min(side, rows - top), min(side, columns - left)
            tile = decode_symbols(next(streams), contexts, height, width)
            for plane, part in zip(planes, tile, strict=True):
                for row in range(height):
                    plane[top + row][left : left + width] = part[row]
    return planes


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def ceil(value: int, unit: int) -> int:
    """⌈value / unit⌉."""
    return (value + unit - 1) // unit
