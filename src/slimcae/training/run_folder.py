"""A training run on disk: the model, the training state, and the logs.

- `model.safetensors`: moving average of the weights, with tables; usable at any time
- `state.pt`: raw weights, moments and step, which only training reads
- `log.jsonl`: one JSON object per log line, at most one per step
- `tensorboard/`: the same as scalars, if tensorboard is installed
- `schedule.jsonl`, `tensorboard/schedule/`: the logs of λ-scheduling
"""

import importlib.util
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from slimcae.errors import ModelError, TrainingError
from slimcae.files import write_bytes
from slimcae.training.context_trainer import ContextLog
from slimcae.training.stats import StepLog

log = logging.getLogger("slimcae")

SCHEDULED_NAME = "model_scheduled.safetensors"
STATE_NAME = "state.pt"
SCHEDULE_STATE_NAME = "schedule_state.pt"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state atomically.

    Raises:
        OSError: It cannot be written; torch would hide the reason, such as a full disk.
    """
    content = BytesIO()
    torch.save(dict(state), content)
    write_bytes(path, content.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state onto the CPU.

    Raises:
        ModelError: The file is damaged or not a training state of SlimCAE.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path} is not a readable training state ({reason}): "
            "delete it to start again, or use another folder"
        ) from error
    if not isinstance(state, dict):
        raise ModelError(f"{path} is not a training state of slimcae: use another folder")
    return state


@contextmanager
def state_errors(path: Path) -> Iterator[None]:
    """Report a malformed state file as foreign."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path} is not a training state of slimcae ({reason}): use another folder"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run folder against a second training; the lock ends with the process at the latest.

    Raises:
        TrainingError: Another process has locked it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another training is running in {folder}: wait, stop it, or use another folder"
            ) from None
        yield


class RunLog:
    """Appends lines to a JSON-lines file and, if tensorboard is installed, to its events.

    step: step from which the run continues. Lines of later steps, which a crashed process logged
    but did not save, are removed, so no step appears twice. board: folder for events in the run
    folder.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        name: str = "log.jsonl",
        board: str = "tensorboard",
        *,
        enabled: bool = True,
    ) -> None:
        if enabled:
            _forget_after(folder / name, step)
        self._file = (folder / name).open("a", encoding="utf-8") if enabled else None
        self._board: Any = None
        if enabled and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            # events cannot be removed; TensorBoard is told to ignore them
            self._board = SummaryWriter(str(folder / board), purge_step=step + 1)
        elif enabled:
            log.info("no TensorBoard scalars: pip install 'slimcae[train]' adds them")
        self._started = time.time()

    def write(self, **values: Any) -> None:
        """Write one line of JSON, with the seconds since the start."""
        if self._file:
            values["seconds"] = round(time.time() - self._started, 1)
            try:
                self._file.write(json.dumps(values) + "\n")
                self._file.flush()
            except OSError as error:
                error.filename = self._file.name
                raise

    def step(self, line: StepLog | ContextLog) -> None:
        """Write one log line of training, as JSON and as scalars per width."""
        self.write(**line.as_dict())
        if not self._board:
            return
        scalars = {"loss": line.loss, "learning_rate": line.learning_rate, **line.scalars()}
        for name, value in scalars.items():
            self._board.add_scalar(name, value, line.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()


def _forget_after(path: Path, step: int) -> None:
    """Remove lines of later steps and an incomplete last line from a log."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines:
        write_bytes(path, "".join(kept).encode())


def _step_of(line: str) -> float:
    """Return the step of a log line; infinite if the line is incomplete."""
    try:
        found = json.loads(line) if line.endswith("\n") else None
    except ValueError:
        found = None
    return found.get("step", 0) if isinstance(found, dict) else math.inf
