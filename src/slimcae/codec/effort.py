"""Effort: what an encoder does to find better symbols than the nearest integers.

The decoder knows nothing of it. A picture costs λ · D + R: D its mean squared error times its
pixels, R its bits, λ the slope of the model's own curve at the point in use (`QualityScale.slope`).
The search has two parts, both on one tile with its true neighbourhood around it:

- *Descent*: latents that need not be whole follow the gradient of the cost, through g_s and through
  a smooth continuation of the entropy model. The first steps are few and long, and see latents that
  are drawn to whole numbers a little (soft rounding: Agustsson and Theis, "Universally Quantized
  Neural Compression", NeurIPS 2020). Many short ones follow at high efforts, which see latents
  rounded at random, more and more to the nearer side (stochastic Gumbel annealing: Yang, Bamler
  and Mandt, "Improving Inference for Neural Image Compression", NeurIPS 2020).
- *Sweeps*: each symbol may become one more or one less where that costs less by a parabola of the
  squared error at the symbols so far, and by the true tables of the entropy model
  (`slimcae.coding.rounding`). The parabola is steeper than a latent's own, since all are decided at
  once: a sweep that made the picture cost more is taken back, and the next one is more careful.

What is found is kept only if the tile then costs less than with plain rounding.
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
"""How much steeper than a latent's own a sweep takes the parabola to be, at first."""
SHARPNESS = (1.0, 6.0)
"""Of soft rounding, from the first step (where it does next to nothing) to the last."""
STEP, MOMENTUM = 0.1, 0.9
"""Of the descent with soft rounding: a tenth of what a parabola of the error alone would take. More
or longer steps follow the softly rounded picture too far, and gain less."""
TEMPERATURE = (0.5, 0.2)
"""Of random rounding, from the first step to the last."""
RATE = 0.02
"""Of Adam, in symbols, for the steps with random rounding; it falls over the last quarter."""
DECAYS = (0.9, 0.99)
EDGE = 1e-4
"""Nearer to whole numbers nothing is differentiated."""
TINY = 1e-9
PRIOR_PLACES = 8
"""The mean curvature of all channels counts in each channel's like so many places."""

Slope = Callable[[Residuals], Residuals]
Distortion = Callable[[Residuals], tuple[float, Residuals]]
"""λ · D of a tile's latents, in bits, and its gradient."""


@dataclass(frozen=True)
class Plan:
    """How much is done.

    soft, random: steps of the descent with soft and with random rounding. sweeps: at most so many.
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
        SettingError: none of `EFFORTS`.
    """
    number = whole_number(effort)
    if number is None or number not in EFFORTS:
        raise SettingError("effort", effort, f"a whole number from {EFFORTS[0]} to {EFFORTS[-1]}")
    return number


def needs_gradients(effort: int) -> bool:
    """Tell whether an effort does more than round."""
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
    """Return symbols of a tile that cost no more than those of plain rounding.

    residuals: (C, h, w), y − median. curvature: half the second derivative of λ · D by each
        latent, alone; see `mean_curvature`. smooth: slopes of the bits by symbols; None: those of
        the tables that the symbols' nearest integers choose.
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
    """Return curvatures (C, h, w) as products of a channel's and a place's, of noisy estimates."""
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
    """Symbols, their bits, and λ · D with its gradient by latents."""

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
    """Return latents, in steps, that cost less softly rounded."""
    latents, velocity = start, np.zeros_like(start)
    low, high = SHARPNESS
    for number in range(1, count + 1):
        soft, derivative = soft_rounding(latents, low * (high / low) ** (number / count))
        velocity = np.float32(MOMENTUM) * velocity + slope(soft) * derivative / (2 * stiffness)
        rate = STEP * min(1.0, 4 * (1 - number / count) + 1 / count)
        latents = latents - np.float32(rate) * velocity
    return latents


def _anneal(start: Residuals, count: int, slope: Slope) -> Residuals:
    """Return latents, in steps, that cost less rounded at random."""
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
    """Return values drawn to whole numbers, and the derivative.

    m + tanh(a · (v − m)) / (2 · tanh(a / 2)), m = ⌊v⌋ + ½: for a → 0 the values, for a → ∞ rounded.
    """
    middle = np.floor(values) + np.float32(0.5)
    bent = np.tanh(np.float32(sharpness) * (values - middle))
    scale = np.float32(0.5 / math.tanh(sharpness / 2))
    return middle + scale * bent, np.float32(sharpness) * scale * (1 - bent * bent)


def random_rounding(
    values: NDArray[np.float64], temperature: float, noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values moved at random towards a whole number beside them, and the derivative.

    noise: uniform in [0, 1). A sample of the relaxed choice between ⌊v⌋ and ⌊v⌋ + 1 whose logits
    are −artanh of the distances, over the temperature (Yang, Bamler and Mandt 2020, eq. 6 and 7).
    """
    below = np.floor(values)
    part = np.clip(values - below, EDGE, 1 - EDGE)
    logit = (np.arctanh(part) - np.arctanh(1 - part)) / temperature
    noise = np.clip(noise, EDGE, 1 - EDGE)
    exponent = (logit + np.log(noise / (1 - noise))) / temperature
    share = 1 / (1 + np.exp(-np.clip(exponent, -50, 50)))
    grown = 1 / (1 - part**2) + 1 / (1 - (1 - part) ** 2)
    return below + share, share * (1 - share) / temperature**2 * grown
