"""PNG and TIFF files of depths and kinds that Pillow does not write, built by hand."""

import struct
import zlib

import numpy as np

Chunk = tuple[bytes, bytes]


def png_chunk(tag: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(tag + content)
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", crc)


def png(samples: np.ndarray, depth: int, colour: int, *chunks: Chunk) -> bytes:
    """Return a PNG file of samples (H, W, C), each below 2^depth (PNG, third edition, 7.2)."""
    height, width, channels = samples.shape
    rows = b""
    for row in samples.reshape(height, width * channels):
        if depth == 16:
            rows += b"\0" + row.astype(">u2").tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            rows += b"\0" + np.packbits(bits.astype(np.uint8).ravel()).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def grey_tiff(values: np.ndarray, photometric: int = 1, bits: int | None = None) -> bytes:
    """Return an uncompressed greyscale TIFF (TIFF 6.0, sections 3, 4, 19) of the array's type.

    bits: 12 packs the values, two in three bytes.
    """
    order = ">" if values.dtype.byteorder == ">" else "<"
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        parts = [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
        data = np.stack(parts, axis=1).astype(np.uint8).tobytes()
    else:
        bits, data = 8 * values.dtype.itemsize, values.tobytes()
    height, width = values.shape
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8 + 2 + 10 * 12 + 4), (277, 3, 1), (278, 4, height), (279, 4, len(data)),
        (339, 3, kind),
    ]  # fmt: skip
    directory = b"".join(
        struct.pack(order + "HHI", tag, field, 1)
        + struct.pack(order + ("I" if field == 4 else "Hxx"), value)
        for tag, field, value in entries
    )
    start = b"II*\0" if order == "<" else b"MM\0*"
    head = struct.pack(order + "IH", 8, len(entries))
    return start + head + directory + bytes(4) + data
