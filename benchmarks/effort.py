"""What each effort costs and brings: bytes at equal PSNR against seconds per megapixel.

    python benchmarks/effort.py KODAK -o effort.json --widths 96 48 192 --efforts 3 4 5
    python benchmarks/effort.py KODAK -o effort.json --widths 96 --efforts 6 7 8 9 --images 4

For each width and effort a curve of real files over several steps Δ, its BD-rate against effort 2
of the same weights and images, and the median seconds of a call; beside them, each against its own
fastest setting, AVIF's speeds and JPEG XL's efforts, if Pillow has them. The efforts of one image
are measured in turn, so that whatever else the machine does falls on all of them. The result file
is written after every image, says which images each figure is of, and what it holds is not measured
again: so a stopped run goes on, and the costly efforts can have fewer images.

--cpu_time counts the processor's seconds instead of the clock's: on a busy machine, with
--threads 1, that is about what the clock shows on an idle one.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
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
Clock = Callable[[], float]


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
    parser.add_argument("--cpu_time", action="store_true")
    parser.add_argument("--no_others", action="store_true")
    args = parser.parse_args()
    paths = find_images(args.pictures)[: args.images]
    pictures = {path.stem: _middle(read_picture(path), args.side) for path in paths}
    codec = slimcae.load(args.model, threads=args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    found = _begun(args.output, codec, args.side, args.cpu_time)
    efforts = [DEFAULT_EFFORT, *(effort for effort in args.efforts if effort != DEFAULT_EFFORT)]
    for width in args.widths:
        for name, picture in pictures.items():
            measured = found["measured"].setdefault(str(width), {}).setdefault(name, {})
            missing = [effort for effort in efforts if str(effort) not in measured]
            if missing:
                measured |= _ours(codec, picture, width, missing, clock)
                found["ours"] = _summary(found["measured"])
                _save(args.output, found)
        for effort in efforts:
            print(f"width {width} effort {effort}:", _words(found["ours"][f"{width}/{effort}"]))
    if not args.no_others:
        others, _ = pillow_codecs(codec.transforms.threads)
        for contender in others:
            if not contender.name.startswith(OTHERS):
                continue
            if contender.name not in found["others"]:
                found["others"][contender.name] = _theirs(
                    list(pictures.values()),
                    contender.points,
                    contender.encode,
                    contender.decode,
                    clock,
                )
                _save(args.output, found)
            print(contender.name, found["others"][contender.name]["seconds_per_megapixel"])


def _begun(path: Path, codec: Codec, side: int | None, cpu_time: bool) -> dict[str, Any]:
    """Return the results so far, of the same model and machine, or empty ones."""
    about = {
        "model": f"{codec.info.name}@{codec.info.version}",
        "side": side,
        "clock": "processor" if cpu_time else "wall",
        "machine": codec.transforms.machine,
        "threads": codec.transforms.threads,
        "precision": codec.transforms.precision,
        "runtime": codec.transforms.runtime,
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
        "measured": {},
        "ours": {},
        "others": {},
    }


def _ours(
    codec: Codec, picture: Picture, width: int, efforts: Sequence[int], clock: Clock
) -> dict[str, Any]:
    """Measure one picture at several efforts in turn: rates, PSNRs and seconds by effort."""
    steps = codec.model.steps
    chosen = [min(range(len(steps)), key=lambda k: abs(steps[k] - delta)) for delta in DELTAS]
    found: dict[str, Any] = {str(effort): {"points": [], "seconds": []} for effort in efforts}
    for effort in efforts:  # prepares what is prepared once
        codec.compress(_middle(picture, 64), width, effort=effort)
    for step in chosen:
        plain = codec.analyse(picture.pixels, width, step)
        for effort in efforts:
            data, seconds = _timed(
                partial(codec.compress, picture, width, step=step, effort=effort), clock
            )
            row = found[str(effort)]
            decoded = np.asarray(codec.decompress(data).convert("RGB"))
            row["points"].append(_point(picture, data, decoded))
            row["seconds"].append(seconds)
            if step == chosen[len(chosen) // 2]:
                row["changed"] = float(np.mean(codec.read_symbols(data) != plain))
            row["megapixels"] = picture.pixels.shape[0] * picture.pixels.shape[1] / 1e6
    return found


def _summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Return mean curves by width and effort, each beside that of effort 2 of the same images."""
    found = {}
    for width, images in measured.items():
        for effort in sorted({effort for each in images.values() for effort in each}, key=int):
            names = sorted(name for name, each in images.items() if effort in each)
            own, anchor = (
                _mean([images[name][number] for name in names])
                for number in (effort, str(DEFAULT_EFFORT))
            )
            changed = statistics.fmean(images[name][effort]["changed"] for name in names)
            about = {"images": names, "changed": changed, "anchor": anchor}
            found[f"{width}/{effort}"] = own | about
    return found


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean curve, and the median seconds per megapixel, of several images."""
    curves = zip(*(row["points"] for row in rows), strict=True)
    curve = [tuple(map(statistics.fmean, zip(*points, strict=True))) for points in curves]
    seconds = [each / row["megapixels"] for row in rows for each in row["seconds"]]
    return {"curve": sorted(curve), "seconds_per_megapixel": statistics.median(seconds)}


def _theirs(
    pictures: Sequence[Picture],
    points: Sequence[float],
    encode: Callable[[Picture, float], bytes],
    decode: Callable[[bytes], Any],
    clock: Clock,
) -> dict[str, Any]:
    rows = []
    for picture in pictures:
        plain = Picture(picture.pixels)
        row: dict[str, Any] = {"points": [], "seconds": []}
        for point in points:
            data, seconds = _timed(partial(encode, plain, point), clock)
            row["points"].append(_point(plain, data, decode(data)))
            row["seconds"].append(seconds)
        row["megapixels"] = plain.pixels.shape[0] * plain.pixels.shape[1] / 1e6
        rows.append(row)
    return _mean(rows)


def _timed(encode: Callable[[], bytes], clock: Clock) -> tuple[bytes, float]:
    start = clock()
    data = encode()
    return data, clock() - start


def _point(picture: Picture, data: bytes, decoded: Any) -> Point:
    """Bits per pixel and PSNR in dB."""
    pixels = picture.pixels
    error = squared_error(decoded, pixels)
    return 8 * len(data) / (pixels.shape[0] * pixels.shape[1]), psnr(mse(error, pixels.size))


def _words(found: dict[str, Any]) -> str:
    delta = bd_rate(*([tuple(p) for p in each["curve"]] for each in (found["anchor"], found)))
    bits = "–" if delta is None else f"{delta.value:+.2f} %"
    seconds = found["seconds_per_megapixel"]
    times = seconds / found["anchor"]["seconds_per_megapixel"]
    return (
        f"{bits}, {seconds:.3f} s/megapixel ({times:.1f} x), {100 * found['changed']:.2f} % of "
        f"the symbols changed, {len(found['images'])} images"
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
