"""A slow decoder of `.scae` files and their symbols, written from docs/format.md alone.

It shares nothing with the package: no numpy, no constriction, only integers and the document.
"""

import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, product
from typing import Any

Table = tuple[int, Sequence[int]]
"""First symbol, and cumulative counts including each symbol; the last is the escape's."""
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

    def decode(self, ends: Sequence[int]) -> int:
        """Return the index of the next symbol, from cumulative counts that end with 2**24."""
        scale = self.range >> 24
        quantile = self.distance // scale
        if quantile >= 2**24:
            raise DamagedError("no encoder gets here")
        index = bisect_right(ends, quantile)
        start = ends[index - 1] if index else 0
        self.distance -= scale * start
        self.range = scale * (ends[index] - start)
        if self.range < 2**32:
            self.distance = self.distance << 32 | self.next_word()
            self.range <<= 32
        return index

    def check_end(self) -> None:
        if not len(self.words) <= self.words_read <= len(self.words) + 1:
            raise DamagedError(f"{self.words_read} words were read of {len(self.words)}")
        if self.distance >= 2**33 - 1:
            raise DamagedError("the last word is not the encoder's")


Place = tuple[int, int, int]
"""Channel, row and column."""
Symbols = dict[Place, int]
Arrays = dict[str, Any]
"""Arrays of an entropy model: lists of lists, by the document's names without kind and width."""


@dataclass
class Coded:
    """How one symbol of a part is coded: it equals centre + sign · value, modulo 2**16."""

    place: Place
    table: int
    centre: int = 0
    sign: int = 1


class EntropyModel:
    """docs/format.md, "Parts"."""

    def __init__(self, arrays: Arrays, step: int) -> None:
        self.arrays = arrays
        self.step = step
        self.tables: list[Table] = []
        counts = iter(arrays["counts"])
        for minimum, length in zip(flat(arrays["minimum"]), flat(arrays["length"]), strict=True):
            self.tables.append((minimum, list(accumulate(islice(counts, length)))))

    @property
    def num_channels(self) -> int:
        return sum(self.arrays["groups"])

    def parts(self, symbols: Symbols, height: int, width: int) -> Iterator[list[Coded]]:
        """Yield the parts of a tile; `symbols` has those of earlier parts."""
        raise NotImplementedError

    def groups(self) -> Iterator[range]:
        """Return the channels of each group."""
        first = 0
        for size in self.arrays["groups"]:
            yield range(first, first + size)
            first += size


class Factorized(EntropyModel):
    """docs/format.md, "Kind `factorized`"."""

    @property
    def num_channels(self) -> int:
        return len(self.arrays["minimum"][0])

    def parts(self, symbols: Symbols, height: int, width: int) -> Iterator[list[Coded]]:
        channels = range(self.num_channels)
        first = self.step * self.num_channels
        yield [Coded((c, *place), first + c) for c in channels for place in grid(height, width)]


class Tables(EntropyModel):
    """docs/format.md, "Kind `tables`"."""

    def parts(self, symbols: Symbols, height: int, width: int) -> Iterator[list[Coded]]:
        choice = self.arrays["choice"][self.step]
        for channels, thresholds in zip(
            self.groups(), self.arrays["thresholds"][self.step], strict=True
        ):
            before = range(channels.start)
            active = {
                place: activity(symbols, before, *place, height, width)
                for place in grid(height, width)
            }
            classes = {
                place: sum(bound <= found for bound in thresholds)
                for place, found in active.items()
            }
            yield [
                Coded((c, *place), choice[c][classes[place]])
                for c in channels
                for place in grid(height, width)
            ]


def activity(
    symbols: Symbols, channels: range, row: int, column: int, height: int, width: int
) -> int:
    """Return A[i, j] from these channels, in a tile of this size."""

    def here(i: int, j: int) -> int:
        i, j = min(max(i, 0), height - 1), min(max(j, 0), width - 1)
        return sum(min(abs(symbols[c, i, j]), 2) for c in channels)

    around = (here(row + u, column + v) for u in (-1, 0, 1) for v in (-1, 0, 1))
    return 9 * here(row, column) + sum(around)


