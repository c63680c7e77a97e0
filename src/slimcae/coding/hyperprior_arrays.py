"""The integer arrays of a hyperprior, as stored in a model file, and their validation.

There are six integer convolutions, three of h_a and three of h_s, with the input features of h_a
and the tables that h_s chooses from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

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

MOST_CHANNELS = 65535
MOST_HIDDEN = 1024
MOST_SIZES = 1024
MOST_SCALES = 256
MOST_STEPS = 256


class Geometry(NamedTuple):
    """Side and stride of a kernel; a transposed convolution upsamples by `stride`."""

    side: int
    stride: int = 1
    transposed: bool = False


ANALYSIS = {"h_a.1": Geometry(3), "h_a.2": Geometry(5, 2), "h_a.3": Geometry(5, 2)}
SYNTHESIS = {
    "h_s.1": Geometry(5, 2, transposed=True),
    "h_s.2": Geometry(5, 2, transposed=True),
    "h_s.3": Geometry(3),
}
LAYERS = ANALYSIS | SYNTHESIS
DOWNSAMPLING = 4
"""Rows or columns of latents per row or column of z."""


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A convolution whose sums are exact fixed-point numbers with `places` fractional bits.

    kernel: (side, side, inputs, outputs) int8. bias: (S, outputs) int32, one for each step.
    places: (outputs) int8.

    Raises:
        ValueError: The arrays are inconsistent, or a sum could reach 2**24.
    """

    geometry: Geometry
    kernel: Bytes
    bias: Integers
    places: Bytes

    def __post_init__(self) -> None:
        for name, dtype, dimensions in (("kernel", np.int8, 4), ("bias", np.int32, 2),
                                        ("places", np.int8, 1)):  # fmt: skip
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions or not array.size:
                raise ValueError(f"{name} must be {np.dtype(dtype)} with {dimensions} dimensions")
        if self.kernel.shape[:2] != (self.geometry.side, self.geometry.side):
            raise ValueError(
                f"kernel has shape {self.kernel.shape}: its side must be {self.geometry.side}"
            )
        if not self.bias.shape[1] == len(self.places) == self.outputs:
            raise ValueError(f"bias and places must have {self.outputs} channels")
        if self.places.min() < 0 or self.places.max() > MOST_PLACES:
            raise ValueError(f"places must be from 0 to {MOST_PLACES}")
        sums = weight_sums(self.kernel, (0, 1, 2)) * ACTIVATION
        if (sums + np.abs(self.bias.astype(np.int64))).max() >= EXACT:
            raise ValueError("not exact: sums reach 2**24")

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return int(self.kernel.shape[2])

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.kernel.shape[3])

    @cached_property
    def _scaled(self) -> tuple[Floats, Floats]:
        return scaled(self.kernel, self.places), scaled(self.bias, self.places)

    def sums(self, x: Floats, step: int) -> Floats:
        """Return the convolution of x before rounding, (rows, columns, outputs).

        x: (rows, columns, inputs), integers within ±127, zero-padded. Rows and columns must be
            multiples of the stride, which divides them, or multiplies them if transposed.
        """
        kernel, bias = self._scaled
        side, stride, transposed = self.geometry
        rows, columns, margin = x.shape[0], x.shape[1], side // 2
        if transposed:
            flat = x.reshape(-1, self.inputs)
            whole = np.zeros(
                (stride * rows + side, stride * columns + side, self.outputs), np.float32
            )
            whole += bias[step]
            for u, v in np.ndindex(side, side):
                reached = whole[u : u + stride * rows : stride, v : v + stride * columns : stride]
                reached += np.matmul(flat, kernel[u, v]).reshape(rows, columns, -1)
            return whole[margin:, margin:][: stride * rows, : stride * columns]
        framed = np.pad(x, ((margin, margin), (margin, margin), (0, 0)))
        out = np.empty((rows // stride * (columns // stride), self.outputs), np.float32)
        out[:] = bias[step]
        for u, v in np.ndindex(side, side):
            seen = framed[u : u + rows : stride, v : v + columns : stride]
            out += np.matmul(seen.reshape(-1, self.inputs), kernel[u, v])
        return out.reshape(rows // stride, columns // stride, -1)


@dataclass(frozen=True, eq=False)
class HyperpriorArrays:
    """A hyperprior with C channels of latents, M channels of z and S steps.

    layers: the layers of h_a, from C to M channels, and h_s, from M to C, by the names of `LAYERS`.
    features: (S, L) int8, at least 0: the input of h_a for symbols with absolute value 0 … L − 1
        (the last entry also covers larger symbols), for each step.
    z_choice: (S, M) int32: index of the table of each channel of z.
    choice: (scales) int32: index of the table of each scale, for the latents.

    Raises:
        ValueError: The arrays are inconsistent, or a sum could reach 2**24.
    """

    layers: Mapping[str, IntegerLayer]
    features: Bytes
    z_choice: Integers
    choice: Integers
    tables: SymbolTables

    def __post_init__(self) -> None:
        dtypes = {"features": np.int8, "z_choice": np.int32, "choice": np.int32}
        for name, dtype in dtypes.items():
            if getattr(self, name).dtype != dtype:
                raise ValueError(f"{name} of a hyperprior must be {np.dtype(dtype)}")
        if (self.features.ndim, self.z_choice.ndim, self.choice.ndim) != (2, 2, 1):
            raise ValueError("arrays of a hyperprior have the wrong number of dimensions")
        steps, sizes = self.features.shape
        hidden = max(layer.outputs for name, layer in self.layers.items() if name != "h_s.3")
        for what, number, most in (
            ("steps", steps, MOST_STEPS),
            ("sizes", sizes, MOST_SIZES),
            ("scales", len(self.choice), MOST_SCALES),
            ("hidden channels", hidden, MOST_HIDDEN),
            ("channels", self.channels, MOST_CHANNELS),
        ):
            if not 1 <= number <= most:
                raise ValueError(f"{number} {what} of a hyperprior: must be 1 to {most}")
        around = [*self.layers.values(), self.layers["h_a.1"]]
        if any(before.outputs != layer.inputs for before, layer in pairwise(around)):
            raise ValueError("the channels of consecutive layers of a hyperprior must match")
        if any(len(layer.bias) != steps for layer in self.layers.values()):
            raise ValueError(f"each bias of a hyperprior must have {steps} steps")
        if self.z_choice.shape != (steps, self.layers["h_a.3"].outputs):
            raise ValueError(f"z_choice of a hyperprior has the wrong shape {self.z_choice.shape}")
        if self.features.min() < 0:
            raise ValueError("features of a hyperprior must not be negative")
        for chosen in (self.z_choice, self.choice):
            if chosen.min() < 0 or chosen.max() >= self.tables.num_tables:
                last = self.tables.num_tables - 1
                raise ValueError(f"choice must be from 0 to {last}, an index of a table")

    @property
    def channels(self) -> int:
        """Number of channels of latents, C."""
        return self.layers["h_s.3"].outputs

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""
        found: dict[str, NDArray[Any]] = {
            f"{name}.{part}": getattr(layer, part)
            for name, layer in self.layers.items()
            for part in _PARTS
        }
        found |= {name: getattr(self, name) for name in _OTHERS}
        tables = self.tables
        return found | dict(
            zip(_TABLES, (tables.minimum, tables.sizes, tables.counts), strict=True)
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "HyperpriorArrays":
        """Build and validate a hyperprior from the arrays of a model file.

        Raises:
            ValueError: Arrays are missing, of the wrong type, inconsistent, or not exact.
        """
        names = [f"{name}.{part}" for name in LAYERS for part in _PARTS]
        found = iter(required(arrays, [*names, *_OTHERS, *_TABLES]))
        layers = {}
        for name, geometry in LAYERS.items():
            try:
                layers[name] = IntegerLayer(geometry, next(found), next(found), next(found))
            except ValueError as error:
                raise ValueError(f"{name} of a hyperprior: {error}") from error
        features, z_choice, choice, *tables = found
        return cls(layers, features, z_choice, choice, SymbolTables(*tables))


_PARTS = ("kernel", "bias", "places")
_OTHERS = ("features", "z_choice", "choice")
_TABLES = ("minimum", "length", "counts")
