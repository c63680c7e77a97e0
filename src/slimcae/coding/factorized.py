"""Entropy models of kind `factorized`: one table for each channel and quantisation step.

Source: Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018, whose factorized model SlimCAE uses. docs/format.md, "Kind `factorized`".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.coder import CoderTables
from slimcae.coding.entropy import EntropyModel, Part, Shape, Symbols, Visit, required
from slimcae.coding.tables import SymbolTables


class FactorizedModel(EntropyModel):
    """An entropy model that codes every channel independently.

    tables: S · C tables, in step-major order.
    num_channels: C.

    Raises:
        ValueError: The number of tables is not a multiple of the number of channels.
    """

    kind = "factorized"

    def __init__(self, tables: SymbolTables, num_channels: int) -> None:
        if num_channels < 1 or tables.num_tables % num_channels:
            raise ValueError(f"{tables.num_tables} tables for {num_channels} channels")
        super().__init__(CoderTables(tables))
        self.num_channels = num_channels
        self.num_steps = tables.num_tables // num_channels

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "FactorizedModel":
        """Build and validate the model from the arrays of a model file, see `to_arrays`.

        Raises:
            ValueError: Arrays are missing, of the wrong type, or inconsistent.
        """
        minimum, length, counts = required(arrays, ("minimum", "length", "counts"))
        if minimum.ndim != 2 or not minimum.size or minimum.shape != length.shape:
            raise ValueError("minimum and length must have the axes steps and channels, neither 0")
        return cls(SymbolTables(minimum.ravel(), length.ravel(), counts), minimum.shape[1])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""
        shape = (self.num_steps, self.num_channels)
        return {
            "minimum": self.tables.minimum.reshape(shape),
            "length": self.tables.sizes.reshape(shape),
            "counts": self.tables.counts,
        }

    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of the bits that one place costs, over all channels."""
        return float(self._ready.fewest_bits[self._tables_of(step)].sum())

    def walk(self, visit: Visit, shape: Shape, step: int, known: Symbols | None) -> Symbols:
        """Visit all symbols as one part, see `EntropyModel.walk`."""
        which = np.repeat(self._tables_of(step), shape[1] * shape[2])
        values = None if known is None else known.reshape(-1)
        return visit(Part(which, values, slice(None), slice(None))).reshape(shape)

    def _tables_of(self, step: int) -> NDArray[np.unsignedinteger[Any]]:
        first = step * self.num_channels
        return np.arange(first, first + self.num_channels).astype(self._ready.index_type)
