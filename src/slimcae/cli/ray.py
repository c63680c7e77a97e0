"""`slimcae ray`: compress a folder of pictures to `.scae` files and a table, on a Ray cluster."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slimcae.cli.messages import add_talk_options, note
from slimcae.cli.options import (
    add_max_pixels_option,
    add_metadata_option,
    add_model_option,
    add_option,
)
from slimcae.cli.quantities import whole
from slimcae.cli.rate import add_effort_option, add_rate_options, chosen_rate

_EPILOG = """\
Both folders are paths that all machines of the cluster can access, or URIs of object storage.
a/b.jpg becomes a/b.jpg.scae in OUTPUT and a row of a Parquet table there; a picture that cannot be
compressed becomes a row with an error. The same command continues a stopped run. RAY_ADDRESS names
the cluster; without it, the command starts one on this machine with all its cores.

examples:
  slimcae ray photos -o small -q 40
  slimcae ray s3://bucket/photos -o s3://bucket/small -q 40 --psnr
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae ray FOLDER -o OUTPUT [options]"
    parser.description = "Compress a folder of many pictures on a Ray cluster."
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", help="pictures, searched recursively")
    add_talk_options(parser, logging.WARNING)
    files = parser.add_argument_group("files and cluster")
    add_option(
        files, "-o", "--output", metavar="OUTPUT", required=True, help="folder of .scae files"
    )
    add_option(
        files,
        "--table",
        metavar="NAME",
        default="table.parquet",
        help="name of the table in OUTPUT (table.parquet)",
    )
    add_option(
        files,
        "--retry_errors",
        action="store_true",
        help="repeat pictures whose row of the table has an error",
    )
    add_option(
        files,
        "--workers",
        type=whole,
        metavar="N",
        help="processes, with one core each (default: all cores of the cluster)",
    )
    add_rate_options(parser.add_argument_group("size and quality, one of (default: widest width)"))
    pictures = parser.add_argument_group("pictures and model")
    add_option(
        pictures, "--psnr", action="store_true", help="measure the PSNR; takes a third more time"
    )
    add_metadata_option(pictures)
    add_max_pixels_option(pictures)
    add_effort_option(pictures, "see `compress --help`")
    add_model_option(pictures, "slimcae's own")


def run(args: argparse.Namespace) -> int:
    """Compress the folder, and report the result."""
    from slimcae.codec import Target
    from slimcae.images import MAX_PIXELS
    from slimcae.ray import compress_folder

    target = Target(**chosen_rate(args) | {"effort": args.effort})
    quiet = args.level >= logging.ERROR
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # Ray's files in /tmp/ray have the rest
            handler.setLevel(max(args.level, logging.WARNING))
    with _shown(quiet) as progress:
        found = compress_folder(
            args.folder,
            args.output,
            target,
            model=args.model,
            metadata=args.metadata,
            max_pixels=args.max_pixels or MAX_PIXELS,
            psnr=args.psnr,
            table=args.table,
            retry_errors=args.retry_errors,
            workers=args.workers,
            progress=progress,
        )
    if not quiet:
        known = f", {found.skipped:,} done before" if found.skipped else ""
        note(f"{found.compressed:,} ok, {found.failed:,} failed{known}: {found.table}")
    return 1 if found.failed else 0


@contextmanager
def _shown(quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Show a progress bar on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm

    with tqdm(unit="file", dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
