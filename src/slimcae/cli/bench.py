"""`slimcae bench`: compare our widths with other codecs on the user's pictures."""

import argparse
import logging
import math
from datetime import UTC, datetime

from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import (
    add_model_option,
    add_network_options,
    add_option,
    network_options,
    require_packages,
)
from slimcae.cli.quantities import count

log = logging.getLogger("slimcae")

_EPILOG = """\
The other codecs are JPEG, WebP, JPEG 2000, AVIF at speeds 6 to 10, and JPEG XL at efforts 1, 3 and
7 if pillow-jxl-plugin is installed. Quality is measured on 8-bit RGB pixels and averaged over the
images. Times are medians of encoding and decoding in memory, after a warm-up; run nothing else
meanwhile.

The command prints a table, BD-rates and every codec's settings. It writes PREFIX.csv,
PREFIX_CODEC.json in CompressAI's schema, PREFIX_rd.png and PREFIX_time.png.

examples:
  slimcae bench photos/
  slimcae bench 'photos/*.png' -q 20 40 60 80 --report_path results/photos
  slimcae bench kodak/ --reference --report_path results/kodak
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Compare rate, quality and speed with other codecs on your own images."
    parser.epilog = _EPILOG
    parser.add_argument(
        "images", metavar="IMAGES", help="a folder (searched recursively) or a 'pattern'"
    )
    add_option(
        parser,
        "--report_path",
        default="results/bench",
        metavar="PREFIX",
        help="prefix of the names of the files (default: results/bench)",
    )
    add_option(
        parser,
        "-q",
        "--quality",
        type=float,
        nargs="+",
        metavar="Q",
        help="also measure SlimCAE at these qualities, 0 to 100",
    )
    add_option(
        parser,
        "--effort",
        type=int,
        nargs="+",
        choices=range(1, 10),
        metavar="E",
        help="efforts of SlimCAE to compare (default: 2, and 1 if it differs)",
    )
    add_option(
        parser,
        "--repeats",
        type=count,
        default=1,
        metavar="N",
        help="runs per picture, of which the median time is reported (default: 1)",
    )
    add_option(
        parser,
        "--reference",
        action="store_true",
        help="draw published curves (of Kodak), with BD-rates against them if IMAGES are the "
        "24 Kodak images",
    )
    add_model_option(parser)
    add_network_options(parser)
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Compare."""
    require_packages("this needs", "torch", "pytorch_msssim", "scipy", "matplotlib")
    from slimcae.images import find_images
    from slimcae.model.registry import find_model

    images = find_images(args.images)
    model = find_model(args.model)

    from tqdm import tqdm

    from slimcae import codec
    from slimcae.evaluation.contenders import Contender, OurQualities, OurWidths, pillow_codecs
    from slimcae.evaluation.measure import measure
    from slimcae.evaluation.published import why_not_kodak
    from slimcae.evaluation.report import writable_prefix
    from slimcae.evaluation.writing import write_report
    from slimcae.machine import describe_machine
    from slimcae.model.model import DEFAULT_EFFORT, FAST_EFFORT

    prefix = writable_prefix(args.report_path)
    loaded = codec.load(model, **network_options(args), megapixels=math.inf)
    efforts = args.effort
    if efforts is None:
        fast = any(len(loaded.model.efforts(width)) > 1 for width in loaded.points)
        efforts = [DEFAULT_EFFORT, FAST_EFFORT] if fast else [DEFAULT_EFFORT]
    ours: list[Contender] = [OurWidths(loaded, effort) for effort in dict.fromkeys(efforts)]
    if args.quality:
        ours.append(OurQualities(loaded, args.quality))
    others, missing = pillow_codecs(loaded.transforms.threads)
    for sentence in missing:
        log.warning("%s", sentence)
    contenders = [*ours, *others]
    curves, pictures = measure(
        contenders,
        images,
        repeats=args.repeats,
        progress=lambda paths: tqdm(paths, "bench", unit="image", disable=None),
    )
    where = f"{len(pictures)} images; {describe_machine()}; {datetime.now(UTC):%Y-%m-%d}"
    settings = [contender.settings for contender in contenders]
    reason = why_not_kodak(pictures)
    if args.reference and reason:
        log.warning(
            "no BD-rates against published curves, which are drawn only for orientation: the "
            "images are not the 24 of Kodak (%s)",
            reason,
        )
    report = write_report(
        prefix,
        curves,
        settings,
        len(ours),
        where,
        reference=args.reference,
        kodak=not reason,
    )
    print(report)
    log.info("report written: %s.csv, %s_*.json, %s_*.png", prefix, prefix, prefix)
    return 0
