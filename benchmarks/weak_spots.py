"""Draw the limitations of the codec: text, lines and noise, compared with WebP at equal size.

    python benchmarks/weak_spots.py examples/images/parrots.png -o docs/figures/weak-spots.png

The script draws all pictures except the photo, and prints the table of docs/model-card.md.
"""

import argparse
import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from report.markdown import signed, table

import slimcae
from slimcae.evaluation.metrics import psnr
from slimcae.plots.style import new_figure, save

SIZE = (384, 256)
SHOWN = (144, 96)  # of the middle
SUBJECT = (0.25, 0.46)
"""Centre of the detail in the photo, in fractions of its width and height."""
SHOWN_WIDTH = 96
NOISE = 20.0
"""Standard deviation of the noisy photo, in levels: a dark scene at a high sensitivity."""
WORDS = (
    "A codec trained on photos knows edges, sky, leaves and skin. Letters are thin, dark, and "
    "everywhere different: nothing that it has learned helps it to write them down. "
)


def main() -> None:
    """Measure, draw the figure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    codec = slimcae.load()
    pictures = make_pictures(arguments.photo)
    draw(arguments.output, codec, pictures)
    print(gains_table(codec, pictures))


def make_pictures(path: Path) -> dict[str, Image.Image]:
    """Return the subjects by name, with `SIZE` pixels each."""
    with Image.open(path) as image:
        photo = _around(image.convert("RGB"), SIZE, SUBJECT)
    noise = np.random.default_rng(0).normal(0, NOISE, (*SIZE[::-1], 3))
    noisy = np.rint(np.asarray(photo) + noise).clip(0, 255).astype(np.uint8)
    return {
        "photo": photo,
        "the same, noisy": Image.fromarray(noisy),
        "text": _text(),
        "line art": _lines(),
    }


def gains_table(codec: slimcae.Codec, pictures: Mapping[str, Image.Image]) -> str:
    """Return a table of the PSNR relative to WebP at equal size, and the size of lossless files."""
    rows = []
    for name, picture in pictures.items():
        cells = []
        for width in codec.widths:
            data = codec.compress(picture, width=width)
            ours = _psnr(picture, codec.decompress(data).convert("RGB"))
            theirs = _psnr(picture, _opened(webp_within(picture, len(data))))
            cells.append(f"{_bpp(data):.2f} / {ours:.1f} ({signed(ours - theirs, 1)})")
        rows.append((name, *cells, f"{_bpp(_saved(picture, 'WEBP', lossless=True)):.2f}"))
    return table(("", *map(str, codec.widths), "WebP, exact: bpp"), rows)


def draw(path: Path, codec: slimcae.Codec, pictures: Mapping[str, Image.Image]) -> None:
    """Draw a row for each picture: the original, ours at one width, and WebP at equal size."""
    figure = new_figure(7.4, 1.85 * len(pictures))
    grid = figure.subplots(len(pictures), 3)
    for (name, picture), row in zip(pictures.items(), grid, strict=True):
        data = codec.compress(picture, width=SHOWN_WIDTH)
        other = webp_within(picture, len(data))
        shown = {
            name: picture,
            f"SlimCAE {SHOWN_WIDTH}": codec.decompress(data).convert("RGB"),
            "WebP": _opened(other),
        }
        for (title, image), file, axes in zip(shown.items(), (None, data, other), row, strict=True):
            if file is not None:
                title = f"{title}: {_bpp(file):.2f} bpp, {_psnr(picture, image):.1f} dB"
            axes.imshow(np.asarray(_around(image, SHOWN)), interpolation="nearest")
            axes.set_title(title, fontsize=8)
            axes.set_axis_off()
    save(figure, path)


def webp_within(picture: Image.Image, size: int) -> bytes:
    """Return the best WebP file of at most `size` bytes, or the smallest if all are larger."""
    best = _saved(picture, "WEBP", quality=0, method=4)
    for quality in range(1, 101):
        data = _saved(picture, "WEBP", quality=quality, method=4)
        if len(best) < len(data) <= size:
            best = data
    return best


def _text() -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    y = 6
    for size in (24, 16, 14, 12, 11, 10, 9):
        font = ImageFont.load_default(size)
        for _ in range(3 if size > 12 else 2):
            start = y % len(WORDS)
            draw.text((6, y), (WORDS + WORDS)[start : start + 90], fill="black", font=font)
            y += size + 4
    return image


def _lines() -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    width, height = SIZE
    centre = (width / 2, height / 2)
    for k in range(24):
        angle = math.pi * k / 12
        end = (centre[0] + 150 * math.cos(angle), centre[1] + 150 * math.sin(angle))
        draw.line([centre, end], fill=("black", "navy", "darkred")[k % 3])
    for radius in range(20, 130, 10):
        draw.circle(centre, radius, outline="black")
    for x in range(0, width, 12):
        draw.line([(x, 0), (x, 24)], fill="black")
    return image


def _around(
    image: Image.Image, size: tuple[int, int], where: tuple[float, float] = (0.5, 0.5)
) -> Image.Image:
    """Return a part of the image around a position in fractions of its sides."""
    left, top = (
        max(0, min(round(share * have) - want // 2, have - want))
        for have, want, share in zip(image.size, size, where, strict=True)
    )
    return image.crop((left, top, left + size[0], top + size[1]))


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def _psnr(before: Image.Image, after: Image.Image) -> float:
    return psnr(np.asarray(before), np.asarray(after))


def _bpp(data: bytes) -> float:
    return 8 * len(data) / (SIZE[0] * SIZE[1])


if __name__ == "__main__":
    main()
