"""Lazy reading of a `.scae` file: only the requested parts, with all lengths checked."""

import os
import zlib
from array import array
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from typing import IO

from slimcae.container.chunks import (
    ALPHA,
    CONSTANT_ALPHA,
    EXIF,
    FRAME_BYTES,
    ICC_PROFILE,
    KNOWN,
    XMP,
    check_payload,
    inflate,
    unpack_frame,
)
from slimcae.container.header import (
    MAX_HEADER_BYTES,
    Head,
    check_tiles,
    head_bytes,
    peek_header,
    read_head,
)
from slimcae.errors import BitstreamError

EXIF_PREFIX = b"Exif\0\0"
"""Conventional prefix of EXIF data, which a `.scae` file does not store."""


@dataclass(frozen=True)
class _Chunk:
    frame: bytes
    start: int
    length: int


class Reader:
    """A `.scae` file; the constructor reads only the head and the frames of the chunks.

    header: the header of the file. Tiles and chunks are read and verified on request, so a
    truncated file can still be described; `verify` checks everything. Lengths are compared with the
    file's size before anything is read or allocated. Not thread-safe.

    Raises (here and from every method):
        BitstreamError: The data is damaged, truncated or not a `.scae` file; the version or a
            mandatory chunk is unknown; chunks are repeated or contradict each other; the file is
            not seekable.
    """

    def __init__(self, source: bytes | IO[bytes]) -> None:
        """Read from bytes, or from the beginning of a seekable file."""
        self._file: IO[bytes] = BytesIO(source) if isinstance(source, bytes) else source
        self._size = _size(self._file)
        self._head = self._read_head()
        self.header = self._head.header
        self._chunks, start = self._read_frames(head_bytes(self.header))
        # the start of each tile, and the end of the last one
        self._starts = array("Q", accumulate(self._head.lengths, initial=start))

    def tile_bytes(self, index: int) -> int:
        """Return the length of a tile's stream, by its number in raster order, without reading."""
        lengths = self._head.lengths
        if not 0 <= index < len(lengths):
            raise IndexError(f"tile {index} of {len(lengths)}")
        return lengths[index]

    def tile(self, index: int) -> bytes:
        """Return the stream of a tile, by its number in raster order."""
        length = self.tile_bytes(index)
        stream = self._read(self._starts[index], length, f"tile {index}")
        if zlib.crc32(stream) != self._head.checksums[index]:
            raise BitstreamError(
                f"the checksum of tile {index} does not match (file damaged? copy it again)"
            )
        return stream

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has alpha; reads nothing."""
        return ALPHA in self._chunks or CONSTANT_ALPHA in self._chunks

    @property
    def alpha_bytes(self) -> int:
        """Bytes of the chunk with the alpha; reads nothing."""
        chunks = (self._chunks.get(tag) for tag in (ALPHA, CONSTANT_ALPHA))
        return sum(FRAME_BYTES + chunk.length for chunk in chunks if chunk is not None)

    @property
    def alpha(self) -> bytes | None:
        """A PNG file of the alpha channel, or None."""
        return self._payload(ALPHA)

    @property
    def constant_alpha(self) -> int | None:
        """The common alpha of all pixels, 0 to 255, or None; see `Contents.constant_alpha`."""
        payload = self._payload(CONSTANT_ALPHA)
        if payload is None:
            return None
        if len(payload) != 1:
            raise BitstreamError(f"the alpha of all pixels has {len(payload)} bytes: must be one")
        return payload[0]

    @property
    def icc_profile(self) -> bytes | None:
        """The ICC profile, or None; a damaged one is left out with a notice."""
        return self._metadata(ICC_PROFILE)

    @property
    def exif(self) -> bytes | None:
        """EXIF data in Pillow's format, or None; damaged ones are left out with a notice."""
        data = self._metadata(EXIF)
        return None if data is None else EXIF_PREFIX + data

    @property
    def xmp(self) -> bytes | None:
        """The XMP packet, or None; a damaged one is left out with a notice."""
        return self._metadata(XMP)

    def verify(self) -> None:
        """Verify the length and every checksum of the file, one tile or chunk at a time."""
        end = self._starts[-1]
        if self._size < end:
            raise BitstreamError(
                f"the file is truncated (copy it again): it has {self._size:,} of {end:,} bytes"
            )
        if self._size > end:
            raise BitstreamError(
                f"{self._size - end:,} bytes follow the picture (file damaged? copy it again)"
            )
        for tag in self._chunks:
            self._verified(tag)
        if CONSTANT_ALPHA in self._chunks:
            _ = self.constant_alpha  # checks the content of its chunk
        for index in range(self.header.num_tiles):
            self.tile(index)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each part: header (with index), chunks by tag, and tiles."""
        parts = {"header": head_bytes(self.header)}
        for tag, chunk in self._chunks.items():
            parts[tag.decode()] = FRAME_BYTES + chunk.length
        return parts | {"tiles": sum(self._head.lengths)}

    def _read_head(self) -> Head:
        start = self._read(0, min(MAX_HEADER_BYTES, self._size), "header")
        header, _ = peek_header(start)
        missing = head_bytes(header) - len(start)
        if missing > self._size - len(start):
            raise BitstreamError(
                f"the file is truncated or damaged (copy it again): {self._size:,} bytes cannot "
                f"hold {header.num_tiles:,} tiles of {header.image_width}x{header.image_height} "
                "pixels"
            )
        check_tiles(header)
        return read_head(start + self._read(len(start), max(missing, 0), "header"))

    def _read_frames(self, position: int) -> tuple[dict[bytes, _Chunk], int]:
        chunks: dict[bytes, _Chunk] = {}
        for number in range(self._head.num_chunks):
            frame = self._read(position, FRAME_BYTES, f"chunk {number}")
            tag, length = unpack_frame(frame)
            if tag in chunks:
                raise BitstreamError(f"chunk {tag.decode()} appears twice")
            chunks[tag] = _Chunk(frame, position + FRAME_BYTES, length)
            position += FRAME_BYTES + length
        if ALPHA in chunks and CONSTANT_ALPHA in chunks:
            raise BitstreamError("the file has two chunks of alpha (file damaged? copy it again)")
        return chunks, position

    def _payload(self, tag: bytes) -> bytes | None:
        if tag in self._chunks:
            return self._verified(tag)
        # a damaged tag must not look like a missing chunk
        for unknown in self._chunks.keys() - KNOWN:
            self._verified(unknown)
        return None

    def _verified(self, tag: bytes) -> bytes:
        chunk = self._chunks[tag]
        payload = self._read(chunk.start, chunk.length, f"chunk {tag.decode()}")
        check_payload(chunk.frame, payload)
        return payload

    def _metadata(self, tag: bytes) -> bytes | None:
        payload = self._payload(tag)
        return None if payload is None else inflate(tag, payload)

    def _read(self, position: int, length: int, what: str) -> bytes:
        if position + length > self._size:
            raise BitstreamError(
                f"the file is truncated (copy it again): {what} should end at byte "
                f"{position + length:,}, the file has {self._size:,}"
            )
        parts = []
        try:
            self._file.seek(position)
            while length:
                parts.append(self._file.read(length))  # unbuffered files may return fewer bytes
                if not parts[-1]:
                    raise BitstreamError(f"the file became shorter while it was read ({what})")
                length -= len(parts[-1])
        except OSError as error:
            raise BitstreamError(
                f"the file cannot be read ({what}): {error.strerror or error}"
            ) from error
        return b"".join(parts)


def _size(file: IO[bytes]) -> int:
    try:
        file.seek(0, os.SEEK_END)
    except OSError as error:  # a pipe or a socket
        raise BitstreamError(
            "the file is not seekable (a pipe?): read all of it and give its bytes"
        ) from error
    return file.tell()
