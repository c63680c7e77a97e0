"""The run of `train --stage entropy`: latents, context networks, checkpoints, logs."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from slimcae.codec.tiled import TiledTransforms
from slimcae.errors import ConfigError, ContradictionError
from slimcae.model.file import read_model, write_model
from slimcae.model.header import MODEL_NAME
from slimcae.model.model import Model
from slimcae.networks.context_conversion import context_tensors, networks_to_continue
from slimcae.training.context_trainer import ContextTrainer, new_network
from slimcae.training.data import GIB
from slimcae.training.distributed import local_device
from slimcae.training.interrupt import StopRequest
from slimcae.training.latents import LatentStore
from slimcae.training.run import name_of, run_steps
from slimcae.training.run_folder import (
    STATE_NAME,
    RunLog,
    load_state,
    locked,
    save_state,
    state_errors,
)
from slimcae.training.settings import EntropySettings, format_list
from slimcae.transforms import open_transforms

log = logging.getLogger("slimcae")

LATENTS = "latents"
"""Folder for latents in a run folder, with the subfolders `train` and `valid`."""


def train_entropy(
    folder: Path,
    train_paths: Sequence[Path],
    valid_paths: Sequence[Path],
    init_from: Path | None,
    widths: tuple[int, ...] | None,
    settings: EntropySettings,
    device_name: str,
) -> int | None:
    """Train the context networks of a model in `folder`, or continue an earlier run.

    init_from: the model; ignored if the folder contains a run. Existing networks of the model are
        trained further. widths: None: all. valid_paths: may be empty.

    Return the number of the signal that stopped training early, or None.

    Raises:
        ModelError: There is no model to start from, or widths contradict it or the run.
        TrainingError: There is no usable image, or the loss is not finite.
        ConfigError: Settings contradict each other or do not work on the machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("stage entropy trains in one process: start it without torchrun")
    device = local_device(device_name)
    state = load_state(folder / STATE_NAME) if (folder / STATE_NAME).exists() else None
    if state is not None and "entropy" not in state:
        raise ConfigError(
            f"stage entropy: the run in {folder} was begun with another stage", field="optimizer"
        )
    own = folder / MODEL_NAME
    origin = own if state is not None and own.exists() else init_from
    if origin is None:
        raise ConfigError("stage entropy needs a trained model to begin with", field="init_from")
    model = read_model(origin)
    if state is not None:
        with state_errors(folder / STATE_NAME):
            have = tuple(int(width) for width in state["entropy"])
        if widths not in (None, have):
            assert widths is not None
            raise ContradictionError(
                "widths", format_list(widths), folder / STATE_NAME, format_list(have)
            )
        widths = have
        if init_from is not None:
            log.info("the given model is for new runs: this one goes on from its own state")
    choose = model.check_point if state is not None else model.check_width
    widths = tuple(map(choose, widths)) if widths else model.points
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder))
        stop = stack.enter_context(StopRequest())
        tiled = TiledTransforms(
            open_transforms(model, device=device.type, precision="float32", backend="torch"),
            model.architecture,
        )
        stores = {}
        for name, paths in (("train", train_paths), ("valid", valid_paths)):
            stores[name] = _store(folder / LATENTS / name, model, widths)
            if paths and not stores[name].complete:
                log.info("latents of %d %s images: computed once, kept in %s",
                         len(paths), name, stores[name].folder)  # fmt: skip
                filling = stores[name].fill(
                    tiled, paths, settings.cache_gb * GIB, lambda: bool(stop)
                )
                for _ in tqdm(filling, total=len(paths), unit="image", disable=_silent()):
                    pass
            if stop:
                return stop.signal
        trainer = _trainer(model, widths, stores["train"], stores["valid"], settings, device)
        if state is not None:
            with state_errors(folder / STATE_NAME):
                trainer.load_state_dict(state["entropy"])
            log.info("resuming at step %d of %d", trainer.step, trainer.last_step)
            if trainer.step >= trainer.last_step:
                log.warning(
                    "nothing left to train: step %d is done",
                    settings.last_step,
                    extra={"field": "last_step"},
                )
        run_log = stack.enter_context(RunLog(folder, trainer.step))
        run_log.write(event="start", step=trainer.step, widths=widths, **settings.as_dict())
        run_steps(
            trainer, trainer.last_step, run_log, stop, lambda: save_run(folder, model, trainer)
        )
        if not stop:
            for width in widths if len(stores["valid"]) else ():
                found = _describe_validation(trainer, width, model.steps)
                log.info("%s: %s", model.label(width), found)
            log.info(
                "done: %s has the networks; fitting converts them to integers",
                folder / MODEL_NAME,
            )
        return stop.signal


def save_run(folder: Path, model: Model, trainer: ContextTrainer) -> None:
    """Write the model with its networks, and the training state."""
    save_state(folder / STATE_NAME, {"entropy": trainer.state_dict()})
    networks = networks_to_continue(model) | trainer.networks
    story = {**model.info.training, "entropy": {"step": trainer.step, **trainer.settings.as_dict()}}
    tensors = {**model.training_tensors, **context_tensors(networks)}
    info = replace(model.info, name=name_of(folder), version=str(trainer.step), training=story)
    write_model(
        folder / MODEL_NAME,
        replace(model, info=info, training_tensors=tensors),
    )


def _store(folder: Path, model: Model, widths: tuple[int, ...]) -> LatentStore:
    channels = {w: model.architecture.latent_channels(model.filters(w)) for w in widths}
    source = " ".join(f"{width}:{model.fingerprint(width).hex()}" for width in widths)
    return LatentStore(folder, channels, source)


def _trainer(
    model: Model,
    widths: Sequence[int],
    train: LatentStore,
    valid: LatentStore,
    settings: EntropySettings,
    device: torch.device,
) -> ContextTrainer:
    places = {width: train.places(width) for width in widths}
    known = networks_to_continue(model)
    architecture, kind = model.architecture, model.config.architecture
    networks = {
        width: known.get(width)
        or new_network(
            places[width], architecture.latent_channels(model.filters(width)), settings.seed, kind
        )
        for width in widths
    }
    measured = {width: valid.places(width) for width in widths if len(valid)}
    pixels = architecture.downsampling**2
    return ContextTrainer(networks, places, measured, model.steps, pixels, settings, device)


def _describe_validation(trainer: ContextTrainer, width: int, steps: Sequence[float]) -> str:
    chosen = sorted({1.0, min(steps), max(steps)})
    found = [f"{trainer.measure(width, delta):.4f} at Δ = {delta:g}" for delta in chosen]
    return f"bits per pixel of the validation images {', '.join(found)}"


def _silent() -> bool | None:
    return None if log.isEnabledFor(logging.INFO) else True
