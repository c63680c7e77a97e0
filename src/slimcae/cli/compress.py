"""`slimcae compress`: compress pictures to `.scae` files."""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.cli.batch import Done, Gate, run_jobs
from slimcae.cli.decoder_limit import DecoderLimit, add_decoder_limit_options, decoder_limit
from slimcae.cli.jobs import Job, Plan, add_file_options, plan_jobs
from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import (
    add_max_pixels_option,
    add_metadata_option,
    add_model_option,
    add_network_options,
    add_option,
    network_options,
)
from slimcae.cli.rate import add_effort_option, add_rate_options, chosen_rate
from slimcae.cli.skipped_files import report_left_out
from slimcae.cli.streams import STREAM, read_standard_input, write_output, write_stream
from slimcae.files import write_bytes

if TYPE_CHECKING:
    from slimcae.codec import Codec, Compressed
    from slimcae.images import Picture

LONG_EFFORT = 6
"""Lowest effort that is slow enough to show progress within a picture."""
_EPILOG = """\
effort: time to encode, as multiples of effort 2 by one thread, and bytes at equal PSNR (width 96)
  1    0.7 x   +16 %    a simpler entropy model; decodes faster, too
  2      1 x            rounds to the nearest integers
  3      5 x    -6 %    latents follow the gradient of their cost, one step
  4      6 x    -7 %    two steps
  5     10 x    -7 %    four steps
  6     18 x    -8 %    eight steps
  7    140 x    -9 %    also 60 steps with random rounding; the better result is kept
  8    250 x   -10 %    the same with 120 steps
  9    510 x   -11 %    the same with 240 steps

Decoding takes the same time from 2 to 9. With -w or -q, higher efforts usually reduce the bytes at
about the same PSNR; at high quality they may raise both. With --bpp or --target_size, they increase
the PSNR; with --target_psnr, they reduce the bytes.

`slimcae info MODEL` lists the widths or points of a model. Existing outputs are replaced only with
-y.

examples:
  slimcae compress photo.png                            # photo.scae, at the widest width
  slimcae compress photo.png -o small.scae --target_size 50kB
  slimcae compress -r photos -o small/ -q 40 -j 2 --skip_existing
  slimcae compress photo.png --max_decode_macs 2k       # best quality within 2,000 MAC per pixel
  slimcae compress - < photo.png > photo.scae
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae compress INPUT... [-o OUTPUT] [options]"
    parser.description = "Compress pictures to .scae files."
    parser.epilog = _EPILOG
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="pictures that Pillow can read, or folders with -r; - is standard input",
    )
    add_talk_options(parser, logging.WARNING)
    files = parser.add_argument_group("files")
    add_file_options(files, ".scae")
    add_option(
        files,
        "--keep_suffix",
        action="store_true",
        help="name outputs photo.png.scae, so that photo.jpg does not collide",
    )
    add_rate_options(
        parser.add_argument_group(
            "size and quality, at most one (default: the largest width; with a limit, -q 100)"
        )
    )
    add_decoder_limit_options(
        parser.add_argument_group("limits for the decoder, together with any of the above")
    )
    pictures = parser.add_argument_group("pictures and model")
    add_metadata_option(pictures)
    add_max_pixels_option(pictures)
    add_effort_option(pictures, "see below")
    add_option(pictures, "--verify", action="store_true", help="decode and compare before writing")
    add_model_option(pictures)
    add_network_options(pictures)


def run(args: argparse.Namespace) -> int:
    """Compress."""
    from slimcae.images import KINDS, plugin_kinds

    kinds = (*KINDS, *plugin_kinds())
    plan = plan_jobs(args, ".scae", kinds, keep_suffix=args.keep_suffix)
    report_left_out(plan.left_out, ".scae")
    compressor = _Compressor(args, plan)
    return run_jobs(plan, compressor, args, compressor.prepare, compressor.threads)


class _Compressor:
    """Compresses the pictures of jobs with the same settings."""

    def __init__(self, args: argparse.Namespace, plan: Plan) -> None:
        self._args = args
        from slimcae.images import picture_pixels

        self._plan = plan
        self._pixels = cache(picture_pixels)
        self._at_a_time = plan.files_at_a_time(args.jobs, self._pixels)
        self._computing = threading.BoundedSemaphore(self._at_a_time)
        self._choice = chosen_rate(args) | {"effort": args.effort}
        self._handling = {"verify": args.verify, "metadata": args.metadata}

    @property
    def threads(self) -> int:
        """Number of threads that do jobs.

        Where several pictures are computed at a time, as many threads more wait for disks: a file
        takes milliseconds until it lies safely there, in which another one has the core.
        """
        return 2 * self._at_a_time if self._at_a_time > 1 else 1

    def prepare(self) -> "tuple[Codec, DecoderLimit | None]":
        """Load the model and the limits, which all pictures share.

        Raises:
            SlimCAEError: There is no such model, width or profile.
        """
        return self._codec, self._limit

    def __call__(self, job: Job, gate: Gate) -> Done:
        _read_ahead(job.source)
        with self._computing:
            found, seconds = self._encode(job)
        with gate:
            if job.output == STREAM:
                write_stream(found.data)
            else:
                write = partial(write_bytes, data=found.data)
                write_output(job.source, job.output, write, overwrite=self._args.overwrite)
        return self._describe(found, seconds)

    def _encode(self, job: Job) -> "tuple[Compressed, float]":
        """Return a picture's file, and the seconds from pixels to bytes."""
        from slimcae.codec import Target

        # before the network is loaded, to report a wrong name at once
        picture = self._read(job.source)
        codec, limit = self.prepare()
        size = picture.pixels.shape[:2]
        choice = self._choice
        if limit is not None:
            choice = choice | limit.choose(self._chosen, codec.points, size)
        start = time.perf_counter()
        with self._showing(codec) as shown:
            found = shown.encode(picture, Target(**choice), **self._handling)
        return found, time.perf_counter() - start

    @property
    def _chosen(self) -> int | None:
        """Return the requested operating point."""
        found: int | None = self._args.width
        return self._args.point if found is None else found

    @cached_property
    def _codec(self) -> "Codec":
        from slimcae import codec
        from slimcae.backend import TORCH_PAYS_AFTER

        loaded = codec.load(
            self._args.model,
            **network_options(self._args, self._at_a_time),
            megapixels=self._plan.megapixels(self._pixels, TORCH_PAYS_AFTER),
        )
        if self._args.width is not None:
            loaded.model.check_width(self._args.width)
        if self._args.point is not None:
            loaded.model.check_point(self._args.point)
        return loaded

    @cached_property
    def _limit(self) -> DecoderLimit | None:
        return decoder_limit(self._args, self._codec)

    @contextmanager
    def _showing(self, codec: "Codec") -> "Iterator[Codec]":
        """Show the progress of a single slow picture on a terminal."""
        quiet = self._args.level >= logging.ERROR or not sys.stderr.isatty()
        if self._plan.several or quiet or self._args.effort < LONG_EFFORT:
            yield codec
            return
        from tqdm import tqdm

        with tqdm(desc="searching", unit="pass", dynamic_ncols=True, leave=False) as bar:

            def tell() -> None:
                bar.update()

            yield codec.watched(tell)

    def _read(self, source: str) -> "Picture":
        from slimcae.images import MAX_PIXELS, read_picture

        return read_picture(
            read_standard_input() if source == STREAM else source,
            self._args.max_pixels or MAX_PIXELS,
        )

    def _describe(self, found: "Compressed", seconds: float) -> Done:
        header, (width, step) = found.header, found.point
        rows, columns = header.image_height, header.image_width
        facts: dict[str, Any] = {
            "bytes": len(found.data),
            "bpp": found.bpp,
            "width": header.num_filters,
            **({} if width == header.num_filters else {"point": width}),
            "step": step,
            "image_width": columns,
            "image_height": rows,
            "seconds": seconds,
        }
        delta = f" Δ {self._codec.model.steps[step]:.3g}" if step else ""
        line = (
            f"{columns}x{rows}  {self._codec.model.label(width)}{delta}  {len(found.data):,} B  "
            f"{found.bpp:.3f} bpp  {seconds:.2f} s"
        )
        if self._limit is not None:
            cost = self._limit.cost(width, (rows, columns))
            facts |= {"decode_macs_per_pixel": cost.macs, "decode_ms": cost.ms}
            line += f"  decoding: {cost}"
        return Done(facts, line)


def _read_ahead(source: str) -> None:
    """Ask the system for a file's content, which a thread will want when its turn comes.

    Whatever is wrong with the file shows then.
    """
    if hasattr(os, "posix_fadvise"):  # Linux has it, not macOS nor Windows
        with suppress(OSError):
            if Path(source).is_file():  # opening a pipe would change it
                with Path(source).open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
