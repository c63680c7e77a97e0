"""The transforms in torch, on a CPU or a GPU."""

import os
import sys
from functools import cache
from typing import Any

import numpy as np

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    # Idle threads that spin take processor time from other programs. GNU OpenMP reads this when
    # torch is loaded; threads then spin for some microseconds, which covers the gap between two
    # layers, and sleep after that.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
import torch

from slimcae.errors import ConfigError, ModelError
from slimcae.machine import describe_machine
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Residuals, Symbols
from slimcae.transforms.forks import forks
from slimcae.transforms.torch_.device import resolve_device, resolve_precision
from slimcae.transforms.torch_.inference import Analysis, Synthesis
from slimcae.transforms.torch_.light import LightAnalysis, LightSynthesis

_computed = False
_lost_threads = False
"""Whether this process was forked after torch had computed in it. OpenMP would wait forever for the
threads of the parent, unless it uses a single thread."""


def _note_fork() -> None:
    global _lost_threads
    _lost_threads = _lost_threads or _computed


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_note_fork)


class TorchTransforms:
    """g_a and g_s of one model in torch; see `slimcae.transforms.Transforms`."""

    def __init__(
        self,
        model: Model,
        device: str = "cpu",
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Prepare a model for a device.

        threads: number of threads, set for torch in each calling thread; None: torch's default.

        Raises:
            ConfigError: The device is unknown or absent, or the precision unknown or emulated.
        """
        self._model = model
        self._asked = (device, precision, threads)
        self._forks = forks()
        self._threads = threads
        self._device = resolve_device(device)
        self._precision = resolve_precision(precision, self._device)
        inner = torch.bfloat16 if self._precision == "bfloat16" else torch.float32
        has_gdn = model.config.has_gdn
        analysis, synthesis = (Analysis, Synthesis) if has_gdn else (LightAnalysis, LightSynthesis)
        self._analysis = cache(lambda width: analysis(model, width, inner, self._device))
        self._synthesis = cache(lambda width: synthesis(model, width, inner, self._device))
        self._medians = cache(lambda width: torch.tensor(model.medians(width), device=self._device))

    def __reduce__(self) -> tuple[type["TorchTransforms"], tuple[Any, ...]]:
        """Pickle the model and the options; kernels are prepared again when unpickled."""
        return type(self), (self._model, *self._asked)

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return self._device.type

    @property
    def precision(self) -> str:
        """`float32` or `bfloat16`."""
        return self._precision

    @property
    def threads(self) -> int:
        """Number of threads per call: torch's default unless given; 1 in a forked process."""
        return self._own_threads or torch.get_num_threads()

    @property
    def machine(self) -> str:
        """See `describe_machine`; includes the name of the GPU in use."""
        words = describe_machine()
        if self._device.type == "cuda":
            words += f", {torch.cuda.get_device_name(self._device)}"
        return words

    @property
    def backend(self) -> str:
        """`torch`."""
        return "torch"

    @property
    def runtime(self) -> str:
        """Name and version, for example `torch 2.13.0`."""
        return f"torch {torch.__version__}"

    def residuals(self, pixels: Pixels, width: int) -> Residuals:
        """Return y − median (C, h, w) of pixels (H, W, 3)."""
        self._set_threads()
        with torch.inference_mode(), self._own_precision():
            # a copy, because torch warns about read-only arrays
            y = self._analysis(width)(
                torch.tensor(np.ascontiguousarray(pixels), device=self._device)
            )
            residuals = (y - self._medians(width)[:, None, None]).contiguous()
            if not torch.isfinite(residuals.sum()):
                raise ModelError(f"the model's latents at width {width} are not finite")
        found: Residuals = residuals.cpu().numpy()
        return found

    def pixels(self, symbols: Symbols, width: int, delta: float) -> Pixels:
        """Return the pixels (H, W, 3) of median + Δ · symbols (C, h, w)."""
        self._set_threads()
        with torch.inference_mode(), self._own_precision():
            k = torch.from_numpy(symbols).to(self._device)
            y_hat = self._medians(width)[:, None, None] + delta * k.float()
            image = self._synthesis(width)(y_hat)
            if image is None:
                raise ModelError(f"the reconstruction at width {width} is not finite")
        levels: Pixels = image.cpu().numpy()
        return levels

    @property
    def _own_threads(self) -> int | None:
        return 1 if _lost_threads else self._threads

    def _set_threads(self) -> None:
        """Set torch's number of threads for the calling thread.

        Raises:
            ConfigError: The device is a GPU that was in use before a fork.
        """
        if self._device.type == "cuda" and self._forks != forks():
            raise ConfigError(
                "device cuda: a forked process cannot use the GPU of its parent; start "
                "processes with the method spawn, or load the model in each of them"
            )
        global _computed
        _computed = True
        threads = self._own_threads
        if threads is not None and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    def _own_precision(self) -> torch.autocast:
        """Return a context that disables the caller's autocast."""
        return torch.autocast(self._device.type, enabled=False)
