"""Fold the factors of an operating point into the adjacent layers, which gives a plain network."""

import numpy as np
from numpy.typing import NDArray

from slimcae.model.factors import Factors
from slimcae.model.layers import Convolution, Scale

Floats = NDArray[np.float32]


def fold(factors: Factors, log_factors: Floats, weights: dict[str, Floats]) -> None:
    """Fold factors (channels) into the kernel of a convolution, or into a `Scale`.

    log_factors: logarithms of the factors. weights: weights of the point's network, by name;
    modified in place, except for those of normalizations, which are stored as roots; see
    `normalized`.
    """
    layer = factors.layer
    if isinstance(layer, Scale):
        name = f"{layer.name}.log_scale"
        weights[name] = weights[name] + (-log_factors if factors.inverse else log_factors)
    elif isinstance(layer, Convolution):
        # the first axis is the axis of the factors: out, or in if transposed
        kernel, bias = f"{layer.name}.weight", f"{layer.name}.bias"
        values = np.exp(log_factors)
        weights[kernel] = weights[kernel] * values[:, None, None, None]
        if not layer.transposed and bias in weights:
            weights[bias] = weights[bias] * values


def normalized(
    factors: Factors, log_factors: Floats, beta: Floats, gamma: Floats
) -> tuple[Floats, Floats]:
    """Return β (C) and γ (C, C) after folding in the factors s of the latents.

    y s, with y = x / √(β + γ x²), is x / √((β + γ x²) / s²); and the inverse of y' = y s, which is
    (y' / s) √(β + γ (y' / s)²), is y' √(β / s² + γ / (s² sᵀ²) y'²).
    """
    squares = np.exp(-2 * log_factors)
    beta, gamma = beta * squares, gamma * squares[:, None]
    return beta, gamma * squares if factors.inverse else gamma
