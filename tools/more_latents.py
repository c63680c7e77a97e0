"""Turn a model of the architecture `light` into one of `broad`, as a start for training.

    python tools/more_latents.py light.safetensors start.safetensors --train_glob photos/ \
        --lmbda 5600 2000 700 250 90

A narrow width gets the kernels that wider widths already have for its additional latents. In the
synthesis these begin with a fifth of their size, since they come from other inputs; then the
scales, the biases and the densities of all widths are trained alone for some minutes. Rounding
steps are first adapted to the new λ.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from slimcae.errors import ConfigError
from slimcae.images import find_images
from slimcae.model.architecture import architecture_of
from slimcae.model.config import ModelInfo
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.methods import new_network
from slimcae.training.data import TrainingImages
from slimcae.training.loss import RateDistortionLoss
from slimcae.training.warm_start import fit_entropy_models

GATE = 0.2
"""Factor of the additional latents in the synthesis."""
SIDE, SAMPLE, BATCH = 192, 64, 4
RATES = (("entropy_bottlenecks.", 2e-3), (".log_scale", 1e-2), (".bias", 5e-4))
"""Learning rates by a part of the name; the first that fits counts."""


def main() -> None:
    """Read a model, add latents, train scales and biases, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--train_glob", required=True, help="folder of photos")
    parser.add_argument("--lmbda", required=True, type=float, nargs="+")
    parser.add_argument("--steps", type=int, default=120)
    args = parser.parse_args()
    model, lmbda = read_model(args.model), tuple(args.lmbda)
    images = TrainingImages(find_images(args.train_glob), torch.device("cpu"), num_workers=0)
    try:
        network = broadened(model, lmbda)
    except ConfigError as error:
        raise SystemExit(f"more_latents: {error}") from None
    x = images.sample(SIDE, SAMPLE, 0).float() / 255
    fit_entropy_models(network, x, 0)
    train_scales(network, lmbda, images, args.steps)
    network.update()
    info = ModelInfo(name="start", version="0", lmbda=lmbda)
    write_model(args.output, to_model(network, info))


@torch.no_grad()
def broadened(model: Model, lmbda: Sequence[float]) -> Autoencoder:
    """Return a network of the architecture `broad` with the kernels of a light model.

    Raises:
        ConfigError: The model is of another architecture, or no wider width has the kernels.
    """
    if model.config.architecture != "light" or model.info.lmbda is None:
        raise ConfigError("the model must be a trained one of the architecture light")
    config = replace(model.config, architecture="broad")
    if architecture_of(config).latent_channels(model.widths[0]) > model.widths[0]:
        raise ConfigError(f"width {model.widths[0]} needs kernels that the model does not have")
    known, network = to_network(model).state_dict(), new_network(config, tuple(lmbda))
    state = network.state_dict()
    for name, tensor in state.items():
        if not name.startswith("entropy_bottlenecks"):
            tensor.zero_()
            tensor[tuple(slice(side) for side in known[name].shape)] = known[name]
    analysis, synthesis = state["g_a.scale.log_scale"], state["g_s.scale.log_scale"]
    gains = [0.5 * math.log(value) for value in model.info.lmbda]
    for row, width in enumerate(model.widths):
        for channel in range(width, network.architecture.latent_channels(width)):
            # the next larger width that has this channel
            other = max(k for k, wider in enumerate(model.widths) if wider > channel)
            scale = known["g_a.scale.log_scale"][other, channel] + gains[row] - gains[other]
            analysis[row, channel], synthesis[row, channel] = scale, math.log(GATE) - scale
        finer = 0.5 * math.log(lmbda[row]) - gains[row]
        analysis[row] += finer
        synthesis[row] -= finer
    network.load_state_dict(state)
    return network


def train_scales(
    network: Autoencoder, lmbda: Sequence[float], images: TrainingImages, steps: int
) -> None:
    """Train the scales, the biases and the densities, and no kernels."""
    network.requires_grad_(False).train()
    for point in network.points:
        network.entropy_bottleneck(point).straight_through = True
    groups = []
    for name, parameter in network.named_parameters():
        rate = next((rate for part, rate in RATES if part in name), None)
        if rate is not None:
            groups.append({"params": [parameter.requires_grad_(True)], "lr": rate})
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 10, 2 * (steps + 1 - step) / (steps + 1))
    )
    loss = RateDistortionLoss(network, lmbda, balance="log")
    for step, batch in zip(range(steps), images.batches(SIDE, BATCH, 0, start=0), strict=False):
        if step % 20 == 0:
            network.update()
        total, _ = loss(batch.float() / 255, network.points)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()


if __name__ == "__main__":
    main()
