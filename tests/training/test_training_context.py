"""Test joint training of transforms and context networks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimcae.errors import ConfigError
from slimcae.model.config import DEFAULT_STEPS, SlimCAEConfig
from slimcae.model.file import read_model
from slimcae.networks.context import ContextNetwork, ContextNetworks, neighbourhoods
from slimcae.networks.context_conversion import context_networks
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.data import TrainingImages
from slimcae.training.loss import RateDistortionLoss, bits_per_pixel
from slimcae.training.run import Start, train
from slimcae.training.settings import TrainSettings
from slimcae.training.stats import StepLog
from slimcae.training.trainer import Trainer

CPU = torch.device("cpu")
SETTINGS = TrainSettings(
    patchsize=32, batchsize=4, last_step=60, warmup_steps=1, log_every=1, precision="float32",
    learning_rate=3e-3, entropy_model="context",
)  # fmt: skip


@pytest.fixture
def network(tiny_network: SlimCAE) -> SlimCAE:
    """Return a network with large latents."""
    with torch.no_grad():
        tiny_network.g_a.conv3.weight.mul_(40)
    tiny_network.update()
    for width in tiny_network.widths:
        tiny_network.entropy_bottleneck(width).detached = True
    return tiny_network


def contexts_for(network: SlimCAE) -> dict[int, ContextNetwork]:
    torch.manual_seed(1)
    found = {width: ContextNetwork.for_channels(width) for width in network.widths}
    for net in found.values():
        with torch.no_grad():
            for p in net.parameters():
                p.add_(0.05 * torch.randn_like(p))
    return found


def norm(module: nn.Module) -> float:
    return float(sum(p.grad.square().sum() for p in module.parameters() if p.grad is not None))


@pytest.mark.parametrize("delta", [1.0, 0.5, 2.527])
def test_the_loss_is_that_of_its_parts(network: SlimCAE, delta: float) -> None:
    """Round latents, so that nothing is random."""
    network.eval()
    contexts = contexts_for(network)
    x, lmbda = torch.rand(2, 3, 32, 48), (300.0, 200.0, 100.0)
    loss = RateDistortionLoss(network, lmbda, ContextNetworks(contexts))
    with torch.no_grad():
        total, measured = loss(x, network.widths, torch.tensor(delta))
    expected = 0.0
    for factor, width, (bpp, mse) in zip(lmbda, network.widths, measured.tolist(), strict=True):
        with torch.no_grad():
            y = network.g_a(x, width)
            medians = network.entropy_bottleneck(width).medians[:, None, None]
            residuals = torch.round((y - medians) / delta) * delta
            assert torch.equal(network(x, width, delta)["y_hat"], residuals + medians)
            density = network.entropy_bottleneck(width).likelihood(residuals + medians, delta)
            known = neighbourhoods(residuals)
            bits = contexts[width](known, torch.full((len(known), 1), delta)).double().sum() / 2
        pixels = 2 * 32 * 48
        assert bpp == pytest.approx(float(bits) / pixels, rel=1e-5)
        expected += factor / delta**2 * mse + bpp + float(bits_per_pixel(density, pixels))
    assert total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mixed", [False, True])
def test_gradients_reach_transforms_contexts_and_densities(network: SlimCAE, mixed: bool) -> None:
    network.train()
    for width in network.widths:
        network.entropy_bottleneck(width).straight_through = mixed
    contexts = contexts_for(network)
    loss = RateDistortionLoss(network, (0.0, 0.0, 0.0), ContextNetworks(contexts))  # the rate alone
    loss(torch.rand(2, 3, 32, 32), network.widths, torch.tensor(0.7))[0].backward()
    assert norm(network.g_a) > 0
    assert norm(network.g_s) == 0
    for width in network.widths:
        assert norm(contexts[width]) > 0
        assert norm(network.entropy_bottleneck(width)) > 0


def test_densities_do_not_move_the_latents(network: SlimCAE) -> None:
    y = torch.randn(1, 12, 4, 4, requires_grad=True)
    _, likelihoods = network.entropy_bottleneck(12).train()(y, 0.5)
    assert not torch.autograd.grad(likelihoods.sum(), y, allow_unused=True)[0]
    network.entropy_bottleneck(12).detached = False
    _, likelihoods = network.entropy_bottleneck(12)(y, 0.5)
    assert torch.autograd.grad(likelihoods.sum(), y)[0].any()


def test_noise_has_the_length_of_the_step(network: SlimCAE) -> None:
    y = torch.randn(2, 12, 40, 40)
    noise = network.entropy_bottleneck(12).train()(y, 2.0)[0] - y
    assert -1 <= noise.min() < -0.99 and 0.99 < noise.max() <= 1
    assert noise.var().item() == pytest.approx(4 / 12, rel=0.05)


def trainer_of(folder: Path, settings: TrainSettings) -> Trainer:
    torch.manual_seed(0)
    model = SlimCAE(SlimCAEConfig((8, 4)))
    images = TrainingImages(sorted(folder.iterdir()), CPU, cache_gb=1)
    networks = {width: ContextNetwork.for_channels(width) for width in model.widths}
    return Trainer(model, (100.0, 50.0), settings, images, rates=ContextNetworks(networks))


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("quantization", ["noise", "mixed"])
def test_training_lowers_the_loss(picture_folder: Path, quantization: Any) -> None:
    settings = replace(SETTINGS, quantization=quantization)
    trainer = trainer_of(picture_folder, settings)
    lines: list[StepLog] = []
    trainer.run(60, on_log=lines.append)
    losses = [line.loss for line in lines]
    assert np.median(losses[-10:]) < 0.7 * np.median(losses[:10])
    averaged = trainer.averaged_rates
    assert isinstance(averaged, ContextNetworks)
    for width, network in averaged.by_point.items():
        assert network.out[0].any(), width  # initially zero
    assert list(averaged.by_point) == [8, 4]


def test_steps_are_drawn_for_part_of_the_batches(picture_folder: Path) -> None:
    for part in (0.0, 0.5, 1.0):
        trainer = trainer_of(picture_folder, replace(SETTINGS, at_one=part))
        drawn = []
        for trainer.step in range(400):
            step = trainer._quantisation_step()
            assert step is not None
            drawn.append(step.item())
        ones = np.mean(np.array(drawn) == 1)
        assert ones == pytest.approx(part + (1 - part) / len(DEFAULT_STEPS), abs=0.07)
        assert part == 1 or len(set(drawn)) > 20


def test_a_run_keeps_its_entropy_model(tmp_path: Path, picture_folder: Path) -> None:
    folder, paths = tmp_path / "run", sorted(picture_folder.iterdir())
    settings = replace(SETTINGS, last_step=2, batchsize=2)
    start = Start((8, 4), lmbda=(100.0, 50.0), warm_start=False)
    train(folder, paths, start, settings, "cpu")
    networks = context_networks(read_model(folder))
    assert list(networks) == [8, 4]
    assert networks[8].out[0].any()
    longer = replace(settings, last_step=3)
    for other in (replace(longer, entropy_model="factorized"), replace(longer, stage="decoder")):
        with pytest.raises(ConfigError, match="was begun with adam and all and context"):
            train(folder, paths, Start(), other, "cpu")
    # the start of another run
    train(tmp_path / "next", paths, Start(init_from=folder), replace(settings, last_step=1), "cpu")
    lines = (tmp_path / "next" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["entropy_model"] == "context"


def test_the_decoder_s_stage_keeps_the_networks(tmp_path: Path, picture_folder: Path) -> None:
    paths = sorted(picture_folder.iterdir())
    settings = replace(SETTINGS, last_step=2, batchsize=2)
    start = Start((8, 4), lmbda=(100.0, 50.0), warm_start=False)
    train(tmp_path / "run", paths, start, settings, "cpu")
    first = tmp_path / "run" / "model.safetensors"
    train(
        tmp_path / "next", paths, Start(init_from=first), replace(settings, stage="decoder"), "cpu"
    )
    before, after = read_model(first), read_model(tmp_path / "next")
    name = "g_s.deconv1.weight"
    assert not np.array_equal(before.tensors[name], after.tensors[name])
    for name, tensor in before.training_tensors.items():
        np.testing.assert_array_equal(after.training_tensors[name], tensor)
