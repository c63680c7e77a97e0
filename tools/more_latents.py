"""Give a trained model more latents, as a start for training: light → broad → broader.

    python tools/more_latents.py light.safetensors start.safetensors --train_glob photos/ \
        --lmbda 5600 2000 700 250 90

From `light` to `broad`, a narrow width gets the kernels that wider widths already have for its
additional latents. In the synthesis these begin with a fifth of their size, since they come from
other inputs; then the scales, the biases and the densities of all widths are trained alone for
some minutes. From `broad` to `broader`, the widest width gets latents that no width has: the
principal components of what the present latents do not explain. The synthesis does not use them
yet, so pictures stay the same, and training starts at once. Rounding steps are first adapted to
the new λ.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from slimcae.errors import ConfigError, SlimCAEError
from slimcae.images import find_images
from slimcae.model.config import ArchitectureName, ModelInfo
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.methods import new_network
from slimcae.training.data import TrainingImages
from slimcae.training.loss import RateDistortionLoss
from slimcae.training.warm_start import fit_entropy_models

NEXT: dict[str, ArchitectureName] = {"light": "broad", "broad": "broader"}
GATE = 0.2
"""Factor in the synthesis of latents that a wider width already has."""
UNUSED = -1.0
"""log of the scale of latents that no width has yet, relative to the median of the others."""
SIDE, SAMPLE, BATCH = 192, 64, 4
RATES = (("entropy_bottlenecks.", 2e-3), (".log_scale", 1e-2), (".bias", 5e-4))
"""Learning rates by a part of the name; the first that fits counts."""


def main() -> None:
    """Read a model, add latents, train scales and biases where that helps, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--train_glob", required=True, help="folder of photos")
    parser.add_argument("--lmbda", required=True, type=float, nargs="+")
    parser.add_argument("--steps", type=int, default=120, help="from light to broad")
    args = parser.parse_args()
    lmbda = tuple(args.lmbda)
    try:
        model = read_model(args.model)
        images = TrainingImages(find_images(args.train_glob), torch.device("cpu"), num_workers=0)
        x = images.sample(SIDE, SAMPLE, 0).float() / 255
        network = with_more_latents(model, lmbda, x)
    except SlimCAEError as error:
        raise SystemExit(f"more_latents: {error}") from None
    fit_entropy_models(network, x, 0)
    if network.config.architecture == "broad":
        train_scales(network, lmbda, images, args.steps)
    network.update()
    info = ModelInfo(name="start", version="0", lmbda=lmbda)
    write_model(args.output, to_model(network, info))


@torch.no_grad()
def with_more_latents(model: Model, lmbda: Sequence[float], x: Tensor) -> Autoencoder:
    """Return a network of the next architecture with the kernels of a model.

    x: pictures (N, 3, H, W) in [0, 1], from which components of new latents are taken.

    Raises:
        ConfigError: The model is of another architecture or untrained, no wider width has the
            kernels that `broad` needs, or λ are not one positive number per width.
    """
    if model.config.architecture not in NEXT or model.info.lmbda is None:
        raise ConfigError("the model must be a trained one of the architecture light or broad")
    if len(lmbda) != len(model.widths) or min(lmbda) <= 0:
        raise ConfigError(f"lmbda: give one positive number for each of {len(model.widths)} widths")
    config = replace(model.config, architecture=NEXT[model.config.architecture])
    known = model.architecture.latent_channels(model.widths[0])
    network = new_network(config, tuple(lmbda))
    unknown = network.architecture.latent_channels(model.widths[0]) - known
    if unknown and config.architecture == "broad":
        raise ConfigError(f"width {model.widths[0]} needs kernels that the model does not have")
    old = to_network(model)
    state = network.state_dict()
    for name, value in old.state_dict().items():
        if not name.startswith("entropy_bottlenecks"):
            state[name].zero_()[tuple(slice(side) for side in value.shape)] = value
    _set_scales(
        state, model, lmbda, [network.architecture.latent_channels(w) for w in model.widths]
    )
    if unknown:
        state["g_a.down3.weight"][known:, :, 0, 0] = unexplained(old, x)[:unknown]
    network.load_state_dict(state)
    return network


def _set_scales(
    state: dict[str, Tensor], model: Model, lmbda: Sequence[float], latents: Sequence[int]
) -> None:
    """Set the scales of both transforms to the new λ, and those of the new latents."""
    analysis, synthesis = state["g_a.scale.log_scale"], state["g_s.scale.log_scale"]
    old = analysis.clone()
    counts = [model.architecture.latent_channels(width) for width in model.widths]
    assert model.info.lmbda is not None
    gains = [0.5 * math.log(value) for value in model.info.lmbda]
    for row, wanted in enumerate(latents):
        for channel in range(counts[row], wanted):
            if channel < counts[0]:
                # the next larger width that has this channel
                other = max(k for k, count in enumerate(counts) if count > channel)
                scale = old[other, channel] + gains[row] - gains[other]
                analysis[row, channel], synthesis[row, channel] = scale, math.log(GATE) - scale
            else:
                scale = old[row, : counts[row]].median() + UNUSED
                analysis[row, channel], synthesis[row, channel] = scale, -scale
        finer = 0.5 * math.log(lmbda[row]) - gains[row]
        analysis[row] += finer
        synthesis[row] -= finer


@torch.no_grad()
def unexplained(network: Autoencoder, x: Tensor) -> Tensor:
    """Return the principal components of what the widest latents leave of their input.

    x: pictures (N, 3, H, W). Return (n, n) for n channels before `g_a.down3`; rows are components,
    largest variance first.
    """
    down = network.get_submodule("g_a.down3")
    inputs: list[Tensor] = []
    hook = down.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    network.eval()
    network.analyse(x, network.widths[0])
    hook.remove()
    rows = inputs[0].movedim(1, -1).flatten(0, -2).double()
    rows = rows - rows.mean(dim=0)
    kernel = network.state_dict()["g_a.down3.weight"][:, :, 0, 0].double()
    latents = rows @ kernel.T
    rest = rows - latents @ torch.linalg.lstsq(latents, rows).solution
    _, vectors = torch.linalg.eigh(rest.T @ rest)
    return vectors.flip(1).T.float()


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
