"""Operating points of a model, and the scale of quality 0 to 100 that leads through them.

A point is a width and a quantisation step; where not the width tells a model's networks apart, the
number of one stands for it (`slimcae.model.model.Model.points`). `slimcae fit` measures each one's
mean rate and mean quality on validation images; from these comes the ladder, the points worth
choosing. Knows nothing of torch.
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
"""dB that a point of the ladder may lie below the hull. The hull's straight lines between two
widths promise what no single point can give; with a little room, points fill these gaps."""
SWITCH_RATIO = 1.15
"""How much the mean rate grows at least where the ladder changes its width. Photos differ in what
another width costs them: on 24 validation images the ratio of bytes was down to 0.925 of the
mean's. Twice that deviation still leaves a photo's bytes within 2 % of what they were."""


class Point(NamedTuple):
    """An operating point: a width, and the index of a quantisation step in the model's list.

    width: one of `Model.points`.
    """

    width: int
    step: int


class QualityScale:
    """Mean rate and quality of a model's points, and the ladder of those worth choosing.

    measured: for each point mean bits per pixel and mean PSNR in dB.
    nominal: the numbers are no measurements of this model, they only put its points in order.

    Raises:
        ConfigError: no points, or numbers that cannot be rates and qualities.
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

        Without measurements (None) it is nominal, after what trained models are like: 3.4 dB and
        2.4 times the bits for twice the width; bits in proportion to Δ^-0.85; a third of the
        error at Δ = 1 is the rounding's and grows with Δ².

        Raises:
            ConfigError: as the constructor.
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
        """All widths, widest first."""
        return tuple(sorted({point.width for point in self._measured}, reverse=True))

    def bpp(self, point: Point) -> float:
        """Mean bits per pixel."""
        return self._measured[point][0]

    def psnr(self, point: Point) -> float:
        """Mean PSNR in dB."""
        return self._measured[point][1]

    def points(self, width: int) -> tuple[Point, ...]:
        """Return all points of one width by rising rate, from the coarsest step to the finest."""
        return tuple(sorted((p for p in self._measured if p.width == width), key=self.bpp))

    def ladder(self, widths: Collection[int] | None = None) -> tuple[Point, ...]:
        """Return the points worth choosing with these widths (None: all), from cheapest to best.

        Mean rate and mean quality rise from each to the next. All lie on the hull of rate (bpp)
        and PSNR or at most `HULL_TOLERANCE` below it; the width never falls, and where it grows
        the rate does so by `SWITCH_RATIO` at least. Of all such sequences it is the one with the
        best mean quality over budgets of bits, these being spread evenly in the logarithm.

        Raises:
            ConfigError: no widths, or some that the scale lacks.
        """
        return self._ladder(frozenset(self.widths if widths is None else widths))

    def point(self, quality: float, widths: Collection[int] | None = None) -> Point:
        """Return the point of a quality from 0 to 100.

        Quality goes through the full ladder in even steps of the rate's logarithm, which are
        about even steps of PSNR, and so of what is seen: the next point is 4 to 6 % of bytes away
        wherever one stands. Among some `widths` only, it is the cheapest point of their ladder
        with at least the same mean PSNR, or else the best.

        Raises:
            ConfigError: a quality outside 0 … 100, widths that do not exist, or no measurements.
        """
        if self.nominal:
            raise ConfigError(
                "this model has no quality scale, as it was not fitted", field="quality"
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
        # longest-path search: what leads to each point, and the area under the stairs up to it
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
        """Whether a ladder may go from one point to another."""
        ratio = 1.0 if upper.width == lower.width else SWITCH_RATIO
        return (
            upper.width >= lower.width
            and self.psnr(upper) > self.psnr(lower)
            and self.bpp(upper) > self.bpp(lower)
            and self.bpp(upper) >= ratio * self.bpp(lower)
        )

    def _near_hull(self, points: list[Point]) -> list[Point]:
        """Those on the upper hull of rate and PSNR or hardly below, in order of rising rate."""
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
    """Whether the middle point lies on or below the line from the first to the last."""
    return (middle[1] - first[1]) * (last[0] - first[0]) <= (last[1] - first[1]) * (
        middle[0] - first[0]
    )
