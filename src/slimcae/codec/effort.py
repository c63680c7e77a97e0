"""Effort: the encoder's search for symbols that are better than the nearest integers.

The decoder does not change. The cost of a picture is λ · D + R, with D its mean squared error times
its pixels, R its bits, and λ the slope of the model's curve at the operating point
(`QualityScale.slope`). The search has two parts, both on one tile with its halo:

- *Descent*: continuous latents follow the gradient of the cost, through g_s and a differentiable
  approximation of the entropy model. The first steps are few and long, with soft rounding
  (Agustsson and Theis, "Universally Quantized Neural Compression", NeurIPS 2020). At high efforts,
  many short steps follow, with random rounding that becomes sharper over time (stochastic Gumbel
  annealing: Yang, Bamler and Mandt, "Improving Inference for Neural Image Compression", NeurIPS
  2020).
- *Sweeps*: each symbol may change by one if that reduces the cost, according to a quadratic
  approximation of the squared error at the current symbols, and the exact tables of the entropy
  model (`slimcae.coding.rounding`). The quadratic is steeper than that of a single latent, because
  all are decided at once. A sweep that increases the cost is undone, and the next one is more
  careful.

The result is used only if the tile then costs less than with plain rounding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimcae.codec.tiled import quantise
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.rounding import optimised, slopes
from slimcae.errors import SettingError
from slimcae.model.config import whole_number
from slimcae.model.model import DEFAULT_EFFORT, EFFORTS
from slimcae.transforms import Residuals, Slopes, Symbols

CAUTION = 2.0
"""Initial factor of a sweep on the curvature of a single latent."""
SHARPNESS = (1.0, 6.0)
"""Sharpness of soft rounding, from the first step (with almost no effect) to the last."""
STEP, MOMENTUM = 0.1, 0.9
"""Step size of the descent with soft rounding, relative to that of a quadratic of the error alone.
More or longer steps overfit the softly rounded picture, and gain less."""
TEMPERATURE = (0.5, 0.2)
"""Temperature of random rounding, from the first step to the last."""
RATE = 0.02
"""Learning rate of Adam in symbols, for steps with random rounding; decays in the last quarter."""
DECAYS = (0.9, 0.99)
EDGE = 1e-4
"""Distance from integers within which derivatives are not computed."""
TINY = 1e-9
PRIOR_PLACES = 8
"""Weight of the mean curvature of all channels in that of each channel, as a number of places."""

Slope = Callable[[Residuals], Residuals]
Distortion = Callable[[Residuals], tuple[float, Residuals]]
"""λ · D of a tile's latents, in bits, and its gradient."""


@dataclass(frozen=True)
class Plan:
    """The work of an effort.

    soft, random: steps of the descent with soft and with random rounding. sweeps: maximal number of
    sweeps.
    """

    soft: int = 0
    random: int = 0
    sweeps: int = 0


PLANS = {
    1: Plan(),
    2: Plan(),
    3: Plan(sweeps=2),
    4: Plan(soft=2, sweeps=1),
    5: Plan(soft=2, sweeps=4),
    6: Plan(soft=2, random=60, sweeps=4),
    7: Plan(soft=2, random=100, sweeps=4),
    8: Plan(soft=2, random=200, sweeps=4),
    9: Plan(soft=2, random=300, sweeps=4),
}
"""By effort."""


def checked_effort(effort: object) -> int:
    """Return an effort as an integer.

    Raises:
        SettingError: The effort is not one of `EFFORTS`.
    """
    number = whole_number(effort)
    if number is None or number not in EFFORTS:
        raise SettingError("effort", effort, f"a whole number from {EFFORTS[0]} to {EFFORTS[-1]}")
    return number


def needs_gradients(effort: int) -> bool:
    """Return whether an effort needs gradients."""
    return effort > DEFAULT_EFFORT


def search(
    plan: Plan,
    residuals: Residuals,
    delta: float,
    entropy_model: EntropyModel,
    step: int,
    distortion: Distortion,
    curvature: Residuals,
    smooth: Slopes | None,
) -> Symbols:
    """Return symbols of a tile whose cost is at most that of plain rounding.

    residuals: (C, h, w), y − median. curvature: half the second derivative of λ · D with respect
        to each single latent; see `mean_curvature`. smooth: slopes of the bits; None: the slopes in
        the tables that the nearest integers choose.
    """

    def found(symbols: Symbols, bits: float | None = None) -> _Found:
        if bits is None:
            bits = entropy_model.ideal_bits(symbols, step)
        return _Found(symbols, bits, *distortion(np.float32(delta) * symbols))

    best = found(quantise(residuals, delta))
    stiffness = curvature * np.float32(delta**2)
    if plan.soft:
        bit_slopes: Slopes = smooth or _TableSlopes(entropy_model, step)

        def slope(values: Residuals) -> Residuals:
            _, gradient = distortion(np.float32(delta) * values)
            both: Residuals = np.float32(delta) * gradient + bit_slopes(values)
            return both

        start = residuals / np.float32(delta)
        ends = [_descend(start, plan.soft, slope, stiffness)]
        if plan.random:
            ends.append(_anneal(start, plan.random, slope))
        best = min([best, *(found(quantise(end, 1.0)) for end in ends)], key=_Found.cost)
    caution = CAUTION
    for _ in range(plan.sweeps):
        weight = np.float32(caution) * stiffness
        wanted = best.symbols.astype(np.float32) - np.float32(delta / 2) * best.gradient / weight
        symbols, bits = optimised(entropy_model, best.symbols, wanted, weight, step)
        if np.array_equal(symbols, best.symbols):
            break
        other = found(symbols, bits)
        if other.cost() < best.cost():
            best = other
        else:
            caution *= 2
    return best.symbols


