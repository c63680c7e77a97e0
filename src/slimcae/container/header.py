"""The head of a `.scae` file: the header, and the index of the tiles."""

import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from slimcae.errors import BitstreamError

MAGIC = b"\x89S\r\n"
"""The first byte marks the file as binary; any conversion of line ends damages the rest."""
FORMAT_VERSION = 4
ENTROPY_MODELS = ("factorized", "tables", "context", "hyperprior")
"""Kinds of entropy models by their numbers in the header."""
FINGERPRINT_BYTES = 8
MAX_NAME_BYTES = 24
MIN_TILE_SIDE, MAX_TILE_SIDE = 2**4, 2**20
MAX_TILES = 2**14
"""Limit on tiles, because each costs a reader time and memory, even if it is empty."""
ENTRY_BYTES = 8
"""Bytes per tile in the index: the length and the CRC32 of its stream."""

_GREY, _SRGB = 0x01, 0x02
# magic, version, flags, num_filters, image height and width, step, entropy model, tile side, number
# of chunks, fingerprint, length of name
_FIXED = struct.Struct(f"<4sBBHIIBBBB{FINGERPRINT_BYTES}sB")
_CRC = struct.Struct("<I")
MAX_HEADER_BYTES = _FIXED.size + MAX_NAME_BYTES + ENTRY_BYTES + _CRC.size
"""Largest number of bytes of the head of a single-tile file."""


@dataclass(frozen=True)
class Header:
    """The description of the picture and its model in a `.scae` file.

    image_height, image_width: pixels, 1 to 2**32 - 1.
    grey: the picture has one colour channel (the network still uses three).
    srgb: the picture had an sRGB profile.
    num_filters: the width of the network that decodes it, 1 to 65535.
    step: index of the quantisation step in the model's list, 0 to 255; 0 is Δ = 1.
    entropy_model: kind of the entropy model, one of `ENTROPY_MODELS`.
    tile_side: side of the square tiles in pixels, a power of two from 16 to 2**20.
    model_name: 1 to 24 printable ASCII characters.
    model_fingerprint: 8-byte hash of every tensor and table that this width of the model uses.

    Raises:
        BitstreamError: A value is out of range.
    """

    image_height: int
    image_width: int
    grey: bool
    srgb: bool
    num_filters: int
    step: int
    entropy_model: str
    tile_side: int
    model_name: str
    model_fingerprint: bytes

    def __post_init__(self) -> None:
        for what, value, lowest, highest in (
            ("image height", self.image_height, 1, 2**32 - 1),
            ("image width", self.image_width, 1, 2**32 - 1),
            ("number of filters", self.num_filters, 1, 2**16 - 1),
            ("quantisation step", self.step, 0, 2**8 - 1),
            ("tile side", self.tile_side, MIN_TILE_SIDE, MAX_TILE_SIDE),
        ):
            if not lowest <= value <= highest:
                raise BitstreamError(f"{what} {value}: must be from {lowest} to {highest}")
        if self.entropy_model not in ENTROPY_MODELS:
            raise BitstreamError(
                f"entropy model {self.entropy_model}: must be one of {', '.join(ENTROPY_MODELS)}"
            )
        if self.tile_side.bit_count() != 1:
            raise BitstreamError(f"tile side {self.tile_side}: must be a power of two")
        if len(self.model_fingerprint) != FINGERPRINT_BYTES:
            raise BitstreamError(
                f"fingerprint of {len(self.model_fingerprint)} bytes: must be {FINGERPRINT_BYTES}"
            )
        name = self.model_name
        if not (1 <= len(name) <= MAX_NAME_BYTES and name.isascii() and name.isprintable()):
            raise BitstreamError(
                f"model name {name!r}: must be 1 to {MAX_NAME_BYTES} printable ASCII characters"
            )

    @property
    def tile_grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.image_height // self.tile_side), -(-self.image_width // self.tile_side)

    @property
    def num_tiles(self) -> int:
        """Number of tiles of the picture."""
        rows, columns = self.tile_grid
        return rows * columns


@dataclass(frozen=True)
class Head:
    """Everything before the chunks.

    lengths, checksums: length in bytes and CRC32 of each tile's stream, in raster order.
    num_chunks: number of chunks that follow.
    """

    header: Header
    lengths: Sequence[int]
    checksums: Sequence[int]
    num_chunks: int

    def __bytes__(self) -> bytes:
        header = self.header
        name = header.model_name.encode("ascii")
        fixed = _FIXED.pack(
            MAGIC,
            FORMAT_VERSION,
            _GREY * header.grey | _SRGB * header.srgb,
            header.num_filters,
            header.image_height,
            header.image_width,
            header.step,
            ENTROPY_MODELS.index(header.entropy_model),
            header.tile_side.bit_length() - 1,
            self.num_chunks,
            header.model_fingerprint,
            len(name),
        )
        pairs = zip(self.lengths, self.checksums, strict=True)
        index = array("I", [number for pair in pairs for number in pair])
        head = fixed + name + _little_endian(index).tobytes()
        return head + _CRC.pack(zlib.crc32(head))


