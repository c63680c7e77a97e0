"""`slimcae profile`: what each width of a model costs, in numbers and on this machine."""

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.cli.options import add_model_option, add_network_options, add_option
from slimcae.cli.streams import cannot_write
from slimcae.cli.talk import add_talk_options
from slimcae.cost import decoder_macs, default_profile, encoder_macs, parameters, write_profile
from slimcae.errors import ConfigError
from slimcae.models import find_model

if TYPE_CHECKING:
    from slimcae.cost import Profile

log = logging.getLogger("slimcae")

PHOTO = (768, 512)
"""Columns and rows of the picture that times are given for."""

_EPILOG = """\
Times real pictures of several sizes through the codec. `slimcae compress --max-decode-ms` reads the
result: run this on the machine that will decode. Times are without the start of the program.

examples:
  slimcae profile --repeats 9
  slimcae profile --model runs/first -o phone.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Measure how long this machine takes at each width of a model."
    parser.epilog = _EPILOG
    add_option(
        parser, "-o", "--output", metavar="FILE", help="default: this machine's own, for compress"
    )
    add_option(parser, "-y", "--overwrite", action="store_true", help="replace an existing FILE")
    add_option(
        parser,
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="runs of each picture, of which the median counts (default: 3)",
    )
    add_option(parser, "--json", action="store_true", help="print one JSON object")
    add_model_option(parser)
    add_network_options(parser)
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    path = default_profile() if args.output is None else Path(args.output)
    if args.output is not None and path.exists() and not args.overwrite:
        raise ConfigError(f"{path} exists: add -y to replace it, or name another file with -o")
    model = find_model(args.model)

    from slimcae import codec, profiling

    loaded = codec.load(model, device=args.device, precision=args.precision)
    profile = profiling.measure(loaded, args.repeats)
    try:
        write_profile(profile, path)
    except OSError as error:
        raise cannot_write(str(path), error) from error
    rows = [_row(profile, width) for width in profile.decode]
    if args.json:
        facts = {
            name: value for name, value in vars(profile).items() if not isinstance(value, dict)
        }
        print(json.dumps({"file": str(path), **facts, "widths": rows}))
        return 0
    print(f"{profile.model} on {profile.machine}; threads: {profile.threads}, {profile.precision}")
    print(_HEAD)
    for row in rows:
        print(_LINE.format(**row))
    log.info("profile written: %s", path)
    return 0


_HEAD = (
    "width  parameters  kMAC per pixel        ms for 768x512     decoder\n"
    "                   encode  decode      encode    decode        MP/s"
)
_LINE = (
    "{width:5}  {parameters:10,}  {encoder_kmac:6.2f}  {decoder_kmac:6.2f}  "
    "{encode_ms:10.1f}{decode_ms:10.1f}  {megapixels_per_second:10.2f}"
)


def _row(profile: "Profile", width: int) -> dict[str, Any]:
    pixels = PHOTO[0] * PHOTO[1]
    decode_ms = profile.decode_ms(width, pixels)
    return {
        "width": width,
        "parameters": parameters(width),
        "encoder_kmac": encoder_macs(width) / 1000,
        "decoder_kmac": decoder_macs(width) / 1000,
        "encode_ms": profile.encode[width].of(pixels),
        "decode_ms": decode_ms,
        "megapixels_per_second": pixels / decode_ms / 1000,
    }
