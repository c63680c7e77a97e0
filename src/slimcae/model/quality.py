"""The quality scale from 0 to 100 of a model, and the points that it passes through.

A point is a width (a number of `slimcae.model.model.Model.points`) and a quantisation step.
`slimcae fit` measures the mean rate and quality of every point on validation images. The ladder is
the sequence of points that are worth choosing. No torch.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from slimcae.errors import ConfigError, SettingError

MAX_QUALITY = 100
HULL_TOLERANCE = 0.1
"""Largest distance in dB of a ladder point below the hull. No single point reaches the straight
lines of the hull between two widths; the tolerance lets points fill these gaps."""
SWITCH_RATIO = 1.15
"""Smallest ratio of mean rates where the ladder changes its width. The ratio varies between photos:
on 24 validation images it was down to 0.925 of the mean ratio. With twice that deviation, a photo's
bytes still decrease by at most 2 %."""


class Point(NamedTuple):
    """An operating point: a width, and the index of a quantisation step in the model's list.

    width: one of `Model.points`.
    """

    width: int
    step: int


class QualityScale:
    """Mean rate and quality of a model's points, and the ladder of points worth choosing.

    measured: mean bits per pixel and mean PSNR in dB of each point.
    nominal: True if the numbers were not measured with this model and only order its points.

    Raises:
        ConfigError: There are no points, or numbers are not valid rates and qualities.
    """

    def __init__(
        self, measured: Mapping[Point, tuple[float, float]], *, nominal: bool = False
    ) -> None:
        if not measured:
            raise ConfigError("a quality scale needs at least one point")
        for point, (bpp, psnr) in measured.items():
            if not (0 < bpp < math.inf and math.isfinite(psnr)):
                raise ConfigError(
                    f"width {point.width}, step {point.step} cannot have {bpp} bpp and {psnr} dB"
                )
        self._measured = {Point(*point): numbers for point, numbers in measured.items()}
        self.nominal = nominal
        self._ladder = cache(self._build_ladder)

    @classmethod
    def of_model(
        cls,
        steps: Sequence[float],
        widths: Sequence[int],
        quality: Mapping[int, Sequence[tuple[float, float]]] | None,
    ) -> "QualityScale":
        """Return the scale of a model from the `steps`, `widths` and `quality` in its file.

        Without measurements (None) the scale is nominal, with typical values of trained models:
        twice the width gives 3.4 dB more and 2.4 times the bits; bits are proportional to
        Δ^-0.85; a third of the error at Δ = 1 is due to rounding and grows with Δ².

        Raises:
            ConfigError: See the constructor.
        """
        if quality is not None:
            return cls(
                {
                    Point(width, step): numbers
                    for width, row in quality.items()
                    for step, numbers in enumerate(row)
                }
            )
        nominal = {
            Point(width, step): (
                (width / 192) ** 1.25 * delta**-0.85,
                33.4 + 3.4 * math.log2(width / 192) - 10 * math.log10((2 + delta**2) / 3),
            )
            for width in widths
            for step, delta in enumerate(steps)
        }
        return cls(nominal, nominal=True)

    @property
    def widths(self) -> tuple[int, ...]:
        """All widths, largest first."""
        return tuple(sorted({point.width for point in self._measured}, reverse=True))

    def bpp(self, point: Point) -> float:
        """Mean bits per pixel."""
        return self._measured[point][0]

    def psnr(self, point: Point) -> float:
        """Mean PSNR in dB."""
        return self._measured[point][1]

    def points(self, width: int) -> tuple[Point, ...]:
        """Return the points of one width by increasing rate, coarsest step first."""
        return tuple(sorted((p for p in self._measured if p.width == width), key=self.bpp))

    def slope(self, point: Point) -> float:
        """Return the slope of a width's rate-distortion curve at a point.

        It is −dR / dD in bits per pixel per unit of squared error, from the neighbouring steps,
        with D = 10^(−PSNR / 10). With this λ, changes of rate and distortion along the curve
        cancel.

        Where the curve is not decreasing, the slope is that at the nearest step where it is.

        Raises:
            ConfigError: The width has a single step, or its curve is nowhere decreasing.
        """
        points = self.points(point.width)
        place = points.index(point)
        for reach in range(1, len(points)):
            low, high = points[max(place - reach, 0)], points[min(place + reach, len(points) - 1)]
            gained = 10 ** (-self.psnr(low) / 10) - 10 ** (-self.psnr(high) / 10)
            if gained > 0 and self.bpp(high) > self.bpp(low):
                return (self.bpp(high) - self.bpp(low)) / gained
        raise ConfigError(f"width {point.width} has no curve of rate and quality", field="effort")

    def ladder(self, widths: Collection[int] | None = None) -> tuple[Point, ...]:
        """Return the points worth choosing with these widths (None: all), from cheapest to best.

        Mean rate and mean quality increase from point to point. All points are at most
        `HULL_TOLERANCE` below the hull of rate (bpp) and PSNR; the width never decreases, and
        where it increases, the rate grows at least by the factor `SWITCH_RATIO`. Of all such
        sequences, the ladder has the best mean quality over bit budgets that are uniform in the
        logarithm.

        Raises:
            ConfigError: There are no widths, or the scale does not have one of them.
        """
        return self._ladder(frozenset(self.widths if widths is None else widths))

    def point(self, quality: float, widths: Collection[int] | None = None) -> Point:
        """Return the point of a quality from 0 to 100.

        Quality is linear in the logarithm of the rate along the full ladder, and so about linear
        in PSNR; neighbouring points differ by 4 to 6 % in bytes. With `widths`, the result is the
        cheapest point of their ladder with at least the same mean PSNR, or else its best point.

        Raises:
            ConfigError: The quality is outside of 0 … 100, a width does not exist, or the model
                was not measured.
        """
        if self.nominal:
            raise ConfigError(
                "this model has no quality scale because it was not fitted", field="quality"
            )
        if not 0 <= quality <= MAX_QUALITY:
            raise SettingError("quality", quality, f"a number from 0 to {MAX_QUALITY}")
        ladder = self.ladder()
        logs = [math.log(self.bpp(point)) for point in ladder]
        wanted = logs[0] + (logs[-1] - logs[0]) * quality / MAX_QUALITY
        nearest = min(range(len(ladder)), key=lambda index: abs(logs[index] - wanted))
        if widths is None:
            return ladder[nearest]
        allowed = self.ladder(widths)
        good_enough = bisect_left(allowed, self.psnr(ladder[nearest]), key=self.psnr)
        return allowed[min(good_enough, len(allowed) - 1)]

    def _build_ladder(self, widths: frozenset[int]) -> tuple[Point, ...]:
        if not widths or widths - set(self.widths):
            have = ", ".join(map(str, self.widths))
            asked = ", ".join(map(str, sorted(widths, reverse=True))) or "no width"
            raise ConfigError(f"{asked} cannot be chosen: choose from {have}")
        points = self._near_hull([p for p in self._measured if p.width in widths])
        rates = [math.log(self.bpp(point)) for point in points]
        # longest-path search: the best predecessor of each point, and the area under its stairs
        before: list[int | None] = [None] * len(points)
        area = [0.0] + [-math.inf] * (len(points) - 1)
        for end, point in enumerate(points):
            for start in range(end):
                gained = area[start] + self.psnr(points[start]) * (rates[end] - rates[start])
                if gained > area[end] and self._may_follow(points[start], point):
                    area[end], before[end] = gained, start
        reached = [index for index in range(len(points)) if area[index] > -math.inf]
        index: int | None = max(reached, key=lambda i: self.psnr(points[i]))
        ladder = []
        while index is not None:
            ladder.append(points[index])
            index = before[index]
        return tuple(reversed(ladder))

    def _may_follow(self, lower: Point, upper: Point) -> bool:
        """Return whether a ladder may go from one point to another."""
        ratio = 1.0 if upper.width == lower.width else SWITCH_RATIO
        return (
            upper.width >= lower.width
            and self.psnr(upper) > self.psnr(lower)
            and self.bpp(upper) > self.bpp(lower)
            and self.bpp(upper) >= ratio * self.bpp(lower)
        )

    def _near_hull(self, points: list[Point]) -> list[Point]:
        """Return the points near the upper hull of rate and PSNR, by increasing rate."""
        points = sorted(points, key=lambda p: (self.bpp(p), -self.psnr(p)))
        hull: list[tuple[float, float]] = []
        for point in points:
            x, y = self._measured[point]
            if hull and y <= hull[-1][1]:
                continue
            while len(hull) > 1 and _rises_less(hull[-2], hull[-1], (x, y)):
                hull.pop()
            hull.append((x, y))
        bpp, psnr = np.array(hull).T
        top = np.interp([self.bpp(point) for point in points], bpp, psnr)
        return [
            point
            for point, best in zip(points, top, strict=True)
            if self.psnr(point) >= best - HULL_TOLERANCE
        ]


def _rises_less(
    first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]
) -> bool:
    """Return whether the middle point is on or below the line from the first to the last."""
    return (middle[1] - first[1]) * (last[0] - first[0]) <= (last[1] - first[1]) * (
        middle[0] - first[0]
    )
