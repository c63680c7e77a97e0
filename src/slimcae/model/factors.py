"""Channel factors, by which operating points with shared layers differ.

The methods `bottleneck_scaling` and `modulated` use them. A model file stores them separately from
the layers; `slimcae.model.folding` folds the factors of a point into the layers, which gives an
ordinary network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from slimcae.model.config import SlimCAEConfig
from slimcae.model.layers import Convolution, Layer, Normalization, Shape

SCALING = "scaling.log_scale"
"""The tensor of method `bottleneck_scaling`: the logarithm of the factor s of the latents."""
MODULATION = "modulation"
"""Suffix of the tensors of method `modulated`, after the name of a convolution: logarithms of the
factors of its output channels in g_a, or of its input channels in g_s."""


@dataclass(frozen=True)
class Factors:
    """One factor for each output channel of a layer of g_a, or input channel of a layer of g_s.

    name: name of the tensor (points, channels) of their logarithms. layer: the layer that they are
        folded into. inverse: whether the kernel is divided by the factors.
    """

    name: str
    layer: Layer
    inverse: bool = False


def factors_of(
    config: SlimCAEConfig, analysis: Sequence[Layer], synthesis: Sequence[Layer]
) -> tuple[Factors, ...]:
    """Return the factors of the points of a configuration, with the layers that they belong to."""
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


def factor_tensors(
    config: SlimCAEConfig, factors: Sequence[Factors], channels: int
) -> dict[str, Shape]:
    """Return the name and shape of each tensor of factors in a model file.

    channels: of the layers with factors.
    """
    return {each.name: (len(config.points), channels) for each in factors}
