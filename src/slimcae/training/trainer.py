"""The optimization: training steps, and the state for continuing them exactly."""

import copy
import importlib.util
import logging
import random
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slimcae.errors import ConfigError, TrainingError
from slimcae.model.config import DEFAULT_STEPS
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.context import ContextNetworks
from slimcae.networks.hyperprior import Hyperpriors
from slimcae.training.data import TrainingImages
from slimcae.training.distributed import Process
from slimcae.training.loss import RateDistortionLoss
from slimcae.training.settings import TrainSettings
from slimcae.training.soap import Soap
from slimcae.training.stats import Stats, StepLog
from slimcae.transforms.torch_.device import resolve_precision

log = logging.getLogger("slimcae")

MEDIANS_EVERY = 200
"""Steps between two updates of the medians, the centres of rounding in mixed quantization."""

COMPILE_PAYS_AFTER = 5000
"""Number of steps from which compiling for a CPU (about two minutes) saves time."""


class Trainer:
    """Trains a model for given λ values, step by step.

    It contains the raw weights (`model`), their moving average (`averaged`), the optimizers and the
    step number. Seed and step number determine all randomness of a step.

    rates: networks that estimate the rate; None: the densities do.
    """

    def __init__(
        self,
        model: Autoencoder,
        lmbda: tuple[float, ...],
        settings: TrainSettings,
        images: TrainingImages,
        process: Process | None = None,
        rates: ContextNetworks | Hyperpriors | None = None,
    ) -> None:
        self.model: Autoencoder = _with_channels_last(model.to(images.device))
        self.model.freeze()
        self.settings = settings
        self.images = images
        self.process = process or Process()
        self.device = images.device
        self.step = 0
        self._compile_was_explained = False
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False)
        """The model with the moving average of the weights."""
        self._loss = RateDistortionLoss(
            model,
            lmbda,
            rates,
            balance=settings.balance,
            border_weight=settings.border_weight,
        )
        self._loss.to(self.device)
        self._rates: nn.Module = nn.ModuleList() if rates is None else rates
        self.averaged_rates = copy.deepcopy(self._rates).eval().requires_grad_(False)
        """The rate networks with the moving average of their weights; empty if there are none."""
        precision = resolve_precision(settings.precision, self.device)
        # near the end of the training of a light architecture, rounding weights to bfloat16 gives
        # gradients with an error several times as large as themselves, in the same direction at
        # every step, and saves only a fifth of the time (docs/results/trials/README.md)
        harmed = settings.precision == "auto" and not model.config.has_gdn
        self._bfloat16 = precision == "bfloat16" and not harmed
        entropy = list(model.entropy_bottlenecks.parameters())
        chosen = {id(p) for p in entropy}
        transforms = [p for p in model.parameters() if id(p) not in chosen]
        if settings.stage == "decoder":
            self.model.requires_grad_(False)
            transforms = [p for pair, _ in model.pairs for p in pair.g_s.parameters()]
            for parameter in transforms:
                parameter.requires_grad_(True)
            self._rates.requires_grad_(False).eval()
        self._soap: Soap | None = None
        if settings.optimizer == "soap":
            kernels = [p for p in transforms if p.ndim == 4]
            transforms = [p for p in transforms if p.ndim != 4]
            group = {"params": kernels, "peak": settings.learning_rate}
            # on a GPU these products are fast even in full precision
            half = self._bfloat16 and self.device.type == "cpu"
            self._soap = Soap([group], settings.learning_rate, half=half)
        groups = [
            {"params": transforms, "peak": settings.learning_rate},
            {"params": entropy, "peak": settings.entropy_learning_rate},
        ]
        if rates is not None:
            networks = list(rates.parameters())
            groups.append({"params": networks, "peak": settings.context_learning_rate})
        self._adam = torch.optim.Adam(groups, fused=True)

    @property
    def _kind(self) -> list[str]:
        """Return the properties that a state must share with this run."""
        kind: list[str] = [self.settings.optimizer, self.settings.stage]
        return kind if self._loss.rates is None else [*kind, self.settings.entropy_model]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """Return all groups of parameters, those of the transforms first."""
        return self._adam.param_groups + (self._soap.param_groups if self._soap else [])

    @property
    def lmbda(self) -> tuple[float, ...]:
        """λ per operating point, best first."""
        return self._loss.lmbda

    @lmbda.setter
    def lmbda(self, values: tuple[float, ...]) -> None:
        self._loss.lmbda = values

    def run(
        self,
        last_step: int,
        *,
        on_log: Callable[[StepLog], None],
        should_pause: Callable[[], bool] = lambda: False,
        on_pause: Callable[[], bool] = lambda: True,
    ) -> None:
        """Train up to `last_step`.

        `should_pause` is called after each step. If it returns True, the state is checked to be
        finite, and `on_pause` is called (for example to save), which returns whether to continue.

        Raises:
            TrainingError: Loss or gradients are no longer finite.
        """
        forward = self._forward()
        batches = self.images.batches(
            self.settings.patchsize,
            self.settings.batchsize,
            self.settings.seed,
            start=self.step,
            part=self.process.share(self.settings.batchsize),
        )
        self.model.train()
        if self.settings.stage == "decoder":
            # rounding instead of noise, in the precision of the codec
            for pair, _ in self.model.pairs:
                pair.g_a.eval()
            self.model.entropy_bottlenecks.eval()
        mixed = self.settings.quantization == "mixed"
        other_rate = self._loss.rates is not None
        for width in self.model.points:
            self.model.entropy_bottleneck(width).straight_through = mixed
            self.model.entropy_bottleneck(width).detached = other_rate
        stats = Stats(self.model.points, self.device)
        while self.step < last_step:
            if (mixed or other_rate) and self.step % MEDIANS_EVERY == 0:
                for width in self.model.points:
                    self.model.entropy_bottleneck(width).update_medians()
            self._train_step(forward, next(batches), stats)
            self.step += 1
            pause = should_pause()
            if pause or self.step % self.settings.log_every == 0 or self.step == last_step:
                line = stats.take(self.step, self._groups[0]["lr"])
                if not line.is_finite:
                    raise TrainingError(
                        f"loss or gradients are not finite near step {self.step} "
                        f"(loss {line.loss:g}): the last checkpoint is intact; "
                        "resume with a lower learning rate"
                    )
                on_log(line)
            if pause and not on_pause():
                return

    def _train_step(self, forward: Callable[..., Any], batch: Tensor, stats: Stats) -> None:
        settings = self.settings
        # noise is a function of seed, step and process: resuming needs no generator state
        torch.manual_seed(
            random.Random(f"{settings.seed} {self.step} {self.process.rank}").getrandbits(63)
        )
        widths = self._step_widths()
        x = batch.float().div_(255).contiguous(memory_format=torch.channels_last)
        factor = settings.rate_factor(self.step)
        for group in self._groups:
            group["lr"] = group["peak"] * factor
        step = self._quantisation_step()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            loss, measured = forward(x, widths, step) if step is not None else forward(x, widths)
        self._loss.zero_grad(set_to_none=True)
        loss.backward()
        norm = self._clipped_norm()
        self._adam.step()
        if self._soap is not None:
            self._soap.step()
        self._update_average()
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        stats.add(loss.detach(), norm, widths, measured, pixels)

    def _clipped_norm(self) -> Tensor:
        """Clip the gradients, separately for independent networks; return the norm."""
        parts: list[list[nn.Parameter]] = self.model.parts
        if len(parts) == 1:
            parts[0] += self._rates.parameters()
        elif isinstance(self._rates, ContextNetworks | Hyperpriors):
            for part, point in zip(parts, self.model.points, strict=True):
                part += self._rates.by_point[point].parameters()
        norms = [nn.utils.clip_grad_norm_(part, self.settings.clip_norm) for part in parts]
        return norms[0] if len(norms) == 1 else torch.stack(norms).norm()

    @torch.no_grad()
    def _update_average(self) -> None:
        """Update the moving average, whose window grows with the steps up to that of the decay.

        torch's AveragedModel is not used, because its counter on the device stalls a GPU each step.
        """
        n = self.step
        weight = 1 - min(self.settings.ema_decay, (1 + n) / (10 + n)) if n else 1.0
        average: list[Tensor] = [*self.averaged.parameters(), *self.averaged_rates.parameters()]
        current: list[Tensor] = [*self.model.parameters(), *self._rates.parameters()]
        torch._foreach_lerp_(average, current, weight)

    def _quantisation_step(self) -> Tensor | None:
        """Return a random Δ for this step, for rate networks; None means 1, for densities."""
        if self._loss.rates is None or self.settings.stage == "decoder":
            return None
        rng = random.Random(f"{self.settings.seed} {self.step} Δ")
        delta = 1.0 if rng.random() < self.settings.at_one else rng.choice(DEFAULT_STEPS)
        return torch.tensor(delta, device=self.device)  # a Python number would cause recompilation

    def _step_widths(self) -> tuple[int, ...]:
        widths = self.model.trained_points
        if not self.settings.sandwich or len(widths) < 4:
            return widths
        middle = random.Random(f"{self.settings.seed} {self.step}").choice(widths[1:-1])
        return (widths[0], middle, widths[-1])

    def _forward(self) -> Callable[..., Any]:
        forward: Any = self._loss
        if self.process.size > 1:
            forward = DistributedDataParallel(
                forward,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                find_unused_parameters=self.settings.sandwich,
            )
        why_not = self._why_not_compile()
        if self.process.is_main and not self._compile_was_explained:
            self._compile_was_explained = True
            if why_not is None:
                log.info("compiling: the first step takes minutes, and a signal waits for its end")
            else:
                log.info("training runs without torch.compile: %s", why_not)
        return torch.compile(forward) if why_not is None else forward

    def _why_not_compile(self) -> str | None:
        """Why the run is not compiled, or None if it is.

        The result does not depend on where a run was stopped, because compiled and eager steps
        differ in their last digits, and resuming must be exact.
        """
        if self.settings.compile == "off":
            return "it was switched off"
        if not any(map(shutil.which, ("c++", "g++", "clang++"))):
            return "there is no C++ compiler"  # on a GPU, Triton needs one too
        if self.device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "Triton is not installed"
        if self.settings.compile == "auto" and self.device.type == "cpu":
            if not self.model.config.has_gdn:
                return "on a CPU this architecture is faster without"
            if self.settings.last_step < COMPILE_PAYS_AFTER:
                return f"on a CPU it pays after {COMPILE_PAYS_AFTER:,} steps"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what training needs to continue: weights, average, optimizer, step, λ."""
        return {
            "model": self.model.state_dict(),
            "average": self.averaged.state_dict(),
            "optimizer": self._adam.state_dict(),
            "soap": None if self._soap is None else self._soap.state_dict(),
            "kind": self._kind,
            "step": self.step,
            "lmbda": list(self.lmbda),
            "contexts": self._rates.state_dict(),
            "contexts_average": self.averaged_rates.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a run; learning rates stay those of the current settings.

        Raises:
            ConfigError: Optimizer, stage or entropy model differ from those of the run.
        """
        kind = state.get("kind", ["adam", "all"])
        if kind != self._kind:
            raise ConfigError(
                f"optimizer {self.settings.optimizer}, stage {self.settings.stage}, entropy model "
                f"{self.settings.entropy_model}: this run was begun with {' and '.join(kind)}",
                field="optimizer",
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["average"])
        if self._loss.rates is not None:
            self._rates.load_state_dict(state["contexts"])
            self.averaged_rates.load_state_dict(state["contexts_average"])
        peaks = [group["peak"] for group in self._groups]
        self._adam.load_state_dict(state["optimizer"])
        if self._soap is not None:
            self._soap.load_state_dict(state["soap"])
        for group, peak in zip(self._groups, peaks, strict=True):
            group["peak"] = peak
        self.step = int(state["step"])
        self.lmbda = tuple(state["lmbda"])


def _with_channels_last(model: Autoencoder) -> Autoencoder:
    """Return the model, with the kernels of several taps in the order that convolutions need.

    1×1 kernels are the same in both orders, but DistributedDataParallel warns if the nominal
    strides of a kernel and of its gradient differ.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4 and parameter.shape[2] > 1:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model
