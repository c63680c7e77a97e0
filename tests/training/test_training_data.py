import itertools
import logging
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from slimcae.errors import TrainingError
from slimcae.training.data import Draw, TrainingImages, cut, decode, draw_crops

CPU = torch.device("cpu")
ONE_BYTE = 2.0**-30
"""A cache for one picture, after which the limit is exceeded."""


def coordinates(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Path]:
    """Return pictures whose pixels have their positions: (row, column, number of the picture)."""
    paths = []
    for k, (h, w) in enumerate(sizes):
        rows, columns = np.mgrid[:h, :w]
        pixels = np.stack([rows, columns, np.full((h, w), k)], axis=2).astype(np.uint8)
        paths.append(folder / f"{k}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def take(images: TrainingImages, steps: int, *, start: int = 0, seed: int = 3) -> list[Tensor]:
    batches = images.batches(16, 6, seed, start)
    return list(itertools.islice(batches, steps))


def test_draws_follow_seed_and_step_alone() -> None:
    first = draw_crops(1, 5, 8, 100)
    assert draw_crops(1, 5, 8, 100) == first
    others = [draw_crops(1, 6, 8, 100), draw_crops(2, 5, 8, 100), draw_crops(5, 1, 8, 100)]
    assert all(other != first for other in others)


def test_draws_are_uniform() -> None:
    draws = [draw for step in range(300) for draw in draw_crops(0, step, 8, 4)]
    for column in ([d.index / 4 + 0.125 for d in draws], [d.top for d in draws],
                   [d.left for d in draws]):  # fmt: skip
        assert np.mean(column) == pytest.approx(0.5, abs=0.03)
        assert np.var(column) == pytest.approx(1 / 12, abs=0.01)
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.05)


def test_crops_are_windows_of_the_pictures_some_mirrored(tmp_path: Path) -> None:
    sizes = [(16, 40), (33, 20), (18, 17)]
    images = TrainingImages(coordinates(tmp_path, sizes), CPU, cache_gb=1)
    seen: set[tuple[int, int, int]] = set()
    mirrored = 0
    for batch in take(images, 60):
        assert batch.shape == (6, 3, 16, 16)
        assert batch.dtype == torch.uint8
        for crop in batch.int():
            rows, columns, number = crop[0, :, 0], crop[1, 0], int(crop[2, 0, 0])
            flip = bool(columns[0] > columns[-1])
            if flip:
                columns = columns.flip(0)
            top, left = int(rows[0]), int(columns[0])
            assert torch.equal(rows, torch.arange(top, top + 16))
            assert torch.equal(columns, torch.arange(left, left + 16))
            height, width = sizes[number]
            assert top + 16 <= height
            assert left + 16 <= width
            seen.add((number, top, left))
            mirrored += flip
    assert 100 < mirrored < 260
    for number, (height, width) in enumerate(sizes):  # the whole picture is used, up to its edges
        tops = {top for k, top, _ in seen if k == number}
        lefts = {left for k, _, left in seen if k == number}
        assert {0, height - 16} <= tops
        assert {0, width - 16} <= lefts


@pytest.mark.parametrize("size", [(9, 40), (40, 9), (1, 1), (15, 15)])
def test_smaller_pictures_repeat_their_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    (path,) = coordinates(tmp_path, [size])
    pixels = np.asarray(Image.open(path))
    h, w = size
    padded = np.pad(pixels, ((0, max(0, 16 - h)), (0, max(0, 16 - w)), (0, 0)), mode="edge")
    crop = cut(decode(path), Draw(0, 0.999, 0.999, False), 16)
    expected = padded[padded.shape[0] - 16 :, padded.shape[1] - 16 :]
    assert np.array_equal(crop.permute(1, 2, 0), expected)


def test_small_pictures_are_counted_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = TrainingImages(coordinates(tmp_path, [(9, 40), (40, 40), (8, 8)]), CPU, 1)
    images.report_small(16)
    assert "2 of 3 training images are smaller than the 16×16 crops" in caplog.text


def test_batches_go_on_where_a_run_stopped(tmp_path: Path) -> None:
    images = TrainingImages(coordinates(tmp_path, [(40, 40), (30, 50)]), CPU, 1)
    whole, rest = take(images, 6), take(images, 3, start=3)
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], rest, strict=True))
    assert not torch.equal(whole[0], take(images, 1, seed=4)[0])


