"""Settings of training runs, validated once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

from slimcae.errors import SettingError, checked_bool
from slimcae.model.config import SlimCAEConfig

POWER_STEPS, POWER = 1000, 0.8
"""τ and κ of the learning rate τ^κ / (τ + t)^κ (Theis et al. 2017, section 3.3)."""
SCALING_SETTINGS = {"last_step": 10_000, "learning_rate": 1e-3, "decay": "power"}
"""Defaults of method `bottleneck_scaling` (Theis et al. 2017, section 3.3)."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings of training; `SlimCAEConfig` describes the trained model.

    Raises:
        SettingError: A value is invalid.
    """

    patchsize: int = 256
    """Side of the square training crops, in pixels; a multiple of 16."""
    batchsize: int = 8
    """Crops per step, over all processes together."""
    last_step: int = 1_000_000
    """Training ends after this many steps."""
    optimizer: Literal["adam", "soap"] = "adam"
    """Optimizer of the convolution kernels; all other parameters use Adam."""
    learning_rate: float = 3e-4
    """Peak learning rate of transforms and normalization, after warm-up."""
    entropy_learning_rate: float = 1e-3
    """Peak learning rate of the entropy bottlenecks."""
    warmup_steps: int = 100
    """Steps over which the learning rates rise linearly from zero."""
    decay: Literal["cosine", "step", "power", "none"] = "cosine"
    """cosine: down to 1 % at the last step; step: a tenth for the last fifth of the steps; power:
    (1000 / (1000 + step))^0.8."""
    clip_norm: float = 1.0
    """Maximal norm of the gradient of all parameters."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights, which is written to the model file."""
    stage: Literal["all", "decoder"] = "all"
    """decoder: only g_s, on latents rounded as in files, so file sizes do not change."""
    quantization: Literal["noise", "mixed"] = "noise"
    """mixed: g_s sees rounded latents (straight-through gradient), the rate sees noise."""
    entropy_model: Literal["factorized", "context", "hyperprior"] = "factorized"
    """Estimator of the rate; context, hyperprior: networks that are trained with the rest."""
    context_learning_rate: float = 4e-3
    """Peak learning rate of context networks or of a hyperprior trained with the rest."""
    at_one: float = 0.5
    """Share of the steps of such a network at Δ = 1; the others use random quantisation steps."""
    balance: Literal["sum", "log"] = "sum"
    """The loss adds up the costs of the widths (sum) or their logarithms (log)."""
    border_weight: float = 0.0
    """Weight of error steps across the borders of 16×16 blocks, which are visible as a grid."""
    sandwich: bool = False
    """Train only the largest, the smallest and one other width at each step."""
    seed: int = 0
    """Seed of crops, noise and initial weights."""
    cache_gb: float | None = None
    """Memory for decoded training images, in GiB; None: half of the free memory."""
    num_workers: int = 2
    """Processes that decode the images beyond the cache."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of convolutions; auto: bfloat16 if the processor supports it natively, except for
    the light architectures, whose results it harms."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: on GPUs, and on CPUs for runs of 5,000 steps or more (slimcae only)."""
    log_every: int = 50
    """Steps between two lines of the log."""
    save_minutes: float = 5.0
    """Minutes between two checkpoints."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sandwich", checked_bool("sandwich", self.sandwich))
        if self.patchsize < 16 or self.patchsize % 16:
            raise SettingError("patchsize", self.patchsize, "a positive multiple of 16")
        _check_at_least(1, self, "batchsize", "last_step", "log_every")
        _check_positive(
            self,
            "learning_rate",
            "entropy_learning_rate",
            "context_learning_rate",
            "clip_norm",
            "save_minutes",
        )
        _check_at_least(0, self, "warmup_steps", "num_workers", "seed", "border_weight")
        if not 0 <= self.ema_decay < 1:
            raise SettingError("ema_decay", self.ema_decay, "a number from 0 to below 1")
        _check_part(self, "at_one")
        if self.cache_gb is not None and not self.cache_gb >= 0:
            raise SettingError("cache_gb", self.cache_gb, "zero or more")

    def rate_factor(self, step: int) -> float:
        """Return the factor on all learning rates at a step (counted from 0)."""
        warmup = min(1.0, (step + 1) / (self.warmup_steps + 1))
        done = min(1.0, step / self.last_step)
        if self.decay == "cosine":
            return warmup * _cosine(done)
        if self.decay == "step":
            return warmup * (0.1 if done >= 0.8 else 1.0)
        if self.decay == "power":
            return float(warmup * (POWER_STEPS / (POWER_STEPS + step)) ** POWER)
        return warmup

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for the log and the description of the model."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class EntropySettings:
    """Settings of the stage `entropy`, which trains context networks on fixed transforms.

    Raises:
        SettingError: A value is invalid.
    """

    stage: Literal["entropy"] = "entropy"
    """entropy: only the context networks, which predict latents from those coded before."""
    last_step: int = 12_000
    """Training ends after this many steps of each width."""
    places: int = 1024
    """Places of latents per step, drawn from all training images."""
    learning_rate: float = 8e-3
    """Peak learning rate of the context networks, after warm-up."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises linearly from zero."""
    clip_norm: float = 1.0
    """Maximal norm of the gradient of all parameters of a width."""
    at_one: float = 0.5
    """Share of the places at Δ = 1; the others use random quantisation steps."""
    seed: int = 0
    """Seed of places, steps and initial weights."""
    cache_gb: float = 4.0
    """Limit on latents in the run folder, in GiB; images beyond it are left out."""
    log_every: int = 500
    """Steps between two lines of the log."""
    save_minutes: float = 5.0
    """Minutes between two checkpoints."""

    def __post_init__(self) -> None:
        _check_at_least(1, self, "last_step", "places", "log_every")
        _check_positive(self, "learning_rate", "clip_norm", "save_minutes", "cache_gb")
        _check_at_least(0, self, "warmup_steps", "seed")
        _check_part(self, "at_one")

    def rate_factor(self, step: int) -> float:
        """Return the factor on the learning rate at a step of a width (counted from 0)."""
        warmup = min(1.0, (step + 1) / (self.warmup_steps + 1))
        return warmup * _cosine(min(1.0, step / self.last_step))

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for the log and the description of the model."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class ScheduleSettings:
    """Settings of λ-scheduling.

    Raises:
        SettingError: A value is invalid.
    """

    schedule_steps: int = 2000
    """Fine-tuning steps of each try."""
    kappa: float = 0.8
    """Factor on the λ of all smaller widths at each try."""
    max_tries: int = 7
    """Maximal number of tries for each width."""

    def __post_init__(self) -> None:
        if not 0 < self.kappa < 1:
            raise SettingError("kappa", self.kappa, "a number between 0 and 1")
        if self.schedule_steps < 1:
            raise SettingError("schedule_steps", self.schedule_steps, "at least 1")
        if self.max_tries < 1:
            raise SettingError("max_tries", self.max_tries, "at least 1")


