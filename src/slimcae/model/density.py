"""Shapes of the tensors of the factorized density, which `slimcae.networks.bottleneck` computes.

Source: Ballé, Minnen, Singh, Hwang, Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018, appendix 6.1.
"""

from itertools import pairwise

FILTERS = (3, 3, 3, 3)
"""Sizes of the hidden layers of a channel's cumulative distribution."""
MEDIANS = "medians"
"""The tensor that a decoder needs: the centre of rounding of each channel."""


def density_tensors(channels: int) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each tensor of the density of one width."""
    found: dict[str, tuple[int, ...]] = {MEDIANS: (channels,)}
    for k, (fan_in, fan_out) in enumerate(pairwise((1, *FILTERS, 1))):
        found[f"matrices.{k}"] = channels, fan_out, fan_in
        found[f"biases.{k}"] = channels, fan_out, 1
        if k < len(FILTERS):
            found[f"factors.{k}"] = channels, fan_out, 1
    return found
