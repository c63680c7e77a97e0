"""TIFF files with more channels than Pillow reads."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from made_files import grey_tiff
from PIL import Image

from slimcae.errors import ImageError
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


@pytest.mark.parametrize(
    ("changed", "facts"),
    [
        ({277: 2}, ("grey, 2 channels", "16 unsigned bits")),
        ({339: 3}, ("grey, 1 channel", "16 floating-point bits")),
        ({258: 64}, ("grey", "64 unsigned bits")),
        ({262: 2, 277: 3, 339: 2}, ("RGB, 3 channels", "16 signed bits")),
        ({262: 32803}, ("raw sensor", "16 unsigned bits")),
        ({262: 9999}, ("colours of kind 9999",)),
        ({259: 50003}, ("compression 50003",)),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_the_message_says_what_pillow_cannot_read(
    tmp_path: Path, changed: dict[int, int], facts: tuple[str, ...], streamed: bool
) -> None:
    data = grey_tiff(np.full((4, 4), 1000, np.uint16))
    for tag, value in changed.items():
        place = data.index(struct.pack("<HHI", tag, 3, 1)) + 8
        data = data[:place] + struct.pack("<H", value) + data[place + 2 :]
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_picture(io.BytesIO(data) if streamed else path)
    message = str(caught.value)
    assert message.startswith(f"{'the picture' if streamed else path} is a TIFF file")
    assert all(fact in message for fact in facts), message
    assert message.endswith("convert it to PNG, or to grey or RGB of 8 unsigned bits")


@pytest.mark.parametrize("data", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0+\0\x08", b"II*\0" * 9])
def test_damaged_tiff_files_are_a_plain_error(data: bytes) -> None:
    with pytest.raises(ImageError, match="unknown format, or damaged"):
        read_picture(data)


def test_a_file_that_ends_in_its_tags_is_damaged() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "TIFF")
    with pytest.raises(ImageError, match="unknown format, or damaged"):
        read_picture(file.getvalue()[:60])
