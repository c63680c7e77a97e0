"""The run of `train`: data, model, warm start or resume, loop, checkpoints, logs."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from slimcae.errors import ConfigError, ContradictionError, ModelError
from slimcae.model.config import DEFAULT_WIDTHS, ModelInfo, SlimCAEConfig, check_same_config
from slimcae.model.file import read_model, write_model
from slimcae.model.header import MODEL_NAME
from slimcae.model.model import Model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.bottleneck_scaling import ScaledBottleneck
from slimcae.networks.context import ContextNetwork, ContextNetworks
from slimcae.networks.context_conversion import context_tensors, networks_to_continue
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.hyperprior import Hyperpriors
from slimcae.networks.hyperprior_conversion import hyperprior_tensors, hyperpriors_of
from slimcae.networks.methods import new_network
from slimcae.training.context_trainer import ContextLog, ContextTrainer
from slimcae.training.data import TrainingImages
from slimcae.training.distributed import local_device, process_group
from slimcae.training.interrupt import StopRequest
from slimcae.training.progress import ProgressLines
from slimcae.training.run_folder import (
    STATE_NAME,
    RunLog,
    load_state,
    locked,
    save_state,
    state_errors,
)
from slimcae.training.settings import TrainSettings, check_lmbda, format_list
from slimcae.training.stats import StepLog
from slimcae.training.trainer import Trainer
from slimcae.training.warm_start import fit_entropy_models, warm_start_transforms
from slimcae.transforms.torch_.device import resolve_precision

log = logging.getLogger("slimcae")

WARM_START_CROPS = 64
AGREE_EVERY = 10
"""Steps after which several processes agree on whether to pause."""


@dataclass(frozen=True)
class Start:
    """The start of a new run; ignored if the folder contains a run to continue."""

    widths: tuple[int, ...] | None = None
    """Widths of the operating points. In methods other than `slimcae`, a single width stands for
    all points of `lmbda`."""
    gdn: str | None = None
    architecture: str | None = None
    lmbda: tuple[float, ...] | None = None
    init_from: Path | None = None
    """A model file with the initial weights."""
    warm_start: bool = True
    """Without `init_from`, start from a block transform instead of random weights."""
    method: str | None = None


def default_lmbda(widths: Sequence[int]) -> tuple[float, ...]:
    """Return the authors' preset: 2048 for the largest width, halved for each smaller one."""
    return tuple(2048.0 / 2**k for k in range(len(widths)))


