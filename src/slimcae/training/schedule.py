"""λ-scheduling: find the λ of each width that puts all widths on one good curve.

Source: Yang et al. 2021, section 5, in the form of the authors' code. From a model trained at equal
λ, for each width i from the largest on: multiply the λ of all smaller widths by κ, fine-tune, and
measure the slope between width i and the next, (PSNR_i − PSNR_{i+1}) / (bpp_i − bpp_{i+1}). Repeat
while the slope decreases; when it increases, continue with the next width.
"""

import csv
import io
import logging
import math
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from slimcae.errors import ConfigError, ImageError, ModelError, TrainingError
from slimcae.files import write_bytes
from slimcae.model.file import read_model, write_model
from slimcae.model.header import MODEL_NAME
from slimcae.networks.context_conversion import networks_to_continue
from slimcae.networks.conversion import to_network
from slimcae.networks.hyperprior_conversion import hyperpriors_of
from slimcae.plots.schedule import plot_tries
from slimcae.training.data import TrainingImages, decode
from slimcae.training.distributed import local_device, process_group
from slimcae.training.interrupt import StopRequest
from slimcae.training.measure import Point, measure
from slimcae.training.run import rates_of, run_steps, trained_model
from slimcae.training.run_folder import (
    SCHEDULE_STATE_NAME,
    SCHEDULED_NAME,
    RunLog,
    load_state,
    locked,
    save_state,
    state_errors,
)
from slimcae.training.settings import ScheduleSettings, TrainSettings, check_lmbda, format_list
from slimcae.training.trainer import Trainer
from slimcae.transforms.torch_.device import resolve_precision

log = logging.getLogger("slimcae")

CSV_NAME = "schedule.csv"
PLOT_NAME = "schedule.png"
_WHY_NOT = {
    "independent": "share nothing, so the λ of one does not affect the others",
    "bottleneck_scaling": "share a trained network that does not change",
    "modulated": "share the whole network, with the same cost for each",
}
"""Why λ-scheduling does not apply to the operating points of other methods."""


@dataclass(frozen=True)
class Try:
    """One fine-tuning and its outcome. `width_index` −1 is the state before the first."""

    width_index: int
    number: int
    lmbda: tuple[float, ...]
    points: tuple[Point, ...]
    slope: float
    """Slope between width_index and the next smaller width, in dB per bpp."""
    target: float
    """Slope below which another try is made."""


