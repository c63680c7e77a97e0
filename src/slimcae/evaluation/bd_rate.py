"""Bjøntegaard deltas: the average distance of two rate-distortion curves.

Source: Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001;
with the piecewise cubic (PCHIP) interpolation of log10 rate of the common test conditions of
JCT-VC. The interpolants are integrated exactly over the interval where both curves are defined;
nothing is extrapolated.

A curve is a sequence of (rate, quality) pairs in any order: rate in bpp (or any unit), quality
in dB (PSNR or MS-SSIM). Dominated points, which another point of the same curve matches or beats in
both rate and quality, are left out, so every curve is strictly increasing and can be inverted.
Points of infinite quality (lossless) are left out too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slimcae.errors import ConfigError

Curve = Sequence[tuple[float, float]]

METHOD = "PCHIP on log10 rate"


@dataclass(frozen=True)
class BDResult:
    """A Bjøntegaard delta of a test curve against an anchor curve.

    Attributes:
        value: The delta, in % of rate for `bd_rate`, in dB for `bd_psnr`.
        overlap: The interval of the average, in dB for `bd_rate`, in rate for `bd_psnr`.
        dropped: Number of points of both curves that were left out (see the module).
        method: Method of interpolation.
    """

    value: float
    overlap: tuple[float, float]
    dropped: int
    method: str = METHOD


def bd_rate(anchor: Curve, test: Curve) -> BDResult | None:
    """Return the average difference in rate at equal quality, in % (negative: fewer bits).

    Return None if the curves have no common interval of quality, or one has fewer than two points.

    Raises:
        ConfigError: A rate is not positive and finite, or a quality is not a number.
    """
    delta = _mean_difference(anchor, test, lambda log_rate, quality: (quality, log_rate))
    if delta is None:
        return None
    value, overlap, dropped = delta
    return BDResult(100 * (10**value - 1), overlap, dropped)


def bd_psnr(anchor: Curve, test: Curve) -> BDResult | None:
    """Return the average difference in quality at equal rate, in dB (positive: better).

    The average is over log rate. Return None if the curves have no common interval of rate, or one
    has fewer than two points.

    Raises:
        ConfigError: A rate is not positive and finite, or a quality is not a number.
    """
    delta = _mean_difference(anchor, test, lambda log_rate, quality: (log_rate, quality))
    if delta is None:
        return None
    value, (low, high), dropped = delta
    return BDResult(value, (10**low, 10**high), dropped)


def rate_at(curve: Curve, quality: float) -> float | None:
    """Return the rate at which a curve reaches a quality, interpolated as in `bd_rate`.

    Return None outside of the curve, or if it has fewer than two points.

    Raises:
        ConfigError: See `bd_rate`.
    """
    points = _rising_part(curve)
    if len(points) < 2 or not points[0][1] <= quality <= points[-1][1]:
        return None
    from scipy.interpolate import PchipInterpolator

    rates, qualities = np.array(points).T
    return float(10 ** PchipInterpolator(qualities, np.log10(rates))(quality))


def _mean_difference(
    anchor: Curve, test: Curve, axes: Callable[[float, float], tuple[float, float]]
) -> tuple[float, tuple[float, float], int] | None:
    """Return the mean of y_test(x) - y_anchor(x), the interval of x, and the dropped points.

    axes: which of (log10 rate, quality) is x and which is y.
    """
    rising = _rising_part(anchor), _rising_part(test)
    if min(map(len, rising)) < 2:
        return None
    curves = [
        np.array([axes(math.log10(rate), quality) for rate, quality in points]).T
        for points in rising
    ]
    low = float(max(x[0] for x, _ in curves))
    high = float(min(x[-1] for x, _ in curves))
    if low >= high:
        return None
    from scipy.interpolate import PchipInterpolator

    means = [float(PchipInterpolator(x, y).integrate(low, high)) / (high - low) for x, y in curves]
    dropped = len(anchor) + len(test) - sum(map(len, rising))
    return means[1] - means[0], (low, high), dropped


def _rising_part(curve: Curve) -> list[tuple[float, float]]:
    """Return the points that are not dominated, by increasing rate (and so quality)."""
    for rate, quality in curve:
        if not (0 < rate < math.inf) or math.isnan(quality):
            raise ConfigError(
                f"an RD curve has a point with rate {rate} and quality {quality}: "
                "rates must be positive and finite, qualities numbers in dB"
            )
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(curve, key=lambda point: (point[0], -point[1])):
        if math.isfinite(quality) and (not kept or quality > kept[-1][1]):
            kept.append((rate, quality))
    return kept
