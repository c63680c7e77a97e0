"""The integer arrays of a context network, as stored in a model file, and their validation.

`ContextArrays` documents each array, and rejects arrays with which a sum could exceed the integers
that float32 represents exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.entropy import required
from slimcae.coding.exact import (
    ACTIVATION,
    EXACT,
    MOST_PLACES,
    Bytes,
    Floats,
    Integers,
    scaled,
    weight_sums,
)
from slimcae.coding.tables import SymbolTables

LARGEST_MEAN = 4095
"""Largest absolute value of a mean, in sixteenths of a latent."""
FRACTION_BITS = 3
FRACTIONS = 2**FRACTION_BITS
"""Means are rounded to 1 / FRACTIONS of a symbol."""
HALF = FRACTIONS // 2
RATIO_BITS = 10
MEAN_BITS = RATIO_BITS + 4 - FRACTION_BITS
"""Binary places of a mean times `reciprocal` below a fraction: log2(2**10 · 16 / 8)."""
MOST_CHANNELS = 65535
MOST_HIDDEN = 1024
MOST_SIZES = 1024
MOST_SCALES = 256
OFFSET_PLACES = 4


@dataclass(frozen=True, eq=False)
class ContextArrays:
    """A context network with C channels in G groups, H hidden units and S steps.

    Sums are fixed-point integers with `places` fractional bits. They are rounded down to whole
    activations, sixteenths of a latent, or indices of scales.

    groups: number of channels of each group.
    features: (S, L) int8, at least 0: the feature of symbols with absolute value 0 … L − 1 (the
        last entry also covers larger symbols), for each step.
    start: (S, H) int32: the state before any symbol is known.
    kernel: (18 · C, H) int8: a 3×3 kernel (tap, channel, feature, hidden) for each group.
    kernel_shift: (G, H) int8: the kernels are multiplied by 2 to the power of this.
    bias: (G, 2, H) int32: added to the state for each group and pass.
    places: (H) int8: fractional bits of `start`, `kernel` and `bias`.
    mix, mix_bias, mix_places: (G, 2, H, H) int8 (to, from), (G, 2, H) int32, (G, 2, H) int8.
    out, out_bias, out_places: (2, 2, C, H) int8, (2, 2, C) int32, (2, 2, C) int8; axes are pass,
        then mean or scale.
    reciprocal: (S) int32: 2**10 / Δ, rounded.
    offset: (S) int32: added to scales, with four fractional bits.
    choice: (scales, 5) int32: index of the table for each scale and fraction 0, ⅛, ¼, ⅜ or ½.
    tables: tables that code symbols minus their centre.

    Raises:
        ValueError: The arrays are inconsistent, or sums could be inexact.
    """

    groups: tuple[int, ...]
    features: Bytes
    start: Integers
    kernel: Bytes
    kernel_shift: Bytes
    bias: Integers
    places: Bytes
    mix: Bytes
    mix_bias: Integers
    mix_places: Bytes
    out: Bytes
    out_bias: Integers
    out_places: Bytes
    reciprocal: Integers
    offset: Integers
    choice: Integers
    tables: SymbolTables

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_ranges()
        self._check_bound()

    @property
    def hidden(self) -> int:
        """H."""
        return int(self.start.shape[1])

    def kernels(self) -> list[Floats]:
        """Return the kernel of each group: (9, channels, 2, H)."""
        ends = np.cumsum(self.groups).tolist()
        found = []
        for size, end, shift in zip(self.groups, ends, self.kernel_shift, strict=True):
            kernel = self.kernel[18 * (end - size) : 18 * end]
            found.append(scaled(kernel, self.places - shift).reshape(9, size, 2, -1))
        return found

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""
        return {name: getattr(self, name) for name in _DTYPES} | {
            "groups": np.array(self.groups, np.int32),
            "minimum": self.tables.minimum,
            "length": self.tables.sizes,
            "counts": self.tables.counts,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ContextArrays":
        """Build and validate a context network from the arrays of a model file.

        Raises:
            ValueError: Arrays are missing, of the wrong type, inconsistent, or not exact.
        """
        names = ("groups", "minimum", "length", "counts")
        groups, minimum, length, counts, *rest = required(arrays, (*names, *_DTYPES))
        if groups.dtype != np.int32 or groups.ndim != 1:
            raise ValueError("groups of a context network must be one-dimensional and int32")
        tables = SymbolTables(minimum, length, counts)
        named = dict(zip(_DTYPES, rest, strict=True))
        return cls(groups=tuple(groups.tolist()), tables=tables, **named)

    def _check_shapes(self) -> None:
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            if array.dtype != dtype:
                raise ValueError(f"{name} of a context network must be {dtype}, not {array.dtype}")
        if self.start.ndim != 2 or self.features.ndim != 2 or self.choice.ndim != 2:
            raise ValueError("arrays of a context network have the wrong number of dimensions")
        steps, hidden = self.start.shape
        sizes, scales = self.features.shape[1], self.choice.shape[0]
        limits = {"hidden": (hidden, MOST_HIDDEN), "sizes": (sizes, MOST_SIZES)}
        limits |= {"scales": (scales, MOST_SCALES), "steps": (steps, 256)}
        for name, (number, most) in limits.items():
            if not 1 <= number <= most:
                raise ValueError(f"{number} {name} of a context network: must be 1 to {most}")
        if min(self.groups, default=0) < 1 or sum(self.groups) > MOST_CHANNELS:
            raise ValueError(f"a context network needs groups of 1 to {MOST_CHANNELS} channels")
        count, channels = len(self.groups), sum(self.groups)
        expected = {
            "features": (steps, sizes),
            "kernel": (18 * channels, hidden),
            "kernel_shift": (count, hidden),
            "bias": (count, 2, hidden),
            "places": (hidden,),
            "mix": (count, 2, hidden, hidden),
            "mix_bias": (count, 2, hidden),
            "mix_places": (count, 2, hidden),
            "out": (2, 2, channels, hidden),
            "out_bias": (2, 2, channels),
            "out_places": (2, 2, channels),
            "reciprocal": (steps,),
            "offset": (steps,),
            "choice": (scales, HALF + 1),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                have = getattr(self, name).shape
                raise ValueError(f"{name} of a context network has shape {have}: must be {shape}")

    def _check_ranges(self) -> None:
        if self.features.min() < 0:
            raise ValueError("features of a context network must not be negative")
        for name in ("kernel_shift", "places", "mix_places", "out_places"):
            places = getattr(self, name)
            if places.min() < 0 or places.max() > MOST_PLACES:
                raise ValueError(f"{name} of a context network must be from 0 to {MOST_PLACES}")
        if self.out_places[:, 1].min() < OFFSET_PLACES:
            raise ValueError(f"scales of a context network need {OFFSET_PLACES} places or more")
        for name in ("start", "bias", "mix_bias", "out_bias", "offset"):
            array = getattr(self, name)
            if array.min() <= -EXACT or array.max() >= EXACT:
                raise ValueError(f"{name} of a context network must be below 2**24")
        # the largest sum is a mean times the reciprocal, plus the rounding term
        most = (EXACT - ((FRACTIONS + 1) << MEAN_BITS)) // LARGEST_MEAN
        if self.reciprocal.min() < 1 or self.reciprocal.max() > most:
            raise ValueError(f"reciprocal of a context network must be from 1 to {most}")
        if self.choice.min() < 0 or self.choice.max() >= self.tables.num_tables:
            last = self.tables.num_tables - 1
            raise ValueError(f"choice must be from 0 to {last}, an index of a table")

    def _check_bound(self) -> None:
        """Reject weights with which a sum of products, in any order, could reach 2**24."""
        state = np.zeros((1, self.hidden), np.int64)
        ends = np.cumsum(self.groups).tolist()
        for size, end, shift in zip(self.groups, ends, self.kernel_shift, strict=True):
            state += weight_sums(self.kernel[18 * (end - size) : 18 * end], 0)[None] << shift
        state = state * ACTIVATION
        state = state + np.abs(self.start.astype(np.int64)).max(axis=0)
        state = state + np.abs(self.bias.astype(np.int64)).reshape(-1, self.hidden).max(axis=0)
        mixed = weight_sums(self.mix, 3) * ACTIVATION + np.abs(self.mix_bias.astype(np.int64))
        # the residual layer adds two activations
        out = weight_sums(self.out, 3) * (2 * ACTIVATION) + np.abs(self.out_bias.astype(np.int64))
        offset = np.abs(self.offset.astype(np.int64)).max()
        out[:, 1] += offset << (self.out_places[:, 1].astype(np.int64) - OFFSET_PLACES)
        for name, sums in (("kernel", state), ("mix", mixed), ("out", out)):
            if sums.max() >= EXACT:
                raise ValueError(f"{name} of a context network is not exact: sums reach 2**24")


_DTYPES = {
    field.name: np.dtype(np.int8 if field.type is Bytes else np.int32)
    for field in fields(ContextArrays)
    if field.type in (Bytes, Integers)
}