def test_processes_share_the_batch(tmp_path: Path) -> None:
    images = TrainingImages(coordinates(tmp_path, [(40, 40), (30, 50)]), CPU, 1)
    whole = next(images.batches(16, 6, 0, 2))
    parts = [next(images.batches(16, 6, 0, 2, slice(k, k + 3))) for k in (0, 3)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_cache_of_any_size_gives_the_same_batches(tmp_path: Path, num_workers: int) -> None:
    paths = coordinates(tmp_path, [(40, 40), (30, 50), (20, 16), (9, 9)])
    cached = TrainingImages(paths, CPU, 1)
    uncached = TrainingImages(paths, CPU, 0, num_workers)
    mixed = TrainingImages(paths, CPU, ONE_BYTE, num_workers)
    assert (len(cached.cache), len(uncached.cache), len(mixed.cache)) == (4, 0, 1)
    expected = take(cached, 5, start=7)
    for images in (uncached, mixed):
        for a, b in zip(take(images, 5, start=7), expected, strict=True):
            assert torch.equal(a, b)
    assert not multiprocessing.active_children()


def test_worker_processes_share_the_batch_too(tmp_path: Path) -> None:
    paths = coordinates(tmp_path, [(40, 40), (30, 50)])
    whole = next(TrainingImages(paths, CPU, 1).batches(16, 6, 0, 2))
    images = TrainingImages(paths, CPU, 0, 0)
    parts = [next(images.batches(16, 6, 0, 2, slice(k, k + 3))) for k in (0, 3)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_cache_stays_within_its_limit(tmp_path: Path) -> None:
    paths = coordinates(tmp_path, [(64, 64)] * 7)
    one = 3 * 64 * 64
    images = TrainingImages(paths, CPU, cache_gb=2.5 * one / 2**30)
    assert (
        sum(image.numel() for image in images.cache.values()) <= 3 * one
    )  # the limit, and one picture
    assert len(images) == 7


def test_the_fixed_sample_is_none_of_the_steps(tmp_path: Path) -> None:
    images = TrainingImages(coordinates(tmp_path, [(40, 40)]), CPU, 1)
    sample = images.sample(16, 6, seed=3)
    assert torch.equal(sample, images.sample(16, 6, seed=3))
    assert not any(torch.equal(sample, batch) for batch in take(images, 20))


def broken(folder: Path) -> list[Path]:
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    whole = coordinates(folder, [(40, 40)])[0]
    (folder / "cut.png").write_bytes(whole.read_bytes()[:60])
    return [folder / "text.png", folder / "empty.png", folder / "cut.png", folder / "absent.png"]


def test_unreadable_files_are_named_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = broken(tmp_path)
    with caplog.at_level(logging.WARNING):
        images = TrainingImages([*bad, tmp_path / "0.png"], CPU, 1)
    assert (len(images), len(images.cache), images.unreadable) == (5, 1, {0, 1, 2, 3})
    for path in bad:
        assert path.name in caplog.text
    assert all(len(batch) == 6 for batch in take(images, 2))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_files_beyond_the_cache_are_replaced(tmp_path: Path, num_workers: int) -> None:
    images = TrainingImages([*broken(tmp_path), tmp_path / "0.png"], CPU, 0, num_workers)
    for batch in take(images, 3):
        assert (batch[:, 1].int().diff(dim=-1).abs() == 1).all()  # of the readable picture


@pytest.mark.parametrize("bad_places", [{3}, {0}, {5}, {0, 1}, {2, 3, 4}, {0, 5}, {1, 2, 3, 4, 5}])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_file_changes_nothing_for_the_others_whatever_the_cache(
    tmp_path: Path, bad_places: set[int], num_workers: int
) -> None:
    """Neither its position nor the time of reading it matters."""
    paths = coordinates(tmp_path, [(20 + k, 24) for k in range(6)])
    whole = take(TrainingImages(paths, CPU, 1), 6)
    for place in bad_places:
        paths[place].write_bytes(b"no picture")
    sizes = (0.0, *(k * 3 * 24 * 24 / 2**30 for k in (0.1, 1.5, 2.5)), 1.0)
    cached = [TrainingImages(paths, CPU, size, num_workers) for size in sizes]
    assert len({len(images.cache) for images in cached}) > 1
    first, *others = [take(images, 6) for images in cached]
    for batches in others:
        for a, b in zip(batches, first, strict=True):
            assert torch.equal(a, b)
    for draws, before, after in zip(drawn(6), whole, first, strict=True):
        for draw, a, b in zip(draws, before, after, strict=True):
            if draw.index in bad_places:  # the next readable one
                wanted = draw.index
                while wanted in bad_places:
                    wanted = (wanted + 1) % 6
                assert (b[2] == wanted).all()
            else:
                assert torch.equal(a, b)


def drawn(steps: int) -> list[list[Draw]]:
    return [draw_crops(3, step, 6, 6) for step in range(steps)]


@pytest.mark.parametrize("cache_gb", [None, 1.0])
def test_no_usable_picture_is_an_error(tmp_path: Path, cache_gb: float | None) -> None:
    with pytest.raises(TrainingError, match="none of the 4 training images can be read"):
        TrainingImages(broken(tmp_path), CPU, cache_gb)
    with pytest.raises(TrainingError, match="none of the 0"):
        TrainingImages([], CPU, cache_gb)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_no_usable_picture_beyond_the_cache_is_the_same_error(
    tmp_path: Path, num_workers: int
) -> None:
    bad = broken(tmp_path)
    with pytest.raises(TrainingError) as caught:
        take(TrainingImages(bad, CPU, 0, num_workers), 1)
    assert str(caught.value).startswith("none of the 4 ")
    assert "\n" not in str(caught.value)
