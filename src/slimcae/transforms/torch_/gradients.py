"""Derivatives for high efforts: of the squared error, and of a context network's bits.

Both are computed in float32 on the CPU, for one window of latents at a time. They only influence
the encoder's choices, so decoders do not need them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slimcae.coding.context import CROSS, EVEN
from slimcae.coding.context_arrays import (
    FRACTIONS,
    HALF,
    LARGEST_MEAN,
    OFFSET_PLACES,
    ContextArrays,
)
from slimcae.coding.exact import ACTIVATION, scaled
from slimcae.model.layers import Convolution, Layer, Normalization, Shuffle
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Region, Residuals
from slimcae.transforms.torch_.blocks import blocks_kernel
from slimcae.transforms.torch_.inference import LEVELS
from slimcae.transforms.torch_.light import Step, Weights, by_place, run_steps

UNIT = 16
"""Unit of the means of a context network: sixteenths of a latent."""
REACH = 40
"""Distance from the mean beyond which symbols have a constant slope."""


@contextmanager
def _differentiating() -> Iterator[None]:
    """Ignore the caller's settings of precision and gradients."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        yield


class TorchGradients:
    """See `slimcae.transforms.Gradients`."""

    @torch.inference_mode(False)
    def __init__(self, model: Model, width: int, threads: int | None = None) -> None:
        self._threads = threads
        self._medians = _tensor(model.medians(width))[:, None, None]
        self._synthesis = _Synthesis(model, width)

    def distortion(
        self,
        latents: Residuals,
        region: Region,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
    ) -> tuple[float, Residuals]:
        """Return the squared error of the pixels of a region, and its gradient."""
        self._set_threads()
        with _differentiating():
            y = (torch.from_numpy(latents) + self._medians).requires_grad_(True)
            blocks = self._synthesis(y[None])
            error = self._errors(blocks, region, pixels, visible, grey)
            squared = (error * error).sum()
            (gradient,) = torch.autograd.grad(squared, y)
        return squared.item(), gradient.numpy()

    def curvature(self, latents: Residuals) -> Residuals:
        """Return estimates of the sum of squares of each latent's derivatives.

        They are squares of backpropagated random signs (Bekas, Kokiopoulou and Saad, "An estimator
        for the diagonal of a matrix", 2007, applied to JᵀJ); the signs are always the same.
        """
        self._set_threads()
        with _differentiating():
            y = (torch.from_numpy(latents) + self._medians).requires_grad_(True)
            blocks = self._synthesis(y[None])
            generator = torch.Generator().manual_seed(0)
            bits = torch.randint(0, 2, blocks.shape, generator=generator, device="cpu")
            signs = 2 * bits.float() - 1
            (gradient,) = torch.autograd.grad((blocks * signs).sum(), y)
        found: Residuals = (gradient * gradient).numpy()
        return found

    def _errors(
        self,
        blocks: Tensor,
        region: Region,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
    ) -> Tensor:
        """Return the error of each colour of the compared pixels: (3, H, W), in [−1, 1]."""
        side = self._synthesis.side
        _, _, height, columns = blocks.shape
        image = blocks.view(side, side, 3, height, columns).permute(2, 3, 0, 4, 1)
        image = image.reshape(3, side * height, side * columns)[:, *region]
        image = image[:, : pixels.shape[0], : pixels.shape[1]].clamp(0, 1)
        if grey:
            image = image.mean(dim=0, keepdim=True)
        wanted = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / LEVELS
        error: Tensor = image - wanted
        if visible is not None:
            error = error * torch.from_numpy(np.ascontiguousarray(visible))
        return error

    def _set_threads(self) -> None:
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)


