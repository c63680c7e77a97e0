"""Measure the visible grid of 16 × 16 blocks in decoded pictures, relative to the originals.

    python benchmarks/blocks.py shared/data/kodak -m runs/fitted.safetensors

prints a line for each width at Δ = 1, and for AVIF and JPEG of about the narrowest width's size.
"""

import argparse
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import slimcae
from slimcae.images import find_images

SIDE = 16
RIVALS: dict[str, tuple[str, dict[str, int]]] = {
    "AVIF, speed 9, quality 25": ("AVIF", {"quality": 25, "speed": 9}),
    "JPEG, quality 12": ("JPEG", {"quality": 12}),
}


def border_step(pixels: NDArray[np.uint8], side: int = SIDE) -> float:
    """Return the mean step across the borders of blocks over the mean step elsewhere.

    pixels: (H, W, C). A step is the absolute difference of two neighbours, in a row or a column;
    borders lie between the pixels side · k − 1 and side · k.
    """
    across, elsewhere = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels.astype(np.int16), axis=axis))
        at_border = np.arange(1, steps.shape[axis] + 1) % side == 0
        across.append(np.compress(at_border, steps, axis).ravel())
        elsewhere.append(np.compress(~at_border, steps, axis).ravel())
    return float(np.concatenate(across).mean() / np.concatenate(elsewhere).mean())


def versions(
    image: Image.Image, codec: slimcae.Codec
) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    """Yield a name and a way to get it for each version of a picture."""
    yield "original", lambda: image
    for width in codec.widths:
        yield f"width {width}", lambda w=width: codec.decompress(codec.compress(image, w))  # type: ignore[misc]
    for name, (kind, options) in RIVALS.items():
        yield name, lambda k=kind, o=options: _through(image, k, o)  # type: ignore[misc]


def measure(paths: list[Path], codec: slimcae.Codec) -> dict[str, float]:
    """Return the mean over pictures of each version's `border_step` over the original's."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in paths:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        original = border_step(np.asarray(image))
        for name, version in versions(image, codec):
            found[name].append(border_step(np.asarray(version())) / original)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _through(image: Image.Image, kind: str, options: dict[str, int]) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file).convert("RGB")


def main() -> None:
    """Measure the grid and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", help="a folder or a 'pattern'")
    parser.add_argument("-m", "--model", help="NAME, file or run folder (default: the shipped one)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    codec = slimcae.load(options.model) if options.model else slimcae.load()
    found = measure(find_images(options.images), codec)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:28} {value:.3f}")


if __name__ == "__main__":
    main()
