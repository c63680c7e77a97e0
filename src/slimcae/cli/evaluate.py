"""`slimcae evaluate`: measure rate, quality and time of one or more models."""

import argparse
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from slimcae.cli.messages import add_talk_options, say
from slimcae.cli.options import (
    add_images_option,
    add_network_options,
    add_option,
    add_width_options,
    check_num_filters,
    network_options,
    require_packages,
    wanted_widths,
)
from slimcae.errors import ConfigError
from slimcae.model.config import check_same_config

if TYPE_CHECKING:
    from slimcae.codec import Codec

_EPILOG = """\
The command prints a table, and for several models BD-rates against the first. It writes the table
as PREFIX.csv and .json, and plots. A run folder means its model.safetensors; to evaluate
model_scheduled.safetensors, give its path.

examples:
  slimcae evaluate --inputPath kodak/ --report_path results/shipped
  slimcae evaluate --inputPath kodak/ --checkpoint_paths runs/first --report_path results/first
  slimcae evaluate --inputPath kodak/ --report_path results/both \\
      --checkpoint_paths runs/first runs/first/model_scheduled.safetensors
  slimcae evaluate --inputPath kodak/ --report_path results/three --names Small Wide Shipped \\
      --checkpoint_paths runs/small runs/wide slimcae
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae evaluate --inputPath IMAGES [options]"
    parser.description = "Measure real bytes, quality and time of a model on images."
    parser.epilog = _EPILOG
    add_images_option(parser, "--inputPath", "test", also=["--input_path"])
    add_option(
        parser,
        "--checkpoint_paths",
        nargs="+",
        metavar="MODEL",
        help="one or more: NAME, NAME@VERSION, file or run folder (default: the shipped model)",
    )
    add_option(
        parser,
        "--names",
        nargs="+",
        metavar="TEXT",
        help="names of the models in the report (default: their files or folders)",
    )
    add_option(
        parser,
        "--report_path",
        default="results/report",
        metavar="PREFIX",
        help="prefix of the names of the report's files (default: results/report)",
    )
    add_width_options(parser)
    add_network_options(parser, "auto")
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    require_packages("this needs", "torch", "pytorch_msssim", "scipy", "matplotlib")
    from slimcae.images import find_images

    widths = wanted_widths(args)
    images = find_images(args.inputPath)

    from tqdm import tqdm

    from slimcae.evaluation import evaluate_models, format_report
    from slimcae.evaluation.report import resolve_prefix
    from slimcae.model.registry import find_model

    paths = [find_model(name) for name in args.checkpoint_paths or [None]]
    names = args.names or [_name(path) for path in paths]
    if len(names) != len(paths):
        raise ConfigError(
            f"--names has {len(names)} names for {len(paths)} models: give one for each"
        )
    models = [(name, _load(path, widths, args)) for name, path in zip(names, paths, strict=True)]
    curves = evaluate_models(
        models,
        images,
        args.report_path,
        progress=lambda paths, name: tqdm(paths, name, unit="image", disable=None),
    )
    print(format_report(curves))
    prefix = resolve_prefix(args.report_path)
    say(f"report written: {prefix}.csv, {prefix}*.json, {prefix}_*.png")
    return 0


def _name(path: Path) -> str:
    """Return the name of a model in the report: its file, or the folder of `model.safetensors`."""
    return path.resolve().parent.name if path.stem == "model" else path.stem


def _load(path: Path, widths: tuple[int, ...] | None, args: argparse.Namespace) -> "Codec":
    from slimcae import codec

    loaded = codec.load(path, **network_options(args), megapixels=math.inf)
    check_same_config(path, loaded.model.config, widths, None)
    check_num_filters(args.num_filters, path, loaded.model.config.num_filters)
    return loaded
