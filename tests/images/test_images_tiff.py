"""TIFF files with more channels than Pillow reads."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from slimcae.images import read_picture

EXTRA_SAMPLES = 338


@pytest.mark.parametrize(("kind", "left_out"), [(0, 1), (1, 0), (2, 0)])  # TIFF 6.0: ExtraSamples
def test_a_channel_that_is_not_called_alpha_is_left_out_with_a_notice(
    kind: int, left_out: int, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.full((4, 6, 4), 100, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    entry = struct.pack("<HHIH", EXTRA_SAMPLES, 3, 1, 2)
    assert file.getvalue().count(entry) == 1
    changed = struct.pack("<HHIH", EXTRA_SAMPLES, 3, 1, kind)
    picture = read_picture(file.getvalue().replace(entry, changed))
    assert (picture.alpha is None) == bool(left_out)
    said = ["the picture has channels beyond those of its colours (1): left out"]
    assert caplog.messages == said * left_out
