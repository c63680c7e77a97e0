"""Effort: what an encoder does to find better symbols than the nearest integers.

The decoder knows nothing of it. A picture costs λ · D + R: D its mean squared error times its
pixels, R its bits, λ the slope of the model's own curve at the point in use (`QualityScale.slope`).
One tile at a time, with its true neighbourhood around it, latents that need not be whole follow the
gradient of the cost in a few long steps, and are rounded at the end. A step sees

- λ · D at latents that are drawn to whole numbers (soft rounding: Agustsson and Theis, "Universally
  Quantized Neural Compression", NeurIPS 2020), which leaves those alone that are nearly whole;
- R as the real tables have it: by how much the two whole numbers around a latent differ in bits, in
  the table that the nearest integers of the latents before it choose.

High efforts also take many short steps, which see latents rounded at random, with time more and
more to the nearer side (stochastic Gumbel annealing: Yang, Bamler and Mandt, "Improving Inference
for Neural Image Compression", NeurIPS 2020).

The length of a long step follows from the second derivative of λ · D by one latent, on average over
all. The first gradient tells it: soft rounding has moved latents at random, and the gradient grew
by that times the second derivative.

Of all that is found the cheapest symbols are kept, which may be those of plain rounding.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimcae.codec.tiled import quantise
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.slopes import bits_and_slopes
from slimcae.errors import SettingError
from slimcae.model.config import whole_number
from slimcae.model.model import DEFAULT_EFFORT, EFFORTS
from slimcae.transforms import Residuals, Symbols

Slope = Callable[[Residuals], Residuals]
"""Derivatives by latents, in bits."""


@dataclass(frozen=True)
class Descent:
    """The steps from a picture's latents to better ones.

    steps: how many. sharpness: of soft rounding, in the first and the last step. length: of the
        first and the last step, as a part of what a parabola of the error alone would take.
        momentum: how much of a step the next one goes on with.
    """

    steps: int
    sharpness: tuple[float, float]
    length: tuple[float, float]
    momentum: float = 0.0

    def each(self) -> Iterator[tuple[float, float]]:
        """Yield sharpness and length of each step."""
        (first, last), (long, short) = self.sharpness, self.length
        for number in range(self.steps):
            done = number / max(self.steps - 1, 1)
            yield first * (last / first) ** done, long * (short / long) ** done


@dataclass(frozen=True)
class Plan:
    """What is searched, beginning with a descent. random: steps with random rounding."""

    descent: Descent
    random: int = 0


_LONGEST = Descent(8, (3.0, 7.0), (0.1, 0.03), 0.5)
PLANS = {
    3: Plan(Descent(1, (5.0, 5.0), (0.16, 0.16))),
    4: Plan(Descent(2, (3.6, 10.0), (0.28, 0.06))),
    5: Plan(Descent(4, (4.5, 6.6), (0.14, 0.07))),
    6: Plan(_LONGEST),
    7: Plan(_LONGEST, random=60),
    8: Plan(_LONGEST, random=120),
    9: Plan(_LONGEST, random=240),
}
"""By effort; other efforts round at once."""
TEMPERATURE = (0.5, 0.2)
"""Of random rounding, from the first step to the last."""
RATE = 0.02
"""Of Adam, in symbols, for the steps with random rounding; it falls over the last quarter."""
DECAYS = (0.9, 0.99)
EDGE = 1e-4
"""Nearer to whole numbers nothing is differentiated."""
TINY = 1e-9
SHARES = (1.0, 0.5, 0.25)
"""Parts of the way to go: less of it where the whole costs more than plain rounding."""


def checked_effort(effort: object) -> int:
    """Return an effort as an integer.

    Raises:
        SettingError: none of `EFFORTS`.
    """
    number = whole_number(effort)
    if number is None or number not in EFFORTS:
        shown = repr(effort) if isinstance(effort, str) else effort
        raise SettingError("effort", shown, f"a whole number from {EFFORTS[0]} to {EFFORTS[-1]}")
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
    gradient: Callable[[Residuals], Residuals],
    distortion: Callable[[Symbols], float],
) -> Symbols:
    """Return symbols of a tile that cost no more than those of plain rounding.

    residuals: (C, h, w), y − median. gradient: of λ · D by latents, in bits. distortion: λ · D of
        symbols as they are decoded, in bits.
    """

    def error_slope(values: Residuals) -> Residuals:
        found: Residuals = np.float32(delta) * gradient(np.float32(delta) * values)
        return found

    def priced(latents: Residuals) -> tuple[float, Residuals]:
        nearest = quantise(latents, 1.0)
        directions = np.where(latents < nearest, np.int16(-1), np.int16(1))
        return bits_and_slopes(entropy_model, nearest, directions, step)

    def bit_slope(latents: Residuals) -> Residuals:
        return priced(latents)[1]

    start = residuals / np.float32(delta)
    bits, prices = priced(start)
    best = quantise(residuals, delta)
    least = bits + distortion(best)
    ends = [_descend(start, prices, plan.descent, error_slope, bit_slope)]
    if plan.random:
        ends.append(_anneal(start, plan.random, error_slope, bit_slope))
    for end in ends:
        for share in SHARES:
            found = quantise((start + share * (end - start)).astype(np.float32), 1.0)
            cost = entropy_model.ideal_bits(found, step) + distortion(found)
            if cost < least:
                best, least = found, cost
                break
    return best


def _descend(
    start: Residuals, prices: Residuals, descent: Descent, error_slope: Slope, bit_slope: Slope
) -> Residuals:
    """Return latents, in steps, that cost less softly rounded.

    prices: `bit_slope` of the start.
    """
    latents, velocity, curvature = start, np.zeros_like(start), None
    for sharpness, length in descent.each():
        soft, derivative = soft_rounding(latents, sharpness)
        slope = error_slope(soft)
        if curvature is None:
            moved = soft - latents
            grown = float((slope * moved).sum(dtype=np.float64))
            if not grown > 0:  # no latent was moved, or all are beyond what shows
                return start
            curvature = grown / float((moved * moved).sum(dtype=np.float64))
        else:
            prices = bit_slope(latents)
        downhill = (slope + prices) * derivative
        velocity = np.float32(descent.momentum) * velocity + downhill
        latents = latents - np.float32(length / curvature) * velocity
    return latents


def _anneal(start: Residuals, count: int, error_slope: Slope, bit_slope: Slope) -> Residuals:
    """Return latents, in steps of Adam, that cost less rounded at random."""
    generator = np.random.default_rng(0)
    latents = start.astype(np.float64)
    mean, square = np.zeros_like(latents), np.zeros_like(latents)
    (first, last), (short, long) = TEMPERATURE, DECAYS
    for number in range(1, count + 1):
        done = number / count
        noise = generator.random(latents.shape)
        values, derivative = random_rounding(latents, first * (last / first) ** done, noise)
        slope = error_slope(values.astype(np.float32)) + bit_slope(latents.astype(np.float32))
        downhill = slope * derivative
        mean = short * mean + (1 - short) * downhill
        square = long * square + (1 - long) * downhill**2
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
