"""Fitting tables and quality to pictures: bits and PSNR against the plain definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from slimcae.coding.activity import Contexts
from slimcae.coding.coder import SymbolCoder
from slimcae.coding.counting import channel_groups
from slimcae.coding.tables import ESCAPE_BITS
from slimcae.errors import ImageError, ModelError, TrainingError
from slimcae.evaluation.metrics import psnr
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.fitting import fit

STEPS = (1.0, 0.5, 2.0)


@pytest.fixture
def model(tiny_model: SlimCAE) -> SlimCAE:
    """With latents of some size, so that there is something to count."""
    with torch.no_grad():
        tiny_model.g_a.conv3.weight.mul_(40)
    tiny_model.steps = STEPS
    return tiny_model.eval()


@pytest.fixture
def pictures(picture_folder: Path) -> list[Path]:
    return sorted(picture_folder.glob("*.png"))


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def symbols_of(model: SlimCAE, path: Path, width: int, delta: float) -> np.ndarray:
    pixels = pixels_of(path)
    height, columns, _ = pixels.shape
    padded = np.pad(pixels, ((0, -height % 16), (0, -columns % 16), (0, 0)), mode="edge")
    with torch.no_grad():
        y = model.g_a(torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255, width)[0]
    medians = model.entropy_bottleneck(width).medians.numpy()
    symbols = np.rint((y.numpy() - medians[:, None, None]) / np.float32(delta))
    return np.asarray(symbols, np.int32)


def decoded(model: SlimCAE, symbols: np.ndarray, delta: float, path: Path) -> np.ndarray:
    medians = model.entropy_bottleneck(len(symbols)).medians[:, None, None]
    height, columns, _ = pixels_of(path).shape
    with torch.no_grad():
        x_hat = model.g_s((torch.from_numpy(symbols) * delta + medians)[None])[0]
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
    model: SlimCAE, pictures: list[Path]
) -> None:
    """Counted on the very pictures they are judged on, in one set of tables for all steps."""
    found = fit(model, pictures, pictures)
    assert found.counted == model.widths
    for width in model.widths:
        assert min(found.gain[width]) > 0.05
        tables = {id(contexts.tables) for contexts in model.tables[width]}
        assert len(tables) == 1  # one set for all steps
        assert model.tables[width][0].groups == channel_groups(width)


def test_quality_and_gain_are_means_over_validation_pictures(
    model: SlimCAE, pictures: list[Path]
) -> None:
    model.update()
    density = dict(model.tables)
    valid = pictures[2:]
    found = fit(model, pictures[:2], valid)
    for width in model.widths:
        for step, delta in enumerate(STEPS):
            symbols = [symbols_of(model, path, width, delta) for path in valid]
            pixels = [pixels_of(path) for path in valid]
            bits = [slow_bits(model.tables[width][step], s) for s in symbols]
            plain = [slow_bits(density[width][step], s) for s in symbols]
            bpp, quality = found.quality[width][step]
            rates = [b / p.shape[0] / p.shape[1] for b, p in zip(bits, pixels, strict=True)]
            assert bpp == pytest.approx(np.mean(rates), rel=1e-9)
            images = [
                decoded(model, s, delta, path) for s, path in zip(symbols, valid, strict=True)
            ]
            psnrs = [psnr(p, i) for p, i in zip(pixels, images, strict=True)]
            assert quality == pytest.approx(np.mean(psnrs), abs=1e-3)
            if width in found.counted:
                assert 1 - sum(bits) / sum(plain) == pytest.approx(found.gain[width][step])


def test_density_stays_where_counts_cost_more(model: SlimCAE, tmp_path: Path) -> None:
    model.update()
    density = dict(model.tables)
    Image.new("RGB", (1024, 1024), "white").save(tmp_path / "white.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    found = fit(model, [tmp_path / "white.png"], [tmp_path / "black.png"])
    worse = [width for width in model.widths if width not in found.counted]
    assert worse
    for width in worse:
        assert min(found.gain[width]) < 0
        for after, before in zip(model.tables[width], density[width], strict=True):
            assert after is not before  # built anew, and the same
            np.testing.assert_array_equal(after.tables.counts, before.tables.counts)
            np.testing.assert_array_equal(after.choice, before.choice)


def test_fitted_tables_code_what_was_never_seen(model: SlimCAE, pictures: list[Path]) -> None:
    fit(model, pictures[:1], pictures[1:2])
    symbols = np.random.default_rng(0).integers(-300, 300, (12, 4, 5)).astype(np.int32)
    for contexts in model.tables[12]:
        coder = SymbolCoder(contexts)
        np.testing.assert_array_equal(coder.decode(coder.encode(symbols), (12, 4, 5)), symbols)


def test_unreadable_training_pictures_are_left_out_and_named(
    model: SlimCAE, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    whole = fit(model, pictures[:1], pictures[1:2])
    partly = fit(model, [broken, pictures[0]], pictures[1:2])
    assert partly == whole
    assert "left out" in caplog.text and "broken.png" in caplog.text
    with pytest.raises(TrainingError, match="none of the training images"):
        fit(model, [broken], pictures)
    with pytest.raises(ImageError):
        fit(model, pictures[:1], [broken])
    with pytest.raises(ImageError, match="no validation images"):
        fit(model, pictures[:1], [])


def test_models_that_give_no_finite_numbers_are_refused(
    model: SlimCAE, pictures: list[Path]
) -> None:
    with torch.no_grad():
        model.g_a.conv1.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="latents at width 12 are not finite"):
        fit(model, pictures[:1], pictures[:1])
