"""`slimcae compress`: pictures to `.scae` files."""

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from slimcae.cli.batch import Done, Gate, run_jobs
from slimcae.cli.decoder_limit import DecoderLimit, add_decoder_limit_options, decoder_limit
from slimcae.cli.jobs import Job, Plan, add_file_options, plan_jobs
from slimcae.cli.left_out import report_left_out
from slimcae.cli.options import (
    add_max_pixels_option,
    add_model_option,
    add_network_options,
    add_option,
    network_options,
)
from slimcae.cli.rate import add_effort_option, add_rate_options, chosen_rate
from slimcae.cli.streams import STREAM, read_standard_input, write_output, write_stream
from slimcae.cli.talk import add_talk_options
from slimcae.files import write_bytes

if TYPE_CHECKING:
    from slimcae.codec import Codec, Compressed
    from slimcae.images import Picture

LONG_EFFORT = 6
"""From here on a picture takes so long that its progress is shown."""
_EPILOG = """\
effort: time to encode, as multiples of effort 2 by one thread, and bytes at equal PSNR (width 96)
  1    0.6 x   +12 %    a simpler entropy model; decodes faster, too
  2      1 x            rounds to the nearest integers
  3      6 x    -6 %    latents follow the gradient of their cost, one step; it needs PyTorch
  4      9 x    -7.5 %  two steps
  5     16 x    -8 %    four steps
  6     28 x    -8.5 %  eight steps
  7     80 x    as 6    the same, also in 16 steps: what costs less is kept, here and below
  8    185 x    as 6    the same, also in 32 steps
  9    390 x    as 6    the same, also in 64 steps

A decoder sees no difference between 2 and 9. At a width or quality, bytes fall and PSNR stays about
the same; targets are met as ever, and within bits or bytes PSNR rises.

`slimcae info MODEL` lists a model's widths, or the points that it has instead. An existing output
is replaced only with -y.

examples:
  slimcae compress photo.png                            # photo.scae, at the widest width
  slimcae compress photo.png -o small.scae --target_size 50kB
  slimcae compress -r photos -o small/ -q 40 -j 2 --skip_existing
  slimcae compress photo.png --max_decode_macs 2k       # the best within 2,000 MAC per pixel
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
            "size and quality, at most one (default: the widest width; with a limit, -q 100)"
        )
    )
    add_decoder_limit_options(
        parser.add_argument_group("limits for the decoder, with any of those above")
    )
    pictures = parser.add_argument_group("pictures and model")
    add_option(
        pictures,
        "--metadata",
        choices=("all", "icc", "none"),
        help="what to keep (default: icc; all includes EXIF, which can hold a position)",
    )
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
    return run_jobs(plan, compressor, args, compressor.prepare, compressor.at_a_time)


class _Compressor:
    """Compresses the pictures of jobs, all in the same way."""

    def __init__(self, args: argparse.Namespace, plan: Plan) -> None:
        self._args = args
        from slimcae.images import picture_pixels

        self._plan = plan
        self._pixels = cache(picture_pixels)
        self.at_a_time = plan.files_at_a_time(args.jobs, self._pixels)
        self._choice = chosen_rate(args) | {"effort": args.effort}
        self._handling: dict[str, Any] = {"verify": args.verify}
        if args.metadata is not None:
            self._handling["metadata"] = args.metadata

    def prepare(self) -> "tuple[Codec, DecoderLimit | None]":
        """Load what all pictures share.

        Raises:
            SlimCAEError: no such model, width or profile.
        """
        return self._codec, self._limit

    def __call__(self, job: Job, gate: Gate) -> Done:
        from slimcae.codec import Target

        picture = self._read(
            job.source
        )  # before the network is loaded: a wrong name is found at once
        codec, limit = self.prepare()
        size = picture.pixels.shape[:2]
        choice = self._choice
        if limit is not None:
            choice = choice | limit.choose(self._chosen, codec.points, size)
        start = time.perf_counter()
        with self._showing(codec) as shown:
            found = shown.encode(picture, Target(**choice), **self._handling)
        seconds = time.perf_counter() - start
        data = found.data
        del picture  # not to be held while a slow disk writes
        with gate:
            if job.output == STREAM:
                write_stream(data)
            else:
                write = partial(write_bytes, data=data)
                write_output(job.source, job.output, write, overwrite=self._args.overwrite)
        return self._describe(found, seconds)

    @property
    def _chosen(self) -> int | None:
        """The operating point that was asked for."""
        found: int | None = self._args.width
        return self._args.point if found is None else found

    @cached_property
    def _codec(self) -> "Codec":
        from slimcae import codec
        from slimcae.backend import TORCH_PAYS_AFTER

        loaded = codec.load(
            self._args.model,
            **network_options(self._args, self.at_a_time),
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
        """Show on a terminal that the one picture gets on, where that takes long."""
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
