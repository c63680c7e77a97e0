"""Options for the size or quality of a compressed picture."""

import argparse
from typing import Any

from slimcae.cli.options import add_option
from slimcae.cli.quantities import percentage, positive, size
from slimcae.errors import ConfigError

_CHOICES = ("width", "point", "quality", "bpp", "target_size", "target_psnr")
_TARGETS = _CHOICES[3:]


def add_rate_options(options: argparse._ArgumentGroup) -> None:
    """Add the mutually exclusive options for the targets of `Codec.compress`."""
    one = options.add_mutually_exclusive_group()
    add_option(one, "-w", "--width", type=int, metavar="W", help="use this width of the model")
    add_option(
        one,
        "--point",
        type=int,
        metavar="N",
        help="use this operating point of a model with several points per width",
    )
    add_option(
        one,
        "-q",
        "--quality",
        type=percentage,
        metavar="Q",
        help="0 (smallest) to 100 (best); accepts fractions",
    )
    add_option(one, "--bpp", type=positive, metavar="B", help="at most B bits per pixel")
    add_option(
        one,
        "--target_size",
        type=size,
        metavar="BYTES",
        help="at most BYTES; accepts 200kB, 1.5MB, 64KiB",
    )
    add_option(
        one, "--target_psnr", type=positive, metavar="DB", help="a PSNR of at least DB decibels"
    )
    add_option(
        options,
        "--closest",
        action="store_true",
        help="if a target is out of range, use the nearest possible value",
    )


def add_effort_option(options: argparse._ArgumentGroup, where: str) -> None:
    """Add the option for the effort; `where` refers to a description of each effort."""
    add_option(
        options,
        "--effort",
        type=int,
        choices=range(1, 10),
        default=2,
        metavar="E",
        help=f"1 (fastest) to 9 (smallest), {where} (default: 2)",
    )


def chosen_rate(args: argparse.Namespace) -> dict[str, Any]:
    """Return the chosen target as arguments of `Codec.compress`; empty if there is none.

    Raises:
        ConfigError: --closest is given without a target.
    """
    choice = {name: getattr(args, name) for name in _CHOICES if getattr(args, name) is not None}
    if args.closest:
        if choice.keys().isdisjoint(_TARGETS):
            raise ConfigError("--closest needs a target: --bpp, --target_size or --target_psnr")
        choice["closest"] = True
    return choice