class Context(EntropyModel):
    """docs/format.md, "Kind `context`"."""

    def parts(self, symbols: Symbols, height: int, width: int) -> Iterator[list[Coded]]:
        for g, channels in enumerate(self.groups()):
            for p in (0, 1):
                part = []
                for i, j in grid(height, width):
                    if (i + j) % 2 == p:
                        mixed = self.mixed(self.state(symbols, g, p, i, j), g, p)
                        part += [self.coded(mixed, p, (c, i, j)) for c in channels]
                yield sorted(part, key=lambda coded: coded.place)

    def state(self, symbols: Symbols, g: int, p: int, i: int, j: int) -> list[int]:
        a, s = self.arrays, self.step
        state = [start + bias for start, bias in zip(a["start"][s], a["bias"][g][p], strict=True)]
        worth = a["features"][s]
        for f, channels in enumerate(self.groups()):
            q, m = channels.start, len(channels)
            for u, v, c in product((-1, 0, 1), (-1, 0, 1), channels):
                if (c, i + u, j + v) not in symbols:  # outside the tile, or not known yet
                    continue
                k = symbols[c, i + u, j + v]
                size = worth[min(abs(k), len(worth) - 1)]
                sign = (k > 0) - (k < 0)
                r = 18 * q + 2 * ((3 * (u + 1) + v + 1) * m + c - q)
                for n in range(len(state)):
                    product_ = a["kernel"][r][n] * sign * size + a["kernel"][r + 1][n] * size
                    state[n] += product_ * 2 ** a["kernel_shift"][f][n]
        return state

    def mixed(self, state: list[int], g: int, p: int) -> list[int]:
        a = self.arrays
        hidden = [act(x >> places) for x, places in zip(state, a["places"], strict=True)]
        found = []
        for n, own in enumerate(hidden):
            total = a["mix_bias"][g][p][n] + dot(a["mix"][g][p][n], hidden)
            found.append(own + act(total >> a["mix_places"][g][p][n]))
        return found

    def coded(self, mixed: list[int], p: int, place: Place) -> Coded:
        a, s, c = self.arrays, self.step, place[0]
        sums = [a["out_bias"][p][k][c] + dot(a["out"][p][k][c], mixed) for k in (0, 1)]
        places = [a["out_places"][p][k][c] for k in (0, 1)]
        sums[1] += a["offset"][s] * 2 ** (places[1] - 4)
        mean = min(max(sums[0] >> places[0], -4095), 4095)
        scale = min(max(sums[1] >> places[1], 0), len(a["choice"]) - 1)
        eighths = (mean * a["reciprocal"][s] + 1024) >> 11
        centre = (eighths + 4) >> 3
        fraction = eighths - 8 * centre
        return Coded(place, a["choice"][scale][abs(fraction)], centre, -1 if fraction < 0 else 1)


Map = dict[Place, int]
"""Integers by position; 0 if there is none."""


class Hyperprior(EntropyModel):
    """docs/format.md, "Kind `hyperprior`"."""

    @property
    def num_channels(self) -> int:
        return len(self.arrays["h_s.3.places"])

    def parts(self, symbols: Symbols, height: int, width: int) -> Iterator[list[Coded]]:
        rows, columns, tables = ceil(height, 4), ceil(width, 4), self.arrays["z_choice"][self.step]
        coded = [Coded((Z - m, i, j), table) for m, table in enumerate(tables)
                 for i, j in grid(rows, columns)]  # fmt: skip
        yield coded
        z = {(Z - m, i, j): min(max(symbols[m, i, j], -127), 127)
             for m, i, j in (each.place for each in coded)}  # fmt: skip
        first = self.stretched("h_s.1", z, rows, columns)
        second = self.stretched("h_s.2", first, 2 * rows, 2 * columns)
        choice = self.arrays["choice"]
        part = []
        for c in range(self.num_channels):
            for i, j in grid(height, width):
                total = self.start("h_s.3", c)
                for u, v in product(range(3), range(3)):
                    weights = self.arrays["h_s.3.kernel"][u][v]
                    for n, row in enumerate(weights):
                        total += row[c] * second.get((n, i + u - 1, j + v - 1), 0)
                scale = total >> self.arrays["h_s.3.places"][c]
                part.append(Coded((c, i, j), choice[min(max(scale, 0), len(choice) - 1)]))
        yield part

    def start(self, layer: str, channel: int) -> int:
        bias: int = self.arrays[f"{layer}.bias"][self.step][channel]
        return bias

    def stretched(self, layer: str, before: Map, rows: int, columns: int) -> Map:
        """Return the output of a layer with twice the rows and columns."""
        kernel = self.arrays[f"{layer}.kernel"]
        found = {}
        for n, places in enumerate(self.arrays[f"{layer}.places"]):
            for y, x in grid(2 * rows, 2 * columns):
                total = self.start(layer, n)
                for u, v in product(range(5), range(5)):
                    i, j = (y + 2 - u) // 2, (x + 2 - v) // 2
                    if 2 * i + u - 2 == y and 2 * j + v - 2 == x:
                        for m, row in enumerate(kernel[u][v]):
                            total += row[n] * before.get((m, i, j), 0)
                found[n, y, x] = act(total >> places)
        return found


Z = -1
"""Channel m of z is channel Z − m of `Symbols`; those of the picture start at 0."""

KINDS: dict[str, type[EntropyModel]] = {
    "factorized": Factorized,
    "tables": Tables,
    "context": Context,
    "hyperprior": Hyperprior,
}


def act(x: int) -> int:
    return min(max(x, 0), 127)


def dot(weights: list[int], numbers: list[int]) -> int:
    return sum(weight * number for weight, number in zip(weights, numbers, strict=True))


def grid(height: int, width: int) -> list[tuple[int, int]]:
    """Yield all positions in raster order."""
    return [(row, column) for row in range(height) for column in range(width)]


def flat(nested: Any) -> list[int]:
    if nested and isinstance(nested[0], list):
        return [number for row in nested for number in row]
    return list(nested)


