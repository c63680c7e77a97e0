"""`slimcae decompress`: a `.scae` file to a picture."""

import argparse
import logging
import sys
import time
from io import BytesIO
from pathlib import Path

from slimcae.cli.options import add_model_option, add_network_options, add_option, model_file
from slimcae.cli.streams import (
    STREAM,
    cannot_write,
    check_output,
    default_output,
    naming,
    read_bitstream,
    write_output,
)
from slimcae.cli.talk import add_talk_options

_EPILOG = """\
The output's suffix says its format (.png, .webp, .jpg, ...); standard output gets PNG. The file
must be decoded with the model that made it.

examples:
  slimcae decompress photo.scae                       # photo.png
  slimcae decompress photo.scae -o back.webp -y
  slimcae decompress - < photo.scae > back.png
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Restore the picture of a .scae file."
    parser.epilog = _EPILOG
    parser.add_argument("input", help=".scae file; - is standard input")
    add_option(parser, "-o", "--output", metavar="FILE", help="default: INPUT with suffix .png")
    add_option(parser, "-y", "--overwrite", action="store_true", help="replace an existing output")
    add_model_option(parser)
    add_network_options(parser)
    add_talk_options(parser, logging.WARNING)


def run(args: argparse.Namespace) -> int:
    """Decompress."""
    from slimcae.container import read_header
    from slimcae.images import write_image

    output = args.output or default_output(args.input, ".png")
    check_output(args.input, output, overwrite=args.overwrite)
    data = read_bitstream(args.input)
    with naming(args.input):
        read_header(data)  # refuses a foreign file before torch is imported

    from slimcae import codec

    model = None if args.model is None else model_file(args.model)
    coder = codec.load(model, device=args.device, precision=args.precision)
    start = time.perf_counter()
    with naming(args.input):
        image = coder.decompress(data)
    seconds = time.perf_counter() - start
    if output == STREAM:
        png = BytesIO()
        image.save(png, "PNG", icc_profile=image.info.get("icc_profile"))
        write_output(output, png.getvalue())
    else:
        try:
            write_image(image, Path(output))
        except OSError as error:
            raise cannot_write(output, error) from error
    if args.level < logging.ERROR:
        print(
            f"{args.input} -> {output}  {image.width}x{image.height}  {seconds:.2f} s",
            file=sys.stderr,
        )
    return 0