class _Synthesis:
    """g_s of one width up to blocks of pixels, in differentiable operations.

    A picture is (1, 3 · side², h, w): its channels are ordered by row and column of the block and
    colour, its levels are in [0, 1].
    """

    def __init__(self, model: Model, width: int) -> None:
        self._model, self._width = model, width
        self._weights = Weights(model, width, torch.float32, torch.device("cpu"))
        layers = model.architecture.synthesis
        last = layers[-1]
        if isinstance(last, Shuffle):
            self.side = last.factor
            rendering = layers[-2]
            assert isinstance(rendering, Convolution)
            steps = [self._step(layer) for layer in layers[:-2]]
            kernel, bias = self._weights.parameters(rendering.name)
            order = by_place(len(kernel))
            kernel, bias, padding = kernel[order], bias[order], rendering.padding
        else:
            assert isinstance(last, Convolution)
            self.side = last.stride
            steps = [self._step(layer) for layer in layers[:-1]]
            kernel, bias = self._weights.parameters(last.name)
            kernel, bias = blocks_kernel(kernel, self.side), bias.repeat(self.side**2)
            padding = 1
        self._steps = steps
        self._kernel, self._bias, self._padding = kernel.contiguous(), bias, padding

    def __call__(self, y_hat: Tensor) -> Tensor:
        x = run_steps(self._steps, y_hat)
        return F.conv2d(x, self._kernel, self._bias, padding=self._padding)

    def _step(self, layer: Layer) -> Step:
        match layer:
            case Normalization(name, inverse):
                beta, gamma = map(_tensor, self._model.normalization(name, self._width))
                weight = gamma[:, :, None, None]

                def normalize(x: Tensor) -> Tensor:
                    norm = F.conv2d(x * x, weight, beta)
                    return x * (norm.sqrt() if inverse else norm.rsqrt())

                return normalize
            case Convolution(transposed=True, stride=stride, padding=padding):
                kernel, bias = self._weights.parameters(layer.name)
                return lambda x: F.conv_transpose2d(
                    x, kernel, bias, stride, padding, output_padding=stride - 1
                )
        (step,) = self._weights.steps([layer])
        return step


