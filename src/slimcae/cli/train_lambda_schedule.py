"""`slimcae train_lambda_schedule`: tune the λ of each width of a trained model."""

import argparse
import logging

from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import (
    add_device_option,
    add_images_option,
    add_width_options,
    check_num_filters,
    wanted_widths,
)
from slimcae.cli.settings import add_settings, given_settings
from slimcae.cli.train import (
    OPTIMIZATION,
    RUNNING,
    add_checkpoint_dir_option,
    add_lmbda_option,
    end,
)
from slimcae.model.config import check_same_config
from slimcae.model.header import MODEL_NAME, read_model_header
from slimcae.training.settings import ScheduleSettings, TrainSettings

_EPILOG = """\
The command reads model.safetensors of the run folder and does not change it. It writes
model_scheduled.safetensors, and records every try in schedule.csv and schedule.png. It continues a
stopped schedule.

examples:
  slimcae train_lambda_schedule --checkpoint_dir runs/first --train_glob photos/ --inputPath valid/
  slimcae schedule --checkpoint_dir runs/first --train_glob photos/ --inputPath valid/ --kappa 0.9
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = (
        "slimcae train_lambda_schedule --checkpoint_dir FOLDER\n"
        "           --train_glob IMAGES --inputPath IMAGES [options]"
    )
    parser.description = (
        "Starting with the largest width, lower the λ of all smaller widths and fine-tune, while\n"
        "the slope of the rate-distortion curve decreases (Yang et al. 2021, section 5)."
    )
    parser.epilog = _EPILOG
    places = parser.add_argument_group("data and results")
    add_checkpoint_dir_option(places, "run folder with the trained model")
    add_images_option(places, "--train_glob", "training")
    add_images_option(places, "--inputPath", "validation", also=["--input_path"])
    model = parser.add_argument_group("model")
    add_width_options(model)
    add_lmbda_option(model, "at the start (default: those of the model)")
    add_settings(
        parser.add_argument_group("schedule"),
        ScheduleSettings,
        ("schedule_steps", "kappa", "max_tries"),
    )
    optimization = parser.add_argument_group("optimization")
    add_settings(optimization, TrainSettings, (*OPTIMIZATION, "context_learning_rate", "at_one"))
    running = parser.add_argument_group("running")
    add_device_option(running, "auto")
    add_settings(running, TrainSettings, RUNNING)
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Schedule."""
    from slimcae.images import find_images

    origin = args.checkpoint_dir / MODEL_NAME
    widths, have = wanted_widths(args), read_model_header(origin)
    settings = TrainSettings(**given_settings(args, TrainSettings))
    train_paths, valid_paths = find_images(args.train_glob), find_images(args.inputPath)

    from slimcae.training.schedule import train_lambda_schedule

    check_same_config(origin, have.config, widths, None)
    check_num_filters(args.num_filters, origin, have.config.num_filters)
    stopped_by = train_lambda_schedule(
        args.checkpoint_dir,
        train_paths,
        valid_paths,
        None if args.lmbda is None else tuple(args.lmbda),
        settings,
        ScheduleSettings(**given_settings(args, ScheduleSettings)),
        args.device,
    )
    return end(stopped_by, args.checkpoint_dir)
