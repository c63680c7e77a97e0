"""The header of a `.scae` file: what must be known before anything is decoded."""

import struct
import zlib
from dataclasses import dataclass

from slimcae.errors import BitstreamError

MAGIC = b"\xabSC\n"
"""A byte beyond ASCII and a line feed show a transfer that took the file for text."""
VERSION = 1
MAX_NAME = 32

_GREY, _ALPHA = 1, 2
_FIXED = struct.Struct("<4sBBIIHB8sB")
_TAIL = struct.Struct("<BI")


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
        for name, value, most in (
            ("image width", self.image_width, 2**32 - 1),
            ("image height", self.image_height, 2**32 - 1),
            ("number of filters", self.num_filters, 2**16 - 1),
        ):
            if not 1 <= value <= most:
                raise BitstreamError(f"{name} {value}: must be from 1 to {most}")
        if not 0 <= self.step <= 255:
            raise BitstreamError(f"quantization step {self.step}: must be from 0 to 255")
        if len(self.fingerprint) != 8:
            raise BitstreamError(f"fingerprint of {len(self.fingerprint)} bytes: must be 8")
        name = self.model_name
        if not (1 <= len(name) <= MAX_NAME and name.isascii() and name.isprintable()):
            raise BitstreamError(f"model name {name!r}: must be 1 to {MAX_NAME} ASCII characters")


def pack_header(header: Header, num_chunks: int) -> bytes:
    """The header's bytes, checksum included."""
    name = header.model_name.encode("ascii")
    flags = _GREY * header.grey | _ALPHA * header.alpha
    data = _FIXED.pack(
        MAGIC,
        VERSION,
        flags,
        header.image_width,
        header.image_height,
        header.num_filters,
        header.step,
        header.fingerprint,
        len(name),
    )
    data += name + bytes([num_chunks])
    return data + struct.pack("<I", zlib.crc32(data))


def unpack_header(data: bytes) -> tuple[Header, int, int]:
    """Header, number of chunks, and where the first chunk starts.

    `data` may be a prefix of the file; 71 bytes hold any header.

    Raises:
        BitstreamError: not a `.scae` file, of an unknown version, truncated, or damaged.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise BitstreamError("not a .scae file: it does not begin as one")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise BitstreamError(
            f"the file has format version {data[len(MAGIC)]}, "
            f"this program reads version {VERSION}: install a matching slimcae"
        )
    if len(data) < _FIXED.size:
        raise BitstreamError("the header is truncated")
    _, _, flags, image_width, image_height, num_filters, step, fingerprint, length = (
        _FIXED.unpack_from(data)
    )
    end = _FIXED.size + length
    if len(data) < end + _TAIL.size:
        raise BitstreamError("the header is truncated")
    num_chunks, checksum = _TAIL.unpack_from(data, end)
    if zlib.crc32(data[: end + 1]) != checksum:
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
    return header, num_chunks, end + _TAIL.size