class ContextSlopes:
    """The bits of a context network (`slimcae.coding.context`) as a smooth function of symbols.

    It uses the network's integers without rounding. Features of fractional symbols, and costs
    between two tables or values, are interpolated.
    """

    @torch.inference_mode(False)
    def __init__(self, arrays: ContextArrays, step: int, threads: int | None = None) -> None:
        self._threads = threads
        groups = [0, *np.cumsum(arrays.groups).tolist()]
        self._groups = [slice(a, b) for a, b in pairwise(groups)]
        self._features = _tensor(arrays.features[step].astype(np.float32))
        self._start = _tensor(scaled(arrays.start[step], arrays.places))[:, None]
        # rounding down subtracts one half on average
        self._bias = _tensor(scaled(arrays.bias, arrays.places) - 0.5)[..., None]
        kernels = arrays.kernels()
        self._cross = [_flat(kernel[list(CROSS)]) for kernel in kernels]
        self._even = [_flat(kernel[list(EVEN)]) for kernel in kernels]
        self._mix = _tensor(scaled(arrays.mix, arrays.mix_places[..., None]))
        self._mix_bias = _tensor(scaled(arrays.mix_bias, arrays.mix_places) - 0.5)[..., None]
        out = scaled(arrays.out, arrays.out_places[..., None])
        out_bias = scaled(arrays.out_bias, arrays.out_places)
        out_bias[:, 1] += arrays.offset[step] / 2.0**OFFSET_PLACES
        self._out, self._out_bias = _tensor(out), _tensor(out_bias)[..., None]
        self._ratio = float(arrays.reciprocal[step]) / 2**10 / UNIT  # of means, to symbols
        self._costs = _tensor(_costs(arrays))

    def __call__(self, symbols: Residuals) -> Residuals:
        """Return the gradient of the bits of symbols (C, h, w), which may be fractional."""
        return self.bits(symbols)[1]

    def bits(self, symbols: Residuals) -> tuple[float, Residuals]:
        """Return the bits of symbols (C, h, w) and their gradient."""
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with _differentiating():
            k = torch.from_numpy(symbols).requires_grad_(True)
            bits = self._of(k)
            (gradient,) = torch.autograd.grad(bits, k)
        return bits.item(), gradient.numpy()

    def _of(self, k: Tensor) -> Tensor:
        channels, height, width = k.shape
        rows, columns = np.indices((height, width))
        white = ((rows + columns) % 2).ravel()
        colours = [torch.from_numpy(np.flatnonzero(white == colour)) for colour in (0, 1)]
        features = F.pad(self._seen(k).reshape(2 * channels, height, width), (1, 1, 1, 1))
        taps = [features[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        cross, even = (
            torch.stack([taps[tap] for tap in which], dim=1).view(channels, -1, height * width)
            for which in (CROSS, EVEN)
        )
        flat = k.reshape(channels, -1)
        state = self._start.expand(-1, height * width)
        bits = k.new_zeros(())
        for number, group in enumerate(self._groups):
            own = self._cross[number] @ cross[group].flatten(0, 1)
            for colour, places in enumerate(colours):
                if not len(places):
                    continue
                here = (state + own if colour else state)[:, places]
                bits = bits + self._part(number, group, colour, here, flat[group][:, places])
            if number + 1 < len(self._groups):
                state = state + own + self._even[number] @ even[group].flatten(0, 1)
        return bits

    def _seen(self, k: Tensor) -> Tensor:
        """Return the two features of each symbol: (C, 2, h, w)."""
        size = k.abs().clamp(max=len(self._features) - 1)
        below = size.detach().floor().long().clamp(max=max(len(self._features) - 2, 0))
        above = (below + 1).clamp(max=len(self._features) - 1)
        low = self._features[below]
        found = low + (size - below) * (self._features[above] - low)
        return torch.stack([k.detach().sign() * found, found], dim=1)

    def _part(self, number: int, group: slice, colour: int, state: Tensor, k: Tensor) -> Tensor:
        """Return the bits of the symbols k (channels, places) of one part."""
        hidden = (state + self._bias[number, colour]).clamp(0, ACTIVATION)
        mixed = torch.addmm(self._mix_bias[number, colour], self._mix[number, colour], hidden)
        hidden = hidden + mixed.clamp(0, ACTIVATION)
        weight, bias = self._out[colour, :, group], self._out_bias[colour, :, group]
        means, scales = (torch.addmm(bias[i], weight[i], hidden) for i in (0, 1))
        means = (means - 0.5).clamp(-LARGEST_MEAN, LARGEST_MEAN) * self._ratio
        return _between(self._costs, scales - 0.5, FRACTIONS * (k - means).abs())


def _between(costs: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the sum of interpolated entries of a table at fractional rows and columns."""
    height, width = costs.shape
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    top = rows.detach().floor().long().clamp(max=max(height - 2, 0))
    left = columns.detach().floor().long().clamp(max=width - 2)
    corner = top * width + left
    down = width if height > 1 else 0
    flat = costs.reshape(-1)
    first, second = flat[corner], flat[corner + 1]
    third, fourth = flat[corner + down], flat[corner + down + 1]
    across = columns - left
    upper = first + across * (second - first)
    lower = third + across * (fourth - third)
    return (upper + (rows - top) * (lower - upper)).sum()


def _costs(arrays: ContextArrays) -> NDArray[np.float32]:
    """Return the bits of each scale (rows) at distances of eighths of a symbol from the mean.

    The tables are mirrored for distances to both sides of a mean, so these are averages.
    """
    eighths = np.arange(FRACTIONS * REACH + 1)
    tables, choice = arrays.tables, arrays.choice

    def bits(values: NDArray[np.int64], fractions: NDArray[np.int64]) -> NDArray[np.float64]:
        which = choice[:, fractions]
        return tables.costs[tables.entries(values.astype(np.int32)[None], which)]

    # a value v at a fraction f has the distance |v − f|: from above, and from below
    above = -(-(eighths - HALF) // FRACTIONS)
    below = (eighths + HALF) // FRACTIONS
    found = []
    for nearest in (above, below):
        rest = FRACTIONS * nearest - eighths
        found.append(bits(np.where(rest >= 0, nearest, -nearest), np.abs(rest)))
        zero = rest == 0
        found[-1][:, zero] = 0.5 * (found[-1] + bits(-nearest, np.abs(rest)))[:, zero]
    mean: NDArray[np.float32] = (0.5 * (found[0] + found[1])).astype(np.float32)
    return mean


def _flat(kernel: NDArray[np.float32]) -> Tensor:
    """Reshape (taps, channels, 2, H) to a matrix (H, channels · 2 · taps)."""
    matrix = kernel.transpose(3, 1, 2, 0).reshape(kernel.shape[3], -1)
    return _tensor(np.ascontiguousarray(matrix))


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.tensor(array, dtype=torch.float32, device="cpu")
