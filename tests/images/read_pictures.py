"""Small pictures for tests of reading, with the expected results."""

import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from profiles import DISPLAY_P3, matrix_profile

from slimcae.images import Picture

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GREY = RGB[:, :, 0].copy()
ALPHA = 255 - RGB[:, :, 1]
WIDE = matrix_profile(DISPLAY_P3)


def profile_for(space: bytes) -> bytes:
    """Return a profile that declares another colour space."""
    return WIDE[:16] + space + WIDE[20:]


def saved(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def notices(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.name == "slimcae" for record in caplog.records)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


def assert_picture(
    picture: Picture, pixels: np.ndarray, *, grey: bool = False, alpha: np.ndarray | None = None
) -> None:
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.writeable and picture.pixels.flags.c_contiguous
    assert picture.grey == grey
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def png_by_hand(height: int, width: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(tag: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(tag + data)
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
