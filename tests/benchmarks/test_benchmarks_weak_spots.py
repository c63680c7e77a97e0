"""Test the figure of the codec's limitations."""

import io

import numpy as np
import pytest
from command_line import ROOT
from PIL import Image
from weak_spots import NOISE, SIZE, make_pictures, webp_within


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return make_pictures(ROOT / "examples" / "images" / "parrots.png")


def test_every_subject_has_its_size(pictures: dict[str, Image.Image]) -> None:
    assert {picture.size for picture in pictures.values()} == {SIZE}


def test_the_noise_is_as_strong_as_it_says(pictures: dict[str, Image.Image]) -> None:
    clean, noisy = (np.asarray(pictures[k], float) for k in ("photo", "the same, noisy"))
    inside = (clean > 3 * NOISE) & (clean < 255 - 3 * NOISE)  # nothing is clipped in this range
    assert (noisy - clean)[inside].std() == pytest.approx(NOISE, rel=0.01)


def test_webp_gets_as_many_bytes_as_it_can_use(pictures: dict[str, Image.Image]) -> None:
    photo = pictures["photo"].crop((0, 0, 160, 160))

    def size(quality: int) -> int:
        file = io.BytesIO()
        photo.save(file, "WEBP", quality=quality, method=4)
        return file.tell()

    for quality in (0, 40, 90):
        assert len(webp_within(photo, size(quality))) == size(quality)
    assert len(webp_within(photo, size(40) - 1)) < size(40)
    assert len(webp_within(photo, 10)) == size(0)
