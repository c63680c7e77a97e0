"""Declaration of options in both spellings, and the options that several commands share."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slimcae.backend import BACKENDS
from slimcae.cli.quantities import count, whole
from slimcae.errors import ConfigError, ContradictionError, MissingPackageError
from slimcae.model.config import DEVICES, PRECISIONS

STATE_IN_FOLDER = "state.pt"

Options = argparse._ActionsContainer  # a parser or a group of its options


def add_option(options: Options, *names: str, also: Sequence[str] = (), **settings: Any) -> None:
    """Add an option that may be spelt `--an_option` or `--an-option`.

    Help and errors show only `names`, not the dashed spellings or those in `also`.
    """
    dashed = [name.replace("_", "-") for name in (*names, *also) if "_" in name]
    action = options.add_argument(*names, *also, *dashed, **settings)
    action.option_strings = list(names)  # only for display; argparse finds options elsewhere


def add_images_option(
    options: Options, name: str, meaning: str, also: Sequence[str] = (), *, required: bool = True
) -> None:
    """Add an option for the images of a folder or pattern."""
    add_option(
        options,
        name,
        also=also,
        required=required,
        metavar="IMAGES",
        help=f"{meaning} images: a folder (searched recursively) or a 'pattern'",
    )


def add_network_options(options: Options, default_device: str = "cpu") -> None:
    """Add the options that determine how the network of a codec runs."""
    add_device_option(options, default_device)
    add_option(
        options,
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="auto: bfloat16 if torch supports it natively here (default: auto)",
    )
    add_option(
        options,
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="auto: torch if it is faster, else ONNX Runtime (default: auto)",
    )
    add_option(
        options,
        "--threads",
        type=whole,
        metavar="N",
        help="threads of the network (default: all cores, shared by the files)",
    )


def network_options(args: argparse.Namespace, jobs: int = 1) -> dict[str, Any]:
    """Return the options of `add_network_options` as arguments of `slimcae.codec.load`.

    jobs: number of files that are processed in parallel.
    """
    from slimcae.machine import available_cores

    threads = args.threads or (max(1, available_cores() // jobs) if jobs > 1 else None)
    return {
        "device": args.device,
        "precision": args.precision,
        "backend": args.backend,
        "threads": threads,
    }


def require_packages(purpose: str, *packages: str) -> None:
    """Check, before any work, that packages are installed.

    Raises:
        MissingPackageError: A package is missing; names the first one and its purpose.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingPackageError(package, purpose)


def add_device_option(options: Options, default: str) -> None:
    """Add the option for the device of the network."""
    add_option(
        options,
        "--device",
        choices=DEVICES,
        default=default,
        help=f"auto: a GPU if there is one (default: {default})",
    )


def add_model_option(options: Options, default: str = "the packaged one") -> None:
    """Add the option for the model; `default` describes the default model."""
    add_option(
        options,
        "-m",
        "--model",
        metavar="MODEL",
        help=f"NAME, NAME@VERSION, file or run folder (default: {default})",
    )


def add_metadata_option(options: Options) -> None:
    """Add the choice of metadata to keep, whose default is that of `Codec.compress`."""
    add_option(
        options,
        "--metadata",
        choices=("all", "icc", "none"),
        default="icc",
        help="metadata to keep (default: icc); EXIF can contain a location",
    )


def add_max_pixels_option(options: Options) -> None:
    """Add the limit of the size of pictures, which a decoder checks before it allocates."""
    add_option(
        options,
        "--max_pixels",
        type=count,
        metavar="N",
        help="reject larger pictures (default: 2^28)",
    )


def add_width_options(options: Options) -> None:
    """Add the options of the earlier port for the widths of a model."""
    add_option(
        options,
        "--switch_list",
        type=int,
        nargs="+",
        metavar="WIDTH",
        help="widths, widest first, as in 192 144 96 72 48",
    )
    add_option(
        options,
        "--num_filters",
        type=int,
        metavar="WIDTH",
        help="the widest width; must agree with --switch_list",
    )


def wanted_widths(args: argparse.Namespace) -> tuple[int, ...] | None:
    """Return the widths of --switch_list, checked against --num_filters, or None.

    Raises:
        ConfigError: The two contradict each other.
    """
    if args.switch_list is None:
        return None
    if args.num_filters not in (None, args.switch_list[0]):
        raise ConfigError(
            f"--num_filters {args.num_filters} is not the first of --switch_list "
            f"{' '.join(map(str, args.switch_list))}: both name the widest width"
        )
    return tuple(args.switch_list)


def check_num_filters(num_filters: int | None, origin: Path, widest: int) -> None:
    """Check --num_filters against the largest width of a model file.

    Raises:
        ContradictionError: They differ.
    """
    if num_filters not in (None, widest):
        raise ContradictionError("num_filters", str(num_filters), origin, str(widest))
