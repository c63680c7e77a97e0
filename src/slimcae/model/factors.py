"""Factors that an operating point has for the channels between two layers.

Points that share their layers differ by these: in methods `bottleneck_scaling` and `modulated`. A
model file has them beside the layers; whoever computes with a point gets them folded into a layer
(`slimcae.model.folding`), and has an ordinary network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from slimcae.model.config import SlimCAEConfig
from slimcae.model.layers import Convolution, Layer, Normalization, Shape

SCALING = "scaling.log_scale"
"""The tensor of method `bottleneck_scaling`: s of the latents, as its logarithm."""
MODULATION = "modulation"
"""The tensors of method `modulated` are called like the convolution and this: of channels that the
convolution writes in g_a, or reads in g_s, as their logarithm."""


@dataclass(frozen=True)
class Factors:
    """A factor for each channel that a layer writes, or if it is of g_s reads.

    name: of the tensor (points, channels) of their logarithms. layer: which they are folded into.
    inverse: it is divided by the factors.
    """

    name: str
    layer: Layer
    inverse: bool = False


def factors_of(
    config: SlimCAEConfig, analysis: Sequence[Layer], synthesis: Sequence[Layer]
) -> tuple[Factors, ...]:
    """Return the factors that the points of a configuration have, with the layers beside them."""
    if config.method == "bottleneck_scaling":
        return Factors(SCALING, analysis[-1]), Factors(SCALING, synthesis[0], inverse=True)
    if config.method == "modulated":
        beside = [
            before for before, after in pairwise(analysis) if isinstance(after, Normalization)
        ] + [after for before, after in pairwise(synthesis) if isinstance(before, Normalization)]
        return tuple(
            Factors(f"{layer.name}.{MODULATION}", layer)
            for layer in beside
            if isinstance(layer, Convolution)
        )
    return ()


def factor_tensors(config: SlimCAEConfig, factors: Sequence[Factors]) -> dict[str, Shape]:
    """Return name and shape of each tensor of factors that a model file has."""
    return {each.name: (len(config.points), config.num_filters) for each in factors}
