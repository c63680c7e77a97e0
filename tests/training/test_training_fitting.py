"""Fitting tables and quality to pictures: bits and PSNR against the plain definitions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import contexts_of
from slimcae.coding.activity import Contexts
from slimcae.coding.counting import channel_groups
from slimcae.coding.entropy_models import TablesModel
from slimcae.coding.tables import ESCAPE_BITS
from slimcae.errors import ImageError, ModelError, TrainingError
from slimcae.evaluation.metrics import psnr
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.fitting import Fit, fit
from slimcae.transforms import open_transforms

STEPS = (1.0, 0.5, 2.0)


@pytest.fixture
def network(tiny_network: SlimCAE) -> SlimCAE:
    """Return one with latents of some size, so that there is something to count."""
    with torch.no_grad():
        tiny_network.g_a.conv3.weight.mul_(40)
    tiny_network.update()
    return tiny_network.eval()


@pytest.fixture
def model(network: SlimCAE) -> Model:
    """Return the model of `network`."""
    return to_model(network, steps=STEPS)


def fit_of(model: Model, train: Sequence[Path], valid: Sequence[Path]) -> Fit:
    return fit(model, open_transforms(model, precision="float32"), train, valid)


def contexts_in(found: Fit, width: int) -> tuple[Contexts, ...]:
    entropy_model = found.entropy_models[width]
    assert isinstance(entropy_model, TablesModel)
    return entropy_model.steps


@pytest.fixture
def pictures(picture_folder: Path) -> list[Path]:
    return sorted(picture_folder.glob("*.png"))


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def symbols_of(network: SlimCAE, path: Path, width: int, delta: float) -> np.ndarray:
    pixels = pixels_of(path)
    height, columns, _ = pixels.shape
    padded = np.pad(pixels, ((0, -height % 16), (0, -columns % 16), (0, 0)), mode="edge")
    with torch.no_grad():
        y = network.g_a(torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255, width)[0]
    medians = network.entropy_bottleneck(width).medians.numpy()
    symbols = np.rint((y.numpy() - medians[:, None, None]) / np.float32(delta))
    return np.asarray(symbols, np.int32)


def decoded(network: SlimCAE, symbols: np.ndarray, delta: float, path: Path) -> np.ndarray:
    medians = network.entropy_bottleneck(len(symbols)).medians[:, None, None]
    height, columns, _ = pixels_of(path).shape
    with torch.no_grad():
        x_hat = network.g_s((torch.from_numpy(symbols) * delta + medians)[None])[0]
    levels = (x_hat[:, :height, :columns].clamp(0, 1) * 255).round().to(torch.uint8)
    return np.asarray(levels.permute(1, 2, 0))


def slow_choice(contexts: Contexts, symbols: np.ndarray) -> np.ndarray:
    """The table of every symbol, place by place, from the definition of activity."""
    choice = np.empty(symbols.shape, int)
    _, rows, columns = symbols.shape
    group_of = np.repeat(np.arange(len(contexts.groups)), contexts.groups)
    for c, group in enumerate(group_of):
        before = np.minimum(np.abs(symbols[group_of < group]), 2).sum(axis=0)
        edged = np.pad(before, 1, mode="edge")
        for i in range(rows):
            for j in range(columns):
                activity = 9 * before[i, j] + edged[i : i + 3, j : j + 3].sum()
                cls = sum(bound <= activity for bound in contexts.thresholds[group])
                choice[c, i, j] = contexts.choice[c, cls]
    return choice


def slow_bits(contexts: Contexts, symbols: np.ndarray) -> float:
    bits = 0.0
    chosen = slow_choice(contexts, symbols)
    for table, symbol in zip(chosen.ravel(), symbols.ravel(), strict=True):
        counts = contexts.tables.of(table)
        entry = symbol - contexts.tables.minimum[table]
        inside = 0 <= entry < len(counts) - 1
        bits += 24 - np.log2(counts[entry if inside else -1])
        bits += 0 if inside else ESCAPE_BITS
    return bits


def test_counts_beat_the_density_where_they_were_counted(
    model: Model, pictures: list[Path]
) -> None:
    """Counted on the very pictures they are judged on, in one set of tables for all steps."""
    found = fit_of(model, pictures, pictures)
    assert found.counted == model.widths
    for width in model.widths:
        assert min(found.gain[width]) > 0.05
        contexts = contexts_in(found, width)
        assert len(contexts) == len(STEPS)
        assert len({id(each.tables) for each in contexts}) == 1  # one set for all steps
        assert contexts[0].groups == channel_groups(width)


def test_quality_and_gain_are_means_over_validation_pictures(
    network: SlimCAE, model: Model, pictures: list[Path]
) -> None:
    valid = pictures[2:]
    found = fit_of(model, pictures[:2], valid)
    for width in model.widths:
        for step, delta in enumerate(STEPS):
            symbols = [symbols_of(network, path, width, delta) for path in valid]
            pixels = [pixels_of(path) for path in valid]
            bits = [slow_bits(contexts_in(found, width)[step], s) for s in symbols]
            plain = [slow_bits(contexts_of(model, width)[step], s) for s in symbols]
            bpp, quality = found.quality[width][step]
            rates = [b / p.shape[0] / p.shape[1] for b, p in zip(bits, pixels, strict=True)]
            assert bpp == pytest.approx(np.mean(rates), rel=1e-9)
            images = [
                decoded(network, s, delta, path) for s, path in zip(symbols, valid, strict=True)
            ]
            psnrs = [psnr(p, i) for p, i in zip(pixels, images, strict=True)]
            assert quality == pytest.approx(np.mean(psnrs), abs=1e-3)
            if width in found.counted:
                assert 1 - sum(bits) / sum(plain) == pytest.approx(found.gain[width][step])


def test_density_stays_where_counts_cost_more(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (1024, 1024), "white").save(tmp_path / "white.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    found = fit_of(model, [tmp_path / "white.png"], [tmp_path / "black.png"])
    worse = [width for width in model.widths if width not in found.counted]
    assert worse
    for width in worse:
        assert min(found.gain[width]) < 0
        pairs = zip(contexts_in(found, width), contexts_of(model, width), strict=True)
        for after, before in pairs:
            assert after is not before  # built anew, and the same
            np.testing.assert_array_equal(after.tables.counts, before.tables.counts)
            np.testing.assert_array_equal(after.choice, before.choice)


def test_fitted_tables_code_what_was_never_seen(model: Model, pictures: list[Path]) -> None:
    found = fit_of(model, pictures[:1], pictures[1:2])
    symbols = np.random.default_rng(0).integers(-300, 300, (12, 4, 5)).astype(np.int32)
    coder = found.entropy_models[12]
    for step in range(len(STEPS)):
        restored = coder.decode(coder.encode(symbols, step), (12, 4, 5), step)
        np.testing.assert_array_equal(restored, symbols)


def test_unreadable_training_pictures_are_left_out_and_named(
    model: Model, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    whole = fit_of(model, pictures[:1], pictures[1:2])
    partly = fit_of(model, [broken, pictures[0]], pictures[1:2])
    assert (partly.quality, partly.gain) == (whole.quality, whole.gain)
    for width in model.widths:
        arrays = whole.entropy_models[width].to_arrays()
        for name, array in partly.entropy_models[width].to_arrays().items():
            np.testing.assert_array_equal(array, arrays[name])
    assert "left out" in caplog.text and "broken.png" in caplog.text
    with pytest.raises(TrainingError, match="none of the training images"):
        fit_of(model, [broken], pictures)
    with pytest.raises(ImageError):
        fit_of(model, pictures[:1], [broken])
    with pytest.raises(ImageError, match="no validation images"):
        fit_of(model, pictures[:1], [])


def test_models_that_give_no_finite_numbers_are_refused(
    network: SlimCAE, pictures: list[Path]
) -> None:
    with torch.no_grad():
        network.g_a.conv1.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="latents at width 12 are not finite"):
        fit_of(to_model(network, steps=STEPS), pictures[:1], pictures[:1])
