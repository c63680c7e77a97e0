"""Test JPEG, PNG and AVIF files with metadata that stops Pillow: their pictures are read."""

import io
import logging
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import png_chunk
from PIL import Image, PngImagePlugin
from profiles import DISPLAY_P3, matrix_profile

from slimcae.errors import ImageError
from slimcae.images import read_picture
from slimcae.images.rescue import without_metadata

RGB = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)

# orientation 6 and a resolution in letters, which makes Pillow fail
EXIF = bytes.fromhex(
    "4d4d002a00000008 0003 0112 0003 00000001 00060000 011a 0002 00000001 00000000"
    "0128 0003 00000001 00020000 00000000"
)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(image: Image.Image, *said: bytes) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()[:2] + b"".join(said) + file.getvalue()[2:]


def png(image: Image.Image, tag: bytes, content: bytes) -> bytes:
    told = PngImagePlugin.PngInfo()
    told.add(tag, content)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=told)
    return file.getvalue()


def avif_of_a_damaged_exif() -> bytes:
    exif = Image.Exif()
    exif[0x013B] = "somebody"
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "AVIF", exif=exif.tobytes())
    tiff = exif.tobytes()[6:]
    assert file.getvalue().count(tiff) == 1
    return file.getvalue().replace(tiff, b"XX" + tiff[2:])


HOSTILE = {
    "EXIF": jpeg(Image.fromarray(RGB), segment(0xE1, b"Exif\0\0" + EXIF)),
    "ICC profile": jpeg(Image.fromarray(RGB), segment(0xE2, b"ICC_PROFILE\0")),
    "large text": png(Image.fromarray(RGB), b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21))),
    "AVIF": avif_of_a_damaged_exif(),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_metadata_that_stop_pillow_do_not_cost_the_picture(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = HOSTILE[what]
    with pytest.raises((OSError, ValueError)), Image.open(io.BytesIO(data)) as image:
        image.load()
    with io.BytesIO() as file:
        Image.fromarray(RGB).save(file, {"large text": "PNG", "AVIF": "AVIF"}.get(what, "JPEG"))
        expected = read_picture(file).pixels
    path = tmp_path / "a.picture"
    path.write_bytes(data)
    for source in (path, str(path), io.BytesIO(data)):
        caplog.clear()
        picture = read_picture(source)
        turned = np.rot90(expected, -1) if what == "EXIF" else expected
        np.testing.assert_array_equal(picture.pixels, turned)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert caplog.messages[0].endswith("has metadata that cannot be read: left out")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_bare_jpeg_has_the_same_pixels(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    said = [segment(0xE1, b"Exif\0\0" + EXIF), segment(0xE1, b"other"), segment(0xFE, b"comment")]
    data = jpeg(image, *said, segment(0xE2, b"x" * 100), b"\xff\xff")  # and padding bytes
    bare = without_metadata(io.BytesIO(data))
    assert bare is not None and bare.exif == b"Exif\0\0" + EXIF
    assert bare.data == jpeg(image)
    with Image.open(io.BytesIO(bare.data)) as first, Image.open(io.BytesIO(jpeg(image))) as second:
        assert first.mode == mode
        assert first.tobytes() == second.tobytes()


def test_a_bare_png_keeps_palette_and_transparency() -> None:
    image = Image.fromarray(RGB).convert("P")
    file = io.BytesIO()
    told = PngImagePlugin.PngInfo()
    told.add_text("a", "b")
    image.save(file, "PNG", transparency=bytes([0, 100]), pnginfo=told, exif=b"Exif\0\0some")
    bare = without_metadata(file)
    assert bare is not None and bare.exif == b"some"
    assert b"tEXt" not in bare.data and b"eXIf" not in bare.data
    np.testing.assert_array_equal(
        read_picture(io.BytesIO(bare.data)).alpha, read_picture(file).alpha
    )


def test_pixels_that_are_damaged_are_still_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(HOSTILE["EXIF"][:500])
    with pytest.raises(ImageError, match=r"a\.jpg cannot be read as a picture"):
        read_picture(path)


def test_streams_that_cannot_go_back_are_no_new_error() -> None:
    class Pipe(io.BytesIO):
        def seek(self, position: int, whence: int = 0, /) -> int:
            raise io.UnsupportedOperation("seek")

    np.testing.assert_array_equal(
        read_picture(Pipe(png(Image.fromarray(RGB), b"", b""))).pixels, RGB
    )
    with pytest.raises(ImageError, match="cannot be read as a picture"):
        read_picture(Pipe(b"no picture"))


@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x20ftyp", b""]),
    st.binary(max_size=100),
)
def test_any_bytes_are_taken_apart(start: bytes, data: bytes) -> None:
    bare = without_metadata(io.BytesIO(start + data))
    if start:
        assert bare is not None and len(bare.data) <= len(start + data) + 2


PROFILE = matrix_profile(DISPLAY_P3)
LARGE_TEXT = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21)))


