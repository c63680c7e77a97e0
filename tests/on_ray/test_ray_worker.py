"""What a worker asks others about, without a cluster."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-ray installs it")

import pyarrow as pa
from PIL import Image

from conftest import smooth_pixels
from slimcae.codec import Target
from slimcae.images import MAX_PIXELS
from slimcae.model.file import read_model
from slimcae.ray.folders import Folder
from slimcae.ray.worker import Work, Worker

MODEL = Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors"


class Noted:
    """Counts as `Attempts` do, and keeps the names that were asked about."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.names: list[str] = []

    def begin(self, name: str) -> int:
        self.names.append(name)
        self.begun[name] = self.begun.get(name, 0) + 1
        return self.begun[name]

    def end(self, name: str) -> None:
        del self.begun[name]


def test_pictures_are_noted_only_where_a_process_has_died(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    for seed, name in enumerate(names):
        Image.fromarray(smooth_pixels(32, 48, seed)).save(tmp_path / name)
    noted = Noted()
    source, out = Folder.at(tmp_path), Folder.at(tmp_path / "out")
    work = Work(source, out, Target(width=8), "icc", MAX_PIXELS, False, "onnx", "auto")
    worker = Worker(read_model(MODEL), work, noted)
    batch = pa.table({"path": names})
    first = worker(batch)
    assert len(noted.names) == 1 and not noted.begun

    (of_batch,) = noted.names
    noted.begun[of_batch] = 1  # as a process leaves it that dies in the batch
    assert worker(batch).drop(["seconds"]) == first.drop(["seconds"])
    assert noted.names == [of_batch, of_batch, *names]
    assert not noted.begun

    noted.begun = {of_batch: 1, "b.png": 3}
    errors = worker(batch)["error"].to_pylist()
    assert errors[0] is None and "died 3 times" in errors[1]
