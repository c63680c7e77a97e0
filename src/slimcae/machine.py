"""Which machine this is, in words, for results to say where they were measured."""

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> str:
    """Return processor, number of cores and system: "AMD EPYC, 2 cores, Linux".

    Where ONEDNN_MAX_CPU_ISA keeps the network from newer instructions, that is said, too:
    "AMD EPYC, 2 cores, Linux, torch limited to AVX2".
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    limited = f", torch limited to {limit.upper()}" if limit.replace("_", "").isalnum() else ""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}{limited}"


def available_cores() -> int:
    """Return the number of cores that this process may use; OMP_NUM_THREADS can limit it."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    if _CPUINFO.exists():  # on Linux platform knows no more than "x86_64"
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            name = value.strip()
            if key.strip() == "model name" and name and name.isprintable():
                return name
    return platform.processor() or platform.machine()
