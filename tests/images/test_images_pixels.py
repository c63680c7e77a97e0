"""Test the memory for reading and writing pictures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (6000, 4000)

MEASURE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from slimcae.images import Picture, read_picture, write_image

def memory(key):  # MiB: VmRSS now, VmHWM at most
    status = Path("/proc/self/status").read_text()
    return int(status.split(key + ":")[1].split()[0]) / 1024

read_picture(Image.new("RGBA", (8, 8))).to_image()
write_image(Image.new("RGB", (8, 8)), Path(sys.argv[2] + ".small.png"))
before = memory("VmRSS")
if sys.argv[1] == "read":
    picture = read_picture(sys.argv[2])
else:
    pixels = np.zeros((4000, 6000, 3), np.uint8)
    pixels[...] = np.arange(6000)[:, None] // 32
    alpha = pixels[:, :, 0].copy() if "A" in sys.argv[1] else None
    image = Picture(pixels, "L" in sys.argv[1], alpha).to_image()
    write_image(image, Path(sys.argv[2]))
print(memory("VmHWM") - before)
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not say how much memory it took"
)


def bytes_per_pixel(what: str, path: Path) -> float:
    command = [sys.executable, "-c", MEASURE, what, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout) * 2**20 / (SIZE[0] * SIZE[1])


@pytest.mark.parametrize(
    ("mode", "kind", "orientation", "at_most"),
    [
        # Pillow's own picture (colours take four bytes) and ours, nothing else
        ("RGB", "png", 1, 4 + 3),
        ("RGB", "jpg", 6, 4 + 3),
        ("RGBA", "png", 1, 4 + 4),
        ("L", "png", 1, 1 + 3),
        ("LA", "png", 1, 4 + 4),
        ("P", "png", 1, 1 + 3),
        ("I;16", "png", 1, 2 + 3),
        ("CMYK", "jpg", 1, 4 + 3),
    ],
)
def test_reading_takes_no_copy_beside_pillows(
    tmp_path: Path, mode: str, kind: str, orientation: int, at_most: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    Image.new(mode, SIZE).save(path, exif=exif)
    assert bytes_per_pixel("read", path) < at_most + 1


@pytest.mark.parametrize(
    ("mode", "kind", "at_most"),
    [("RGB", "png", 3 + 4), ("RGB", "jpg", 3 + 4), ("L", "tif", 3 + 1), ("LA", "png", 3 + 1 + 4)],
)
def test_writing_takes_no_copy_beside_pillows(
    tmp_path: Path, mode: str, kind: str, at_most: int
) -> None:
    assert bytes_per_pixel(mode, tmp_path / f"a.{kind}") < at_most + 1
    with Image.open(tmp_path / f"a.{kind}") as image:
        assert image.size == SIZE
        expected = np.arange(6000) // 32
        first = np.asarray(image.crop((0, 0, 6000, 1))).reshape(6000, -1)[:, 0]
        assert np.abs(first.astype(int) - expected).max() <= (3 if kind == "jpg" else 0)
