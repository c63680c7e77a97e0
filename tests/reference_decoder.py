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


def decode_symbols(data: bytes, tables: Sequence[Table], height: int, width: int) -> list[Plane]:
    """docs/format.md, "Symbols": all planes, channel by channel."""
    if height * width == 0:
        if data:
            raise DamagedError("data for no symbols")
        return [[[] for _ in range(height)] for _ in tables]
    if not data:
        raise DamagedError("no data")
    decoder = RangeDecoder(data)
    uniform = [256] * 65536
    planes = []
    for minimum, counts in tables:
        escape = len(counts) - 1
        indices = [decoder.decode(counts) for _ in range(height * width)]
        values = []
        for index in indices:
            if index < escape:
                values.append(minimum + index)
            else:
                values.append(decoder.decode(uniform) - 32768)
                if values[-1] == -32768:
                    raise DamagedError("beyond the range of symbols")
        planes.append([values[row * width : (row + 1) * width] for row in range(height)])
    decoder.check_end()
    return planes


@dataclass
class File:
    num_filters: int
    height: int
    width: int
    grey: bool
    step: int
    fingerprint: bytes
    model_name: str
    chunks: dict[str, bytes]


def decode_file(data: bytes) -> File:
    """docs/format.md, "File", "Header" and "Chunks"."""
    if data[:4] != bytes([0x89, 0x53, 0x0D, 0x0A]):
        raise DamagedError("magic")
    if data[4:5] != b"\x01":
        raise DamagedError("version")
    if len(data) < 26 or len(data) < 26 + data[25] + 4:
        raise DamagedError("short header")
    end = 26 + data[25]
    if number(data[end : end + 4]) != zlib.crc32(data[:end]):
        raise DamagedError("checksum of the header")
    name = data[26:end].decode("ascii")
    file = File(
        num_filters=number(data[6:8]),
        height=number(data[8:12]),
        width=number(data[12:16]),
        grey=data[5] == 1,
        step=data[16],
        fingerprint=data[17:25],
        model_name=name,
        chunks={},
    )
    sizes_fit = file.num_filters and file.height and file.width and 1 <= len(name) <= 32
    if data[5] > 1 or not sizes_fit or not name.isprintable():
        raise DamagedError("header")
    at = end + 4
    while "LATN" not in file.chunks:
        head = data[at : at + 12]
        if len(head) < 12:
            raise DamagedError("short chunk head")
        length = number(head[4:8])
        payload = data[at + 12 : at + 12 + length]
        if len(payload) < length or number(head[8:]) != zlib.crc32(head[:8] + payload):
            raise DamagedError("chunk")
        tag = head[:4].decode("ascii")
        if not tag.isalpha() or tag in file.chunks:
            raise DamagedError("tag")
        if tag[0].isupper() and tag not in ("LATN", "ALPH"):
            raise DamagedError("unknown mandatory chunk")
        file.chunks[tag] = payload
        at += 12 + length
    if at != len(data):
        raise DamagedError("data after the latents")
    return file


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")
