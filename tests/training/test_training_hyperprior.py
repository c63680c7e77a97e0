"""Test joint training of transforms and a hyperprior, and its fitting."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.codec.tiled import TiledTransforms
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.errors import ConfigError
from slimcae.model.config import SlimCAEConfig
from slimcae.model.file import read_model
from slimcae.networks.conversion import to_model
from slimcae.networks.hyperprior import Hyperprior, Hyperpriors
from slimcae.networks.hyperprior_conversion import hyperprior_tensors, hyperpriors_of
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.data import TrainingImages
from slimcae.training.fitting import fit, float_bits
from slimcae.training.loss import RateDistortionLoss, bits_per_pixel
from slimcae.training.run import Start, train
from slimcae.training.settings import TrainSettings
from slimcae.training.stats import StepLog
from slimcae.training.trainer import Trainer
from slimcae.transforms import open_transforms

CPU = torch.device("cpu")
SETTINGS = TrainSettings(
    patchsize=32, batchsize=4, last_step=60, warmup_steps=1, log_every=1, precision="float32",
    learning_rate=3e-3, context_learning_rate=1e-2, entropy_model="hyperprior",
)  # fmt: skip
STEPS = (1.0, 0.5, 2.0)


@pytest.fixture
def network(tiny_network: SlimCAE) -> SlimCAE:
    """Return a network with large latents."""
    with torch.no_grad():
        tiny_network.g_a.conv3.weight.mul_(40)
    tiny_network.update()
    return tiny_network


@pytest.mark.parametrize("delta", [1.0, 2.527])
def test_the_loss_is_that_of_its_parts(network: SlimCAE, delta: float) -> None:
    """Round latents, so that nothing is random."""
    network.eval()
    torch.manual_seed(1)
    hyperpriors = Hyperpriors.of_config(network.config).eval()
    x, lmbda = torch.rand(2, 3, 64, 48), (300.0, 200.0, 100.0)
    loss = RateDistortionLoss(network, lmbda, hyperpriors)
    with torch.no_grad():
        total, measured = loss(x, network.widths, torch.tensor(delta))
    expected = 0.0
    for factor, width, (bpp, mse) in zip(lmbda, network.widths, measured.tolist(), strict=True):
        with torch.no_grad():
            out = network(x, width, delta)
            medians = network.entropy_bottleneck(width).medians[:, None, None]
            bits = hyperpriors.by_point[width](out["y_hat"] - medians, width, delta)
        both = sum(float(part.double().sum()) for part in bits.values())
        assert bpp == pytest.approx(both / (2 * 64 * 48), rel=1e-5)
        density = float(bits_per_pixel(out["likelihoods"], 2 * 64 * 48))
        expected += factor / delta**2 * mse + bpp + density
    assert total.item() == pytest.approx(expected, rel=1e-5)


def test_training_lowers_the_loss(picture_folder: Path) -> None:
    torch.manual_seed(0)
    model = SlimCAE(SlimCAEConfig((8, 4)))
    images = TrainingImages(sorted(picture_folder.iterdir()), CPU, cache_gb=1)
    trainer = Trainer(
        model, (100.0, 50.0), SETTINGS, images, rates=Hyperpriors.of_config(model.config)
    )
    lines: list[StepLog] = []
    trainer.run(60, on_log=lines.append)
    losses = [line.loss for line in lines]
    assert np.median(losses[-10:]) < 0.7 * np.median(losses[:10])
    averaged = trainer.averaged_rates
    assert isinstance(averaged, Hyperpriors) and not averaged.training
    assert averaged.by_point[8].layer("h_s.3").weight.any()  # initially zero


def test_a_run_keeps_it(tmp_path: Path, picture_folder: Path) -> None:
    folder, paths = tmp_path / "run", sorted(picture_folder.iterdir())
    settings = replace(SETTINGS, last_step=2, batchsize=2)
    start = Start((8, 4), lmbda=(100.0, 50.0), warm_start=False)
    train(folder, paths, start, settings, "cpu")
    hyperpriors = hyperpriors_of(read_model(folder))
    assert hyperpriors is not None
    hyperprior = hyperpriors.by_point[4]
    assert hyperprior is hyperpriors.by_point[8] and hyperprior.channels == {8: 8, 4: 4}
    assert hyperprior.layer("h_s.3").weight.any()
    with pytest.raises(ConfigError, match="was begun with adam and all and hyperprior"):
        other = replace(settings, last_step=3, entropy_model="context")
        train(folder, paths, Start(), other, "cpu")
    # the start of another run; the stage `decoder` keeps it unchanged
    decoder = replace(settings, last_step=1, stage="decoder")
    train(tmp_path / "next", paths, Start(init_from=folder), decoder, "cpu")
    lines = (tmp_path / "next" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["entropy_model"] == "hyperprior"
    before, after = read_model(folder), read_model(tmp_path / "next")
    for name, tensor in before.training_tensors.items():
        np.testing.assert_array_equal(after.training_tensors[name], tensor)


@pytest.fixture
def rooms(tmp_path: Path) -> list[Path]:
    """Return pictures of quiet and loud regions, which side information can distinguish."""
    for seed in range(9):
        rng = np.random.default_rng(seed)
        pixels = smooth_pixels(256, 384, seed).astype(float) * 0.2 + 100
        loud = np.kron(rng.random((2, 3)) < 0.4, np.ones((128, 128)))[:, :, None]
        pixels += loud * rng.normal(0, 60, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{seed}.png")
    return sorted(tmp_path.glob("*.png"))


def test_side_information_wins_where_regions_differ(network: SlimCAE, rooms: list[Path]) -> None:
    """Train with a plain loop, fit, and compare real files."""
    network.eval()
    model = to_model(network, steps=STEPS)
    tiled = TiledTransforms(open_transforms(model, precision="float32"), model.architecture)
    pictures = [np.asarray(Image.open(path)) for path in rooms]
    grid = tiled.grid((256, 384))
    known = torch.from_numpy(np.stack([tiled.residuals(each, grid, 8) for each in pictures[:8]]))
    torch.manual_seed(0)
    hyperprior = Hyperprior({width: width for width in network.widths})
    hyperprior.begin_with(known.std(dim=(0, 2, 3)), 8)
    optimizer = torch.optim.Adam(hyperprior.parameters(), lr=5e-3)
    for step in range(150):
        loss = hyperprior.bits(known, known, 8, STEPS[step % 3]) / known.numel()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    taught = replace(model, training_tensors=hyperprior_tensors(Hyperpriors([hyperprior])))
    # classes of activity, which know the neighbours, are better on these pictures
    found = fit(taught, tiled.transforms, rooms[:8], rooms[8:], kind="hyperprior")
    rates = found.rates[8]
    for mine, plain in zip(rates["hyperprior"], rates["factorized"], strict=True):
        assert mine < 0.9 * plain
    # widths 12 and 4 have learned nothing
    assert all("hyperprior" in found.rates[width] for width in (12, 8, 4))
    assert -0.4 < found.rounding[8] < 0.05  # counts are better than the short training
    fitted = replace(model, entropy_models=found.entropy_models)
    chosen = fitted.entropy_model(8)
    assert isinstance(chosen, HyperpriorModel)
    codec = Codec(fitted, tiled.transforms)
    real = 0.0
    for step, delta in enumerate(STEPS):
        data = codec.compress(pictures[8], 8, step=step)
        estimate = codec.ideal_bits(pictures[8], 8, step) / 8
        assert estimate <= len(data) <= 1.01 * estimate + 64
        assert 8 * estimate == pytest.approx(rates["hyperprior"][step] * 256 * 384, rel=1e-6)
        symbols = codec.read_symbols(data)
        np.testing.assert_array_equal(symbols, codec.analyse(pictures[8], 8, step))
        real += float_bits(hyperprior.eval(), symbols, 8, delta)
    whole = sum(rates["hyperprior"]) * 256 * 384
    assert found.rounding[8] == pytest.approx(whole / real - 1, abs=1e-6)
    # fitted again, without the network: its integers are kept
    again = fit(fitted, tiled.transforms, rooms[:8], rooms[8:], kind="hyperprior")
    assert again.entropy_models[8]["hyperprior"] is chosen
