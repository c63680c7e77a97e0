"""Test the alpha channel: every size is restored, and forged data does no harm."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, PngImagePlugin

from cpu_time import growth
from slimcae.errors import BitstreamError
from slimcae.images.alpha import pack_alpha, unpack_alpha

ALPHA = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10


def chunk(tag: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(tag + content)
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", crc)


def png(
    size: tuple[int, int], rows: bytes, depth: int = 8, colour: int = 0, *others: bytes
) -> bytes:
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(others)
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_alpha_comes_back(alpha: np.ndarray) -> None:
    packed = pack_alpha(alpha)
    np.testing.assert_array_equal(unpack_alpha(packed, alpha.shape), alpha)
    with Image.open(io.BytesIO(packed)) as image:  # as the format defines: a greyscale PNG file
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), alpha)


def test_parts_of_larger_arrays_are_packed() -> None:
    part = np.ascontiguousarray(ALPHA.T).T[1:, ::2]
    np.testing.assert_array_equal(unpack_alpha(pack_alpha(part), (3, 3)), part)


def test_more_than_100_megapixels_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    alpha = np.zeros((9000, 12000), np.uint8)
    alpha[::1000] = np.arange(12000) % 256
    packed = pack_alpha(alpha)
    assert np.array_equal(unpack_alpha(packed, alpha.shape), alpha)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_one_kind_of_png_is_taken_and_no_other() -> None:
    told = PngImagePlugin.PngInfo()
    told.add_text("Software", "another", zip=True)
    image = Image.fromarray(ALPHA)
    interlaced = bytearray(png((4, 6), b"\0" * 28))
    interlaced[28] = 1
    interlaced[29:33] = struct.pack(">I", zlib.crc32(interlaced[12:29]))
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**24)))
    for data in (
        saved(image, pnginfo=told),
        saved(image, exif=b"Exif\0\0of any bytes"),
        saved(image, dpi=(72, 72)),
        png((4, 6), b"\0" * 28, 8, 0, bomb),
        bytes(interlaced),
        pack_alpha(ALPHA) + b"\0",
    ):
        with pytest.raises(BitstreamError, match="alpha"):
            unpack_alpha(data, (4, 6))


RGB = Image.fromarray(np.dstack([ALPHA] * 3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PNG file"),
        (b"GIF89a", "not a PNG file"),
        (b"\x89PNG\r\n\x1a\n", "not a plain PNG file"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"\0" * 13), "not a plain PNG file"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 12), "not a plain PNG file"),
        (pack_alpha(ALPHA.T), "not a picture of 6x4 8-bit greys"),
        (saved(RGB), "8-bit greys"),
        (saved(RGB.convert("RGBA")), "8-bit greys"),
        (saved(RGB.convert("LA")), "8-bit greys"),
        (saved(RGB.convert("P")), "not a plain PNG"),
        (saved(RGB.convert("1")), "8-bit greys"),
        (saved(Image.fromarray(ALPHA.astype(np.uint16))), "8-bit greys"),
        (saved(Image.fromarray(ALPHA), transparency=3), "not a plain PNG"),
        (
            saved(
                Image.fromarray(ALPHA),
                save_all=True,
                append_images=[Image.fromarray(255 - ALPHA)],
            ),
            "not a plain PNG",
        ),
        (pack_alpha(ALPHA)[:-20], "damaged"),
        (png((4, 6), b"\0" * 10), "samples"),
        (png((4, 6), b"\5" * 28), "damaged"),
    ],
)
def test_what_is_no_alpha_channel_is_said(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        unpack_alpha(data, (4, 6))


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (2**31, 1), (20_000, 20_000)])
def test_nothing_is_allocated_for_a_size_that_cannot_be(size: tuple[int, int]) -> None:
    forged = png(size, b"\0" * 1000)
    tracemalloc.start()
    try:
        for wanted in (size, (4, 6)):
            with pytest.raises(BitstreamError):
                unpack_alpha(forged, wanted)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_more_rows_than_the_picture_has_are_never_inflated() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in ALPHA)
    bomb = png((4, 6), rows + bytes(2**26))
    tracemalloc.start()
    try:
        with pytest.raises(BitstreamError, match="samples"):
            unpack_alpha(bomb, (4, 6))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


PACKED = pack_alpha(ALPHA)


@given(
    st.binary(max_size=60).map(lambda noise: PACKED[:8] + noise)
    | st.builds(
        lambda at, by: PACKED[:at] + by + PACKED[at + len(by) :],
        st.integers(0, len(PACKED)),
        st.binary(max_size=5),
    )
    | st.builds(
        lambda tag, content, rows: png((4, 6), rows, 8, 0, chunk(tag, content)),
        st.sampled_from([b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"eXIf", b"IHDR"]),
        st.binary(max_size=20),
        st.binary(max_size=40),
    )
)
@settings(max_examples=500)
def test_no_bytes_end_in_another_error(data: bytes) -> None:
    try:
        alpha = unpack_alpha(data, (4, 6))
    except BitstreamError as error:
        assert "\n" not in str(error)
    else:
        assert alpha.shape == (4, 6) and alpha.dtype == np.uint8


def test_empty_chunks_cost_no_more_than_their_number() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in ALPHA)
    files = {n: png((4, 6), rows, 8, 0, chunk(b"IDAT", b"") * n) for n in (5_000, 80_000)}
    for data in files.values():
        np.testing.assert_array_equal(unpack_alpha(data, (4, 6)), ALPHA)
    # not 256, as if each chunk moved all others
    assert growth(lambda number: unpack_alpha(files[number], (4, 6)), *files) < 64


def test_a_chunk_with_a_wrong_checksum_is_damage() -> None:
    damaged = bytearray(pack_alpha(ALPHA))
    damaged[-14] ^= 1  # in the checksum of the last IDAT
    with pytest.raises(BitstreamError, match="damaged"):
        unpack_alpha(bytes(damaged), (4, 6))
