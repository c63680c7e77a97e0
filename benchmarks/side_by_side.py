r"""Draw details of photos at equal file size: the original, our models, and AVIF.

    python benchmarks/side_by_side.py shared/data/kodak/kodim21.png:0.85,0.2 \
        shared/data/kodak/kodim04.png:0.5,0.35 -o docs/figures/side-by-side.png

Each photo may be followed by the position of the detail, as fractions of its width and height.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import slimcae
from slimcae.evaluation.metrics import psnr
from slimcae.plots.style import new_figure, save

SHOWN = (192, 144)
"""Pixels of a detail, width and height."""
RATES = (0.15, 0.4)
"""Bits per pixel."""
MODELS = {"SlimCAE": None, "its model `paper`": "paper"}


def main() -> None:
    """Compress, draw, and print the figures of the titles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", metavar="PHOTO[:X,Y]")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    codecs = {name: slimcae.load(model) for name, model in MODELS.items()}
    cases = [(*_place(photo), rate) for photo in arguments.photos for rate in RATES]
    figure = new_figure(11.2, 2.3 * len(cases))
    grid = figure.subplots(len(cases), 2 + len(codecs), squeeze=False)
    for (path, place, rate), row in zip(cases, grid, strict=True):
        with Image.open(path) as image:
            photo = image.convert("RGB")
        size = round(rate * photo.width * photo.height / 8)
        files = {name: codec.compress(photo, target_size=size) for name, codec in codecs.items()}
        shown = {name: codec.decompress(files[name]) for name, codec in codecs.items()}
        files["AVIF"] = avif_within(photo, size)
        with Image.open(io.BytesIO(files["AVIF"])) as image:
            shown["AVIF"] = image.convert("RGB")
        row[0].set_title(f"{path.stem}, original", fontsize=8)
        row[0].imshow(_detail(photo, place), interpolation="nearest")
        for axes, (name, picture) in zip(row[1:], shown.items(), strict=True):
            bpp = 8 * len(files[name]) / (photo.width * photo.height)
            quality = psnr(np.asarray(photo), np.asarray(picture))
            title = f"{name}: {bpp:.3f} bpp, {quality:.2f} dB"
            print(path.stem, title)
            axes.set_title(title, fontsize=8)
            axes.imshow(_detail(picture, place), interpolation="nearest")
        for axes in row:
            axes.set_axis_off()
    save(figure, arguments.output)


def avif_within(photo: Image.Image, size: int) -> bytes:
    """Return the best AVIF file (speed 6) of at most `size` bytes, or else the smallest."""
    lowest, highest = 0, 100
    best = _avif(photo, lowest)
    while lowest < highest:
        quality = (lowest + highest + 1) // 2
        data = _avif(photo, quality)
        if len(data) <= size:
            best, lowest = data, quality
        else:
            highest = quality - 1
    return best


def _avif(photo: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    photo.save(file, "AVIF", quality=quality, speed=6)
    return file.getvalue()


def _place(argument: str) -> tuple[Path, tuple[float, float]]:
    path, _, place = argument.partition(":")
    x, y = map(float, place.split(",")) if place else (0.5, 0.5)
    return Path(path), (x, y)


def _detail(image: Image.Image, place: tuple[float, float]) -> NDArray[np.uint8]:
    left, top = (
        max(0, min(round(part * have) - want // 2, have - want))
        for have, want, part in zip(image.size, SHOWN, place, strict=True)
    )
    return np.asarray(image.crop((left, top, left + SHOWN[0], top + SHOWN[1])))


if __name__ == "__main__":
    main()
