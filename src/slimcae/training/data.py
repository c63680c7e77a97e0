"""Training crops: drawn by step number, and cut from a cache of decoded images.

The crops of a step depend only on seed and step number, so a resumed run continues exactly, without
a stored loader state.
"""

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from slimcae.errors import ImageError, TrainingError
from slimcae.images import read_picture
from slimcae.training.interrupt import ignore_signals, signals_held

log = logging.getLogger("slimcae")

GIB = 2**30


@dataclass(frozen=True)
class Draw:
    """One crop: index of the image, position (fractions of the free space), and mirroring."""

    index: int
    top: float
    left: float
    flip: bool


def draw_crops(seed: int, step: int, count: int, num_images: int) -> list[Draw]:
    """Return the crops of one step, determined by seed and step."""
    rng = np.random.default_rng([seed, step])
    indices = rng.integers(num_images, size=count).tolist()
    places = rng.random((count, 3)).tolist()
    return [
        Draw(index, top, left, flip < 0.5)
        for index, (top, left, flip) in zip(indices, places, strict=True)
    ]


def cut(image: Tensor, draw: Draw, size: int) -> Tensor:
    """Return a crop (3, size, size) of an image (3, H, W); smaller images repeat their edge."""
    _, height, width = image.shape
    if height < size or width < size:
        pad = (0, max(0, size - width), 0, max(0, size - height))
        # replicate padding knows no integers on some devices
        image = F.pad(image[None].float(), pad, mode="replicate")[0].to(image.dtype)
        _, height, width = image.shape
    top = int(draw.top * (height - size + 1))
    left = int(draw.left * (width - size + 1))
    crop = image[:, top : top + size, left : left + size]
    return crop.flip(-1) if draw.flip else crop


def decode(path: Path) -> Tensor:
    """Read an image file as a tensor (3, H, W), uint8."""
    return torch.from_numpy(read_picture(path).filled().pixels).permute(2, 0, 1).contiguous()


def free_memory(device: torch.device) -> int:
    """Return the free memory of the device in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * GIB  # a cautious guess where the system does not report it (Windows)


class TrainingImages:
    """A set of image files that yields batches of random crops.

    As many images as `cache_gb` allows are decoded once and kept on `device`, where the crops are
    cut; worker processes decode the others when drawn. An unreadable image keeps its index, and the
    next readable one replaces it, so batches do not depend on the cache.

    Raises:
        TrainingError: There is no usable image.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        device: torch.device,
        cache_gb: float | None = None,
        num_workers: int = 2,
    ) -> None:
        self.device = device
        self.num_workers = num_workers
        if cache_gb is None:
            # processes on one machine share its memory, but not that of their GPUs
            sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
            budget = free_memory(device) / 2 / sharing
        else:
            budget = cache_gb * GIB
        self.paths = list(paths)
        self.cache: dict[int, Tensor] = {}
        """Decoded images by their index in `paths`."""
        self.unreadable: set[int] = set()
        """Indices of unreadable files."""
        self._fill_cache(budget)
        if len(self.unreadable) == len(paths):
            raise self._no_image()

    def __len__(self) -> int:
        """Number of files, readable or not."""
        return len(self.paths)

    def report_small(self, size: int) -> None:
        """Log how many cached images are smaller than the crops."""
        small = sum(min(image.shape[1:]) < size for image in self.cache.values())
        if small:
            log.warning(
                "%d of %d training images are smaller than the %d×%d crops: "
                "their edges are repeated",
                small, len(self), size, size,
            )  # fmt: skip

    def batches(
        self, size: int, count: int, seed: int, start: int, part: slice = slice(None)
    ) -> Iterator[Tensor]:
        """Yield endless batches (count, 3, size, size), uint8, on the device, from step `start`.

        part: this process's share of each batch of `count` crops.
        """

        def step_draws(step: int) -> list[Draw]:
            draws = draw_crops(seed, step, count, len(self))[part]
            return [replace(draw, index=self._readable(draw.index)) for draw in draws]

        everything = len(self.cache) + len(self.unreadable) == len(self)
        late = None if everything else self._decoded_by_workers(size, step_draws, start)
        for step in itertools.count(start):
            draws = step_draws(step)
            from_workers = iter(()) if late is None else iter(next(late))
            crops = [
                cut(self.cache[draw.index], draw, size)
                if draw.index in self.cache
                else self._arrived(next(from_workers))
                for draw in draws
            ]
            yield torch.stack(crops)

    def sample(self, size: int, count: int, seed: int) -> Tensor:
        """Return a fixed batch (count, 3, size, size), uint8, that is not a training batch."""
        # training steps count from zero, so none uses this number
        return next(self.batches(size, count, seed, start=2**40))

    def _readable(self, index: int) -> int:
        """Return the index itself, or the next one that is not known to be unreadable."""
        while index in self.unreadable:
            index = (index + 1) % len(self)
        return index

    def _decoded_by_workers(
        self, size: int, step_draws: Callable[[int], list[Draw]], start: int
    ) -> Iterator[list[Tensor | None]]:
        plan = (
            [draw for draw in step_draws(step) if draw.index not in self.cache]
            for step in itertools.count(start)
        )
        loader: DataLoader[Tensor | None] = DataLoader(
            _UncachedCrops(self.paths, size),
            batch_sampler=plan,  # draws instead of numbers
            num_workers=self.num_workers,
            collate_fn=list,
            worker_init_fn=ignore_signals,
        )
        with signals_held():  # workers inherit this until they ignore the signals
            return iter(loader)

    def _arrived(self, crop: Tensor | None) -> Tensor:
        if crop is None:
            raise self._no_image()
        return crop.to(self.device, non_blocking=True)

    def _no_image(self) -> TrainingError:
        return TrainingError(f"none of the {len(self)} training images can be read")

    def _fill_cache(self, budget: float) -> None:
        used = 0
        with ThreadPoolExecutor() as pool:
            chunk = 4 * (os.cpu_count() or 1)  # decoded ahead, which bounds memory for any budget
            for start in range(0, len(self), chunk):
                if used >= budget:
                    return
                part = self.paths[start : start + chunk]
                for index, image in enumerate(pool.map(_decode_or_warn, part), start):
                    if image is None:
                        self.unreadable.add(index)
                    elif used < budget:
                        used += image.numel()
                        self.cache[index] = image.to(self.device)


def _decode_or_warn(path: Path) -> Tensor | None:
    try:
        return decode(path)
    except ImageError as error:
        log.warning("training image skipped: %s", error)
        return None


class _UncachedCrops(Dataset[Tensor | None]):
    """Decodes a drawn image in a worker process and cuts the crop there."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths, self.size = paths, size
        self._unreadable: set[int] = set()

    def __getitem__(self, draw: Draw) -> Tensor | None:
        for k in range(len(self.paths)):  # an unreadable image is replaced by the next one
            index = (draw.index + k) % len(self.paths)
            image = None if index in self._unreadable else _decode_or_warn(self.paths[index])
            if image is not None:
                return cut(image, draw, self.size).contiguous()
            self._unreadable.add(index)  # warn only once
        return None  # an exception would arrive with a traceback as its message
