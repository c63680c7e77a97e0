"""Run CompressAI's own `eval_model` on a trained SlimCAE, and compare it with our `evaluate`.

    python benchmarks/peers/make_environment.py         # once: CompressAI's environment
    benchmarks/peers/.venv/bin/pip install constriction safetensors threadpoolctl onnxruntime
    PYTHONPATH=src benchmarks/peers/.venv/bin/python benchmarks/peers/eval_model.py IMAGES

The script runs in CompressAI's environment, with the dependencies of our codec. It exits with code
1 unless rate and quality agree. IMAGES is a folder. CompressAI pads sides to multiples of 64 with
black, so use pictures with such sides (for example Kodak). Both compute in float32, since bfloat16
rounds some latents differently, depending on the batch.
"""

import argparse
import json
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import slimcae
from slimcae.evaluation import evaluate_codec
from slimcae.images import find_images

OPTIONS: dict[str, Any] = {"backend": "onnx", "precision": "float32", "threads": 1}
TOLERANCE = 1e-4
"""Tolerance of PSNR in dB and of MS-SSIM, which CompressAI computes in float32; rates are equal."""
ESTIMATED = 2e-3
"""Tolerance of estimated rates in bits per pixel, since the networks sum in different orders and
may round differently."""


def main() -> None:
    """Run both, print the table, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", help="a folder")
    parser.add_argument("-m", "--model", help="as slimcae.load takes it")
    args = parser.parse_args()
    codec = slimcae.load(args.model, **OPTIONS)
    ours = evaluate_codec(codec, find_images(args.images), name="ours")[::-1]  # narrowest first
    coded = theirs(args.images, codec)
    estimated = theirs(args.images, codec, "--entropy-estimation")
    rows = list(zip(ours, *(coded[key] for key in KEYS), estimated["bpp"], strict=True))
    print("| width | bpp | PSNR | MS-SSIM | estimated bpp |")
    print("|---|---|---|---|---|")
    worst = 0.0
    for point, *found in rows:
        have = (point.bpp, point.psnr, point.ms_ssim or 0.0, point.bpp_estimated or 0.0)
        cells = [f"{a:.6f} / {b:.6f}" for a, b in zip(have, found, strict=True)]
        print(f"| {point.setting:g} | {' | '.join(cells)} |")
        worst = max(worst, *map(distance, have, found, (1e-9, TOLERANCE, TOLERANCE, ESTIMATED)))
    print("ours / CompressAI's eval_model;", "equal" if worst <= 1 else "DIFFERENT")
    sys.exit(worst > 1)


KEYS = ("bpp", "psnr-rgb", "ms-ssim-rgb")


def distance(ours: float, theirs: float, tolerance: float) -> float:
    """Return the difference of two figures in units of the tolerance."""
    return abs(ours - theirs) / tolerance


def theirs(images: str, codec: slimcae.Codec, *more: str) -> dict[str, list[float]]:
    """Return the results of `eval_model` at all widths, narrowest first."""
    from compressai.utils.eval_model.__main__ import main as eval_model

    from slimcae.compressai import NAME, register

    register(NAME, codec.model, **OPTIONS)
    qualities = ",".join(str(1 + number) for number in range(len(codec.widths)))
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        eval_model(["pretrained", images, "-a", NAME, "-q", qualities, "-d", folder, *more])
        (report,) = Path(folder).glob("*.json")
        results: dict[str, list[float]] = json.loads(report.read_text())["results"]
    return results


if __name__ == "__main__":
    main()
