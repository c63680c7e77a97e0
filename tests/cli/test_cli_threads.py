"""Test concurrent processing of files: their number, threads, and memory."""

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from batch_photos import codec, model, photos
from command_line import call, save_photo
from noting_codec import NotingCodec

import slimcae
from conftest import HANG
from slimcae import images
from slimcae.cli.batch import run_jobs
from slimcae.cli.jobs import Job, Plan
from slimcae.codec import Codec, Compressed, Target
from slimcae.images import Picture


def test_no_more_pictures_in_memory_than_jobs(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(12):
        save_photo(photos / f"{seed}.png", seed=seed)
    fake = NotingCodec(codec).take_over(monkeypatch)
    alive, most, lock = [0], [0], threading.Lock()
    read, encode = images.read_picture, fake.encode

    def change(by: int) -> None:
        with lock:
            alive[0] += by
            most[0] = max(most[0], alive[0])

    def counted(source: Any, max_pixels: int) -> Picture:
        picture = read(source, max_pixels)
        change(1)
        weakref.finalize(picture, change, -1)
        return picture

    monkeypatch.setattr(images, "read_picture", counted)
    for jobs in (1, 3):
        all_busy = threading.Barrier(jobs)  # of 15 pictures

        def together(
            image: Picture, target: Target, all_busy: threading.Barrier = all_busy, **handling: Any
        ) -> Compressed:
            all_busy.wait(HANG)
            return encode(image, target, **handling)

        monkeypatch.setattr(fake, "encode", together)
        most[0] = 0
        assert call(["compress", "-r", photos, "-y", "-j", str(jobs)]) == 0
        gc.collect()
        assert (alive[0], most[0]) == (0, jobs)


def test_threads_share_one_codec_and_the_cores(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = NotingCodec(codec)
    loads: list[object] = []
    busy, most, lock = 0, 0, threading.Lock()
    both_busy, first_two = threading.Barrier(2), iter(range(2))

    def load(*_: object, **settings: object) -> NotingCodec:
        loads.append(settings["threads"])
        assert settings["megapixels"] == pytest.approx(56 * (40 + 41 + 42) / 1e6)
        return fake

    encode = fake.encode

    def noted(image: Picture, *asked: Any, **handling: Any) -> Compressed:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        if next(first_two, None) is not None:
            both_busy.wait(HANG)
        try:
            return encode(image, *asked, **handling)
        finally:
            with lock:
                busy -= 1

    monkeypatch.setattr(fake, "encode", noted)
    monkeypatch.setattr(slimcae.codec, "load", load)
    monkeypatch.setattr("slimcae.machine.available_cores", lambda: 6)
    assert call(["compress", "-r", photos, "-j", "2"]) == 0
    assert loads == [3]
    assert most == 2  # a third thread may write meanwhile
    assert call(["compress", "-r", photos, "-y", "-j", "2", "--threads", "5"]) == 0
    assert call(["compress", "-r", photos, "-y", "-j", "1"]) == 0
    assert loads == [3, 5, None]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([10**6] * 9, 6),
        ([10**6] * 4, 4),
        ([10**6, 5 * 10**6], 2),
        ([10**6, 10**6, 10**6, 5 * 10**6], 3),
        ([10**6, 12 * 10**6], 1),
        ([10**6], 1),
        ([], 1),
    ],
)
def test_small_files_are_done_one_per_core(
    tmp_path: Path, pixels: list[int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimcae.machine.available_cores", lambda: 6)
    sizes = {tmp_path / str(index): number for index, number in enumerate(pixels)}
    for path in sizes:
        path.touch()
    jobs = [Job(str(path), "x") for path in sizes]
    skipped = [Job("problem", "x", problem="!"), Job("done", "x", done=True)]
    plan = Plan((*jobs, *skipped), several=True, folder=None)
    assert plan.files_at_a_time(None, sizes.__getitem__) == expected
    assert plan.files_at_a_time(3, sizes.__getitem__) == max(1, min(3, len(jobs)))


def test_files_side_by_side_are_the_default(
    photos: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    NotingCodec(codec).take_over(monkeypatch)
    found: list[int] = []

    def noted(*args: Any) -> int:
        found.append(args[-1])
        return run_jobs(*args)

    monkeypatch.setattr("slimcae.cli.compress.run_jobs", noted)
    monkeypatch.setattr("slimcae.machine.available_cores", lambda: 2)
    assert call(["compress", "-r", photos]) == 0
    assert call(["compress", "-r", photos, "-y", "-j", "1"]) == 0
    assert found == [4, 1]  # half of the threads write
