"""The density of one channel in float64, directly from the paper."""

import numpy as np

from slimcae.networks.bottleneck import EntropyBottleneck


def slow_logits(state: dict[str, np.ndarray], channel: int, x: np.ndarray) -> np.ndarray:
    """Return the logit of the cumulative of one channel."""
    values = x.astype(np.float64).reshape(1, -1)
    for k in range(5):
        matrix = np.log1p(np.exp(state[f"matrices.{k}"][channel].astype(np.float64)))
        values = matrix @ values + state[f"biases.{k}"][channel]
        if k < 4:
            values += np.tanh(state[f"factors.{k}"][channel].astype(np.float64)) * np.tanh(values)
    return np.asarray(values[0])


def slow_mass(
    state: dict[str, np.ndarray], channel: int, x: np.ndarray, length: float = 1.0
) -> np.ndarray:
    """Return the mass of the interval of this length around each x."""
    lower, upper = (slow_logits(state, channel, x + side * length) for side in (-0.5, 0.5))
    mirror = np.where(lower > 0, -1.0, 1.0)  # sigmoid keeps its precision only below one half
    sigmoids = (1 / (1 + np.exp(-mirror * side)) for side in (upper, lower))
    return np.asarray(np.abs(np.subtract(*sigmoids)))


def state_of(bottleneck: EntropyBottleneck) -> dict[str, np.ndarray]:
    """Return the parameters of a density by name."""
    return {name: tensor.numpy() for name, tensor in bottleneck.state_dict().items()}
