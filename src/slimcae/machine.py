"""Description of the machine, for results to state where they were measured."""

import os
import platform
from pathlib import Path

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Processor flags, any of which means native bfloat16."""
_CPUINFO = Path("/proc/cpuinfo")
_WIDTHS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}


def describe_machine() -> str:
    """Return processor, number of cores and system: "AMD EPYC (AVX-512, bfloat16), 2 cores, Linux".

    The parentheses contain the features that determine the network's speed, if known. If
    ONEDNN_MAX_CPU_ISA restricts torch, the text ends with, for example, "torch limited to AVX2".
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    limited = f", torch limited to {limit.upper()}" if limit.replace("_", "").isalnum() else ""
    features = f" ({', '.join(_features())})" if _features() else ""
    return f"{_processor()}{features}, {os.cpu_count()} cores, {platform.system()}{limited}"


def available_cores() -> int:
    """Return the number of cores that this process may use; OMP_NUM_THREADS can limit it."""
    affinity = getattr(os, "sched_getaffinity", None)  # only on Linux
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores


def processor_flags() -> frozenset[str]:
    """Return the processor flags as Linux names them on x86; none elsewhere."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith("flags"):
                return frozenset(line.split())
    return frozenset()


def _features() -> list[str]:
    flags = processor_flags()
    if not flags:
        return []
    widest = next((name for flag, name in _WIDTHS.items() if flag in flags), "no AVX")
    return [widest, "bfloat16" if flags & BFLOAT16_FLAGS else "no bfloat16"]


def _processor() -> str:
    """Return the name of the processor if known, otherwise its architecture."""
    if _CPUINFO.exists():  # on Linux, `platform` only returns "x86_64"
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            name = value.strip()
            if key.strip() == "model name" and name and name.isprintable():
                return name
    return platform.processor() or platform.machine()
