"""Latents of many pictures, computed once and stored in a folder; they may be larger than memory.

- `pictures.jsonl`: the first line names the model; each further line has a picture with rows and
  columns of its latents; the last line marks completeness
- `48.f16`: the residuals y − median of width 48, float16: C numbers per place, in raster order for
  each picture, with a frame of zeros

The line of a picture is written after its latents, so an interrupted computation can continue.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slimcae.codec.tiled import TiledTransforms
from slimcae.codec.tiles import split
from slimcae.errors import ImageError, TrainingError
from slimcae.files import write_bytes
from slimcae.images import read_picture
from slimcae.training.workers import side_by_side
from slimcae.transforms import Residuals

log = logging.getLogger("slimcae")

TILE = 64
"""Side in latents of the tiles that the network computes at once, which bounds its memory."""
INDEX_NAME = "pictures.jsonl"
FLOAT16 = np.dtype("<f2")
LARGEST = float(np.finfo(np.float16).max)

Halves = NDArray[np.float16]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class _Entry:
    """One picture: its file, and the rows and columns of its latents (0 if it is unreadable)."""

    name: str
    height: int
    width: int

    @property
    def framed(self) -> int:
        """Number of places, including the frame."""
        return (self.height + 2) * (self.width + 2)


class LatentStore:
    """The latents of pictures at some widths, in a folder.

    channels: number of latent channels of each width. source: name of the model.

    Raises:
        TrainingError: The folder contains latents of another model.
    """

    def __init__(self, folder: Path, channels: Mapping[int, int], source: str) -> None:
        self.folder = folder
        self.channels = dict(channels)
        self.source = source
        self.complete = False
        """Whether all pictures have been added."""
        self._entries: list[_Entry] = []
        if (folder / INDEX_NAME).exists():
            self._read_index()
        self._rows = cache(self._mapped)

    def __len__(self) -> int:
        """Number of pictures."""
        return sum(entry.height > 0 for entry in self._entries)

    def fill(
        self,
        tiled: TiledTransforms,
        paths: Sequence[Path],
        most_bytes: float,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Path]:
        """Add the latents of pictures up to `most_bytes`, and yield each path when it is done.

        Unreadable pictures are left out with a warning. The generator ends early if `should_stop`
        returns True.

        Raises:
            TrainingError: No picture can be read, or the folder has latents of other pictures.
            ModelError: Latents are not finite.
        """
        if self.complete:
            return
        done = [entry.name for entry in self._entries]
        if done != [str(path) for path in paths[: len(done)]]:
            raise self._foreign("pictures")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_index()
        files = {width: self._appended(width) for width in self.channels}
        used = sum(file.tell() for file in files.values())
        with (self.folder / INDEX_NAME).open("a", encoding="utf-8") as index:
            try:
                work = side_by_side(lambda path: self._latents(tiled, path), paths[len(done) :])
                for path, found in work:
                    entry = _Entry(str(path), *_size(found))
                    size = 2 * entry.framed * sum(self.channels.values())
                    if used + size > most_bytes and len(self):
                        log.info("latents of %d of %d pictures are kept", len(self), len(paths))
                        break
                    for width, latents in found.items():
                        files[width].write(_framed(latents).tobytes())
                        files[width].flush()
                    used += size if found else 0
                    self._entries.append(entry)
                    _write_line(index, [entry.name, entry.height, entry.width])
                    yield path
                    if should_stop():
                        return
            finally:
                for file in files.values():
                    file.close()
            if not len(self):
                raise TrainingError("none of the training images can be read")
            _write_line(index, True)
        self.complete = True

    def picture(self, width: int, index: int) -> Residuals:
        """Return the residuals (C, h, w) of one picture at a width."""
        entry = self._readable[index]
        first = int(self._firsts[index])
        rows = self._rows(width)[first : first + entry.framed]
        framed = rows.reshape(entry.height + 2, entry.width + 2, -1)
        return np.ascontiguousarray(framed[1:-1, 1:-1].transpose(2, 0, 1), np.float32)

    def places(self, width: int) -> "AllPlaces":
        """Return all places of a width, for random access."""
        shapes = np.array([(entry.height, entry.width) for entry in self._readable], np.int64)
        return AllPlaces(self._rows(width), shapes)

    @property
    def _readable(self) -> list[_Entry]:
        return [entry for entry in self._entries if entry.height]

    @property
    def _firsts(self) -> Places:
        """Return the first row of each readable picture."""
        return np.cumsum([0, *(entry.framed for entry in self._readable)])

    def _read_index(self) -> None:
        lines = (self.folder / INDEX_NAME).read_text(encoding="utf-8").splitlines()
        if not lines or json.loads(lines[0]) != self.source:
            raise self._foreign("models or widths")
        for line in lines[1:]:
            try:
                found = json.loads(line)
            except ValueError:
                return  # an incomplete line
            if found is True:
                self.complete = True
            else:
                self._entries.append(_Entry(*found))

    def _write_index(self) -> None:
        """Rewrite the index without an incomplete line."""
        entries = [[entry.name, entry.height, entry.width] for entry in self._entries]
        lines = [json.dumps(value) + "\n" for value in (self.source, *entries)]
        write_bytes(self.folder / INDEX_NAME, "".join(lines).encode())

    def _foreign(self, what: str) -> TrainingError:
        return TrainingError(
            f"{self.folder} has latents of other {what}: delete it, or use another folder"
        )

    def _appended(self, width: int) -> BinaryIO:
        """Open the file of a width for writing after the pictures in the index."""
        path = self.folder / f"{width}.f16"
        path.touch()
        file = path.open("r+b")
        file.truncate(int(self._firsts[-1]) * self.channels[width] * FLOAT16.itemsize)
        file.seek(0, 2)
        return file

    def _mapped(self, width: int) -> Halves:
        rows = np.memmap(self.folder / f"{width}.f16", FLOAT16, mode="r")
        return np.asarray(rows).reshape(-1, self.channels[width])

    def _latents(self, tiled: TiledTransforms, path: Path) -> dict[int, Halves]:
        """Return a picture's residuals (C, h, w) at each width; empty if it cannot be read."""
        try:
            pixels = read_picture(path).filled().pixels
        except ImageError as error:
            log.warning("left out: %s", error)
            return {}
        grid = tiled.grid((pixels.shape[0], pixels.shape[1]))
        found = {}
        for width, channels in self.channels.items():
            found[width] = np.empty((channels, grid.height, grid.width), FLOAT16)
            for tile in split(grid, TILE):
                residuals = tiled.residuals(pixels, tile, width)
                found[width][:, *tile.slices(grid)] = np.clip(residuals, -LARGEST, LARGEST)
        return found


