"""Derivatives of the squared error, for encoders with time.

In float32 on the processor, of one window of latents at a time. They decide what is coded, and are
no part of what decoders compute.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slimcae.model.layers import Convolution, Layer, Normalization, Shuffle
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Region, Residuals
from slimcae.transforms.torch_.blocks import blocks_kernel
from slimcae.transforms.torch_.inference import LEVELS
from slimcae.transforms.torch_.light import Step, Weights, by_place, run_steps


@contextmanager
def _differentiating() -> Iterator[None]:
    """What whoever calls has set for precision and gradients does not count."""
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

    def squared_error(
        self,
        latents: Residuals,
        region: Region,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
    ) -> Residuals:
        """Return the gradient of the squared error of the pixels of a region."""
        self._set_threads()
        side = self._synthesis.side
        wanted, counts = _blocks(region, pixels, visible, side)
        rows, columns = (slice(each.start // side, each.stop // side) for each in region)
        with _differentiating():
            y = (torch.from_numpy(latents) + self._medians).requires_grad_(True)
            levels = self._synthesis(y[None])[0, :, rows, columns]
            image = levels.clamp(0, 1).reshape(-1, 3, *levels.shape[1:])
            if grey:
                image = image.mean(dim=1, keepdim=True)
            error = image - wanted
            if counts is not None:
                error = error * counts
            (gradient,) = torch.autograd.grad((error * error).sum(), y)
        found: Residuals = gradient.numpy()
        return found

    def _set_threads(self) -> None:
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)


def _blocks(
    region: Region, pixels: Pixels, visible: NDArray[np.bool_] | None, side: int
) -> tuple[Tensor, Tensor | None]:
    """Return the levels of pixels and which of them count, as blocks of pixels lie.

    Returns:
        (side², 3, h, w) in [0, 1], and (side², 1, h, w) of 0 and 1; None: all count.
    """
    rows, columns = (each.stop - each.start for each in region)
    height, width = pixels.shape[:2]
    outside = ((0, rows - height), (0, columns - width))
    if visible is None and outside != ((0, 0), (0, 0)):
        visible = np.ones((height, width), np.bool_)

    def laid_out(image: NDArray[Any]) -> Tensor:
        image = np.pad(image, (*outside, (0, 0)))
        blocks = torch.from_numpy(image).view(rows // side, side, columns // side, side, -1)
        blocks = blocks.permute(1, 3, 4, 0, 2).float()
        return blocks.reshape(side * side, -1, rows // side, columns // side)

    counts = None if visible is None else laid_out(visible[..., None])
    return laid_out(pixels) / LEVELS, counts


class _Synthesis:
    """g_s of one width up to blocks of pixels, in operations that can be differentiated.

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


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.tensor(array, dtype=torch.float32, device="cpu")
