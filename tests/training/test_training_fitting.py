"""Test fitting entropy models and quality to pictures: bits and PSNR by the plain definitions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import smooth_pixels
from slimcae.coding.activity import TablesModel
from slimcae.coding.context import ContextModel
from slimcae.coding.counting import channel_groups
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.tables import ESCAPE_BITS, SymbolTables
from slimcae.errors import ImageError, ModelError, TrainingError
from slimcae.evaluation.metrics import psnr
from slimcae.model.config import DEFAULT_STEPS
from slimcae.model.model import Model
from slimcae.networks.context import ContextNetwork, neighbourhoods
from slimcae.networks.context_conversion import context_tensors
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.training import fitting
from slimcae.training.fitting import Fit, fit, float_bits
from slimcae.transforms import open_transforms

STEPS = (1.0, 0.5, 2.0)
Item = TypeVar("Item")


@pytest.fixture
def network(tiny_network: SlimCAE) -> SlimCAE:
    """Return a network with large latents, so that there are symbols to count."""
    with torch.no_grad():
        tiny_network.g_a.conv3.weight.mul_(40)
    tiny_network.update()
    return tiny_network.eval()


@pytest.fixture
def model(network: SlimCAE) -> Model:
    """Return the model of `network`."""
    return to_model(network, steps=STEPS)


@pytest.fixture
def pictures(picture_folder: Path) -> list[Path]:
    return sorted(picture_folder.glob("*.png"))


def fit_of(model: Model, train: Sequence[Path], valid: Sequence[Path]) -> Fit:
    return fit(model, open_transforms(model, precision="float32"), train, valid)


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
    return np.asarray(symbols, np.int16)


def decoded(network: SlimCAE, symbols: np.ndarray, delta: float, path: Path) -> np.ndarray:
    medians = network.entropy_bottleneck(len(symbols)).medians[:, None, None]
    height, columns, _ = pixels_of(path).shape
    with torch.no_grad():
        x_hat = network.g_s((torch.from_numpy(symbols) * delta + medians)[None], len(symbols))[0]
    levels = (x_hat[:, :height, :columns].clamp(0, 1) * 255).round().to(torch.uint8)
    return np.asarray(levels.permute(1, 2, 0))


def slow_table_bits(tables: SymbolTables, table: int, symbol: int) -> float:
    counts = tables.of(table)
    entry = symbol - int(tables.minimum[table])
    inside = 0 <= entry < len(counts) - 1
    return 24 - math.log2(counts[entry if inside else -1]) + (0 if inside else ESCAPE_BITS)


def slow_density_bits(model: Model, width: int, symbols: np.ndarray, step: int) -> float:
    density = model.entropy_model(width, "factorized")
    assert isinstance(density, FactorizedModel)
    return sum(
        slow_table_bits(density.tables, step * width + at[0], symbol)
        for at, symbol in np.ndenumerate(symbols)
    )


def test_quality_and_rates_are_means_over_validation_pictures(
    network: SlimCAE, model: Model, pictures: list[Path]
) -> None:
    valid = pictures[2:]
    found = fit_of(model, pictures[:2], valid)
    for width in model.widths:
        kind = next(iter(found.entropy_models[width]))
        for step, delta in enumerate(STEPS):
            symbols = [symbols_of(network, path, width, delta) for path in valid]
            pixels = [pixels_of(path) for path in valid]
            sizes = [p.shape[0] * p.shape[1] for p in pixels]
            chosen = found.entropy_models[width][kind]
            bits = [chosen.ideal_bits(s, step) for s in symbols]
            rate = np.mean([b / size for b, size in zip(bits, sizes, strict=True)])
            assert found.rates[width][kind][step] == pytest.approx(rate, rel=1e-9)
            plain = [slow_density_bits(model, width, s, step) for s in symbols]
            rate = np.mean([b / size for b, size in zip(plain, sizes, strict=True)])
            assert found.rates[width]["factorized"][step] == pytest.approx(rate, rel=1e-9)
            images = [
                decoded(network, s, delta, path) for s, path in zip(symbols, valid, strict=True)
            ]
            psnrs = [psnr(p, i) for p, i in zip(pixels, images, strict=True)]
            bpp, quality = found.quality[width][step]
            assert bpp == found.rates[width][kind][step]
            assert quality == pytest.approx(np.mean(psnrs), abs=1e-3)


def test_counts_beat_the_density_where_they_were_counted(
    model: Model, pictures: list[Path]
) -> None:
    """Counted on the same pictures on which they are measured."""
    found = fit_of(model, pictures, pictures)
    assert not found.rounding  # there is no network
    for width in model.widths:
        (tables,) = found.entropy_models[width].values()
        assert isinstance(tables, TablesModel)
        assert tables.to_arrays()["groups"].tolist() == list(channel_groups(width))
        rates = found.rates[width]
        assert all(
            mine < 0.95 * plain
            for mine, plain in zip(rates["tables"], rates["factorized"], strict=True)
        )


def test_density_stays_where_counts_cost_more(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (1024, 1024), "white").save(tmp_path / "white.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    found = fit_of(model, [tmp_path / "white.png"], [tmp_path / "black.png"])
    worse = [width for width in model.widths if "factorized" in found.entropy_models[width]]
    assert worse
    for width in worse:
        (density,) = found.entropy_models[width].values()
        before = model.entropy_model(width).to_arrays()
        for name, array in density.to_arrays().items():
            np.testing.assert_array_equal(array, before[name])


def test_fitted_tables_code_what_was_never_seen(model: Model, pictures: list[Path]) -> None:
    found = fit_of(model, pictures[:1], pictures[1:2])
    symbols = np.random.default_rng(0).integers(-300, 300, (12, 4, 5)).astype(np.int32)
    for coder in found.entropy_models[12].values():
        for step in range(len(STEPS)):
            restored = coder.decode(coder.encode(symbols, step), (12, 4, 5), step)
            np.testing.assert_array_equal(restored, symbols)


@pytest.fixture
def waves(tmp_path: Path) -> list[Path]:
    """Return pictures with latents that can be predicted from their neighbours."""
    for seed in range(11):
        pixels = smooth_pixels(192, 256, seed)
        Image.fromarray(pixels).save(tmp_path / f"{seed:02}.png")
    return sorted(tmp_path.glob("*.png"))


def trained_network(
    network: SlimCAE, pictures: Sequence[Path], width: int, steps: int
) -> ContextNetwork:
    """Train with a plain loop."""
    torch.manual_seed(0)
    found = ContextNetwork.for_channels(width, torch.full((width,), 3.0))
    optimizer = torch.optim.Adam(found.parameters(), lr=1e-2)
    known = torch.cat(
        [
            neighbourhoods(torch.from_numpy(symbols_of(network, path, width, 1.0))[None].float())
            for path in pictures
        ]
    )
    for _ in range(steps):
        loss = found(known, torch.ones(len(known), 1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def test_a_context_network_wins_where_neighbours_tell(
    network: SlimCAE, model: Model, waves: list[Path]
) -> None:
    net = trained_network(network, waves[:10], 8, 150)
    taught = replace(model, training_tensors=context_tensors({8: net}))
    found = fit_of(taught, waves[:10], waves[10:])
    assert list(found.entropy_models[8]) in (["context", "tables"], ["context", "factorized"])
    assert "context" not in found.entropy_models[12] | found.entropy_models[4]
    rates = found.rates[8]
    assert rates["context"][0] < 0.9 * min(rates["tables"][0], rates["factorized"][0])
    assert [bpp for bpp, _ in found.quality[8]] == list(rates["context"])
    # the cost of rounding, from the network itself
    path, real, whole = waves[10], 0.0, 0.0
    context = found.entropy_models[8]["context"]
    assert isinstance(context, ContextModel)
    for step, delta in enumerate(STEPS):
        symbols = symbols_of(network, path, 8, delta)
        known = neighbourhoods(torch.from_numpy(symbols.astype(np.float32))[None] * delta)
        with torch.no_grad():
            both = net(known, torch.full((len(known), 1), delta)).sum(dim=2)
        colour = np.indices(symbols.shape[1:]).sum(axis=0).ravel() % 2
        bits = both.numpy()[colour, np.arange(len(known))].sum(dtype=np.float64)
        assert float_bits(net, symbols, 8, delta) == pytest.approx(bits, rel=1e-6)
        real += bits
        whole += context.ideal_bits(symbols, step)
    assert found.rounding == {8: pytest.approx(whole / real - 1, abs=1e-6)}
    assert -0.4 < found.rounding[8] < 0.05  # counts are better than the short training

    # fitted again, without the network: its integers are kept
    again = replace(model, entropy_models={**model.entropy_models, 8: found.entropy_models[8]})
    refitted = fit_of(again, waves[:10], waves[10:])
    assert refitted.entropy_models[8]["context"] is context
    assert refitted.rates[8]["context"] == rates["context"]


def test_a_context_network_that_knows_nothing_is_left_out(
    model: Model, pictures: list[Path]
) -> None:
    torch.manual_seed(0)
    taught = replace(
        model,
        training_tensors=context_tensors({12: ContextNetwork((12,), 4, torch.full((12,), -2.0))}),
    )
    found = fit_of(taught, pictures, pictures)
    assert "context" not in found.entropy_models[12]
    assert "context" in found.rates[12] and 12 in found.rounding


def test_most_steps_are_interpolated(
    network: SlimCAE, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = to_model(network)
    assert len(model.steps) == len(DEFAULT_STEPS) == 31
    some = fit_of(model, pictures, pictures[:1])
    monkeypatch.setattr(fitting, "FEW_STEPS", 31)
    every = fit_of(model, pictures, pictures[:1])
    for width in model.widths:
        measured, found = (np.array(each.quality[width]) for each in (every, some))
        exact = np.isclose(measured, found, rtol=1e-9).all(axis=1)
        assert 11 <= exact.sum() < 31 and exact[0]  # Δ = 1 is measured
        order = np.argsort(model.steps)
        assert exact[order[0]] and exact[order[-1]]
        # of one small picture; for many, rates and PSNR are smoother
        np.testing.assert_allclose(found[:, 0], measured[:, 0], rtol=0.12)
        np.testing.assert_allclose(found[:, 1], measured[:, 1], atol=0.3)


def test_progress_is_shown(model: Model, pictures: list[Path]) -> None:
    seen: dict[str, list[int]] = {}

    def progress(items: Iterable[Item], text: str, total: int) -> Iterable[Item]:
        found = list(items)
        seen[text] = [len(found), total]
        return found

    fit(model, open_transforms(model, precision="float32"), pictures, pictures[:1], progress)
    assert seen == {
        "training images": [4, 4],
        "tables": [9, 9],
        "context tables": [0, 0],
        "validation images": [1, 1],
    }


def test_unreadable_training_pictures_are_left_out_and_named(
    model: Model, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    whole = fit_of(model, pictures[:1], pictures[1:2])
    partly = fit_of(model, [broken, pictures[0]], pictures[1:2])
    assert (partly.quality, partly.rates) == (whole.quality, whole.rates)
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