class AllPlaces:
    """The places of many pictures by index, with their neighbours, without copies in memory.

    rows: (framed places, C). shapes: rows and columns of each picture.
    """

    def __init__(self, rows: Halves, shapes: Places) -> None:
        self._rows = rows
        self._columns = shapes[:, 1]
        self._ends = np.cumsum(shapes.prod(axis=1))
        self._firsts = np.cumsum([0, *(shapes + 2).prod(axis=1)])[:-1]

    def __len__(self) -> int:
        """Number of places."""
        return int(self._ends[-1])

    def around(self, which: Places) -> Tensor:
        """Return places with their eight neighbours, (P, 9, C), float32, padded with zeros."""
        picture, row, column = self._located(which)
        stride = self._columns[picture] + 2
        middle = self._firsts[picture] + (row + 1) * stride + column + 1
        down, right = np.divmod(np.arange(9), 3)
        taps = middle[:, None] + (down - 1) * stride[:, None] + (right - 1)
        return torch.from_numpy(self._rows[taps].astype(np.float32))

    def white(self, which: Places) -> Tensor:
        """Return which places are white fields, (P), bool; a picture's first place is black."""
        _, row, column = self._located(which)
        return torch.from_numpy((row + column) % 2 == 1)

    def _located(self, which: Places) -> tuple[Places, Places, Places]:
        picture = np.searchsorted(self._ends, which, side="right")
        inside = which - np.concatenate([[0], self._ends])[picture]
        row, column = np.divmod(inside, self._columns[picture])
        return picture, row, column


def _size(found: Mapping[int, Halves]) -> tuple[int, int]:
    for latents in found.values():
        return latents.shape[1], latents.shape[2]
    return 0, 0


def _framed(latents: Halves) -> Halves:
    """Convert latents (C, h, w) to (h + 2, w + 2, C) with a frame of zeros."""
    return np.ascontiguousarray(np.pad(latents.transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0))))


def _write_line(index: TextIO, value: object) -> None:
    print(json.dumps(value), file=index, flush=True)
