"""Distributed training: the process group from torchrun's environment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from slimcae.errors import SettingError
from slimcae.transforms.torch_.device import resolve_device


@dataclass(frozen=True)
class Process:
    """This process among all training processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, batchsize: int) -> slice:
        """Return this process's part of a batch.

        Raises:
            SettingError: The batch cannot be divided evenly.
        """
        if batchsize % self.size:
            raise SettingError(
                "batchsize", batchsize, f"a multiple of {self.size}, the number of processes"
            )
        part = batchsize // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether the flag is set in any process; all processes must call this."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag), device=device)
        distributed.all_reduce(votes, distributed.ReduceOp.MAX)
        return bool(votes)

    def from_main(self, values: list[float], device: torch.device) -> list[float]:
        """Return the main process's values in all processes; all must call this."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.broadcast(shared, src=0)
        return shared.tolist()


@contextmanager
def process_group(device: torch.device) -> Iterator[Process]:
    """Join the processes that torchrun started (NCCL on GPUs, gloo on CPUs); alone, do nothing."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Process()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Process(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def local_device(name: str) -> torch.device:
    """Return the device for `cpu`, `cuda` or `auto`; with torchrun, this process's own GPU.

    Raises:
        ConfigError: The name is `cuda`, but there is no GPU.
    """
    device = resolve_device(name, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
