"""The transforms in ONNX Runtime: no torch, a quarter of its memory, and loaded at once."""

import ctypes
import os
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakSet

import numpy as np

# official builds send events to Microsoft, unless this is set before they are loaded
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
"""Values of pixels (1024 × 1024 of them) up to which a call's memory is kept for the next one."""


def _share_memory() -> None:
    """Let all sessions of this process compute in one arena, which grows by what is asked for.

    One for each would keep the most that any width and side ever needed, none would give each
    layer's memory back to the system, which takes up to a third of the time.
    """
    kind, default = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind.ORT_ARENA_ALLOCATOR, 0, default)
    no_limit, as_requested, default_size = 0, 1, -1
    settings = onnxruntime.OrtArenaCfg(no_limit, as_requested, default_size, default_size)
    with suppress(RuntimeError):  # somebody else in this process was first
        onnxruntime.create_and_register_allocator(memory, settings)


_share_memory()

_sessions: WeakSet[Any] = WeakSet()


def _keep_sessions() -> None:
    """Never delete the sessions of the process that this one was forked from.

    Deleting one would wait for its threads, which are not here.
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
        """Prepare for a device.

        threads: of one call; None: as many as there are cores.

        Raises:
            ConfigError: unknown or absent device, or a precision that is not computed here.
        """
        self._model = model
        self._device = _resolve_device(device)
        if precision not in PRECISIONS:
            raise ConfigError(
                f"unknown precision {precision!r}: choose from {', '.join(PRECISIONS)}"
            )
        if precision == "bfloat16":
            raise ConfigError("precision bfloat16: only the backend torch computes in it")
        self._asked = (device, precision, threads)
        self._forks = forks()
        self._threads = threads or available_cores()
        # a session's threads do not come along in a fork, where it would wait for them for ever
        self._analysis_of = cache(lambda w, forks: self._session(analysis_graph(model, w)))
        self._synthesis_of = cache(lambda w, forks: self._session(synthesis_graph(model, w)))

    def __reduce__(self) -> tuple[type["OnnxTransforms"], tuple[Any, ...]]:
        """Pickle the model and what was asked for: graphs are made anew where it is loaded."""
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
        """Those of one call; one in a process made by fork."""
        return self._threads if self._forks == forks() else 1

    @property
    def machine(self) -> str:
        """As `describe_machine`."""
        return describe_machine()

    @property
    def backend(self) -> str:
        """`onnx`."""
        return "onnx"

    @property
    def runtime(self) -> str:
        """As in `onnxruntime 1.32.0`."""
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
        # threads that wait for work would take the processor from others
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.log_severity_level = 3
        providers = [_CUDA, _CPU] if self._device == "cuda" else [_CPU]
        session = onnxruntime.InferenceSession(graph, options, providers)
        _sessions.add(session)
        return session


def _options(values: int) -> onnxruntime.RunOptions:
    """Return the options of a call that computes so many values of pixels.

    Windows of large pictures differ in size, and would fill the arena with pieces that do not fit
    the next one: it is emptied behind each, which takes a few per cent of their time.
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
    """Return the pixels (H, W, 3) of planes: the inverse of `to_planes`."""
    _, values, height, columns = planes.shape
    blocks = planes.reshape(side, values // side, height, columns).transpose(2, 0, 3, 1)
    return blocks.reshape(height * side, columns * side, -1)


def _resolve_device(name: str) -> str:
    """Return `cpu` or `cuda`; `auto` is a GPU if this build of the runtime can use one.

    Raises:
        ConfigError: another name, or cuda where the runtime knows no such device.
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