def _cosine(done: float) -> float:
    """Return half a cosine from 1 down to 1 %."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def _check_at_least(least: int, settings: object, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < least:
            allowed = f"at least {least}" if least else "zero or more"
            raise SettingError(name, getattr(settings, name), allowed)


def _check_positive(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not (math.isfinite(value) and value > 0):
            raise SettingError(name, value, "a positive number")


def _check_part(settings: object, name: str) -> None:
    if not 0 <= getattr(settings, name) <= 1:
        raise SettingError(name, getattr(settings, name), "a number from 0 to 1")


def format_list(values: Sequence[float]) -> str:
    """Format a list as on the command line."""
    return " ".join(f"{value:g}" for value in values)


def check_lmbda(lmbda: tuple[float, ...], config: SlimCAEConfig) -> None:
    """Check that there is one positive λ per operating point.

    Raises:
        SettingError: The number of values is wrong, a value is not positive, or values do not
            decrease although only they distinguish the points.
    """
    if len(lmbda) != len(config.points):
        number = len(config.points)
        raise SettingError(
            "lmbda", format_list(lmbda), f"one λ for each of the {number} widths, widest first"
        )
    for value in lmbda:
        if not (math.isfinite(value) and value > 0):
            raise SettingError("lmbda", f"{value:g}", "a positive number for each width")
    if config.points != config.widths and any(a <= b for a, b in pairwise(lmbda)):
        raise SettingError(
            "lmbda", format_list(lmbda), f"strictly decreasing values for method {config.method}"
        )
