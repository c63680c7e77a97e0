"""Tiny networks of all methods with random weights, in which all layers and factors matter."""

from functools import cache
from unittest.mock import patch

import torch

from conftest import smooth_pixels
from slimcae.model.config import METHODS, ArchitectureName, Method, ModelInfo, SlimCAEConfig
from slimcae.model.model import Model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.bottleneck_scaling import ScaledBottleneck
from slimcae.networks.conversion import to_model
from slimcae.networks.methods import new_network
from slimcae.training import warm_start

LMBDA = (400.0, 200.0, 90.0)
OTHERS: tuple[Method, ...] = METHODS[1:]
WIDTHS: dict[str, tuple[int, ...]] = {
    "slimcae": (12, 8, 4),
    "independent": (12, 12, 8),
    "bottleneck_scaling": (12, 12, 12),
    "modulated": (12, 12, 12),
}


def make(method: Method, architecture: ArchitectureName = "slimcae") -> Autoencoder:
    """Return a network of three operating points, in evaluation mode."""
    torch.manual_seed(7)
    config = SlimCAEConfig(WIDTHS[method], architecture=architecture, method=method)
    network = new_network(config, LMBDA)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gdn" in name:
                parameter.add_(0.05 * torch.rand_like(parameter))
            elif "modulators" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif "conv" in name:
                parameter.mul_(2)
        if isinstance(network, ScaledBottleneck):
            network.log_scales.add_(0.2 * torch.randn_like(network.log_scales))
    network.update()
    return network.eval()


@cache
def coding(
    method: Method,
    architecture: ArchitectureName = "slimcae",
    widths: tuple[int, ...] | None = None,
) -> tuple[Autoencoder, Model]:
    """Return a network that codes well enough to tell pictures from noise, and its model."""
    widths = widths or WIDTHS[method]
    lmbda = LMBDA[: len(widths)]
    torch.manual_seed(3)
    x = torch.stack([torch.from_numpy(smooth_pixels(64, 64, k)).permute(2, 0, 1) for k in range(4)])
    x = x.float() / 255
    config = SlimCAEConfig(widths, architecture=architecture, method=method)
    network = new_network(config, lmbda)
    if isinstance(network, ScaledBottleneck):
        _, model = coding("independent", architecture, widths)
        network.begin_with(model.alone(model.points[0]))
        with torch.no_grad():
            network.log_scales.add_(0.1 * torch.randn_like(network.log_scales))
    else:
        warm_start.warm_start_transforms(network, x, lmbda)
        with patch.object(warm_start, "FIT_STEPS", 10):  # only the spread matters
            warm_start.fit_entropy_models(network, x, 0)
    return network.eval(), to_model(network, ModelInfo("tiny", lmbda=lmbda), steps=(1.0, 0.6))