def mean_curvature(estimates: Residuals) -> NDArray[np.float32]:
    """Return smoothed curvatures (C, h, w), as products of a channel factor and a place factor."""
    everywhere = max(float(estimates.mean()), float(np.finfo(np.float32).tiny))
    count = estimates[0].size
    channels = estimates.sum(axis=(1, 2), keepdims=True) + PRIOR_PLACES * everywhere
    channels /= count + PRIOR_PLACES
    places = (estimates / channels).mean(axis=0, keepdims=True)
    count = len(estimates)
    places = (places * count + PRIOR_PLACES) / (count + PRIOR_PLACES)
    found: NDArray[np.float32] = (channels * places).astype(np.float32)
    return found


@dataclass(frozen=True, eq=False)
class _Found:
    """Symbols, their bits, and λ · D with its gradient with respect to latents."""

    symbols: Symbols
    bits: float
    distortion: float
    gradient: Residuals

    def cost(self) -> float:
        return self.bits + self.distortion


class _TableSlopes:
    """Slopes of the bits in the tables that the nearest integers choose."""

    def __init__(self, entropy_model: EntropyModel, step: int) -> None:
        self._entropy_model, self._step = entropy_model, step

    def __call__(self, symbols: Residuals) -> Residuals:
        return slopes(self._entropy_model, quantise(symbols, 1.0), self._step)


def _descend(start: Residuals, count: int, slope: Slope, stiffness: Residuals) -> Residuals:
    """Return latents after gradient descent on the cost with soft rounding."""
    latents, velocity = start, np.zeros_like(start)
    low, high = SHARPNESS
    for number in range(1, count + 1):
        soft, derivative = soft_rounding(latents, low * (high / low) ** (number / count))
        velocity = np.float32(MOMENTUM) * velocity + slope(soft) * derivative / (2 * stiffness)
        rate = STEP * min(1.0, 4 * (1 - number / count) + 1 / count)
        latents = latents - np.float32(rate) * velocity
    return latents


def _anneal(start: Residuals, count: int, slope: Slope) -> Residuals:
    """Return latents after gradient descent on the cost with random rounding."""
    generator = np.random.default_rng(0)
    latents = start.astype(np.float64)
    mean, square = np.zeros_like(latents), np.zeros_like(latents)
    (first, last), (short, long) = TEMPERATURE, DECAYS
    for number in range(1, count + 1):
        done = number / count
        noise = generator.random(latents.shape)
        values, derivative = random_rounding(latents, first * (last / first) ** done, noise)
        gradient = slope(values.astype(np.float32)) * derivative
        mean = short * mean + (1 - short) * gradient
        square = long * square + (1 - long) * gradient**2
        root = np.sqrt(square / (1 - long**number)) + TINY
        rate = RATE * min(1.0, 4 * (1 - done) + 0.02)
        latents -= rate * mean / (1 - short**number) / root
    return latents.astype(np.float32)


def soft_rounding(values: Residuals, sharpness: float) -> tuple[Residuals, Residuals]:
    """Return softly rounded values, and the derivative.

    The function is m + tanh(a · (v − m)) / (2 · tanh(a / 2)) with m = ⌊v⌋ + ½. It is the identity
    for a → 0, and rounding for a → ∞.
    """
    middle = np.floor(values) + np.float32(0.5)
    bent = np.tanh(np.float32(sharpness) * (values - middle))
    scale = np.float32(0.5 / math.tanh(sharpness / 2))
    return middle + scale * bent, np.float32(sharpness) * scale * (1 - bent * bent)


def random_rounding(
    values: NDArray[np.float64], temperature: float, noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values randomly moved towards a neighbouring integer, and the derivative.

    noise: uniform in [0, 1).

    The result is a sample of the relaxed choice between ⌊v⌋ and ⌊v⌋ + 1, whose logits are −artanh
    of the distances, divided by the temperature (Yang, Bamler and Mandt 2020, eq. 6 and 7).
    """
    below = np.floor(values)
    part = np.clip(values - below, EDGE, 1 - EDGE)
    logit = (np.arctanh(part) - np.arctanh(1 - part)) / temperature
    noise = np.clip(noise, EDGE, 1 - EDGE)
    exponent = (logit + np.log(noise / (1 - noise))) / temperature
    share = 1 / (1 + np.exp(-np.clip(exponent, -50, 50)))
    grown = 1 / (1 - part**2) + 1 / (1 - (1 - part) ** 2)
    return below + share, share * (1 - share) / temperature**2 * grown
