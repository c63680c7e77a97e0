"""Test files that are too large, damaged, or not pictures."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from read_pictures import RGB, png_by_hand, saved

from slimcae.errors import ImageError
from slimcae.images import read_picture

FORMATS = ["png", "gif", "webp", "tif", "jpg", "avif"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_our_limit_replaces_that_of_pillow(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), f"a.{suffix}")  # 24 pixels
    for limit in (5, 15):  # Pillow raises or warns (an error in tests)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_picture(path, max_pixels=24).pixels.shape == (4, 6, 3)
        for ours in (23, 8, 1):
            with pytest.raises(ImageError, match="the limit of") as caught:
                read_picture(path, max_pixels=ours)
            assert str(caught.value).startswith(str(path))
        assert limit == Image.MAX_IMAGE_PIXELS
        assert type(Image.MAX_IMAGE_PIXELS) is int
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match="6x4 pixels, more than the limit of 23"):
        read_picture(path, max_pixels=23)
    assert Image.MAX_IMAGE_PIXELS is None


def test_pillows_limit_is_back_after_many_threads(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB), "a.png")
    before = Image.MAX_IMAGE_PIXELS

    def read() -> None:
        for _ in range(20):
            read_picture(path)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


def test_pixels_of_too_large_pictures_are_never_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_by_hand(30000, 30000, depth=8, colour=2, rows=b""))
    with pytest.raises(ImageError, match=r"bomb\.png is larger than the limit of 268,435,456"):
        read_picture(path)
    path.write_bytes(png_by_hand(3000, 3000, depth=8, colour=2, rows=b""))
    with pytest.raises(ImageError, match="has 3000x3000 pixels, more than the limit of 8,999,999"):
        read_picture(path, max_pixels=8_999_999)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no picture at .*missing\.png: check the path"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(ImageError, match=r"folder cannot be read .*Is a directory"):
        (tmp_path / "folder").mkdir()
        read_picture(tmp_path / "folder")
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.png cannot be read as a picture"):
        read_picture(text)
    with pytest.raises(ImageError, match="the picture cannot be read"):
        read_picture(io.BytesIO(b"no picture"))


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "nothing.png"
    path.write_bytes(b"")
    for source in (path, io.BytesIO(b"")):
        with pytest.raises(ImageError, match=r"(nothing\.png|the picture) is empty: give"):
            read_picture(source)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif", "bmp", "ppm", "jp2"])
def test_truncated_pictures_are_named(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
    path = saved(tmp_path, noise, f"a.{suffix}")
    data = path.read_bytes()
    for length in range(len(data) // 12, int(len(data) * 0.9), len(data) // 12):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=f"a.{suffix} cannot be read as a picture") as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)
