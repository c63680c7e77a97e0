"""Test the accepted types of pictures."""

import os
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import smooth_pixels
from optional_torch import needs_torch, torch
from slimcae.errors import ImageError
from slimcae.images import Picture, Source, read_picture

RGB = smooth_pixels(20, 30, 1)
ALPHA = RGB[:, :, 0] // 2


def same(found: Picture, expected: Picture) -> None:
    assert found.grey == expected.grey
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.alpha is None) == (expected.alpha is None)
    if found.alpha is not None and expected.alpha is not None:
        np.testing.assert_array_equal(found.alpha, expected.alpha)


@pytest.mark.parametrize(
    "array, mode",
    [
        (RGB[:, :, 1], "L"),
        (RGB[:, :, 1:2], "L"),
        (np.dstack([RGB[:, :, 1], ALPHA]), "LA"),
        (RGB, "RGB"),
        (np.dstack([RGB, ALPHA]), "RGBA"),
        (RGB[::-2, ::3], "RGB"),  # neither row by row nor whole
    ],
    ids=["grey", "one channel", "grey and alpha", "colours", "colours and alpha", "strided"],
)
def test_arrays_are_read_as_the_images_of_their_mode(array: np.ndarray, mode: str) -> None:
    before = array.copy()
    image = Image.new(mode, array.shape[1::-1])
    places = [(x, y) for y in range(array.shape[0]) for x in range(array.shape[1])]
    for x, y in places:  # computed differently from the code
        levels = array[y, x].reshape(-1).tolist()
        image.putpixel((x, y), tuple(levels) if len(levels) > 1 else levels[0])
    same(read_picture(array), read_picture(image))
    np.testing.assert_array_equal(array, before)


@needs_torch
def test_a_tensor_is_read_as_its_array() -> None:
    planes = torch.from_numpy(RGB.transpose(2, 0, 1).copy())
    same(read_picture(planes.permute(1, 2, 0)), read_picture(RGB))
    with pytest.raises(ImageError, match=r"\(C, H, W\)"):
        read_picture(planes)
    with pytest.raises(ImageError, match="is float32: give uint8"):
        read_picture(planes.float().requires_grad_())


def test_bytes_are_the_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    data = path.read_bytes()
    given: list[Source] = [str(path), data, bytearray(data), memoryview(data), BytesIO(data)]
    for source in given:
        same(read_picture(source), read_picture(path))
    with path.open("rb") as file:
        same(read_picture(file), read_picture(path))


@pytest.mark.parametrize(
    "given, message",
    [
        (None, "NoneType is not a picture: give a path"),
        (3, "int is not a picture"),
        ([RGB, RGB], "list is not a picture"),
        (StringIO("a"), "StringIO is not a picture"),
        (b"a.png", "the picture cannot be read as a picture"),
        (np.stack([RGB, RGB]), r"shape \(2, 20, 30, 3\), is a batch: give it to Codec"),
        (RGB.astype(np.uint16), "is uint16: give uint8, 0 to 255$"),
        (RGB / 255, r"is float64: give uint8, 0 to 255, round\(255 x\) if it is within 0 to 1"),
        (RGB.transpose(2, 0, 1), r"wrong shape: .*transpose it by \(1, 2, 0\)"),
        (RGB[0, 0], r"shape \(3,\), has the wrong shape: give \(H, W\), or .* channels$"),
        (RGB[:0], "has no pixels"),
        (RGB[0, 0, 0], r"shape \(\), has the wrong shape"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_with_what_to_give(given: Source, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_picture(given)


class _PathOfBytes:
    """What `os.fspath` makes bytes of."""

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)

    def __fspath__(self) -> bytes:
        return self._path


def test_any_path_and_any_view_of_bytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    spread = np.repeat(np.frombuffer(path.read_bytes(), np.uint8), 2)
    for given in (_PathOfBytes(path), memoryview(spread.tobytes())[::2]):
        np.testing.assert_array_equal(read_picture(given).pixels, RGB)


@needs_torch
@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_that_make_no_array_are_refused(kind: str) -> None:
    tensor = torch.from_numpy(RGB.copy())
    tensor = tensor.to_sparse() if kind == "sparse" else tensor.to("meta")
    with pytest.raises(ImageError, match="Tensor makes no array of pixels: "):
        read_picture(tensor)


def test_an_array_is_held_to_the_limit() -> None:
    with pytest.raises(ImageError, match="more than the limit of 599"):
        read_picture(RGB, max_pixels=599)
