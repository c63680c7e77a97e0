"""The transforms in ONNX Runtime, which needs a quarter of torch's memory and loads quickly."""

import ctypes
import os
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakSet

import numpy as np

# official builds send telemetry to Microsoft, unless this is set before they are loaded
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from slimcae.errors import ConfigError, ModelError
from slimcae.machine import available_cores, describe_machine
from slimcae.model.architecture import PICTURE_CHANNELS
from slimcae.model.config import DEVICES, PRECISIONS
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Residuals, Symbols
from slimcae.transforms.forks import forks
from slimcae.transforms.onnx_.building import analysis_graph, block_side, synthesis_graph

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_KEPT = 3 * 2**20
"""Largest number of pixel values (1024 × 1024 pixels) whose memory is kept for the next call."""


def _share_memory() -> None:
    """Let all sessions of this process share one memory arena, which grows as requested.

    With one arena per session, each would keep its peak memory; without any arena, returning the
    memory of each layer to the system takes up to a third of the time.
    """
    kind, default = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind.ORT_ARENA_ALLOCATOR, 0, default)
    no_limit, as_requested, default_size = 0, 1, -1
    settings = onnxruntime.OrtArenaCfg(no_limit, as_requested, default_size, default_size)
    with suppress(RuntimeError):  # other code in this process has set it already
        onnxruntime.create_and_register_allocator(memory, settings)


_share_memory()

_sessions: WeakSet[Any] = WeakSet()


def _keep_sessions() -> None:
    """Never delete the sessions of the parent of a forked process.

    Deleting one would wait forever for threads that do not exist in this process.
    """
    for session in _sessions:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_keep_sessions)


class OnnxTransforms:
    """g_a and g_s of one model in ONNX Runtime, in float32; see `slimcae.transforms.Transforms`."""

    def __init__(
        self, model: Model, device: str = "cpu", precision: str = "auto", threads: int | None = None
    ) -> None:
        """Prepare a model for a device.

        threads: number of threads per call; None: one per core.

        Raises:
            ConfigError: The device is unknown or absent, or the precision is not float32.
        """
        self._model = model
        self._device = _resolve_device(device)
        if precision not in PRECISIONS:
            raise ConfigError(
                f"unknown precision {precision!r}: choose from {', '.join(PRECISIONS)}"
            )
        if precision == "bfloat16":
            raise ConfigError("precision bfloat16: only the backend torch supports it")
        self._asked = (device, precision, threads)
        self._forks = forks()
        self._threads = threads or available_cores()
        # a session's threads do not survive a fork; the child would wait for them forever
        self._analysis_of = cache(lambda w, forks: self._session(analysis_graph(model, w)))
        self._synthesis_of = cache(lambda w, forks: self._session(synthesis_graph(model, w)))

    def __reduce__(self) -> tuple[type["OnnxTransforms"], tuple[Any, ...]]:
        """Pickle the model and the options; graphs are rebuilt when unpickled."""
        return type(self), (self._model, *self._asked)

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return self._device

    @property
    def precision(self) -> str:
        """`float32`."""
        return "float32"

    @property
    def threads(self) -> int:
        """Number of threads per call; 1 in a forked process."""
        return self._threads if self._forks == forks() else 1

    @property
    def machine(self) -> str:
        """See `describe_machine`."""
        return describe_machine()

    @property
    def backend(self) -> str:
        """`onnx`."""
        return "onnx"

    @property
    def runtime(self) -> str:
        """Name and version, for example `onnxruntime 1.32.0`."""
        return f"onnxruntime {onnxruntime.__version__}"

    def residuals(self, pixels: Pixels, width: int) -> Residuals:
        """Return y − median (C, h, w) of pixels (H, W, 3)."""
        planes = to_planes(pixels, block_side(self._model.architecture.analysis))
        analysis = self._analysis_of(width, forks())
        (y,) = analysis.run(["latents"], {"planes": planes}, _options(pixels.size))
        found: Residuals = y[0] - self._model.medians(width)[:, None, None]
        if not np.isfinite(found.sum()):
            raise ModelError(f"the model's latents at width {width} are not finite")
        return found

    def pixels(self, symbols: Symbols, width: int, delta: float) -> Pixels:
        """Return the pixels (H, W, 3) of median + Δ · symbols (C, h, w)."""
        y_hat = self._model.medians(width)[:, None, None] + np.float32(delta) * symbols
        scale = self._model.architecture.downsampling
        planes, total = self._synthesis_of(width, forks()).run(
            ["planes", "sum"],
            {"latents": y_hat[None]},
            _options(PICTURE_CHANNELS * scale**2 * y_hat[0].size),
        )
        if not np.isfinite(total):
            raise ModelError(f"the reconstruction at width {width} is not finite")
        return to_pixels(planes, block_side(self._model.architecture.synthesis))

    def _session(self, graph: bytes) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # idle threads that spin would take processor time from other programs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.log_severity_level = 3
        providers = [_CUDA, _CPU] if self._device == "cuda" else [_CPU]
        session = onnxruntime.InferenceSession(graph, options, providers)
        _sessions.add(session)
        return session


def _options(values: int) -> onnxruntime.RunOptions:
    """Return the options of a call that computes this many pixel values.

    The windows of large pictures differ in size and would fragment the arena. So it is emptied
    after each window, which takes a few per cent of the time.
    """
    options = onnxruntime.RunOptions()
    if values > _KEPT:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def to_planes(pixels: Pixels, side: int) -> Pixels:
    """Return pixels (H, W, 3) as planes (1, 3 · side², H / side, W / side) of their blocks."""
    height, columns, colours = pixels.shape
    blocks = pixels.reshape(height // side, side, columns // side, side * colours)
    return blocks.transpose(1, 3, 0, 2).reshape(1, -1, height // side, columns // side)


def to_pixels(planes: Pixels, side: int) -> Pixels:
    """Return the pixels (H, W, 3) of planes; inverse of `to_planes`."""
    _, values, height, columns = planes.shape
    blocks = planes.reshape(side, values // side, height, columns).transpose(2, 0, 3, 1)
    return blocks.reshape(height * side, columns * side, -1)


def _resolve_device(name: str) -> str:
    """Return `cpu` or `cuda`; `auto` is a GPU if this build of the runtime supports one.

    Raises:
        ConfigError: The name is unknown, or it is `cuda` and the runtime does not support it.
    """
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}: choose from {', '.join(DEVICES)}")
    has_cuda = _CUDA in onnxruntime.get_available_providers()
    if name == "cuda" and not has_cuda:
        raise ConfigError(
            "device cuda: this build of ONNX Runtime has no CUDA; install onnxruntime-gpu, or use "
            "cpu or auto"
        )
    return "cuda" if has_cuda and name != "cpu" else "cpu"
