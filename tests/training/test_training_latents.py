"""Test latents on disk: equal to the codec's, complete after interruptions, with neighbours."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from slimcae.codec.tiled import TiledTransforms
from slimcae.errors import TrainingError
from slimcae.images import read_picture
from slimcae.model.model import Model
from slimcae.training import latents
from slimcae.training.latents import LatentStore
from slimcae.training.workers import side_by_side
from slimcae.transforms import open_transforms

CHANNELS = {12: 12, 4: 4}
LARGE = 2.0**30


@pytest.fixture
def tiled(tiny_model: Model) -> TiledTransforms:
    return TiledTransforms(
        open_transforms(tiny_model, precision="float32"), tiny_model.architecture
    )


@pytest.fixture
def paths(picture_folder: Path) -> list[Path]:
    return sorted(picture_folder.iterdir())


def direct(tiled: TiledTransforms, path: Path, width: int) -> np.ndarray:
    pixels = read_picture(path).pixels
    grid = tiled.grid((pixels.shape[0], pixels.shape[1]))
    return tiled.residuals(pixels, grid, width).astype(np.float16).astype(np.float32)


def filled(
    folder: Path,
    tiled: TiledTransforms,
    paths: list[Path],
    most: float = LARGE,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[LatentStore, list[Path]]:
    store = LatentStore(folder, CHANNELS, "of a test")
    return store, list(store.fill(tiled, paths, most, stop))


@pytest.mark.parametrize("side", [2, 64])
def test_latents_are_those_of_the_transforms(
    tmp_path: Path,
    tiled: TiledTransforms,
    paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    side: int,
) -> None:
    monkeypatch.setattr(latents, "TILE", side)
    store, done = filled(tmp_path / "new" / "latents", tiled, paths)
    assert done == paths and store.complete and len(store) == len(paths)
    for width in CHANNELS:
        for index, path in enumerate(paths):
            found = store.picture(width, index)
            assert found.flags.c_contiguous
            np.testing.assert_allclose(found, direct(tiled, path, width), rtol=2e-3, atol=1e-5)


def test_places_have_their_neighbours_and_colour(
    tmp_path: Path, tiled: TiledTransforms, paths: list[Path]
) -> None:
    store, _ = filled(tmp_path / "latents", tiled, paths)
    places = store.places(12)
    number = 0
    everything = np.arange(len(places))
    around, white = places.around(everything), places.white(everything)
    assert (around.dtype, around.shape) == (torch.float32, (len(places), 9, 12))
    for index in range(len(paths)):
        y = store.picture(12, index)
        padded = np.pad(y, ((0, 0), (1, 1), (1, 1)))
        for i, j in np.ndindex(y.shape[1:]):
            window = padded[:, i : i + 3, j : j + 3].reshape(12, 9).T
            np.testing.assert_array_equal(around[number], window)
            assert bool(white[number]) == ((i + j) % 2 == 1)
            number += 1
    assert number == len(places)
    chosen = np.array([5, 0, number - 1, 5])
    assert torch.equal(places.around(chosen), around[chosen])


def same(one: Path, other: Path) -> bool:
    names = {path.name for path in one.iterdir()}
    return names == {path.name for path in other.iterdir()} and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


@pytest.mark.parametrize("damage", ["none", "half a picture", "half a line"])
def test_an_interrupted_store_goes_on(
    tmp_path: Path, tiled: TiledTransforms, paths: list[Path], damage: str
) -> None:
    filled(tmp_path / "whole", tiled, paths)
    part = tmp_path / "part"
    _, done = filled(part, tiled, paths, stop=lambda: True)
    assert done == paths[:1]
    if damage == "half a picture":
        with (part / "12.f16").open("ab") as file:
            file.write(bytes(30))
    if damage == "half a line":
        with (part / "pictures.jsonl").open("a") as file:
            file.write('["half')
    store, done = filled(part, tiled, paths)
    assert store.complete and done == paths[1:]
    assert same(part, tmp_path / "whole")
    again, done = filled(part, tiled, [])  # complete: nothing is read
    assert again.complete and done == [] and len(again) == len(paths)
    np.testing.assert_array_equal(again.picture(4, 1), store.picture(4, 1))


def test_what_the_budget_does_not_hold_is_left_out(
    tmp_path: Path, tiled: TiledTransforms, paths: list[Path]
) -> None:
    sizes = []
    for path in paths:
        _, h, w = direct(tiled, path, 4).shape
        sizes.append(2 * (h + 2) * (w + 2) * (12 + 4))
    store, done = filled(tmp_path / "two", tiled, paths, most=sizes[0] + sizes[1])
    assert done == paths[:2] and store.complete and len(store) == 2
    assert sum(path.stat().st_size for path in (tmp_path / "two").glob("*.f16")) == sum(sizes[:2])
    store, done = filled(tmp_path / "one", tiled, paths, most=1.0)  # one at least
    assert done == paths[:1] and len(store) == 1


def test_unreadable_pictures_are_left_out(
    tmp_path: Path, tiled: TiledTransforms, paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    store, done = filled(tmp_path / "some", tiled, [paths[0], broken, paths[1]])
    assert len(done) == 3 and len(store) == 2
    assert "left out" in caplog.text and "broken.png" in caplog.text
    filled(tmp_path / "good", tiled, paths[:2])
    for name in ("12.f16", "4.f16"):
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "good" / name).read_bytes()
    with pytest.raises(TrainingError, match="none of the training images"):
        filled(tmp_path / "none", tiled, [broken])


def test_latents_of_something_else_are_refused(
    tmp_path: Path, tiled: TiledTransforms, paths: list[Path]
) -> None:
    folder = tmp_path / "latents"
    filled(folder, tiled, paths, stop=lambda: True)
    with pytest.raises(TrainingError, match="other pictures"):
        filled(folder, tiled, paths[1:])
    with pytest.raises(TrainingError, match="other models"):
        LatentStore(folder, CHANNELS, "of another model")
    (folder / "pictures.jsonl").write_text("")
    with pytest.raises(TrainingError, match="other models"):
        LatentStore(folder, CHANNELS, "of a test")


def test_the_index_names_the_pictures(
    tmp_path: Path, tiled: TiledTransforms, paths: list[Path]
) -> None:
    filled(tmp_path / "latents", tiled, paths)
    lines = (tmp_path / "latents" / "pictures.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        "of a test",
        [str(paths[0]), 3, 4], [str(paths[1]), 4, 3], [str(paths[2]), 5, 6], [str(paths[3]), 5, 5],
        True,
    ]  # fmt: skip


def test_work_side_by_side_stays_in_order_and_bounded() -> None:
    torch.set_num_threads(3)
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        assert torch.get_num_threads() == 1
        if item == 40:
            raise ValueError("40")
        return item * item

    try:
        found = []
        for item, result in side_by_side(work, range(30)):
            found.append((item, result))
            assert len(begun) <= len(found) + 2 * 3 + 1
        assert found == [(k, k * k) for k in range(30)]
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="40"):
            list(side_by_side(work, range(50)))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