def train(
    folder: Path, paths: Sequence[Path], start: Start, settings: TrainSettings, device_name: str
) -> int | None:
    """Train in `folder` up to `settings.last_step`, continuing an earlier run if there is one.

    paths: the training images.

    Return the number of the signal that stopped training early, or None.

    Raises:
        ModelError: `start` contradicts the run in the folder.
        TrainingError: There is no usable image, or the loss is not finite.
        ConfigError: Settings contradict each other or do not work on the machine.
    """
    device = local_device(device_name)
    resolve_precision(settings.precision, device)  # reject invalid settings at once
    with ExitStack() as stack:
        process = stack.enter_context(process_group(device))
        share = process.share(settings.batchsize)
        untrained = start.init_from is None and not (folder / STATE_NAME).exists()
        if untrained and settings.stage == "decoder":
            raise ConfigError(
                "stage decoder needs a trained model to begin with", field="init_from"
            )
        if untrained and start.method == "bottleneck_scaling":
            raise ConfigError(
                "method bottleneck_scaling needs a trained model to begin with", field="init_from"
            )
        if not folder.exists():
            # invalid settings must not leave a folder behind
            check_method(resolve(folder, start, None)[0].method, settings)
        folder.mkdir(parents=True, exist_ok=True)
        if process.is_main:
            stack.enter_context(locked(folder))
        state = load_state(folder / STATE_NAME) if (folder / STATE_NAME).exists() else None
        if state is not None and "entropy" in state:
            raise ConfigError(
                f"stage {settings.stage}: the run in {folder} was begun with stage entropy",
                field="optimizer",
            )
        with state_errors(folder / STATE_NAME) if state is not None else nullcontext():
            config, lmbda = resolve(folder, start, state)
        check_method(config.method, settings)
        torch.manual_seed(settings.seed)
        model = _initial_model(config, lmbda, start if state is None else Start(), device)
        images = TrainingImages(paths, device, settings.cache_gb, settings.num_workers)
        images.report_small(settings.patchsize)
        if process.is_main:
            log.info(
                "%d training images, %d of them in memory; %d of %d crops per step here, on %s",
                len(images) - len(images.unreadable), len(images.cache),
                share.stop - share.start, settings.batchsize, device,
            )  # fmt: skip
        if state is None and start.warm_start and start.init_from is None:
            _warm_start(model, images, lmbda, settings)
        origin = start.init_from if state is None else folder / MODEL_NAME
        rates = rates_of(model, origin, images, settings)
        trainer = Trainer(model, lmbda, settings, images, process, rates)
        if state is not None:
            with state_errors(folder / STATE_NAME):
                trainer.load_state_dict(state["trainer"])
            if start.init_from is not None and process.is_main:
                log.info("the given model is for new runs: this one goes on from its own state")
            log.info("resuming at step %d of %d", trainer.step, settings.last_step)
            if trainer.step >= settings.last_step:
                log.warning(
                    "nothing left to train: step %d is done",
                    trainer.step,
                    extra={"field": "last_step"},
                )
        run_log = stack.enter_context(RunLog(folder, trainer.step, enabled=process.is_main))
        run_log.write(event="start", step=trainer.step, lmbda=list(lmbda), **settings.as_dict())
        # from here on there is a state to save at a signal
        stop = stack.enter_context(StopRequest())
        run_steps(trainer, settings.last_step, run_log, stop, lambda: save_run(folder, trainer))
        if not stop and process.is_main:
            log.info("done: %s", folder / MODEL_NAME)
        return stop.signal


def run_steps(
    trainer: Trainer | ContextTrainer,
    last_step: int,
    run_log: RunLog,
    stop: StopRequest,
    save: Callable[[], None],
) -> None:
    """Train up to `last_step`; save periodically, at a stop, and at the end.

    Progress is shown as a bar, or as log lines if standard error is not a terminal.
    """
    settings, process = trainer.settings, trainer.process
    saved_at, saved_step = time.monotonic(), -1
    talks = process.is_main and log.isEnabledFor(logging.INFO)
    with tqdm(
        total=last_step,
        initial=trainer.step,
        unit="step",
        disable=None if talks else True,
    ) as bar:
        lines = ProgressLines(trainer.step, last_step) if talks and bar.disable else None

        def should_pause() -> bool:
            bar.update()
            due = bool(stop) or time.monotonic() - saved_at > 60 * settings.save_minutes
            if process.size == 1:
                return due
            return trainer.step % AGREE_EVERY == 0 and process.any(due, trainer.device)

        def on_pause() -> bool:
            nonlocal saved_at, saved_step
            if process.is_main:
                save()
            saved_at, saved_step = time.monotonic(), trainer.step
            return not process.any(bool(stop), trainer.device)

        def on_log(line: StepLog | ContextLog) -> None:
            run_log.step(line)
            bar.set_postfix(loss=f"{line.loss:.3f}", refresh=False)
            if lines is not None:
                lines.step(line.step, line.loss)

        trainer.run(last_step, on_log=on_log, should_pause=should_pause, on_pause=on_pause)
    if process.is_main and saved_step != trainer.step:
        save()


def save_run(folder: Path, trainer: Trainer) -> None:
    """Write the model (averaged weights) and the training state."""
    config = trainer.model.config
    save_state(
        folder / STATE_NAME,
        {
            "trainer": trainer.state_dict(),
            "config": asdict(config),
        },
    )
    write_model(folder / MODEL_NAME, trained_model(folder, trainer))


