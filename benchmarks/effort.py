"""What each effort costs and brings: bytes at equal PSNR against seconds per megapixel.

    python benchmarks/effort.py KODAK -o docs/results/effort.json            # hours, idle machine
    python benchmarks/effort.py KODAK -o /tmp/try.json --images 2 --efforts 2 3 4 --widths 48

For each width and effort a curve of real files over several steps Δ, its BD-rate against effort 2
of the same weights, and the median seconds of a call; beside them, each against its own fastest
setting, AVIF's speeds and JPEG XL's efforts, if Pillow has them. The result file is written after
every setting, and a setting that it holds is not measured again: so a stopped run goes on.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import slimcae
from slimcae.codec import Codec
from slimcae.evaluation.bd_rate import METHOD, bd_rate
from slimcae.evaluation.contenders import pillow_codecs
from slimcae.files import atomic_path
from slimcae.images import Picture, find_images, read_picture
from slimcae.images.distortion import mse, psnr, squared_error
from slimcae.machine import describe_machine
from slimcae.model.model import DEFAULT_EFFORT, EFFORTS

WIDTHS = (48, 96, 192)
DELTAS = (0.54, 0.76, 1.0, 1.41, 1.98)
"""The model's nearest steps are measured: from fine to coarse, for one curve a width."""
OTHERS = ("AVIF", "JPEG XL")

Point = tuple[float, float]


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", metavar="IMAGES")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-m", "--model")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--efforts", type=int, nargs="+", default=list(EFFORTS))
    parser.add_argument("--images", type=int, metavar="N", help="the first N only")
    parser.add_argument("--side", type=int, metavar="PIXELS", help="the middle of each only")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no_others", action="store_true")
    args = parser.parse_args()
    paths = find_images(args.pictures)[: args.images]
    pictures = [_middle(read_picture(path), args.side) for path in paths]
    codec = slimcae.load(args.model, backend="torch", threads=args.threads)
    found = _begun(args.output, codec, pictures)
    efforts = [DEFAULT_EFFORT, *(effort for effort in args.efforts if effort != DEFAULT_EFFORT)]
    for width in args.widths:
        for effort in efforts:
            key = f"{width}/{effort}"
            if key not in found["ours"]:
                found["ours"][key] = _ours(codec, pictures, width, effort)
                _save(args.output, found)
            _say(f"width {width} effort {effort}", found["ours"][f"{width}/2"], found["ours"][key])
    if not args.no_others:
        others, _ = pillow_codecs(codec.transforms.threads)
        for contender in others:
            if not contender.name.startswith(OTHERS):
                continue
            if contender.name not in found["others"]:
                found["others"][contender.name] = _measured(
                    pictures,
                    contender.points,
                    contender.encode,
                    contender.decode,
                )
                _save(args.output, found)
            print(contender.name, found["others"][contender.name]["seconds_per_megapixel"])


def _begun(path: Path, codec: Codec, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return the results so far, of the same model and as many pictures, or an empty one."""
    about = {
        "model": f"{codec.info.name}@{codec.info.version}",
        "images": len(pictures),
        "machine": codec.transforms.machine,
        "threads": codec.transforms.threads,
        "precision": codec.transforms.precision,
        "method": METHOD,
    }
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {name: found.get(name) for name in about} != about:
            raise SystemExit(f"{path} holds other results: give another -o, or remove it")
        return found
    return about | {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "where": describe_machine(),
        "ours": {},
        "others": {},
    }


def _ours(codec: Codec, pictures: Sequence[Picture], width: int, effort: int) -> dict[str, Any]:
    steps = codec.model.steps
    chosen = [min(range(len(steps)), key=lambda k: abs(steps[k] - delta)) for delta in DELTAS]
    changed: list[float] = []

    def encode(picture: Picture, step: float) -> bytes:
        return codec.compress(picture, width, step=int(step), effort=effort)

    def decode(data: bytes) -> Any:
        return np.asarray(codec.decompress(data).convert("RGB"))

    encode(pictures[0], chosen[0])  # prepares what is prepared once
    found = _measured(pictures, chosen, encode, decode)
    if effort > DEFAULT_EFFORT:
        for picture in pictures:
            step = chosen[len(chosen) // 2]
            first, second = (
                codec.read_symbols(codec.compress(picture, width, step=step, effort=number))
                for number in (DEFAULT_EFFORT, effort)
            )
            changed.append(float(np.mean(first != second)))
    return found | {"changed": statistics.fmean(changed) if changed else 0.0}


def _measured(
    pictures: Sequence[Picture],
    points: Sequence[float],
    encode: Callable[[Picture, float], bytes],
    decode: Callable[[bytes], Any],
) -> dict[str, Any]:
    """Return the mean curve of real files, and the median seconds per megapixel."""
    curve: list[Point] = []
    seconds: list[float] = []
    for point in points:
        rates, qualities = [], []
        for picture in pictures:
            plain = Picture(picture.pixels)
            pixels = plain.pixels.shape[0] * plain.pixels.shape[1]
            start = time.perf_counter()
            data = encode(plain, point)
            seconds.append((time.perf_counter() - start) / pixels * 1e6)
            rates.append(8 * len(data) / pixels)
            error = squared_error(decode(data), plain.pixels)
            qualities.append(psnr(mse(error, plain.pixels.size)))
        curve.append((statistics.fmean(rates), statistics.fmean(qualities)))
    return {"curve": sorted(curve), "seconds_per_megapixel": statistics.median(seconds)}


def _say(name: str, anchor: dict[str, Any], found: dict[str, Any]) -> None:
    delta = bd_rate([tuple(p) for p in anchor["curve"]], [tuple(p) for p in found["curve"]])
    bits = "–" if delta is None else f"{delta.value:+.2f} %"
    times = found["seconds_per_megapixel"] / anchor["seconds_per_megapixel"]
    print(
        f"{name}: {bits}, {found['seconds_per_megapixel']:.3f} s/megapixel ({times:.1f} x), "
        f"{100 * found['changed']:.2f} % of the symbols changed",
        flush=True,
    )


def _middle(picture: Picture, side: int | None) -> Picture:
    if side is None:
        return picture
    rows, columns, _ = picture.pixels.shape
    top, left = max(rows - side, 0) // 2, max(columns - side, 0) // 2
    return Picture(np.ascontiguousarray(picture.pixels[top : top + side, left : left + side]))


def _save(path: Path, found: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
