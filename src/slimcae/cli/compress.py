"""`slimcae compress`: a picture to a `.scae` file."""

import argparse
import logging
import sys
import time
from io import BytesIO

from slimcae.cli.options import add_model_option, add_network_options, add_option, model_file
from slimcae.cli.streams import STREAM, check_output, default_output, write_output
from slimcae.cli.talk import add_talk_options

_EPILOG = """\
A narrower width makes a smaller file of lower quality, faster; `slimcae info MODEL` lists them.

examples:
  slimcae compress photo.png                          # photo.scae, at the best quality
  slimcae compress photo.png -o small.scae --width 48
  slimcae compress - < photo.png > photo.scae
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Compress a picture to a .scae file."
    parser.epilog = _EPILOG
    parser.add_argument("input", help="picture that Pillow can read; - is standard input")
    add_option(parser, "-o", "--output", metavar="FILE", help="default: INPUT with suffix .scae")
    add_option(parser, "-y", "--overwrite", action="store_true", help="replace an existing output")
    add_option(parser, "-w", "--width", type=int, help="one of the model's (default: the widest)")
    add_model_option(parser)
    add_network_options(parser)
    add_talk_options(parser, logging.WARNING)


def run(args: argparse.Namespace) -> int:
    """Compress."""
    from slimcae.images import read_picture

    output = args.output or default_output(args.input, ".scae")
    check_output(args.input, output, overwrite=args.overwrite)
    # read before torch is imported: a mistyped name is found at once
    picture = read_picture(BytesIO(sys.stdin.buffer.read()) if args.input == STREAM else args.input)

    from slimcae import codec

    model = None if args.model is None else model_file(args.model)
    coder = codec.load(model, device=args.device, precision=args.precision)
    width = coder.widths[0] if args.width is None else args.width
    start = time.perf_counter()
    data = coder.compress(picture, width)
    seconds = time.perf_counter() - start
    write_output(output, data)
    if args.level < logging.ERROR:
        height, columns, _ = picture.pixels.shape
        print(
            f"{args.input} -> {output}  {columns}x{height}  width {width}  {len(data):,} B  "
            f"{8 * len(data) / (height * columns):.3f} bpp  {seconds:.2f} s",
            file=sys.stderr,
        )
    return 0