@dataclass
class Schedule:
    """The decisions of λ-scheduling, separate from training: the λ to try next.

    `propose` returns the next list of λ, or None at the end; `record` takes the measured result.
    """

    settings: ScheduleSettings
    lmbda: tuple[float, ...]
    tries: list[Try] = field(default_factory=list)
    width_index: int = 0
    number: int = 0
    """Number of tries for the current width."""
    target: float = math.nan

    def start(self, points: Sequence[Point]) -> None:
        """Record the measured points of the initial model."""
        self.target = slope(points, 0) if len(points) > 1 else math.nan
        self.tries.append(Try(-1, 0, self.lmbda, tuple(points), self.target, self.target))

    def propose(self) -> tuple[float, ...] | None:
        """Return the λ of the next fine-tuning, or None when all widths are done."""
        if self.width_index >= len(self.lmbda) - 1:
            return None
        return tuple(
            value * self.settings.kappa if k > self.width_index else value
            for k, value in enumerate(self.lmbda)
        )

    def record(self, lmbda: tuple[float, ...], points: Sequence[Point]) -> Try:
        """Record the result of a fine-tuning at `lmbda`, and decide the next step."""
        self.lmbda = lmbda
        found = slope(points, self.width_index)
        entry = Try(self.width_index, self.number, lmbda, tuple(points), found, self.target)
        self.tries.append(entry)
        self.number += 1
        if found > self.target or self.number >= self.settings.max_tries:
            self.width_index += 1
            self.number = 0
            if self.width_index < len(lmbda) - 1:
                self.target = slope(points, self.width_index)
        else:
            self.target = found
        return entry

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, to store with the training state."""
        return {key: value for key, value in asdict(self).items() if key != "settings"}

    @classmethod
    def from_dict(cls, settings: ScheduleSettings, values: dict[str, Any]) -> "Schedule":
        """The inverse of `as_dict`."""
        tries = [
            Try(
                **{
                    **entry,
                    "lmbda": tuple(entry["lmbda"]),
                    "points": tuple(Point(**point) for point in entry["points"]),
                }
            )
            for entry in values["tries"]
        ]
        return cls(settings, **{**values, "tries": tries, "lmbda": tuple(values["lmbda"])})


def slope(points: Sequence[Point], index: int) -> float:
    """Return the slope (dB per bpp) from a width to the next smaller; infinite at equal rates."""
    wide, narrow = points[index], points[index + 1]
    rate = wide.bpp - narrow.bpp
    return (wide.psnr - narrow.psnr) / rate if rate else math.inf


def train_lambda_schedule(
    folder: Path,
    train_paths: Sequence[Path],
    valid_paths: Sequence[Path],
    lmbda: tuple[float, ...] | None,
    settings: TrainSettings,
    schedule_settings: ScheduleSettings,
    device_name: str,
) -> int | None:
    """Tune the λ of the model in a run folder, continuing an interrupted call.

    The function reads `model.safetensors` without changing it, writes `model_scheduled.safetensors`
    with the final λ, and records every try in `schedule.csv` and `schedule.png`. lmbda: the initial
    λ; None: those of the model. Context networks or a hyperprior of the model are trained further,
    and estimate the measured rate.

    Return the number of the signal that stopped it early, or None.

    Raises:
        ModelError: The folder has no model, or a stopped schedule that started with other λ.
        TrainingError: There is no usable image for training or measuring.
        ConfigError: Settings contradict each other or do not work on the machine.
    """
    device = local_device(device_name)
    resolve_precision(settings.precision, device)  # what cannot work is refused at once
    # the last step is not known yet, so there is no decay, only a limit for each width
    steps = schedule_settings.schedule_steps * schedule_settings.max_tries
    settings = replace(settings, decay="none", last_step=steps)
    state_path = folder / SCHEDULE_STATE_NAME
    origin = folder / MODEL_NAME
    found = read_model(origin)
    if found.config.method != "slimcae":
        raise ConfigError(
            f"λ-scheduling balances widths that share their kernels: {origin} is of method "
            f"{found.config.method}, whose operating points {_WHY_NOT[found.config.method]}"
        )
    first = lmbda or found.info.lmbda
    if first is None:
        raise ConfigError(f"{origin} does not say its λ", field="lmbda")
    check_lmbda(first, found.config)
    if hyperpriors_of(found) is not None:
        settings = replace(settings, entropy_model="hyperprior")
    elif networks_to_continue(found):
        settings = replace(settings, entropy_model="context")
    model = to_network(found, device)
    valid = _validation_images(valid_paths)
    with ExitStack() as stack:
        process = stack.enter_context(process_group(device))
        if process.is_main:
            stack.enter_context(locked(folder))
        images = TrainingImages(train_paths, device, settings.cache_gb, settings.num_workers)
        images.report_small(settings.patchsize)
        rates = rates_of(model, origin, images, settings)
        trainer = Trainer(model, first, settings, images, process, rates)
        schedule = Schedule(schedule_settings, first)
        if state_path.exists():
            state = load_state(state_path)
            with state_errors(state_path):
                schedule = Schedule.from_dict(schedule_settings, state["schedule"])
                trainer.load_state_dict(state["trainer"])
            if lmbda is not None and schedule.tries[0].lmbda != lmbda:
                raise ModelError(
                    f"{state_path} has a stopped schedule that started with λ "
                    f"{format_list(schedule.tries[0].lmbda)}, not {format_list(lmbda)}: "
                    "give that list to continue, or delete the file to start again"
                )
            log.info("resuming after %d tries, at step %d", len(schedule.tries) - 1, trainer.step)
        else:
            schedule.start(_measure(trainer, valid))
        run_log = stack.enter_context(
            RunLog(
                folder, trainer.step, "schedule.jsonl", "tensorboard/schedule",
                enabled=process.is_main,
            )
        )  # fmt: skip
        stop = stack.enter_context(StopRequest())

        def save() -> None:
            state = {"trainer": trainer.state_dict(), "schedule": schedule.as_dict()}
            save_state(state_path, state)

        while (proposal := schedule.propose()) is not None:
            trainer.lmbda = proposal
            # the number of tries determines where this one ends, even after an interruption
            end = len(schedule.tries) * schedule_settings.schedule_steps
            run_steps(trainer, end, run_log, stop, save)
            if process.any(bool(stop), device):
                return stop.signal or signal.SIGTERM
            entry = schedule.record(proposal, _measure(trainer, valid))
            if process.is_main:
                save()
                _report(folder, entry, schedule, trainer.model.widths)
        if process.is_main:
            trainer.lmbda = schedule.lmbda
            write_model(folder / SCHEDULED_NAME, trained_model(folder, trainer))
            state_path.unlink(missing_ok=True)
            log.info("done: %s, λ %s", folder / SCHEDULED_NAME, format_list(schedule.lmbda))
    return None


def _validation_images(paths: Sequence[Path]) -> list[Tensor]:
    images = []
    for path in paths:
        try:
            images.append(decode(path))
        except ImageError as error:
            log.warning("validation image skipped: %s", error)
    if not images:
        raise TrainingError(f"none of the {len(paths)} validation images can be read")
    return images


def _measure(trainer: Trainer, images: Sequence[Tensor]) -> list[Point]:
    model, rates = trainer.averaged, trainer.averaged_rates
    points = [measure(model, images, width, rates) for width in model.widths]
    # processes may differ in the last bit, but must take the same decisions
    bpp = trainer.process.from_main([point.bpp for point in points], trainer.device)
    psnr = trainer.process.from_main([point.psnr for point in points], trainer.device)
    return [Point(*pair) for pair in zip(bpp, psnr, strict=True)]


def _report(folder: Path, entry: Try, schedule: Schedule, widths: Sequence[int]) -> None:
    write_bytes(folder / CSV_NAME, _csv(schedule.tries, widths).encode())
    curves = [[(point.bpp, point.psnr) for point in entry.points] for entry in schedule.tries]
    plot_tries(folder / PLOT_NAME, curves, widths)
    log.info(
        "width %d, try %d: λ %s, slope %.3f dB per bpp (target %.3f)",
        widths[entry.width_index], entry.number + 1, format_list(entry.lmbda), entry.slope,
        entry.target,
    )  # fmt: skip


def _csv(tries: Sequence[Try], widths: Sequence[int]) -> str:
    """Return one row per try: its width, λ, bpp and PSNR of every width, slope and its target."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{name}_{width}" for name in ("lambda", "bpp", "psnr") for width in widths]
    writer.writerow(["width", "try", *columns, "slope", "slope_target"])
    for entry in tries:
        start = entry.width_index < 0
        writer.writerow(
            [
                "" if start else widths[entry.width_index],
                0 if start else entry.number + 1,
                *entry.lmbda,
                *(point.bpp for point in entry.points),
                *(point.psnr for point in entry.points),
                entry.slope,
                entry.target,
            ]
        )
    return text.getvalue()