def check_tiles(header: Header) -> None:
    """Check the number of tiles.

    Raises:
        BitstreamError: There are more than `MAX_TILES`.
    """
    if header.num_tiles > MAX_TILES:
        raise BitstreamError(
            f"{header.num_tiles:,} tiles of {header.tile_side} pixels: a file has at most "
            f"{MAX_TILES:,}, take larger tiles"
        )


def head_bytes(header: Header) -> int:
    """Return the length in bytes of a file's head, from magic to checksum."""
    return _FIXED.size + len(header.model_name) + header.num_tiles * ENTRY_BYTES + _CRC.size


def peek_header(data: bytes) -> tuple[Header, int]:
    """Return the unverified header and number of chunks from the first bytes of a file.

    They determine the length of the head, which one checksum covers as a whole.

    Raises:
        BitstreamError: The data is not a `.scae` file, has an unknown version or invalid values.
    """
    if not data.startswith(MAGIC):
        raise BitstreamError(f"not a .scae file: {_what_instead(data)}")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else FORMAT_VERSION
    if version != FORMAT_VERSION:  # checked first: only the magic is the same in every version
        raise BitstreamError(
            f"the file has format version {version}, this slimcae reads version "
            f"{FORMAT_VERSION}: install a matching slimcae"
        )
    if len(data) < _FIXED.size:
        raise BitstreamError("the file is truncated (copy it again): its header is incomplete")
    (_, _, flags, num_filters, height, width, step, kind, exponent, chunks, fingerprint, length) = (
        _FIXED.unpack_from(data)
    )
    if kind >= len(ENTROPY_MODELS):
        raise BitstreamError(f"entropy model {kind}: must be 0 to {len(ENTROPY_MODELS) - 1}")
    if flags & ~(_GREY | _SRGB):
        raise BitstreamError(f"header flags {flags:#04x}: made by a newer slimcae, or damaged?")
    if length > MAX_NAME_BYTES:
        raise BitstreamError(f"model name of {length} bytes: must be 1 to {MAX_NAME_BYTES}")
    name = data[_FIXED.size : _FIXED.size + length]
    if len(name) < length:
        raise BitstreamError("the file is truncated (copy it again): its header is incomplete")
    header = Header(
        image_height=height,
        image_width=width,
        grey=bool(flags & _GREY),
        srgb=bool(flags & _SRGB),
        num_filters=num_filters,
        step=step,
        entropy_model=ENTROPY_MODELS[kind],
        tile_side=2**exponent,
        model_name=name.decode("ascii", "replace"),
        model_fingerprint=fingerprint,
    )
    return header, chunks


def read_head(data: bytes) -> Head:
    """Return the head of a file, from its first `head_bytes` bytes or more.

    Raises:
        BitstreamError: The data is damaged, not a `.scae` file, or has an unknown version.
    """
    header, num_chunks = peek_header(data)
    end = head_bytes(header) - _CRC.size
    if len(data) < end + _CRC.size:
        raise BitstreamError("the file is truncated (copy it again): its index is incomplete")
    (checksum,) = _CRC.unpack_from(data, end)
    checked = memoryview(data)[:end]
    if zlib.crc32(checked) != checksum:
        raise BitstreamError("the header's checksum does not match (file damaged? copy it again)")
    index = array("I")  # 4 bytes per entry, without a Python object for each
    index.frombytes(checked[end - header.num_tiles * ENTRY_BYTES :])
    _little_endian(index)
    return Head(header, index[::2], index[1::2], num_chunks)


def read_header(data: bytes) -> Header:
    """Read the header of a file from its bytes, or at least those of its head.

    Raises:
        BitstreamError: The data is damaged, not a `.scae` file, or has an unknown version.
    """
    return read_head(data).header


def _little_endian(numbers: "array[int]") -> "array[int]":
    """Swap the bytes of numbers in place on big-endian machines."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _what_instead(data: bytes) -> str:
    """Describe data without our magic."""
    if not data:
        return "it is empty"
    if MAGIC.startswith(data):
        return f"it ends after {len(data)} bytes"
    if data.startswith((b"\x89S\n", b"\x89S\r\r\n", b"\x09S\r\n")):
        return "a transfer as text has damaged it, copy it again as binary"
    return f"it begins with {data[:4]!r}"
