"""Search for the operating point of one picture that meets a target.

The search predicts rate and quality of a point from the model's means (`QualityScale`) plus an
offset of the picture, which each measurement (`Trial`) corrects. It keeps a bracket of one point
below the target and one above, so a wrong prediction costs time but never misses the target.

The search starts at the smallest width, whose analysis is cheapest.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Protocol

from slimcae.errors import ConfigError
from slimcae.model.quality import Point, QualityScale

MAX_GUESSES = 4
"""Number of predicted points to try before the search falls back to bisection."""
PSNR_SLACK = 0.5
"""Largest excess in dB over the requested PSNR."""


MAX_BETTER = 3
"""Number of better points than that of plain rounding to try with an effort."""


class Trial(Protocol):
    """A picture that is being compressed."""

    def size(self, point: Point) -> int:
        """Return an upper bound of the file size in bytes; the first call per width is slow."""

    def psnr(self, point: Point) -> float:
        """Return the PSNR of the decoded picture in dB, which runs the synthesis."""


class EffortTrial(Protocol):
    """A picture whose symbols are optimised, so it may meet a target at another point."""

    def refuse(self, point: Point) -> None:
        """Use plain rounding at a point."""


def best_within(
    trial: EffortTrial,
    points: Sequence[Point],
    start: Point,
    meets: Callable[[Point], bool],
    expected: Callable[[Point], bool],
) -> Point:
    """Return the last point near `start` that meets a target when its symbols are searched for.

    points: of one width, those better to have later. start: meets the target with plain rounding;
        it keeps that if neither it nor a point before it meets the target otherwise. meets: costs
        a search. expected: whether a point should meet the target, given what the search found at
        `start`; others are not tried.
    """
    place = points.index(start)
    if meets(start):
        likely = filter(expected, points[place + 1 : place + 1 + MAX_BETTER][::-1])
        return next(filter(meets, likely), start)
    likely = filter(expected, points[max(place - MAX_BETTER, 0) : place][::-1])
    found = next(filter(meets, likely), None)
    if found is None:
        trial.refuse(start)
        return start
    return found


def for_size(
    trial: Trial,
    scale: QualityScale,
    max_bytes: int,
    *,
    widths: Collection[int] | None = None,
    overhead: int = 0,
    closest: bool = False,
    rate: tuple[float, int] | None = None,
) -> Point:
    """Return the point of best expected quality whose file has at most `max_bytes`.

    widths: the allowed widths (None: all). overhead: bytes of the file without the coded picture
    (header, index, alpha, metadata), which are equal at all points. The range of sizes is that
    from the cheapest to the best point of the ladder.
    closest: if the target is out of range, return the nearest end of the range, which may be
    larger than the target.
    rate: the requested bits per pixel and the number of pixels, for error messages; None if a size
    was requested.

    Raises:
        ConfigError: The target is out of range, or the scale does not have a width.
    """
    size = cache(trial.size)
    ladder = scale.ladder(widths)
    room = max_bytes - overhead

    def log_excess(point: Point) -> float:
        # relative to one byte above the limit, so zero or more means too large
        return math.log(max(size(point) - overhead, 1) / (room + 1))

    def log_rate(point: Point) -> float:
        return math.log(scale.bpp(point))

    above = _first_reaching(ladder, log_excess, log_rate) if room > 0 else 0
    if above == 0 or (above == len(ladder) and size(ladder[-1]) < max_bytes):
        end = ladder[0] if above == 0 else ladder[-1]
        if closest:
            return end
        raise _out_of_range(max_bytes, size(ladder[0]), size(ladder[-1]), overhead, rate)
    fitting = [ladder[above - 1]]
    for points, start in _widths_at(scale, ladder, above):
        index = _first_reaching(points, log_excess, log_rate, start)
        fitting += points[max(index - 1, 0) : index]
    return max(fitting, key=lambda point: (scale.psnr(point), size(point)))


def _out_of_range(
    wanted: int, least: int, most: int, overhead: int, rate: tuple[float, int] | None
) -> ConfigError:
    """Return the error for a size out of range, in bytes or in the requested bits per pixel."""
    if rate is None:
        what, unit = "a size", "bytes"
        asked, low, high, fixed = (f"{value:,}" for value in (wanted, least, most, overhead))
    else:
        what, unit = "a rate", "bpp"
        bpp, pixels = rate
        ends = (
            math.ceil(8e4 * least / pixels),
            math.floor(8e4 * most / pixels),
        )  # rounded inwards, so both ends can be met
        low, high = (f"{end / 1e4:g}" for end in ends)
        asked, fixed = f"{bpp:g}", f"{8 * overhead / pixels:.4f}"
    extra = f", {fixed} of them for header, alpha and metadata" if overhead else ""
    return ConfigError(
        f"{what} of {asked} {unit} is out of range: this picture takes {low} to {high} "
        f"{unit}{extra}; choose {what} in this range, or use `closest`"
    )


def for_psnr(
    trial: Trial,
    scale: QualityScale,
    min_psnr: float,
    *,
    widths: Collection[int] | None = None,
    closest: bool = False,
) -> Point:
    """Return the smallest point found whose PSNR is `min_psnr` to `min_psnr` + 0.5 dB.

    The PSNR is higher only if no step of the neighbouring widths has less, for example between
    distant widths if those in between are not allowed.

    widths: the allowed widths (None: all). The range of PSNR is that from the cheapest to the best
    point of the ladder.
    closest: if the target is out of range, return the nearest end of the range, which may be worse
    than the target.

    Raises:
        ConfigError: The target is out of range, or the scale does not have a width.
    """
    psnr = cache(trial.psnr)
    ladder = scale.ladder(widths)

    def excess(point: Point) -> float:
        return psnr(point) - min_psnr

    above = _first_reaching(ladder, excess, scale.psnr)
    if above == len(ladder) or (above == 0 and psnr(ladder[0]) > min_psnr):
        end = ladder[0] if above == 0 else ladder[-1]
        if closest:
            return end
        raise ConfigError(
            f"a PSNR of {min_psnr:g} dB is out of range: this picture has "
            f"{psnr(ladder[0]):.2f} to {psnr(ladder[-1]):.2f} dB; "
            "choose a PSNR in this range, or use `closest`"
        )
    good = [ladder[above]]
    for points, start in _widths_at(scale, ladder, above):
        index = _first_reaching(points, excess, scale.psnr, start)
        good += points[index : index + 1]
    return min(good, key=lambda point: (excess(point) > PSNR_SLACK, trial.size(point)))


def _widths_at(
    scale: QualityScale, ladder: Sequence[Point], above: int
) -> list[tuple[tuple[Point, ...], int]]:
    """Return all points of the one or two widths around a position in the ladder.

    The second result is the index of the ladder's point among them.
    """
    sides = {point.width: point for point in ladder[max(above - 1, 0) : above + 1]}
    return [
        (points, points.index(point))
        for width, point in sides.items()
        for points in [scale.points(width)]
    ]


def _first_reaching(
    points: Sequence[Point],
    excess: Callable[[Point], float],
    expected: Callable[[Point], float],
    start: int = 0,
) -> int:
    """Return the index of a first point whose excess is zero or more; `len(points)` if none.

    points: sorted by `expected`. The point at the index has an excess of zero or more and the point
    before it does not, even if the excess is not monotonic. The search predicts `excess` as
    `expected` plus a constant, and falls back to bisection after a few tries.
    """
    below, reaching = -1, len(points)
    index = start
    for tries in itertools.count(1):
        found = excess(points[index])
        if found >= 0:
            reaching = index
        else:
            below = index
        if reaching - below == 1:
            break
        guess = bisect_left(points, expected(points[index]) - found, key=expected)
        if tries > MAX_GUESSES:
            guess = (below + reaching) // 2
        index = min(max(guess, below + 1), reaching - 1)
    return reaching
