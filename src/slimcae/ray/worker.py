"""The work of an actor: read pictures ahead, compress them one by one, and write the files."""

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

import pyarrow as pa

from slimcae.codec import Codec, Target
from slimcae.errors import SlimCAEError
from slimcae.images import read_picture
from slimcae.model.model import Model
from slimcae.ray.folders import Folder
from slimcae.ray.table import SCHEMA, Row, failed

SUFFIX = ".scae"
AHEAD = 4
"""Number of pictures that are read or written while another one is compressed."""
MOST_ATTEMPTS = 3
"""Number of times that a watched worker may die at a picture before it becomes an error."""


class Attempts(Protocol):
    """Counts unfinished attempts by their names, for all actors together."""

    def begin(self, name: str) -> int:
        """Record that work of this name begins; return the number of attempts so far."""

    def end(self, name: str) -> None:
        """Record that the attempt ended, successfully or with an error."""


@dataclass(frozen=True)
class Work:
    """The work to do for each picture.

    source, destination: folders; `a/b.jpg` becomes `a/b.jpg.scae`. target, metadata: see
    `Codec.compress`. max_pixels: larger pictures are rejected. psnr: whether to measure the PSNR.
    backend, precision: see `slimcae.load`.
    """

    source: Folder
    destination: Folder
    target: Target
    metadata: str
    max_pixels: int
    psnr: bool
    backend: str
    precision: str


class Worker:
    """Compresses batches of pictures with one thread; each actor has one, with its own codec."""

    def __init__(self, model: Model, work: Work, attempts: Attempts) -> None:
        self._work = work
        self._attempts = attempts
        self._codec = Codec(
            model,
            backend=work.backend,
            precision=work.precision,
            threads=1,
            megapixels=math.inf,  # many pictures, so a long loading time is acceptable
        )

    def __call__(self, batch: Any) -> Any:
        """Compress the pictures that a `pyarrow.Table` names; return a row as in `SCHEMA` for each.

        Any problem with a picture becomes the error of its row. A batch at which a worker died is
        watched when it is repeated: each picture is recorded before work on it begins. That takes
        a call to another process, which would cost too much for every batch.
        """
        names = batch["path"].to_pylist()
        this_batch = f"/{names[0]}"  # no picture is called so: their names are relative
        watched = self._attempts.begin(this_batch) > 1
        attempt = self._attempt_watched if watched else self._attempt
        with ThreadPoolExecutor(AHEAD) as pool:
            contents = [pool.submit(self._work.source.read, name) for name in names[:AHEAD]]
            rows, writes = [], []
            for number, name in enumerate(names):
                if number + AHEAD < len(names):
                    contents.append(pool.submit(self._work.source.read, names[number + AHEAD]))
                row, data = attempt(name, contents[number])
                contents[number] = _NOTHING  # frees memory before the batch ends
                rows.append(row)
                if data is not None:
                    writes.append((row, pool.submit(self._write, name, data)))
            for row, written in writes:
                try:
                    written.result()
                except Exception as error:
                    row |= failed(row["path"], _describe(error))
        self._attempts.end(this_batch)
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _attempt_watched(self, name: str, content: Future[bytes]) -> tuple[Row, bytes | None]:
        try:
            if self._attempts.begin(name) > MOST_ATTEMPTS:
                problem = f"the worker's process died {MOST_ATTEMPTS} times at this picture"
                return failed(name, problem), None
            return self._attempt(name, content)
        finally:
            self._attempts.end(name)

    def _attempt(self, name: str, content: Future[bytes]) -> tuple[Row, bytes | None]:
        try:
            return self._compress(name, content.result())
        except Exception as error:
            return failed(name, _describe(error)), None

    def _compress(self, name: str, content: bytes) -> tuple[Row, bytes]:
        work, model = self._work, self._codec.model
        picture = read_picture(BytesIO(content), work.max_pixels).keeping(work.metadata)
        start = time.perf_counter()
        draft = self._codec.draft(picture, work.target.effort)
        found = draft.file(work.target.choose(model, draft.encoding))
        seconds = time.perf_counter() - start
        row = {
            "path": name,
            "bytes": len(found.data),
            "bpp": found.bpp,
            "width": found.point.width,
            "step": found.point.step,
            "image_width": found.header.image_width,
            "image_height": found.header.image_height,
            "psnr": draft.encoding.psnr(found.point) if work.psnr else None,
            "seconds": seconds,
            "error": None,
        }
        return row, found.data

    def _write(self, name: str, data: bytes) -> None:
        self._work.destination.write(name + SUFFIX, data)


_NOTHING: Future[bytes] = Future()


def _describe(error: Exception) -> str:
    if isinstance(error, SlimCAEError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory: use a smaller picture or a smaller width"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
