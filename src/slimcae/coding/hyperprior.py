"""The scale hyperprior: side information z tells the scale of every latent.

Source: Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018. As in the paper, h_a computes z from the latents, at a quarter of their rows
and columns; each channel of z has a table; and h_s computes the scale of every latent from z.
Unlike the paper, all values are integers, computed in float32 (see `exact`), so h_s gives the same
result on every machine; and h_a sees the symbols, so they alone determine the coded bytes, as in
every kind of entropy model. docs/format.md, "Kind `hyperprior`".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.blas import one_blas_thread
from slimcae.coding.coder import CoderTables, Tables
from slimcae.coding.entropy import EntropyModel, Part, Shape, Symbols, Visit
from slimcae.coding.exact import ACTIVATION, Floats, activate
from slimcae.coding.hyperprior_arrays import (
    ANALYSIS,
    DOWNSAMPLING,
    SYNTHESIS,
    HyperpriorArrays,
    IntegerLayer,
)


class HyperpriorModel(EntropyModel):
    """An entropy model whose side information z, coded first, chooses the tables."""

    kind = "hyperprior"

    def __init__(self, arrays: HyperpriorArrays) -> None:
        super().__init__(CoderTables(arrays.tables))
        self._arrays = arrays
        self.num_channels = arrays.channels
        self.num_steps = len(arrays.features)
        self._analysis = [arrays.layers[name] for name in ANALYSIS]
        self._synthesis = [arrays.layers[name] for name in SYNTHESIS]
        self._choice = arrays.choice.astype(self._ready.index_type)
        self._fewest = float(self._ready.fewest_bits[arrays.choice].min())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "HyperpriorModel":
        """Build and validate the model from the arrays of a model file.

        Raises:
            ValueError: Arrays are missing, of the wrong type, inconsistent, or not exact.
        """
        return cls(HyperpriorArrays.from_arrays(arrays))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file stores."""
        return self._arrays.to_arrays()

    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of the bits that one place costs, over all channels."""
        return self._fewest * self.num_channels

    def walk(self, visit: Visit, shape: Shape, step: int, known: Symbols | None) -> Symbols:
        """Visit two parts, z and then the symbols, see `EntropyModel.walk`."""
        rows, columns = (-(-side // DOWNSAMPLING) for side in shape[1:])
        z = None
        if known is not None:
            with one_blas_thread():
                z = self.side_information(known, step).reshape(-1)
        which = np.repeat(self._arrays.z_choice[step], rows * columns)
        z = visit(Part(which.astype(self._ready.index_type), z, side=True))
        with one_blas_thread():
            chosen = self._tables(z.reshape(-1, rows, columns), shape, step)
        values = None if known is None else known.reshape(-1)
        return visit(Part(chosen, values, slice(None), slice(None))).reshape(shape)

    def side_information(self, symbols: Symbols, step: int) -> Symbols:
        """Apply h_a: return z (M, ⌈h / 4⌉, ⌈w / 4⌉) for symbols (C, h, w)."""
        arrays = self._arrays
        largest = arrays.features.shape[1] - 1
        sizes = np.minimum(np.abs(symbols.astype(np.int32)), largest)
        features = arrays.features[step].take(sizes).transpose(1, 2, 0)
        below, right = (-side % DOWNSAMPLING for side in symbols.shape[1:])
        x = np.pad(features.astype(np.float32), ((0, below), (0, right), (0, 0)))
        z = np.clip(_run(self._analysis, x, step), -ACTIVATION, ACTIVATION)
        return np.ascontiguousarray(z.transpose(2, 0, 1), np.int16)

    def _tables(self, z: Symbols, shape: Shape, step: int) -> Tables:
        """Apply h_s: return the table of each symbol, (C · h · w), for z."""
        clipped = np.clip(z, -ACTIVATION, ACTIVATION).transpose(1, 2, 0).astype(np.float32)
        scales = _run(self._synthesis, clipped, step)[: shape[1], : shape[2]]
        np.clip(scales, 0, len(self._choice) - 1, out=scales)
        return self._choice.take(scales.transpose(2, 0, 1).astype(np.int16)).reshape(-1)


def _run(layers: Sequence[IntegerLayer], x: Floats, step: int) -> Floats:
    """Apply layers to x (rows, columns, channels); the output is rounded down."""
    for layer in layers[:-1]:
        x = layer.sums(x, step)
        activate(x)
    last = layers[-1].sums(x, step)
    return np.floor(last, out=last)
