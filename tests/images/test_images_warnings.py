"""What Pillow warns of: a log message that names the picture, never a raw line nor an exception.

The two pictures in `tests/data/pictures` make it warn: `exif-offset.jpg` has an EXIF entry that
points beyond the data, `mpf-broken.jpg` an index of further pictures that cannot be read.
"""

import logging
import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimcae.images import read_picture, write_image
from slimcae.images.pillow_warnings import pillow_warnings

PICTURES = Path(__file__).parents[1] / "data" / "pictures"
WORDS = {
    "exif-offset.jpg": " has damaged EXIF data",
    "mpf-broken.jpg": ": Corrupt EXIF data. Expecting to read 12 bytes but only got 10.; "
    "Image appears to be a malformed MPO file",
}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("action", ["default", "error", "ignore"])
def test_a_warning_becomes_one_line_that_names_the_picture(
    name: str, action: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Also with `python -W error`, which would have stopped the reading."""
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]
        picture = read_picture(PICTURES / name)
    (message,) = caplog.messages
    assert message.startswith(f"{PICTURES / name}{WORDS[name]}")
    assert len(recwarn) == 0
    with warnings.catch_warnings(action="ignore"), Image.open(PICTURES / name) as image:
        profile = image.info.get("icc_profile")
        assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.icc_profile == profile


def test_every_picture_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Python prints a warning once per process. Threads do not catch those of others."""
    copies = [tmp_path / f"{number}.jpg" for number in range(8)]
    for copy in copies:
        shutil.copy(PICTURES / "mpf-broken.jpg", copy)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_picture, copies))
    assert sorted(message.partition(":")[0] for message in caplog.messages) == list(
        map(str, copies)
    )


def test_other_warnings_stay_what_they_are(caplog: pytest.LogCaptureFixture) -> None:
    before = warnings.filters[:], warnings.showwarning
    with pillow_warnings("x"):
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)  # an error in all tests
        with pytest.warns(UserWarning, match="of another thread"):
            thread = threading.Thread(
                target=warnings.warn_explicit,
                args=("of another thread", UserWarning, "file", 1, "PIL.x"),
            )
            thread.start()
            thread.join()
    assert (warnings.filters[:], warnings.showwarning) == before
    assert caplog.messages == []


def test_writing_names_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = PICTURES / "exif-offset.jpg"
    with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
        exif = image.info["exif"]
    black = Image.new("RGB", (20, 16))
    black.info["exif"] = exif
    write_image(black, tmp_path / "x.tif")
    assert all(message.startswith(f"{tmp_path / 'x.tif'}: ") for message in caplog.messages)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
