"""Test the pipeline on a local Ray cluster of two workers."""

import io
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ray", reason="ray is not installed: make test-ray installs it")

import ray
from command_line import call
from pyarrow import parquet as pq
from recording_target import RecordingTarget

import slimcae
from conftest import smooth_pixels
from slimcae.codec import Codec, Target
from slimcae.errors import ConfigError
from slimcae.evaluation.metrics import psnr
from slimcae.images import read_picture
from slimcae.ray import Summary, compress_folder
from slimcae.ray.worker import MOST_ATTEMPTS

pytestmark = pytest.mark.filterwarnings("default")  # Ray has warnings of its own

MODEL = Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors"
WIDTH = 8
DEADLY = (40, 56)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import recording_target
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100_000_000,
        )
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of eighteen pictures, one of them of the size `DEADLY`."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(17):
        name = f"{number:02}.png" if number % 2 else f"more/{number:02}.png"
        Image.fromarray(smooth_pixels(32 + number, 48, number)).save(folder / name)
    Image.fromarray(smooth_pixels(*DEADLY, 99)).save(folder / "07a.png")
    return folder


@pytest.fixture(scope="module")
def codec() -> Codec:
    return slimcae.load(MODEL, backend="onnx", threads=1)


def run(photos: Path, target: Target | None = None, **options: Any) -> Summary:
    settings: dict[str, Any] = {"model": MODEL, "backend": "onnx"} | options
    return compress_folder(photos, photos.parent / "out", target or Target(width=WIDTH), **settings)


def rows_of(summary: Summary) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in pq.read_table(summary.table).to_pylist()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png*"))


def test_files_and_rows_are_those_of_the_codec(photos: Path, codec: Codec) -> None:
    names = names_in(photos)
    (photos / "damaged.jpg").write_bytes(b"no picture")
    cut = io.BytesIO()
    Image.fromarray(smooth_pixels(64, 64, 1)).save(cut, "PNG")
    (photos / "cut.png").write_bytes(cut.getvalue()[:500])
    (photos / "gone.png").symlink_to(photos / "nowhere.png")  # no file: it is not found
    (photos / "notes.txt").write_text("no picture either")
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes((photos / names[0]).read_bytes())

    calls = []
    found = run(photos, psnr=True, progress=lambda done, total: calls.append((done, total)))
    assert found[:3] == (18, 3, 0)
    assert calls[-1] == (20, 20)
    out = photos.parent / "out"
    assert names_in(out) == [f"{name}.scae" for name in names]
    assert not list(out.rglob("*.tmp")) and not list(out.rglob("*.parts"))
    rows = rows_of(found)
    assert rows.keys() == {*names, "damaged.jpg", "cut.png", "caf\\udce9.png"}
    assert "not UTF-8" in rows["caf\\udce9.png"]["error"]
    for name in names:
        data = codec.compress(photos / name, WIDTH)
        assert (out / f"{name}.scae").read_bytes() == data
        picture = read_picture(photos / name).pixels
        row = rows[name]
        assert row.pop("seconds") > 0
        restored = np.asarray(codec.decompress(data).convert("RGB"))
        assert row.pop("psnr") == pytest.approx(psnr(picture, restored))
        assert row == {
            "path": name,
            "bytes": len(data),
            "bpp": 8 * len(data) / (picture.shape[0] * picture.shape[1]),
            "width": WIDTH,
            "step": 0,
            "image_width": picture.shape[1],
            "image_height": picture.shape[0],
            "error": None,
        }
    for name in ("damaged.jpg", "cut.png"):
        assert "cannot be read as a picture" in rows[name]["error"]
        assert rows[name]["bytes"] is None


def test_a_worker_killed_in_the_middle_costs_nothing(photos: Path, codec: Codec) -> None:
    notes = photos.parent / "notes"
    target = RecordingTarget(width=WIDTH, notes=str(notes), deadly=DEADLY[0] * DEADLY[1], deaths=1)
    found = run(photos, target, workers=2)
    assert found[:3] == (18, 0, 0)
    out = photos.parent / "out"
    for name in names_in(photos):
        assert (out / f"{name}.scae").read_bytes() == codec.compress(photos / name, WIDTH)
    assert len(rows_of(found)) == 18

    models = defaultdict(set)
    killed = []
    for line in notes.read_text().splitlines():
        process, model, pixels = line.split()
        models[process].add(model)
        if int(pixels) == target.deadly:
            killed.append(process)
    assert len(set(killed)) == 2, "the dead process, and the one that took its place"
    assert all(len(each) == 1 for each in models.values()), "each loads the model once"


def test_a_picture_that_kills_every_worker_becomes_an_error(photos: Path) -> None:
    notes = photos.parent / "notes"
    target = RecordingTarget(width=WIDTH, notes=str(notes), deadly=DEADLY[0] * DEADLY[1], deaths=99)
    found = run(photos, target, workers=2)
    assert found[:2] == (17, 1)
    assert f"died {MOST_ATTEMPTS} times" in rows_of(found)["07a.png"]["error"]
    assert not (photos.parent / "out" / "07a.png.scae").exists()


def test_a_run_that_was_stopped_is_continued(photos: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(photos, progress=stop)
    out = photos.parent / "out"
    assert not (out / "table.parquet").exists()
    (part,) = (out / "table.parquet.parts").iterdir()
    before = set(pq.read_table(part)["path"].to_pylist())
    assert 0 < len(before) < 18
    times = {name: (out / f"{name}.scae").stat().st_mtime_ns for name in before}

    found = run(photos)
    assert found[:3] == (18 - len(before), 0, len(before))
    assert len(rows_of(found)) == 18
    for name, time in times.items():
        assert (out / f"{name}.scae").stat().st_mtime_ns == time
    with pytest.raises(ConfigError, match="width 8, not 4"):
        run(photos, Target(width=4))


def test_the_command_retries_errors_when_asked_to(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = photos / "00b.png", photos / "01.png"
    bad.write_bytes(b"")
    words = ["ray", str(photos), "-o", str(photos.parent / "out"), "-m", str(MODEL), "-w", "8"]
    assert call(words) == 1
    assert "18 ok, 1 failed" in capsys.readouterr().err
    bad.write_bytes(good.read_bytes())
    assert call(words) == 1
    assert "0 ok, 1 failed, 19 done before" in capsys.readouterr().err
    assert call([*words, "--retry_errors", "--workers", "1"]) == 0
    assert "1 ok, 0 failed, 18 done before" in capsys.readouterr().err
