"""Sessions of ONNX Runtime: shared memory, threads, and survival of forks."""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakSet

# official builds send telemetry to Microsoft, unless this is set before they are loaded
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from slimcae.machine import available_cores
from slimcae.transforms.forks import forks

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


class Sessions:
    """The sessions of one kind of graph, each opened when it is first asked for.

    graph: function that builds the graph of an operating point. device: `cpu` or `cuda`. threads:
    number of threads per call; None: one per core.
    """

    def __init__(self, graph: Callable[..., bytes], device: str, threads: int | None) -> None:
        self._threads = threads or available_cores()
        self._forks = forks()
        # a session's threads do not survive a fork; the child would wait for them forever
        self._open = cache(lambda forks, *which: _session(graph(*which), device, self.threads))

    @property
    def threads(self) -> int:
        """Number of threads per call; 1 in a forked process."""
        return self._threads if self._forks == forks() else 1

    def run(self, which: tuple[Any, ...], outputs: list[str], values: int, **inputs: Any) -> Any:
        """Run the graph for the arguments `which`; return the outputs with these names.

        values: the number of pixel values that the call computes.
        """
        # the windows of large pictures differ in size and would fragment the arena. So it is
        # emptied after each window, which takes a few per cent of the time
        options = onnxruntime.RunOptions()
        if values > _KEPT:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return self._open(forks(), *which).run(outputs, inputs, options)


def _session(graph: bytes, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # idle threads that spin would take processor time from other programs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3
    providers = [_CUDA, _CPU] if device == "cuda" else [_CPU]
    session = onnxruntime.InferenceSession(graph, options, providers)
    _sessions.add(session)
    return session


def has_cuda() -> bool:
    """Return whether this build of ONNX Runtime supports NVIDIA GPUs."""
    return _CUDA in onnxruntime.get_available_providers()


def runtime() -> str:
    """Return name and version, for example `onnxruntime 1.32.0`."""
    return f"onnxruntime {onnxruntime.__version__}"