def png_with_large_text(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """Return a file that makes Pillow fail before or after the pixels."""
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")
    data = file.getvalue()
    data = data[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[33:]
    place = data.index(b"IEND") - 4 if behind else data.index(b"IDAT") - 4
    return data[:place] + LARGE_TEXT + data[place:]


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"a name\0\0" + zlib.compress(profile)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    "chunk",
    [
        iccp(PROFILE),
        iccp(PROFILE + bytes(2**21)),  # which Pillow considers too large
        (b"gAMA", struct.pack(">I", 55_555)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
        (b"cICP", bytes([12, 13, 0, 1])),
        (b"tRNS", struct.pack(">3H", *RGB[3, 4])),
    ],
)
def test_a_png_without_metadata_keeps_its_colours(
    chunk: tuple[bytes, bytes], behind: bool, caplog: pytest.LogCaptureFixture
) -> None:
    picture = read_picture(io.BytesIO(png_with_large_text(chunk, behind=behind)))
    assert caplog.messages == ["the picture has metadata that cannot be read: left out"]
    np.testing.assert_array_equal(picture.pixels, RGB)
    if chunk[0] == b"iCCP":
        assert picture.icc_profile == zlib.decompress(chunk[1][8:])
    elif chunk[0] == b"tRNS":
        assert picture.alpha is not None and picture.alpha[3, 4] == 0
    else:
        plain = read_picture(io.BytesIO(png(Image.fromarray(RGB), *chunk)))
        assert picture.icc_profile == plain.icc_profile is not None


def icc_segments(profile: bytes, size: int) -> list[bytes]:
    """Return the segments of ICC.1:2022, B.4."""
    parts = [profile[start : start + size] for start in range(0, len(profile), size)]
    return [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)
        for number, part in enumerate(parts, 1)
    ]


@pytest.mark.parametrize("size", [100, 60_000])
def test_a_jpeg_without_metadata_keeps_its_profile(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    parts = icc_segments(PROFILE, size)
    bad_exif = segment(0xE1, b"Exif\0\0" + EXIF)
    bad_icc = segment(0xE2, b"ICC_PROFILE\0")
    for said in ([bad_exif, *parts], [*parts[::-1], bad_exif], [bad_icc, *parts]):
        picture = read_picture(io.BytesIO(jpeg(Image.fromarray(RGB), *said)))
        assert picture.icc_profile == PROFILE
        assert caplog.messages.pop().endswith("left out")
    # a profile with a missing part is ignored
    for said in ([bad_exif, *parts[1:]], [bad_exif, *parts[:-1]]):
        assert read_picture(io.BytesIO(jpeg(Image.fromarray(RGB), *said))).icc_profile is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("what", ["large text", "plain"])
def test_pipes_are_read_like_files(tmp_path: Path, what: str) -> None:
    data = HOSTILE[what] if what in HOSTILE else png(Image.fromarray(RGB), b"", b"")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(data))
    writer.start()
    picture = read_picture(pipe)
    writer.join()
    np.testing.assert_array_equal(picture.pixels, RGB)


def test_streams_that_cannot_go_back_are_rescued_too() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, position: int, whence: int = 0, /) -> int:
            raise io.UnsupportedOperation("seek")

    picture = read_picture(Pipe(png_with_large_text(iccp(PROFILE))))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.icc_profile == PROFILE


def test_an_avif_without_metadata_keeps_its_colours() -> None:
    data = avif_of_a_damaged_exif()
    start = data.index(b"colrnclx") + 8
    wide = data[:start] + bytes([0, 12]) + data[start + 2 :]
    assert read_picture(io.BytesIO(data)).icc_profile is None
    profile = read_picture(io.BytesIO(wide)).icc_profile
    assert profile is not None and profile[16:20] == b"RGB "
