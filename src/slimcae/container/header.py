"""The header of a `.scae` file: what must be known before anything is decoded."""

import struct
import zlib
from dataclasses import dataclass

from slimcae.errors import BitstreamError

MAGIC = b"\x89S\r\n"
"""No text (the first byte), and damaged by every conversion of line ends."""
VERSION = 1
MAX_NAME = 32

_GREY, _ALPHA = 1, 2
# magic, version, flags, image width and height, num_filters, step, fingerprint, length of name
_FIXED = struct.Struct("<4sBBIIHB8sB")
_CRC = struct.Struct("<I")
MAX_HEADER_BYTES = _FIXED.size + MAX_NAME + _CRC.size
"""The first bytes of a file, this many, hold its header."""


@dataclass(frozen=True)
class Header:
    """Everything about a file but its chunks.

    Raises:
        BitstreamError: values that a file cannot hold.
    """

    image_width: int
    image_height: int
    num_filters: int
    """The width of the model that coded the latents."""
    model_name: str
    fingerprint: bytes
    """8 bytes over every tensor and table that this width of the model uses."""
    grey: bool = False
    alpha: bool = False
    step: int = 0
    """Index of the quantization step; 0 is Δ = 1."""

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("image width", self.image_width, 1, 2**32 - 1),
            ("image height", self.image_height, 1, 2**32 - 1),
            ("number of filters", self.num_filters, 1, 2**16 - 1),
            ("quantization step", self.step, 0, 2**8 - 1),
        ):
            if not least <= value <= most:
                raise BitstreamError(f"{name} {value}: must be from {least} to {most}")
        if len(self.fingerprint) != 8:
            raise BitstreamError(f"fingerprint of {len(self.fingerprint)} bytes: must be 8")
        name = self.model_name
        if not (1 <= len(name) <= MAX_NAME and name.isascii() and name.isprintable()):
            raise BitstreamError(
                f"model name {name!r}: must be 1 to {MAX_NAME} printable ASCII characters"
            )


def pack_header(header: Header) -> bytes:
    """The header's bytes, checksum included."""
    name = header.model_name.encode("ascii")
    fixed = _FIXED.pack(
        MAGIC,
        VERSION,
        _GREY * header.grey | _ALPHA * header.alpha,
        header.image_width,
        header.image_height,
        header.num_filters,
        header.step,
        header.fingerprint,
        len(name),
    )
    return fixed + name + _CRC.pack(zlib.crc32(fixed + name))


def unpack_header(data: bytes) -> tuple[Header, int]:
    """The header, and where the first chunk starts; `data` may be a prefix of the file.

    Raises:
        BitstreamError: not a `.scae` file, of an unknown version, truncated, or damaged.
    """
    if not data.startswith(MAGIC):
        raise BitstreamError(f"not a .scae file: {_what_instead(data)}")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else VERSION
    if version != VERSION:  # first of all: only the magic is the same in every version
        raise BitstreamError(
            f"the file has format version {version}, this slimcae reads version {VERSION}: "
            "install a matching slimcae"
        )
    if len(data) < _FIXED.size:
        raise BitstreamError("the file is truncated: its header is incomplete")
    _, _, flags, image_width, image_height, num_filters, step, fingerprint, length = (
        _FIXED.unpack_from(data)
    )
    if length > MAX_NAME:
        raise BitstreamError(f"model name of {length} characters: must be 1 to {MAX_NAME}")
    end = _FIXED.size + length
    if len(data) < end + _CRC.size:
        raise BitstreamError("the file is truncated: its header is incomplete")
    if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise BitstreamError("the header's checksum does not match (file damaged?)")
    if flags & ~(_GREY | _ALPHA):
        raise BitstreamError(f"unknown header flags {flags:#04x}: made by a newer slimcae?")
    header = Header(
        image_width,
        image_height,
        num_filters,
        data[_FIXED.size : end].decode("ascii", "replace"),
        fingerprint,
        grey=bool(flags & _GREY),
        alpha=bool(flags & _ALPHA),
        step=step,
    )
    return header, end + _CRC.size


def _what_instead(data: bytes) -> str:
    """What data that lack our magic seem to be, in words."""
    if not data:
        return "it is empty"
    if MAGIC.startswith(data):
        return f"it ends after {len(data)} bytes"
    if data.startswith((b"\x89S\n", b"\x89S\r\r\n", b"\x09S\r\n")):
        return "a transfer as text has damaged it, copy it again as binary"
    return f"it begins with {data[:4]!r}"
