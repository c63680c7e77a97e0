"""Reading a `.scae` file piece by piece: only what is asked for, and nothing that is not there."""

import os
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from slimcae.container.chunks import (
    ALPHA,
    EXIF,
    FRAME_BYTES,
    ICC_PROFILE,
    XMP,
    check_payload,
    inflate,
    is_mandatory,
    unpack_frame,
)
from slimcae.container.header import (
    FORMAT_VERSION,
    MAX_HEADER_BYTES,
    Head,
    head_bytes,
    peek_header,
    read_head,
)
from slimcae.errors import BitstreamError

EXIF_PREFIX = b"Exif\0\0"
"""What the rest of the world puts before EXIF data; a `.scae` file leaves it out."""


@dataclass(frozen=True)
class _Chunk:
    frame: bytes
    start: int
    length: int


class Reader:
    """A `.scae` file, of which at first only the head and the frames of the chunks are read.

    header: of the file. Tiles and chunks are read and verified when they are asked for;
    `verify` does so with all of them. Nothing is read, and no memory taken, by a length that the
    file does not have.

    Raises (here and from every method):
        BitstreamError: damaged, truncated or foreign data, a format version or a mandatory chunk
            that is not known, repeated chunks.
    """

    def __init__(self, source: bytes | BinaryIO) -> None:
        """Read from bytes, or from a seekable file, whatever its position."""
        self._file = BytesIO(source) if isinstance(source, bytes) else source
        self._size = self._file.seek(0, os.SEEK_END)
        self._head = self._read_head()
        self.header = self._head.header
        self._chunks, position = self._read_frames(head_bytes(self.header))
        self._tiles: list[int] = []
        for tile in self._head.tiles:
            self._tiles.append(position)
            position += tile.length
        self._end = position

    def tile(self, index: int) -> bytes:
        """The stream of one tile, numbered in raster order."""
        entry = self._head.tiles[index]
        stream = self._read(self._tiles[index], entry.length, f"tile {index}")
        if zlib.crc32(stream) != entry.checksum:
            raise BitstreamError(
                f"the checksum of tile {index} does not match (file damaged? copy it again)"
            )
        return stream

    @property
    def has_alpha(self) -> bool:
        """Whether the picture is not opaque; reads nothing."""
        return ALPHA in self._chunks

    @property
    def alpha(self) -> bytes | None:
        """A PNG file of the alpha channel, or None for an opaque picture."""
        return self._payload(ALPHA) if ALPHA in self._chunks else None

    @property
    def icc_profile(self) -> bytes | None:
        """The ICC profile, or None; one that does not inflate is left out with a notice."""
        return self._metadata(ICC_PROFILE)

    @property
    def exif(self) -> bytes | None:
        """EXIF data as Pillow has them, or None; they may be left out like the profile."""
        data = self._metadata(EXIF)
        return None if data is None else EXIF_PREFIX + data

    @property
    def xmp(self) -> bytes | None:
        """The XMP packet, or None; it may be left out like the profile."""
        return self._metadata(XMP)

    def verify(self) -> None:
        """Compare every checksum of the file, and its length."""
        if self._end != self._size:
            raise self._wrong_length()
        for tag in self._chunks:
            self._payload(tag)
        for index in range(len(self._tiles)):
            self.tile(index)

    def sizes(self) -> dict[str, int]:
        """Bytes of each part of the file: header (with index), chunks by tag, and tiles."""
        parts = {"header": head_bytes(self.header)}
        for tag, chunk in self._chunks.items():
            parts[tag.decode()] = FRAME_BYTES + chunk.length
        return parts | {"tiles": sum(tile.length for tile in self._head.tiles)}

    def _read_head(self) -> Head:
        start = self._read(0, min(MAX_HEADER_BYTES, self._size), "header")
        header, _ = peek_header(start)
        length = head_bytes(header)
        if length > self._size:
            raise BitstreamError(
                f"the file is truncated (copy it again): {self._size} bytes cannot hold "
                f"{header.num_tiles} tiles of {header.image_width}x{header.image_height} pixels"
            )
        if length > len(start):
            start = self._read(0, length, "header")
        return read_head(start)

    def _read_frames(self, position: int) -> tuple[dict[bytes, _Chunk], int]:
        chunks: dict[bytes, _Chunk] = {}
        for _ in range(self._head.num_chunks):
            frame = self._read(position, FRAME_BYTES, "chunk")
            tag, length = unpack_frame(frame)
            if tag in chunks:
                raise BitstreamError(f"chunk {tag.decode()} appears twice")
            if is_mandatory(tag) and tag != ALPHA:
                raise BitstreamError(
                    f"the file needs chunk {tag.decode()}, which this slimcae (format version "
                    f"{FORMAT_VERSION}) does not know: install a newer one"
                )
            chunks[tag] = _Chunk(frame, position + FRAME_BYTES, length)
            position += FRAME_BYTES + length
        return chunks, position

    def _payload(self, tag: bytes) -> bytes:
        chunk = self._chunks[tag]
        payload = self._read(chunk.start, chunk.length, f"chunk {tag.decode()}")
        check_payload(chunk.frame, payload)
        return payload

    def _metadata(self, tag: bytes) -> bytes | None:
        return inflate(tag, self._payload(tag)) if tag in self._chunks else None

    def _read(self, position: int, length: int, what: str) -> bytes:
        if position + length > self._size:
            raise BitstreamError(
                f"the file is truncated (copy it again): {what} should end at byte "
                f"{position + length:,}, the file has {self._size:,}"
            )
        self._file.seek(position)
        data = self._file.read(length)
        if len(data) < length:
            raise BitstreamError(f"the file became shorter while it was read ({what})")
        return data

    def _wrong_length(self) -> BitstreamError:
        if self._size < self._end:
            return BitstreamError(
                f"the file is truncated (copy it again): it has {self._size:,} of {self._end:,} "
                "bytes"
            )
        return BitstreamError(
            f"{self._size - self._end:,} bytes follow the picture (file damaged? copy it again)"
        )
