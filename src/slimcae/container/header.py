"""The header of a `.scae` file: what can be known before anything is decoded."""

import struct
import zlib
from dataclasses import dataclass

from slimcae.errors import BitstreamError

MAGIC = b"\x89S\r\n"
"""No text (the first byte), and damaged by every conversion of line ends."""
FORMAT_VERSION = 1
FINGERPRINT_BYTES = 8
MAX_NAME_BYTES = 32

_GREY = 0x01
# magic, version, flags, num_filters, image height and width, step, fingerprint, length of name
_FIXED = struct.Struct(f"<4sBBHIIB{FINGERPRINT_BYTES}sB")
_CRC = struct.Struct("<I")
MAX_HEADER_BYTES = _FIXED.size + MAX_NAME_BYTES + _CRC.size
"""The first bytes of a file, this many, hold its header."""


@dataclass(frozen=True)
class Header:
    """What a `.scae` file says about its picture and its model.

    image_height, image_width: pixels, 1 to 2**32 - 1.
    grey: the picture has one colour channel (the network sees and makes three).
    num_filters: the width of the network that decodes it, 1 to 65535.
    step: index of the quantisation step, 0 to 255; 0 is Δ = 1.
    model_name: 1 to 32 printable ASCII characters.
    model_fingerprint: 8 bytes over every tensor and table that this width of the model uses.

    Raises:
        BitstreamError: values that a file cannot hold.
    """

    image_height: int
    image_width: int
    grey: bool
    num_filters: int
    step: int
    model_name: str
    model_fingerprint: bytes

    def __post_init__(self) -> None:
        for what, value, lowest, highest in (
            ("image height", self.image_height, 1, 2**32 - 1),
            ("image width", self.image_width, 1, 2**32 - 1),
            ("number of filters", self.num_filters, 1, 2**16 - 1),
            ("quantisation step", self.step, 0, 2**8 - 1),
        ):
            if not lowest <= value <= highest:
                raise BitstreamError(f"{what} {value}: must be from {lowest} to {highest}")
        if len(self.model_fingerprint) != FINGERPRINT_BYTES:
            raise BitstreamError(
                f"fingerprint of {len(self.model_fingerprint)} bytes: must be {FINGERPRINT_BYTES}"
            )
        name = self.model_name
        if not (1 <= len(name) <= MAX_NAME_BYTES and name.isascii() and name.isprintable()):
            raise BitstreamError(
                f"model name {name!r}: must be 1 to {MAX_NAME_BYTES} printable ASCII characters"
            )

    def __bytes__(self) -> bytes:
        name = self.model_name.encode("ascii")
        fixed = _FIXED.pack(
            MAGIC,
            FORMAT_VERSION,
            _GREY if self.grey else 0,
            self.num_filters,
            self.image_height,
            self.image_width,
            self.step,
            self.model_fingerprint,
            len(name),
        )
        return fixed + name + _CRC.pack(zlib.crc32(fixed + name))


def read_header(data: bytes) -> Header:
    """The header of a file, from the whole file or its first `MAX_HEADER_BYTES` bytes.

    Raises:
        BitstreamError: damaged or foreign data, or a format version that is not known.
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
    _, _, flags, num_filters, height, width, step, fingerprint, length = _FIXED.unpack_from(data)
    if length > MAX_NAME_BYTES:
        raise BitstreamError(
            f"model name of {length} characters: must be 1 to {MAX_NAME_BYTES} "
            "(file damaged? copy it again)"
        )
    end = _FIXED.size + length
    if len(data) < end + _CRC.size:
        raise BitstreamError("the file is truncated (copy it again): its header is incomplete")
    if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise BitstreamError("the header's checksum does not match (file damaged? copy it again)")
    if flags & ~_GREY:
        raise BitstreamError(
            f"unknown header flags {flags & ~_GREY:#04x}: made by a newer slimcae?"
        )
    name = data[_FIXED.size : end].decode("ascii", "replace")
    return Header(height, width, bool(flags & _GREY), num_filters, step, name, fingerprint)


def _what_instead(data: bytes) -> str:
    """What data that lack our magic seem to be, in words."""
    if not data:
        return "it is empty"
    if MAGIC.startswith(data):
        return f"it ends after {len(data)} bytes"
    if data.startswith((b"\x89S\n", b"\x89S\r\r\n", b"\x09S\r\n")):
        return "a transfer as text has damaged it, copy it again as binary"
    return f"it begins with {data[:4]!r}"
