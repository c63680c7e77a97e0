"""`slimcae train`: train a model, or go on with training."""

import argparse
import logging
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

from slimcae.cli.options import (
    STATE_IN_FOLDER,
    add_device_option,
    add_images_option,
    add_option,
    add_width_options,
    wanted_widths,
)
from slimcae.cli.settings import add_settings, given_settings
from slimcae.cli.talk import add_talk_options, say
from slimcae.errors import ConfigError
from slimcae.model.config import GDN_VARIANTS
from slimcae.model.header import MODEL_NAME, read_model_header
from slimcae.training.settings import TrainSettings

OPTIMIZATION = (
    "patchsize",
    "batchsize",
    "optimizer",
    "learning_rate",
    "entropy_learning_rate",
    "warmup_steps",
    "clip_norm",
    "ema_decay",
    "quantization",
    "sandwich",
    "seed",
)
RUNNING = ("precision", "compile", "cache_gb", "num_workers", "log_every", "save_minutes")

_EPILOG = """\
A folder that holds a run is continued with the settings it has, except for those given. Ctrl-C
saves first. Every option may be spelt with dashes too: --last-step.

examples:
  slimcae train --train_glob photos/ --checkpoint_dir runs/first
  slimcae train --train_glob 'photos/**/*.png' --checkpoint_dir runs/small --switch_list 96 48
  torchrun --nproc-per-node 2 -m slimcae train --train_glob photos/ --checkpoint_dir runs/first
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae train --train_glob IMAGES --checkpoint_dir FOLDER [options]"
    parser.description = "Train a slimmable autoencoder, all widths together."
    parser.epilog = _EPILOG
    places = parser.add_argument_group("data and results")
    add_images_option(places, "--train_glob", "training")
    add_checkpoint_dir_option(places, "run folder: model.safetensors, training state, logs")
    model = parser.add_argument_group("model")
    add_width_options(model)
    add_option(model, "--gdn", choices=GDN_VARIANTS, help="normalization (default: switchable)")
    add_lmbda_option(model, "(default: 2048, and half as much for each narrower width)")
    add_option(
        model, "--init_from", type=Path, metavar="FILE", help="begin with this model's weights"
    )
    add_option(
        model,
        "--no_warm_start",
        dest="warm_start",
        action="store_false",
        help="begin at random instead of as a block transform",
    )
    optimization = parser.add_argument_group("optimization")
    add_settings(optimization, TrainSettings, ("last_step", "decay", "stage", *OPTIMIZATION))
    running = parser.add_argument_group("running")
    add_device_option(running, "auto")
    add_settings(running, TrainSettings, RUNNING)
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from slimcae.images import find_images

    widths = wanted_widths(args)
    if widths is None and args.num_filters is not None:
        raise ConfigError(
            f"--num_filters {args.num_filters} does not say the other widths: "
            "give --switch_list too, or neither of them"
        )
    given = given_settings(args, TrainSettings)
    settings = TrainSettings(**{**_settings_of_run(args.checkpoint_dir), **given})
    paths = find_images(args.train_glob)

    from slimcae.training.run import Start, train

    lmbda = None if args.lmbda is None else tuple(args.lmbda)
    start = Start(widths, args.gdn, lmbda, args.init_from, args.warm_start)
    return end(train(args.checkpoint_dir, paths, start, settings, args.device), args.checkpoint_dir)


def _settings_of_run(folder: Path) -> dict[str, Any]:
    """What the run in a folder was last trained with; nothing if there is none."""
    model = folder / MODEL_NAME
    if not model.exists() or not (folder / STATE_IN_FOLDER).exists():
        return {}
    known = {field.name for field in fields(TrainSettings)}
    stored = read_model_header(model).training
    return {name: value for name, value in stored.items() if name in known}


def end(stopped_by: int | None, folder: Path) -> int:
    """The exit code of training; a stop by a signal is reported."""
    if stopped_by is None:
        return 0
    name = signal.Signals(stopped_by).name
    say(f"stopped by {name}: the state is saved in {folder}, the same command continues")
    return 128 + stopped_by


def add_checkpoint_dir_option(options: argparse._ArgumentGroup, meaning: str) -> None:
    """Which run folder."""
    add_option(
        options, "--checkpoint_dir", required=True, type=Path, metavar="FOLDER", help=meaning
    )


def add_lmbda_option(options: argparse._ArgumentGroup, default: str) -> None:
    """Which rate-distortion tradeoffs."""
    add_option(
        options,
        "--lmbda",
        type=float,
        nargs="+",
        metavar="X",
        help=f"weight of the distortion, one per width {default}",
    )
