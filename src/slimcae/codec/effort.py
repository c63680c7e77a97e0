"""Effort: what an encoder does to find better symbols than the nearest integers.

The decoder knows nothing of it. A picture costs λ · D + R: D its mean squared error times its
pixels, R its bits, λ the slope of the model's own curve at the point in use (`QualityScale.slope`).
One tile at a time, with its true neighbourhood around it, latents that need not be whole follow the
gradient of the cost in a few long steps, and are rounded at the end. A step sees

- λ · D at latents that are drawn to whole numbers (soft rounding: Agustsson and Theis, "Universally
  Quantized Neural Compression", NeurIPS 2020), which leaves those alone that are nearly whole;
- R as the real tables have it: by how much the two whole numbers around a latent differ in bits, in
  the table that the nearest integers of the latents before it choose.

How far to go is measured by the second derivative of λ · D by one latent, on average over all. The
first gradient tells it: soft rounding has moved latents at random, and the gradient grew by that
times the second derivative.

What is found is kept only if the tile then costs less than with plain rounding.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slimcae.codec.tiled import quantise
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.slopes import bits_and_slopes
from slimcae.errors import SettingError
from slimcae.model.config import whole_number
from slimcae.model.model import DEFAULT_EFFORT, EFFORTS
from slimcae.transforms import Residuals, Symbols


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


_LONG = (
    Descent(8, (3.0, 7.0), (0.1, 0.03), 0.5),
    Descent(16, (3.0, 7.0), (0.08, 0.02), 0.5),
    Descent(32, (3.0, 7.0), (0.06, 0.015), 0.5),
    Descent(64, (3.0, 7.0), (0.05, 0.01), 0.5),
)
PLANS = {
    3: (Descent(1, (5.0, 5.0), (0.16, 0.16)),),
    4: (Descent(2, (3.6, 10.0), (0.28, 0.06)),),
    5: (Descent(4, (4.5, 6.6), (0.14, 0.07)),),
    6: _LONG[:1],
    7: _LONG[:2],
    8: _LONG[:3],
    9: _LONG,
}
"""Descents by effort, of which the cheapest end is kept; other efforts round at once."""


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
    plan: Sequence[Descent],
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
    start = residuals / np.float32(delta)
    best = quantise(residuals, delta)
    least, curvature = math.inf, None
    for descent in plan:
        latents, velocity = start, np.zeros_like(start)
        for sharpness, length in descent.each():
            soft, derivative = soft_rounding(latents, sharpness)
            slope = np.float32(delta) * gradient(np.float32(delta) * soft)
            nearest = quantise(latents, 1.0)
            directions = np.where(latents < nearest, np.int16(-1), np.int16(1))
            bits, bit_slope = bits_and_slopes(entropy_model, nearest, directions, step)
            if curvature is None:
                moved = soft - latents
                grown = float((slope * moved).sum(dtype=np.float64))
                if not grown > 0:  # no latent was moved, or all are beyond what shows
                    return best
                curvature = grown / float((moved * moved).sum(dtype=np.float64))
                least = bits + distortion(best)
            velocity = np.float32(descent.momentum) * velocity + (slope + bit_slope) * derivative
            latents = latents - np.float32(length / curvature) * velocity
        found = quantise(latents, 1.0)
        cost = entropy_model.ideal_bits(found, step) + distortion(found)
        if cost < least:
            best, least = found, cost
    return best


def soft_rounding(values: Residuals, sharpness: float) -> tuple[Residuals, Residuals]:
    """Return values drawn to whole numbers, and the derivative.

    m + tanh(a · (v − m)) / (2 · tanh(a / 2)), m = ⌊v⌋ + ½: for a → 0 the values, for a → ∞ rounded.
    """
    middle = np.floor(values) + np.float32(0.5)
    bent = np.tanh(np.float32(sharpness) * (values - middle))
    scale = np.float32(0.5 / math.tanh(sharpness / 2))
    return middle + scale * bent, np.float32(sharpness) * scale * (1 - bent * bent)
