"""`slimcae decompress`: decompress `.scae` files to pictures."""

import argparse
import logging
import threading
import time
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.cli.batch import Done, Gate, run_jobs
from slimcae.cli.jobs import Job, Plan, add_file_options, plan_jobs
from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import (
    add_max_pixels_option,
    add_model_option,
    add_network_options,
    add_option,
    network_options,
)
from slimcae.cli.quantities import quality
from slimcae.cli.streams import (
    STREAM,
    cannot_read,
    naming,
    read_bitstream,
    write_output,
    write_stream,
)
from slimcae.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

    from slimcae.codec import Codec
    from slimcae.container import Header

DEFAULT_FORMAT = "png"
FORMATS = (DEFAULT_FORMAT, "webp", "jpg", "jpeg", "tif", "tiff", "avif", "jp2", "bmp", "ppm")

_EPILOG = """\
The suffix of an output determines its format. Each file is decoded with the model that made it.

examples:
  slimcae decompress photo.scae                         # photo.png
  slimcae decompress photo.scae -o back.webp -y
  slimcae decompress big.scae -o part.png --crop 4096,2048,512,512
  slimcae decompress -r small -o back/ --format webp -j 2
  slimcae decompress - < photo.scae > back.png
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae decompress INPUT... [-o OUTPUT] [options]"
    parser.description = "Decompress .scae files to pictures."
    parser.epilog = _EPILOG
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help=".scae files, or folders with -r; - is standard input",
    )
    add_talk_options(parser, logging.WARNING)
    add_file_options(parser.add_argument_group("files"), ".png")
    pictures = parser.add_argument_group("pictures and model")
    add_option(
        pictures,
        "--format",
        choices=FORMATS,
        metavar="KIND",
        help="png, webp, jpg, tif, ... (default: as OUTPUT's suffix, or png)",
    )
    add_option(
        pictures,
        "--output_quality",
        type=quality,
        metavar="N",
        help="of jpg, webp and avif, 1 to 100 (default: 95; webp: lossless)",
    )
    add_option(
        pictures,
        "--crop",
        type=_crop,
        metavar="X,Y,W,H",
        help="decode only W x H pixels, starting at column X and row Y",
    )
    add_max_pixels_option(pictures)
    add_model_option(pictures, "that of the file")
    add_network_options(pictures)


def run(args: argparse.Namespace) -> int:
    """Decompress."""
    _check_format(args)
    plan = plan_jobs(args, f".{args.format or DEFAULT_FORMAT}", ["scae"], "files")
    decompressor = _Decompressor(args, plan)
    return run_jobs(plan, decompressor, args, decompressor.prepare, decompressor.at_a_time)


def _check_format(args: argparse.Namespace) -> None:
    """Check --format, --output_quality and the suffix of the output against each other.

    Raises:
        ConfigError: Two of them contradict each other.
    """
    from slimcae.images import QUALITY_KINDS

    suffix = Path(args.output or "").suffix.lower().removeprefix(".")
    named = suffix if suffix in FORMATS and not Path(args.output).is_dir() else None
    if args.format is not None and named is not None and _same(named) != _same(args.format):
        raise ConfigError(
            f"--format {args.format} contradicts -o {args.output}: leave out one of them, or give "
            f"a name with suffix .{args.format}"
        )
    kind = named or args.format or DEFAULT_FORMAT
    if args.output_quality is not None and kind not in QUALITY_KINDS:
        raise ConfigError(
            f"--output_quality {args.output_quality}: {kind} has no quality; choose one of "
            f"{', '.join(QUALITY_KINDS)} with --format or -o"
        )


def _same(kind: str) -> str:
    """Return one name for all suffixes of a format."""
    return {"jpeg": "jpg", "tiff": "tif"}.get(kind, kind)


class _Decompressor:
    """Decompresses the files of jobs, each with its own model unless --model is given."""

    def __init__(self, args: argparse.Namespace, plan: Plan) -> None:
        self._args = args
        self._plan = plan
        self._pixels = cache(_pixels)
        self.at_a_time = plan.files_at_a_time(args.jobs, self._pixels)
        self._codecs: dict[str | Path, Codec] = {}
        self._loading = threading.Lock()
        named = {"crop": args.crop, "max_pixels": args.max_pixels}
        self._choice = {name: value for name, value in named.items() if value is not None}

    def prepare(self) -> None:
        """Load the model that was named, if one was.

        Raises:
            ModelError: there is none.
        """
        if self._args.model is not None:
            self._load(self._args.model)

    def __call__(self, job: Job, gate: Gate) -> Done:
        # of a crop, the codec reads only the tiles that it needs; of a pipe, all must be read
        by_path = self._args.crop is not None and Path(job.source).is_file()
        data = Path(job.source) if by_path else read_bitstream(job.source)
        with naming(job.source):
            header = _header(data)  # rejects a foreign file before the network is loaded
            codec = self._codec(header)
            start = time.perf_counter()
            image = codec.decompress(data, **self._choice)
            seconds = time.perf_counter() - start
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        with gate:
            self._write(image, job)
        return _describe(header, image, size, seconds)

    def _codec(self, header: "Header") -> "Codec":
        if self._args.model is not None:
            return self._load(self._args.model)
        from slimcae.model.registry import model_for

        return self._load(model_for(header))

    def _load(self, model: str | Path) -> "Codec":
        from slimcae import codec
        from slimcae.backend import TORCH_PAYS_AFTER

        with self._loading:
            if model not in self._codecs:
                self._codecs[model] = codec.load(
                    model,
                    **network_options(self._args, self.at_a_time),
                    megapixels=self._plan.megapixels(self._pixels, TORCH_PAYS_AFTER),
                )
            return self._codecs[model]

    def _write(self, image: "Image", job: Job) -> None:
        from slimcae.images import write_image

        kind = self._args.format
        if job.output != STREAM:
            suffix = None if kind is None else f".{kind}"
            quality = self._args.output_quality
            write = partial(write_image, image, suffix=suffix, quality=quality)
            write_output(job.source, job.output, write, overwrite=self._args.overwrite)
            return
        content = BytesIO()
        quality = self._args.output_quality
        write_image(image, content, f".{kind or DEFAULT_FORMAT}", quality)
        write_stream(content.getbuffer())


def _pixels(path: Path) -> int:
    header = _header(path)
    return header.image_width * header.image_height


def _header(data: bytes | Path) -> "Header":
    from slimcae import container

    if isinstance(data, bytes):
        return container.read_header(data)
    try:
        with data.open("rb") as file:
            return container.Reader(file).header
    except OSError as error:
        raise cannot_read(str(data), error) from error


def _describe(header: "Header", image: "Image", size: int, seconds: float) -> Done:
    """Return the result; pixels are those of the crop, bytes and bpp those of the whole file."""
    facts: dict[str, Any] = {
        "bytes": size,
        "bpp": 8 * size / (header.image_width * header.image_height),
        "width": header.num_filters,
        "step": header.step,
        "image_width": image.width,
        "image_height": image.height,
        "seconds": seconds,
    }
    return Done(facts, f"{image.width}x{image.height}  {seconds:.2f} s")


def _crop(text: str) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError:
        x = y = width = height = -1
    if min(x, y) < 0 or min(width, height) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give four whole numbers, X,Y,W,H, with W and H at least 1"
        )
    return x, y, width, height
