"""`slimcae train`: train a model, or continue training."""

import argparse
import logging
import signal
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimcae.cli.messages import add_talk_options, say
from slimcae.cli.options import (
    STATE_IN_FOLDER,
    add_device_option,
    add_images_option,
    add_option,
    add_width_options,
    wanted_widths,
)
from slimcae.cli.settings import add_settings, given_settings
from slimcae.errors import ConfigError
from slimcae.model.config import ARCHITECTURES, GDN_VARIANTS, METHODS
from slimcae.model.header import MODEL_NAME, read_model_header
from slimcae.model.registry import find_model
from slimcae.training.settings import SCALING_SETTINGS, EntropySettings, TrainSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
    "balance",
    "border_weight",
    "sandwich",
    "seed",
)
STAGE = "stage entropy"
CONTEXT = ("entropy_model", "context_learning_rate", "at_one")
RUNNING = ("precision", "compile", "cache_gb", "num_workers", "log_every", "save_minutes")

_EPILOG = """\
If the folder contains a run, the command continues it, with its settings unless you give others.
Ctrl-C saves the state before it stops. Every option may be spelt with dashes too: --last-step.

Stage entropy trains only the context networks, which predict latents from those coded before, for
the model of --init_from, or for some of its widths (--switch_list). It takes minutes per width.
Files become 10 to 30 % smaller after `slimcae fit` has converted the networks to integers. A scale
hyperprior (--entropy_model hyperprior) is trained together with everything else.

Methods: slimcae trains the paper's model, whose widths share their kernels. The other methods are
the systems that the paper compares with (docs/reference-systems.md). independent: a network for
each λ, with the widths of --switch_list, or with one width for all λ. bottleneck_scaling: the best
point of the model of --init_from, with a factor for each latent channel for every other λ; 10,000
steps train only these. modulated: one network of one width, with channel factors that are functions
of λ.

examples:
  slimcae train --train_glob photos/ --checkpoint_dir runs/first
  slimcae train --stage entropy --init_from runs/first --train_glob photos/ \\
      --inputPath valid/ --checkpoint_dir runs/entropy
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
    add_images_option(
        places, "--inputPath", "stage entropy: validation", also=["--input_path"], required=False
    )
    model = parser.add_argument_group("model")
    add_width_options(model)
    add_option(
        model,
        "--method",
        choices=METHODS,
        help="how operating points share parameters, see below (default: slimcae)",
    )
    add_option(
        model,
        "--architecture",
        choices=ARCHITECTURES,
        help="slimcae: that of the paper; light: 19 to 28 %% of its multiplications; lighter: "
        "light with a smaller first layer and ReLU; broad: light with more latent channels at "
        "narrow widths; broader: at all widths (default: slimcae)",
    )
    add_option(
        model,
        "--gdn",
        choices=GDN_VARIANTS,
        help="normalization of architecture slimcae (default: switchable)",
    )
    add_lmbda_option(model, "(default: 2048, and half as much for each narrower width)")
    add_option(
        model,
        "--init_from",
        type=Path,
        metavar="MODEL",
        help="start from the weights of this NAME, NAME@VERSION, file or run folder",
    )
    add_option(
        model,
        "--no_warm_start",
        dest="warm_start",
        action="store_false",
        help="start from random weights instead of a block transform",
    )
    optimization = parser.add_argument_group("optimization")
    names = ("last_step", "decay", "stage", *OPTIMIZATION)
    add_settings(optimization, TrainSettings, names, EntropySettings, STAGE)
    context = parser.add_argument_group("context networks and hyperprior")
    add_settings(context, TrainSettings, CONTEXT, EntropySettings, STAGE)
    add_settings(context, EntropySettings, ("places",))
    running = parser.add_argument_group("running")
    add_device_option(running, "auto")
    add_settings(running, TrainSettings, RUNNING, EntropySettings, STAGE)
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from slimcae.images import find_images

    widths = wanted_widths(args)
    if widths is None and args.num_filters is not None and args.method not in (None, "slimcae"):
        widths = (args.num_filters,)
    if widths is None and args.num_filters is not None:
        raise ConfigError(
            f"--num_filters {args.num_filters} needs the other widths: "
            "give --switch_list too, or neither of them"
        )
    if args.init_from is not None:
        args.init_from = find_model(args.init_from)
    stored = _settings_of_run(args.checkpoint_dir)
    if getattr(args, "stage", stored.get("stage")) == EntropySettings.stage:
        return _train_entropy(args, widths, stored)
    if args.inputPath is not None or hasattr(args, "places"):
        raise ConfigError("--inputPath and --places are for --stage entropy: leave them out")
    given = given_settings(args, TrainSettings)
    usual = SCALING_SETTINGS if args.method == "bottleneck_scaling" else {}
    settings = TrainSettings(**{**usual, **_known(stored, TrainSettings), **given})
    paths = find_images(args.train_glob)

    from slimcae.training.run import Start, train

    lmbda = None if args.lmbda is None else tuple(args.lmbda)
    start = Start(
        widths, args.gdn, args.architecture, lmbda, args.init_from, args.warm_start, args.method
    )
    return end(train(args.checkpoint_dir, paths, start, settings, args.device), args.checkpoint_dir)


def _train_entropy(
    args: argparse.Namespace, widths: tuple[int, ...] | None, stored: dict[str, Any]
) -> int:
    from slimcae.images import find_images

    given = given_settings(args, EntropySettings)
    foreign = [name for name in given_settings(args, TrainSettings) if name not in given]
    of_model = ("method", "architecture", "gdn", "lmbda")
    foreign += [name for name in of_model if getattr(args, name) is not None]
    if foreign:
        raise ConfigError(f"--{foreign[0]} is not for --stage entropy: leave it out")
    settings = EntropySettings(**{**_known(stored, EntropySettings), **given})
    train_paths = find_images(args.train_glob)
    valid_paths = [] if args.inputPath is None else find_images(args.inputPath)

    from slimcae.training.run_entropy import train_entropy

    folder = args.checkpoint_dir
    stopped_by = train_entropy(
        folder, train_paths, valid_paths, args.init_from, widths, settings, args.device
    )
    return end(stopped_by, folder)


def _settings_of_run(folder: Path) -> dict[str, Any]:
    """Return the last settings of the run in a folder; empty if there is no run."""
    model = folder / MODEL_NAME
    if not model.exists() or not (folder / STATE_IN_FOLDER).exists():
        return {}
    stored = read_model_header(model).training
    found = stored.get(EntropySettings.stage, stored)  # of the context networks alone
    return found if isinstance(found, dict) else {}


def _known(stored: dict[str, Any], settings: "type[DataclassInstance]") -> dict[str, Any]:
    """Return the stored values that are fields of these settings."""
    names = {field.name for field in fields(settings)}
    return {name: value for name, value in stored.items() if name in names}


def end(stopped_by: int | None, folder: Path) -> int:
    """Return the exit code of training, and report a stop by a signal."""
    if stopped_by is None:
        return 0
    name = signal.Signals(stopped_by).name
    say(f"stopped by {name}: the state is saved in {folder}; the same command continues the run")
    return 128 + stopped_by


def add_checkpoint_dir_option(options: argparse._ArgumentGroup, meaning: str) -> None:
    """Add the option for the run folder."""
    add_option(
        options, "--checkpoint_dir", required=True, type=Path, metavar="FOLDER", help=meaning
    )


def add_lmbda_option(options: argparse._ArgumentGroup, default: str) -> None:
    """Add the option for λ, the rate-distortion tradeoffs."""
    add_option(
        options,
        "--lmbda",
        type=float,
        nargs="+",
        metavar="X",
        help=f"weight of the distortion, one per width {default}",
    )
