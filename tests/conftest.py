"""What all tests share: one torch thread, no deadlines, a tiny model, a folder of pictures."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from optional_torch import HAS_TORCH, SlimCAE, made_or_saved, to_model, torch
from slimcae.model.config import SlimCAEConfig
from slimcae.model.model import Model

GOLDEN = Path(__file__).parent / "data" / "golden" / "compressai-1.2.8.npz"

HANG = 240
"""Seconds after which something hangs. No test measures this, and no test may need a part of it."""

# a slow machine draws and runs examples slowly: that is no fault of the code
settings.register_profile("slimcae", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slimcae")


LONG_FILES = (
    "test_training_recipe.py",
    "test_cost.py",
    "test_training_run.py",
    "test_studio_browser.py",
    "test_cli_profile.py",
    "test_profiling_table.py",
)
"""They have few tests, but slow ones: begun last, they would keep one worker alone at the end."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):  # of xdist: files with most tests first
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def wait_until(happened: Callable[[], object]) -> None:
    """Return as soon as something has happened; fail if it never does."""
    end = time.monotonic() + HANG
    while not happened():
        assert time.monotonic() < end, "this takes so long that it hangs"
        time.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    if HAS_TORCH:
        torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of other runtimes, and of processes


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture
def tiny_network() -> SlimCAE:
    """Return a network of widths 12, 8, 4 with random weights."""
    torch.manual_seed(0)
    return SlimCAE(SlimCAEConfig((12, 8, 4)))


def random_model() -> Model:
    """Return the model of `tiny_network`."""
    torch.manual_seed(0)
    return to_model(SlimCAE(SlimCAEConfig((12, 8, 4))))


@pytest.fixture(scope="session")
def _tiny_model() -> Model:
    return made_or_saved("random", random_model)  # counting tables takes half a second


@pytest.fixture
def tiny_model(_tiny_model: Model, request: pytest.FixtureRequest) -> Model:
    """Return the model of `tiny_network`, with arrays of its own."""
    if HAS_TORCH:
        request.getfixturevalue("tiny_network").update()
    tensors = {name: array.copy() for name, array in _tiny_model.tensors.items()}
    return replace(_tiny_model, tensors=tensors)


def smooth_pixels(height: int, width: int, seed: int) -> np.ndarray:
    """A picture (H, W, 3), uint8, of slow waves and a little noise, like a photo out of focus."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 40
    phase, pitch = rng.uniform(0, 6, 3), rng.uniform(0.5, 2, (2, 3))
    waves = np.sin(rows[..., None] * pitch[0] + columns[..., None] * pitch[1] + phase)
    noisy = 128 + 90 * waves + rng.normal(0, 4, waves.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Four PNG pictures of different sizes, all of 48 pixels a side or more."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, size in enumerate([(48, 64), (64, 48), (80, 96), (72, 72)]):
        Image.fromarray(smooth_pixels(*size, seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def emulated_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow bfloat16 on processors that emulate it, which users are refused."""
    if HAS_TORCH:
        monkeypatch.setattr(
            "slimcae.transforms.torch_.device.has_native_bfloat16", lambda device: True
        )
    else:
        pytest.skip("torch is not installed")
