"""The scale hyperprior: side information z tells the scale of every latent.

Source: Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018. As there, h_a makes z of the latents, at a quarter of their rows and
columns; z is coded by a table for each of its channels; and h_s makes of z the scale of every
latent. Other than there, all of it is integers, computed in float32 as `exact` says, so that h_s
makes the same of z on every machine, and that h_a sees the symbols: what an encoder codes follows
from them alone, as with every kind. docs/format.md, "Kind `hyperprior`".
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
    """An entropy model whose tables side information z chooses, coded before the latents."""

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
        """Return the model of a model file's arrays, checked.

        Raises:
            ValueError: arrays that are missing, of another type, or no exact hyperprior.
        """
        return cls(HyperpriorArrays.from_arrays(arrays))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the named arrays that a model file keeps of this."""
        return self._arrays.to_arrays()

    def fewest_bits(self, step: int) -> float:
        """Return a lower bound of what the symbols of one place (all channels) cost."""
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
        """Return z (M, ⌈h / 4⌉, ⌈w / 4⌉) of symbols (C, h, w): h_a."""
        arrays = self._arrays
        largest = arrays.features.shape[1] - 1
        sizes = np.minimum(np.abs(symbols.astype(np.int32)), largest)
        features = arrays.features[step].take(sizes).transpose(1, 2, 0)
        below, right = (-side % DOWNSAMPLING for side in symbols.shape[1:])
        x = np.pad(features.astype(np.float32), ((0, below), (0, right), (0, 0)))
        z = np.clip(_run(self._analysis, x, step), -ACTIVATION, ACTIVATION)
        return np.ascontiguousarray(z.transpose(2, 0, 1), np.int16)

    def _tables(self, z: Symbols, shape: Shape, step: int) -> Tables:
        """Return the table of each symbol, (C · h · w), for z: h_s."""
        clipped = np.clip(z, -ACTIVATION, ACTIVATION).transpose(1, 2, 0).astype(np.float32)
        scales = _run(self._synthesis, clipped, step)[: shape[1], : shape[2]]
        np.clip(scales, 0, len(self._choice) - 1, out=scales)
        return self._choice.take(scales.transpose(2, 0, 1).astype(np.int16)).reshape(-1)


def _run(layers: Sequence[IntegerLayer], x: Floats, step: int) -> Floats:
    """Return what layers make of x (rows, columns, channels): whole numbers."""
    for layer in layers[:-1]:
        x = layer.sums(x, step)
        activate(x)
    last = layers[-1].sums(x, step)
    return np.floor(last, out=last)
