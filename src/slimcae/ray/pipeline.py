"""The pipeline: a pool of Ray actors turns names of pictures into rows of the table."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import ray
import ray.data
from pyarrow import compute

from slimcae.codec import Target
from slimcae.errors import SettingError, SlimCAEError, checked_bool
from slimcae.images import KINDS, MAX_PIXELS, plugin_kinds
from slimcae.model.config import whole_number
from slimcae.model.file import read_model
from slimcae.model.model import Model
from slimcae.model.registry import find_model
from slimcae.ray.folders import Folder
from slimcae.ray.table import SCHEMA, Table, failed
from slimcae.ray.worker import SUFFIX, Work, Worker

log = logging.getLogger("slimcae")

TABLE_NAME = "table.parquet"
LARGEST_BATCH = 32
"""Number of pictures per batch of an actor, which is repeated if the actor dies."""
BATCHES_PER_WORKER = 8
"""Minimal number of batches per worker, so that all workers end at about the same time."""
_MOST_DEATHS_AT_START = 3
"""Number of actors in a row that may die while they load the model."""


class Summary(NamedTuple):
    """Result of a run.

    compressed: number of pictures that this run compressed. failed: number of rows of the table
    with an error. skipped: number of pictures that were already in the table. table: path of the
    table.
    """

    compressed: int
    failed: int
    skipped: int
    table: str


def compress_folder(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    target: Target = Target(),  # noqa: B008 (frozen)
    *,
    model: str | Path | None = None,
    metadata: str = "icc",
    max_pixels: int = MAX_PIXELS,
    psnr: bool = False,
    backend: str = "auto",
    precision: str = "auto",
    table: str = TABLE_NAME,
    retry_errors: bool = False,
    workers: int | None = None,
    source_filesystem: Any = None,
    destination_filesystem: Any = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Summary:
    """Compress all pictures of a folder and its subfolders on a Ray cluster.

    `a/b.jpg` in the source becomes `a/b.jpg.scae` in the destination, and a row of a Parquet table
    there (`slimcae.ray.table.SCHEMA`). A picture that cannot be compressed becomes a row with an
    error. Pictures that have a row are skipped, so the same call continues a stopped run, and adds
    new pictures.

    source, destination: paths that all machines of the cluster can access, or URIs
        (`s3://bucket/photos`), or paths in the given filesystems of PyArrow or fsspec.
    target, metadata: see `Codec.compress`. model: a file, a run folder or an installed model of
        this machine; the workers get it from here. backend, precision: see `slimcae.load`.
    psnr: measure the PSNR, which takes about a third more time. max_pixels: larger pictures become
        errors. table: name of the table in the destination. retry_errors: repeat pictures whose row
        has an error.
    workers: number of actors, each with one core; None: one for each core of the cluster.
    progress: called with the number of finished pictures and the total number in this run.

    The function uses the cluster that `ray.init` connected to, or the one that RAY_ADDRESS names,
    or starts one on this machine.

    Raises:
        ConfigError: The folder does not exist, or settings are invalid or differ from the table's.
        ModelError: The model does not exist.
        SlimCAEError: Ray stopped.
    """
    psnr = checked_bool("psnr", psnr)
    retry_errors = checked_bool("retry_errors", retry_errors)
    number = None if workers is None else whole_number(workers)
    if workers is not None and (number is None or number < 1):
        raise SettingError("workers", workers, "a whole number from 1")
    loaded = read_model(find_model(model))
    target.check(loaded)
    work = Work(
        Folder.at(source, source_filesystem),
        Folder.at(destination, destination_filesystem),
        target,
        metadata,
        max_pixels,
        psnr,
        backend,
        precision,
    )
    rows = Table(work.destination, table, _settings(loaded, work))
    names, unnamed = _pictures(work.source)
    if len(unnamed):
        rows.add(unnamed)
    known = rows.rows()
    if retry_errors:
        known = known.filter(compute.is_null(known["error"]))
    done = set(known["path"].to_pylist())
    todo = [name for name in names if name not in done]
    compressed = finished = 0
    if todo:
        try:
            for found in _compressed(todo, loaded, work, number):
                rows.add(found)
                finished += len(found)
                compressed += found["error"].null_count
                progress(finished, len(todo))
        finally:
            rows.flush()
    table_now = rows.finish()
    failed = len(table_now) - table_now["error"].null_count
    return Summary(compressed, failed, len(names) - len(todo), rows.path)


def _settings(model: Model, work: Work) -> dict[str, Any]:
    """Return the settings that all files of one table share, as values for JSON."""
    chosen = {name: value for name, value in vars(work.target).items() if value is not None}
    return chosen | {
        "model": f"{model.info.name}@{model.info.version}",
        "fingerprints": {str(width): model.fingerprint(width).hex() for width in model.widths},
        "metadata": work.metadata,
        "max_pixels": work.max_pixels,
        "psnr": work.psnr,
    }


def _pictures(source: Folder) -> tuple[list[str], Any]:
    """Return the names of all pictures, and error rows for names that a table cannot store."""
    found = source.find((*KINDS, *plugin_kinds()))
    for line in found.closed:
        log.warning("a folder cannot be read: %s (left out)", line)
    others = {suffix: n for suffix, n in found.left_out.items() if suffix != SUFFIX}
    if others:
        text = ", ".join(f"{n:,} {suffix or 'without suffix'}" for suffix, n in others.items())
        log.warning("%s: left out %s", source, text)
    names = [name for name in found.names if _is_text(name)]
    unnamed = [
        failed(name.encode(errors="backslashreplace").decode(), "its name is not UTF-8: rename it")
        for name in found.names
        if not _is_text(name)
    ]
    return names, pa.Table.from_pylist(unnamed, schema=SCHEMA)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _compressed(
    names: Sequence[str], model: Model, work: Work, workers: int | None
) -> Iterator[Any]:
    """Yield the rows of pictures in batches, in order of completion."""
    _connect()
    workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    size = max(1, min(LARGEST_BATCH, len(names) // (workers * BATCHES_PER_WORKER)))
    data = ray.data.from_items(  # unlike tables, these need no tasks to be looked at
        [{"path": name} for name in names], override_num_blocks=-(-len(names) // size)
    ).map_batches(
        _Actor,
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        fn_constructor_args=(ray.put(model), work, _attempts()),
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=1,
    )
    data.context.enable_progress_bars = False
    data.context.print_on_execution_start = False
    data.context.execution_no_progress_timeout_s = -1  # huge pictures may take long
    data.context.max_consecutive_actor_init_deaths = _MOST_DEATHS_AT_START
    try:
        yield from data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise SlimCAEError(f"Ray stopped ({reason}): the same call continues") from error


def _connect() -> None:
    if not ray.is_initialized():
        # a cluster that is started here sends no usage statistics
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(logging_level=logging.ERROR)


class _Actor(Worker):
    """A `Worker` as a Ray actor, which gets the model once from the object store."""

    def __init__(self, model: Any, work: Work, attempts: Any) -> None:
        super().__init__(ray.get(model), work, _Counted(attempts))


class _Counted:
    """A client of the common `Attempts` of all actors."""

    def __init__(self, attempts: Any) -> None:
        self._attempts = attempts

    def begin(self, name: str) -> int:
        count: int = ray.get(self._attempts.begin.remote(name))
        return count

    def end(self, name: str) -> None:
        self._attempts.end.remote(name)  # calls of one process arrive in order


def _attempts() -> Any:
    """Start the actor that counts attempts, whose process outlives those that process pictures.

    The class is local, so that Ray sends it whole: to import this module takes that process
    seconds.
    """

    class Attempts:
        def __init__(self) -> None:
            self._begun: dict[str, int] = {}

        def begin(self, name: str) -> int:
            self._begun[name] = self._begun.get(name, 0) + 1
            return self._begun[name]

        def end(self, name: str) -> None:
            self._begun.pop(name, None)

    return ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts).remote()