def trained_model(folder: Path, trainer: Trainer) -> Model:
    """Return the model with averaged weights and rate networks, named like the folder."""
    match trainer.averaged_rates:
        case ContextNetworks() as networks:
            tensors = context_tensors(networks.by_point)
        case Hyperpriors() as hyperpriors:
            tensors = hyperprior_tensors(hyperpriors)
        case _:
            tensors = {}
    info = ModelInfo(
        name=name_of(folder),
        version=str(trainer.step),
        lmbda=trainer.lmbda,
        training={"step": trainer.step, **trainer.settings.as_dict()},
    )
    model = to_model(trainer.averaged, info)
    return replace(model, training_tensors={**model.training_tensors, **tensors})


def name_of(folder: Path) -> str:
    """Return the name of a run folder, converted to a valid model name."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-")[:16]
    return name or "unnamed"


def resolve(
    folder: Path, start: Start, state: dict[str, Any] | None
) -> tuple[SlimCAEConfig, tuple[float, ...]]:
    """Return configuration and λ of a run: from its folder, the given model, or `start`.

    Raises:
        ModelError: The settings contradict the folder or the model file.
        ConfigError: The number of λ is not the number of widths.
    """
    wanted: dict[str, Any] = {
        "widths": start.widths,
        "gdn": start.gdn,
        "architecture": start.architecture,
        "method": start.method,
    }
    if state is not None:
        origin = folder / STATE_NAME
        have = SlimCAEConfig(**state["config"] | {"widths": tuple(state["config"]["widths"])})
        lmbda = tuple(state["trainer"]["lmbda"])
        if start.lmbda is not None and start.lmbda != lmbda:
            raise ContradictionError("lmbda", format_list(start.lmbda), origin, format_list(lmbda))
    elif (folder / MODEL_NAME).exists() and start.init_from is None:
        raise ModelError(
            f"{folder} has {MODEL_NAME} but no {STATE_NAME} to continue from: train in another "
            f"folder, which may start from the weights of {folder / MODEL_NAME}",
            field="init_from",
        )
    elif start.init_from is not None:
        origin = start.init_from
        model = read_model(origin)
        if start.method == "bottleneck_scaling" != model.config.method:
            return _scaled(model, start)
        have, lmbda = model.config, start.lmbda or model.info.lmbda or default_lmbda(model.widths)
    else:
        wanted["widths"] = _widths(start)
        config = SlimCAEConfig(**{key: value for key, value in wanted.items() if value is not None})
        lmbda = start.lmbda or default_lmbda(config.widths)
        check_lmbda(lmbda, config)
        return config, lmbda
    check_same_config(origin, have, start.widths, start.gdn, start.architecture, start.method)
    check_lmbda(lmbda, have)
    return have, lmbda


def _scaled(model: Model, start: Start) -> tuple[SlimCAEConfig, tuple[float, ...]]:
    """Return configuration and λ of a new bottleneck-scaling model that starts from another model.

    Raises:
        ModelError: The settings contradict the best point of that model.
    """
    assert start.init_from is not None
    best = model.alone(model.points[0])
    check_same_config(start.init_from, best.config, start.widths, start.gdn, start.architecture)
    known = best.info.lmbda
    lmbda = start.lmbda or tuple((known or (2048.0,))[0] / 2**k for k in range(len(DEFAULT_WIDTHS)))
    if known is not None and lmbda[0] != known[0]:
        raise ConfigError(
            f"lmbda {format_list(lmbda)}: must begin with {known[0]:g}, the λ of the best point of "
            f"{start.init_from}",
            field="lmbda",
        )
    have = best.config
    config = SlimCAEConfig(
        have.widths * len(lmbda), have.gdn, have.architecture, "bottleneck_scaling"
    )
    check_lmbda(lmbda, config)
    return config, lmbda


def check_method(method: str, settings: TrainSettings) -> None:
    """Check that a method supports the settings.

    Raises:
        ConfigError: The method does not support a setting.
    """
    if settings.stage == "decoder" and method not in ("slimcae", "independent"):
        raise ConfigError(f"stage decoder: method {method} does not train decoders alone")
    if settings.sandwich and method == "independent":
        raise ConfigError("sandwich: method independent trains each network separately")
    if settings.optimizer == "soap" and method == "bottleneck_scaling":
        raise ConfigError("optimizer soap: method bottleneck_scaling trains no kernels")
    if settings.entropy_model != "factorized" and method == "bottleneck_scaling":
        raise ConfigError(
            f"entropy_model {settings.entropy_model}: method bottleneck_scaling trains only "
            "factors; stage entropy can train context networks for its models"
        )


def _widths(start: Start) -> tuple[int, ...] | None:
    """Return the widths of new operating points; None: the default of method `slimcae`."""
    if start.method in (None, "slimcae"):
        return start.widths
    widths = start.widths or DEFAULT_WIDTHS
    if start.method == "independent":
        alone = len(widths) == 1 and start.lmbda is not None
    else:
        alone = len(set(widths)) == 1
        if not alone and start.widths is not None:
            raise ConfigError(
                f"widths {format_list(widths)}: the operating points of method {start.method} "
                f"differ in λ and share one width; give it alone, as in {widths[0]}",
                field="lmbda",
            )
        alone = True
    points = len(start.lmbda or DEFAULT_WIDTHS)
    return widths[:1] * points if alone else widths


def _initial_model(
    config: SlimCAEConfig, lmbda: tuple[float, ...], start: Start, device: torch.device
) -> Autoencoder:
    if start.init_from is None:
        return new_network(config, lmbda).to(device)
    model = read_model(start.init_from)
    if model.config.method == config.method:
        return to_network(model, device)
    network = new_network(config, lmbda)
    assert isinstance(network, ScaledBottleneck)  # as `resolve` ensures
    network.begin_with(model.alone(model.points[0]))
    return network.to(device)


@torch.no_grad()
def rates_of(
    model: Autoencoder, origin: Path | None, images: TrainingImages, settings: TrainSettings
) -> ContextNetworks | Hyperpriors | None:
    """Return the rate networks of a model file, or new ones for the latents.

    None means that the densities alone estimate the rate. origin: path of the model file.

    Raises:
        ModelError: The tensors of the file are not such networks.
    """
    if settings.entropy_model == "factorized":
        return None
    known = read_model(origin) if origin is not None and origin.exists() else None
    x = images.sample(settings.patchsize, settings.batchsize, settings.seed).float() / 255

    def deviation(point: int) -> Tensor:
        y: Tensor = model.analyse(x, point).float().transpose(0, 1).flatten(1)
        return (y.var(dim=1, correction=0) + 0.01).sqrt().cpu()

    if settings.entropy_model == "hyperprior":
        found = None if known is None else hyperpriors_of(known)
        if found is None:
            found = Hyperpriors.of_config(model.config)
            for point, hyperprior in found.by_point.items():
                hyperprior.begin_with(deviation(point), point)
        return found.train()
    networks = {} if known is None else networks_to_continue(known)
    for point in model.points:
        if point not in networks:
            spread, kind = deviation(point), model.config.architecture
            networks[point] = ContextNetwork.for_channels(len(spread), spread, kind)
    return ContextNetworks({point: networks[point] for point in model.points})


def _warm_start(
    model: Autoencoder, images: TrainingImages, lmbda: tuple[float, ...], settings: TrainSettings
) -> None:
    log.info("warm start: block transform of the training images, then entropy models alone")
    size = max(settings.patchsize, 64)
    count = max(8, WARM_START_CROPS * 256**2 // size**2)
    x = images.sample(size, count, settings.seed).float() / 255
    warm_start_transforms(model, x, lmbda)
    fit_entropy_models(model, x, settings.seed)