def decode_symbols(data: bytes, model: EntropyModel, height: int, width: int) -> list[Plane]:
    """docs/format.md, "Symbols": the planes of one tile, channel by channel."""
    if not data:
        raise DamagedError("no data")
    decoder = RangeDecoder(data)
    uniform = range(256, 2**24 + 1, 256)
    symbols: Symbols = {}
    for part in model.parts(symbols, height, width):
        escaped = []
        for b, (minimum, ends) in enumerate(model.tables):
            for coded in part:
                if coded.table == b:
                    index = decoder.decode(ends)
                    if index < len(ends) - 1:
                        symbols[coded.place] = symbol_of(coded, minimum + index)
                    else:
                        escaped.append(coded)
        for coded in escaped:
            symbols[coded.place] = symbol_of(coded, decoder.decode(uniform) - 32768)
    if -32768 in (symbols[place] for place in symbols if place[0] >= 0):
        raise DamagedError("beyond the range of symbols")
    decoder.check_end()
    return [
        [[symbols[c, row, column] for column in range(width)] for row in range(height)]
        for c in range(model.num_channels)
    ]


def symbol_of(coded: Coded, value: int) -> int:
    """Wrap modulo 2**16, starting at −32768."""
    return (coded.centre + coded.sign * value + 32768) % 65536 - 32768


@dataclass
class File:
    num_filters: int
    height: int
    width: int
    grey: bool
    srgb: bool
    step: int
    kind: str
    tile_side: int
    fingerprint: bytes
    model_name: str
    chunks: dict[str, bytes]
    """Chunks as stored, known or not."""
    tiles: list[bytes]


def decode_file(data: bytes) -> File:
    """docs/format.md, "File", "Head" and "Chunks"; every checksum verified."""
    if data[:4] != bytes([0x89, 0x53, 0x0D, 0x0A]):
        raise DamagedError("magic")
    if data[4:5] != b"\x04":
        raise DamagedError("version")
    if len(data) < 29 or len(data) < 29 + data[28]:
        raise DamagedError("short header")
    flags, kind, exponent, num_chunks = data[5], data[17], data[18], data[19]
    name = data[29 : 29 + data[28]]
    if flags > 3 or kind > 3 or not 4 <= exponent <= 20:
        raise DamagedError("flags, entropy model or tiles")
    if not 1 <= len(name) <= 24 or any(not 0x20 <= byte <= 0x7E for byte in name):
        raise DamagedError("name")
    file = File(
        num_filters=number(data[6:8]),
        height=number(data[8:12]),
        width=number(data[12:16]),
        grey=flags & 1 == 1,
        srgb=flags & 2 == 2,
        step=data[16],
        kind=("factorized", "tables", "context", "hyperprior")[kind],
        tile_side=2**exponent,
        fingerprint=data[20:28],
        model_name=name.decode("ascii"),
        chunks={},
        tiles=[],
    )
    if not (file.num_filters and file.height and file.width):
        raise DamagedError("size")
    index = 29 + len(name)
    num_tiles = ceil(file.height, file.tile_side) * ceil(file.width, file.tile_side)
    at = index + 8 * num_tiles
    if len(data) < at + 4 or number(data[at : at + 4]) != zlib.crc32(data[:at]):
        raise DamagedError("index, or checksum of the head")
    at += 4
    for _ in range(num_chunks):
        at = decode_chunk(data, at, file.chunks)
    if {"ALPH", "OPAC"} <= file.chunks.keys():
        raise DamagedError("two chunks of alpha")
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
    """Add the chunk at this position to `chunks`, and return its end."""
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
    if tag[0].isupper() and tag not in ("ALPH", "OPAC"):
        raise DamagedError("unknown mandatory chunk")
    if tag == "OPAC" and length != 1:
        raise DamagedError("the alpha of all pixels")
    chunks[tag] = payload
    return at + 12 + length


def metadata(file: File, tag: str) -> bytes | None:
    """Return the content of a metadata chunk, or None if it is missing or invalid."""
    if tag not in file.chunks:
        return None
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(file.chunks[tag], 2**24)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data
    return found if found and whole else None


def decode_planes(file: File, model: EntropyModel, num_channels: int | None = None) -> list[Plane]:
    """docs/format.md, "Tiles": the symbols of the whole picture, channel by channel.

    num_channels: of the architecture at this width; None: as many as the width.
    """
    rows, columns, side = ceil(file.height, 16), ceil(file.width, 16), file.tile_side // 16
    if model.num_channels != (num_channels or file.num_filters):
        raise DamagedError("an entropy model of another width")
    planes = [[[0] * columns for _ in range(rows)] for _ in range(model.num_channels)]
    streams = iter(file.tiles)
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            height, width = min(side, rows - top), min(side, columns - left)
            tile = decode_symbols(next(streams), model, height, width)
            for plane, part in zip(planes, tile, strict=True):
                for row in range(height):
                    plane[top + row][left : left + width] = part[row]
    return planes


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def ceil(value: int, unit: int) -> int:
    """Return ⌈value / unit⌉."""
    return (value + unit - 1) // unit
