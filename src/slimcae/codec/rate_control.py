"""Finding the operating point that meets a target, for one picture.

The search knows the model's points only by their mean rate and quality (`QualityScale`), and the
picture only by what `Trial` measures. It expects the picture to differ from the mean by about the
same everywhere, corrects that with every measurement, and closes in on the target between a point
known to be below and one known to be above. So a wrong expectation costs time, never the target.

It begins at the narrowest width, whose analysis is cheapest, and comes from there to the width
that the target needs.
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
"""Tries at the place where the target is expected, before the search halves what is left."""
PSNR_SLACK = 0.5
"""dB that a picture may have beyond the PSNR asked for."""


MAX_BETTER = 3
"""Points beyond that of plain rounding which an effort may reach: each costs a whole search."""


class Trial(Protocol):
    """A picture that is being compressed."""

    def size(self, point: Point) -> int:
        """Bytes of the whole file at a point, or a few more: cheap, but for each width's first."""

    def psnr(self, point: Point) -> float:
        """Of the decoded picture, in dB; costs a synthesis."""


class EffortTrial(Protocol):
    """A picture whose symbols are searched for, which may meet a target elsewhere."""

    def refuse(self, point: Point) -> None:
        """Keep plain rounding at a point."""


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

    widths: those that may be chosen (None: all). overhead: bytes of the file beside the coded
    picture (header, index, alpha, metadata), which no point changes. The range of sizes is that
    from the cheapest to the best point of the ladder.
    closest: for a target out of range the nearest end of the range, which may be larger.
    rate: the bits per pixel that were asked for, if they were, and the number of pixels: errors
    then speak of these.

    Raises:
        ConfigError: a target out of range, or widths that the scale lacks.
    """
    size = cache(trial.size)
    ladder = scale.ladder(widths)
    room = max_bytes - overhead

    def log_excess(point: Point) -> float:
        # against one byte more than there is room for: zero or more is too much
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
    """Return the error for a size out of range, in bytes, or in the bits per pixel asked for."""
    if rate is None:
        what, unit = "a size", "bytes"
        asked, low, high, fixed = (f"{value:,}" for value in (wanted, least, most, overhead))
    else:
        what, unit = "a rate", "bpp"
        bpp, pixels = rate
        ends = math.ceil(8e4 * least / pixels), math.floor(8e4 * most / pixels)  # both can be met
        low, high = (f"{end / 1e4:g}" for end in ends)
        asked, fixed = f"{bpp:g}", f"{8 * overhead / pixels:.4f}"
    extra = f", {fixed} of them for header, alpha and metadata" if overhead else ""
    return ConfigError(
        f"{what} of {asked} {unit} is out of range: this picture takes {low} to {high} "
        f"{unit}{extra}; choose {what} within, or the closest"
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

    It has more than that only where no step of the widths around the target has less, as between
    widths far apart when those in between are not allowed.

    widths: those that may be chosen (None: all). The range of PSNR is that from the cheapest to
    the best point of the ladder.
    closest: for a target out of range the nearest end of the range, which may be worse.

    Raises:
        ConfigError: a target out of range, or widths that the scale lacks.
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
            "choose a PSNR within, or the closest"
        )
    good = [ladder[above]]
    for points, start in _widths_at(scale, ladder, above):
        index = _first_reaching(points, excess, scale.psnr, start)
        good += points[index : index + 1]
    return min(good, key=lambda point: (excess(point) > PSNR_SLACK, trial.size(point)))


def _widths_at(
    scale: QualityScale, ladder: Sequence[Point], above: int
) -> list[tuple[tuple[Point, ...], int]]:
    """All points of the widths on both sides of a place in the ladder, which may be one width.

    With them the index of the ladder's point there.
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
    """Where the excess over the target becomes zero or more; `len(points)` if nowhere.

    points: in order of rising `expected`. The point at the index returned reaches the target and
    the one before does not, as far as there are such points, even where the excess does not rise
    with the points. `excess` is taken to be `expected` plus what is about the same for all;
    pictures for which it is not fall back on halving after a few tries.
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
