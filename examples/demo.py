"""Compress and restore one photo at every width, and draw the results next to each other."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import slimcae
from slimcae.errors import SlimCAEError
from slimcae.evaluation.metrics import ms_ssim, psnr

HERE = Path(__file__).parent
OUTPUT = Path("demo-output")
REPEATS = 5

# The sheet: a column for each picture, below it the part around DETAIL magnified.
COLUMN = 384
DETAIL = (0.25, 0.46)  # of width and height
DETAIL_SHARE = 0.2
GAP = 12
TEXT_HEIGHT = 58


@dataclass(frozen=True)
class Result:
    """The result of one width; times are in seconds."""

    width: int
    restored: Image.Image
    size: int
    bpp: float
    psnr: float
    ms_ssim: float
    encode: float
    decode: float


def median_seconds(work: Callable[[], object]) -> float:
    """Return the median wall time of a few calls, after a first call that warms up caches."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(codec: slimcae.Codec, picture: Image.Image, width: int) -> Result:
    data = codec.compress(picture, width=width)
    restored = codec.decompress(data)
    before, after = np.asarray(picture), np.asarray(restored)
    return Result(
        width=width,
        restored=restored,
        size=len(data),
        bpp=8 * len(data) / (picture.width * picture.height),
        psnr=psnr(before, after),
        ms_ssim=ms_ssim(before, after) or float("nan"),  # too small a picture has none
        encode=median_seconds(lambda: codec.compress(picture, width=width)),
        decode=median_seconds(lambda: codec.decompress(data)),
    )


def table(results: Sequence[Result]) -> str:
    lines = ["width     bytes    bpp   PSNR dB  MS-SSIM  encode ms  decode ms"]
    lines += [
        f"{r.width:5} {r.size:9,} {r.bpp:6.3f} {r.psnr:9.2f} {r.ms_ssim:8.4f} "
        f"{1000 * r.encode:10.1f} {1000 * r.decode:10.1f}"
        for r in results
    ]
    return "\n".join(lines)


def draw_sheet(picture: Image.Image, results: Sequence[Result]) -> Image.Image:
    """Draw the original and all reconstructions, each with a magnified detail and its figures."""
    raw = picture.width * picture.height * 3
    columns = [(picture, "original", f"{raw:,} B as raw pixels")]
    for r in results:
        figures = f"{r.size:,} B   {r.bpp:.3f} bpp   {r.psnr:.2f} dB"
        columns.append((r.restored, f"width {r.width}   {raw / r.size:.0f} : 1", figures))
    height = round(COLUMN * picture.height / picture.width)
    sheet = Image.new(
        "RGB",
        (len(columns) * (COLUMN + GAP) + GAP, TEXT_HEIGHT + 2 * (height + GAP)),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(24), ImageFont.load_default(17)
    for index, (image, title, figures) in enumerate(columns):
        left = GAP + index * (COLUMN + GAP)
        draw.text((left, 6), title, "black", large)
        draw.text((left, 34), figures, "#444444", small)
        whole = image.resize((COLUMN, height), Image.Resampling.LANCZOS)
        sheet.paste(whole, (left, TEXT_HEIGHT))
        # pixels stay squares: what is seen is what was decoded
        part = image.crop(detail_box(image.size)).resize((COLUMN, height), Image.Resampling.NEAREST)
        sheet.paste(part, (left, TEXT_HEIGHT + height + GAP))
    return sheet


def detail_box(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the magnified part of a picture of (width, height)."""
    width, height = (round(side * DETAIL_SHARE) for side in size)
    left, top = round(size[0] * DETAIL[0] - width / 2), round(size[1] * DETAIL[1] - height / 2)
    return left, top, left + width, top + height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, default=HERE / "images" / "parrots.png")
    parser.add_argument("--model", type=Path, help="default: the model that comes with slimcae")
    args = parser.parse_args()

    codec = slimcae.load(args.model)
    with Image.open(args.picture) as image:
        picture = image.convert("RGB")
    print(f"{args.picture.name}: {picture.width}x{picture.height} pixels, model {codec.info.name}")
    results = [measure(codec, picture, width) for width in codec.widths]
    print(table(results))

    OUTPUT.mkdir(exist_ok=True)
    sheet = OUTPUT / f"{args.picture.stem}.png"
    draw_sheet(picture, results).save(sheet)
    print(f"side by side: {sheet}")


if __name__ == "__main__":
    try:
        main()
    except SlimCAEError as error:
        sys.exit(f"demo: {error}")
