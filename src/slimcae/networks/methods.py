"""The network class of each method; `slimcae.model.config` describes the methods."""

from slimcae.errors import ModelError
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.autoencoder import Autoencoder
from slimcae.networks.bottleneck_scaling import ScaledBottleneck
from slimcae.networks.independent import IndependentModels
from slimcae.networks.modulated import ModulatedAutoencoder
from slimcae.networks.slimcae import SlimCAE


def new_network(
    config: SlimCAEConfig, lmbda: tuple[float, ...] | None = None, *, initialise: bool = True
) -> Autoencoder:
    """Return a new network of a configuration.

    lmbda: λ of each operating point, which some methods need.

    Raises:
        ModelError: The method needs λ, but they are unknown.
    """
    match config.method:
        case "independent":
            return IndependentModels(config, initialise=initialise)
        case "bottleneck_scaling":
            return ScaledBottleneck(config, lmbda, initialise=initialise)
        case "modulated":
            if lmbda is None:
                raise ModelError("a modulated model needs the λ of its operating points")
            return ModulatedAutoencoder(config, lmbda, initialise=initialise)
    return SlimCAE(config, initialise=initialise)
