"""Test the step across the borders of blocks: by hand, and on pictures with and without blocks."""

import io

import numpy as np
import pytest
from blocks import border_step
from PIL import Image

from conftest import smooth_pixels


def test_the_ratio_is_that_of_a_loop() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (35, 50, 3), dtype=np.uint8)
    at: list[int] = []
    off: list[int] = []
    for y in range(35):
        for x in range(50):
            for c in range(3):
                here = int(pixels[y, x, c])
                if x + 1 < 50:
                    step = abs(int(pixels[y, x + 1, c]) - here)
                    (at if (x + 1) % 16 == 0 else off).append(step)
                if y + 1 < 35:
                    step = abs(int(pixels[y + 1, x, c]) - here)
                    (at if (y + 1) % 16 == 0 else off).append(step)
    assert border_step(pixels) == pytest.approx(np.mean(at) / np.mean(off))


def test_flat_blocks_stand_out_and_smooth_pictures_do_not() -> None:
    smooth = smooth_pixels(128, 128, 3)
    assert border_step(smooth) == pytest.approx(1, abs=0.05)
    blocky = smooth[::16, ::16].repeat(16, 0).repeat(16, 1) // 2 + smooth // 2
    assert border_step(blocky) > 3
    file = io.BytesIO()
    Image.fromarray(smooth).save(file, "JPEG", quality=5)
    assert border_step(np.asarray(Image.open(file))) > 1.5
