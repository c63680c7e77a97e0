"""Calibration of times on this machine: measure pictures, and fit a line over their sizes."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Protocol, TypeVar

import numpy as np

from slimcae.codec import Codec
from slimcae.errors import SettingError
from slimcae.images import Picture
from slimcae.model.cost import Profile, Times

T = TypeVar("T")


class Track(Protocol):
    """Yields the given items and shows progress."""

    def __call__(self, items: Sequence[T], what: str) -> Iterable[T]:
        """Yield the items; `what` describes them."""


SIZES = ((256, 384), (512, 768), (1024, 1536))
"""Heights and widths of the pictures, in pixels."""


def untracked(items: Sequence[T], what: str) -> Iterable[T]:
    """Return the items without showing progress."""
    return items


def measure(
    codec: Codec,
    repeats: int = 3,
    sizes: Sequence[tuple[int, int]] = SIZES,
    track: Track = untracked,
) -> Profile:
    """Measure the times of every width and effort of a codec; each is a median of `repeats` runs.

    track: shows progress, see `Track`.

    Raises:
        SettingError: `repeats` is below 1.
    """
    checked_repeats(repeats)
    pictures = [texture(*size) for size in sizes]
    pixels = [height * columns for height, columns in sizes]
    choices = [(width, effort) for width in codec.points for effort in codec.model.efforts(width)]
    for choice in track(choices, "preparing"):
        _round_trip_ms(codec, pictures[0], *choice)  # the first run also builds tables
    # repeats are the outer loop, so that other load on the machine affects all choices alike
    runs = list(product(range(repeats), range(len(choices)), range(len(pictures))))
    found = np.empty((repeats, len(choices), len(pictures), 2))  # last axis: encode, decode
    for run in track(runs, "times"):
        found[run] = _round_trip_ms(codec, pictures[run[2]], *choices[run[1]])
    medians = np.median(found, axis=0)
    encode: dict[int, dict[str, Times]] = {width: {} for width in codec.points}
    decode: dict[int, dict[str, Times]] = {width: {} for width in codec.points}
    for k, (width, effort) in enumerate(choices):
        kind = codec.model.kind(width, effort)
        encode[width][kind] = fit(pixels, medians[k, :, 0].tolist())
        decode[width][kind] = fit(pixels, medians[k, :, 1].tolist())
    transforms = codec.transforms
    return Profile(
        model=f"{codec.info.name}@{codec.info.version}",
        runtime=transforms.runtime,
        device=transforms.device,
        precision=transforms.precision,
        threads=transforms.threads,
        machine=transforms.machine,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        encode=encode,
        decode=decode,
    )


def checked_repeats(repeats: int) -> None:
    """Check the number of runs.

    Raises:
        SettingError: `repeats` is below 1.
    """
    if repeats < 1:
        raise SettingError("repeats", repeats, "1 or more")


def texture(height: int, width: int) -> Picture:
    """Return a reproducible picture: waves of all directions and frequencies, like foliage."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    pixels = np.full((height, width, 3), 128, np.float32)
    for k in range(1, 9):
        turn, pitch = 2.4 * k, 0.02 * 1.5**k
        wave = np.sin(pitch * (np.cos(turn) * rows + np.sin(turn) * columns) + k)
        pixels += wave[:, :, None] * np.roll([30, 20, 10], k) / k**0.5
    return Picture(np.clip(pixels, 0, 255).astype(np.uint8))


def fit(pixels: Sequence[int], milliseconds: Sequence[float]) -> Times:
    """Fit the line fixed + per_megapixel · megapixels to the times, by least squares.

    The fit minimises relative errors, so small pictures count as much as large ones. Both
    coefficients are at least 0: if one would be negative, it is 0 and the other is fitted alone.
    """
    weights = 1 / np.asarray(milliseconds)
    ones, megapixels = weights, weights * np.asarray(pixels) / 1e6
    both = np.stack([ones, megapixels], axis=1)
    candidates = [
        np.linalg.lstsq(both * keep, np.ones(len(pixels)), rcond=None)[0] * keep
        for keep in np.array([(1, 1), (1, 0), (0, 1)])
    ]
    errors = [float(np.sum((both @ line - 1) ** 2)) for line in candidates]
    fixed, slope = min(
        (error, tuple(map(float, line)))
        for error, line in zip(errors, candidates, strict=True)
        if (line >= 0).all()
    )[1]
    return Times(fixed, slope)


def _round_trip_ms(codec: Codec, picture: Picture, width: int, effort: int) -> tuple[float, float]:
    """Return the milliseconds to compress and to decompress."""
    start = time.perf_counter()
    data = codec.compress(picture, point=width, effort=effort)
    between = time.perf_counter()
    codec.decompress(data)
    return 1000 * (between - start), 1000 * (time.perf_counter() - between)
