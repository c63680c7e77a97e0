"""The light transforms of one width, optimised for speed: kernels are sliced and rearranged once.

They compute the same as `g_a` and `g_s` of the architecture `light` (`slimcae.model.architecture`),
for one picture at a time:

- Tensors are channels-first, so a 1×1 convolution is one matrix product, and depthwise layers are
  several times as fast as with channels last.
- Layers at a quarter of the resolution are computed in strips of rows that fit in the processor's
  cache, each with its halo.
- The first and last kernels include the scale between pixel values and [0, 1].

In reduced precision, residual blocks and the last layer compute in bfloat16. The skip connections
and the layers between blocks are float32, because a relative error of 2⁻⁹ there would shift whole
areas by a fraction of a level. The last bias is added in float32, to values that are small without
it.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from slimcae.model.layers import (
    Convolution,
    Layer,
    LeakyReLU,
    Residual,
    Scale,
    Shuffle,
    Unshuffle,
    count,
    flat,
    reach,
)
from slimcae.model.model import Model
from slimcae.transforms.torch_.inference import CPU, LEVELS, strips, write_blocks

Step = Callable[[Tensor], Tensor]


class LightAnalysis:
    """g_a of one width: pixels to latents.

    inner: torch.float32, or torch.bfloat16 for the products (see the top).
    """

    @torch.inference_mode()
    def __init__(
        self, model: Model, width: int, inner: torch.dtype, device: torch.device = CPU
    ) -> None:
        first, *layers = model.architecture.analysis
        assert isinstance(first, Unshuffle)
        self._side = first.factor
        fine, coarse = _until(layers, Unshuffle)
        second, *coarse = coarse
        assert isinstance(second, Unshuffle)
        self._factor = second.factor
        self._reach = _rows(fine)
        weights = Weights(model, width, inner, device)
        embedding, *fine_rest = fine
        assert isinstance(embedding, Convolution)
        self._fine = [weights.embedding(embedding), *weights.steps(fine_rest)]
        self._coarse = weights.steps(coarse)
        self._channels = _most_channels(fine, model.filters(width))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return latents (C, H/16, W/16) of pixels (H, W, 3), uint8, multiples of 16."""
        height, columns = pixels.shape[0] // self._side, pixels.shape[1] // self._side
        # a row of a block is a multiple of 4 bytes and is copied in words
        words = pixels.view(height, self._side, columns, -1).view(torch.int32).transpose(1, 2)
        factor, out = self._factor, None
        for top, bottom in strips(4 * self._channels * columns, height, pixels.device, factor):
            above, below = max(top - self._reach, 0), min(bottom + self._reach, height)
            part = words[above:below].contiguous().view(torch.uint8)
            x = part.view(1, below - above, columns, -1).permute(0, 3, 1, 2).float()
            x = run_steps(self._fine, x)[0, :, top - above : bottom - above]
            if out is None:
                size = (len(x), factor, factor, height // factor, columns // factor)
                out = torch.empty(size, dtype=x.dtype, device=x.device)
            rows = x.reshape(len(x), (bottom - top) // factor, factor, columns // factor, factor)
            out[:, :, :, top // factor : bottom // factor] = rows.permute(0, 2, 4, 1, 3)
        assert out is not None
        return run_steps(self._coarse, out.view(1, -1, height // factor, columns // factor))[0]


class LightSynthesis:
    """g_s of one width: latents to pixels.

    inner: torch.float32, or torch.bfloat16 for the products (see the top).
    """

    @torch.inference_mode()
    def __init__(
        self, model: Model, width: int, inner: torch.dtype, device: torch.device = CPU
    ) -> None:
        *layers, last = model.architecture.synthesis
        assert isinstance(last, Shuffle)
        self._side = last.factor
        fine, coarse = _until(layers[::-1], Shuffle)
        fine, coarse = fine[::-1], coarse[::-1]
        self._reach = _rows(fine)
        weights = Weights(model, width, inner, device)
        self._coarse = weights.steps(coarse)
        *fine_first, rendering = fine
        assert isinstance(rendering, Convolution)
        rendered, self._bias = weights.rendering(rendering)
        self._fine = [*weights.steps(fine_first), rendered]
        self._channels = _most_channels(fine, model.filters(width))

    def __call__(self, y_hat: Tensor) -> Tensor | None:
        """Return pixels (16h, 16w, 3), uint8, of latents (C, h, w), float32.

        Return None if the reconstruction is not finite.
        """
        x = run_steps(self._coarse, y_hat[None].contiguous())
        _, _, height, columns = x.shape
        side = self._side
        image = torch.empty((side * height, side * columns, 3), dtype=torch.uint8, device=x.device)
        for top, bottom in strips(4 * self._channels * columns, height, x.device):
            above, below = max(top - self._reach, 0), min(bottom + self._reach, height)
            blocks = run_steps(self._fine, x[:, :, above:below].contiguous())
            # already contiguous, unless only one layer precedes the last one
            blocks = blocks[0, :, top - above : bottom - above].permute(1, 2, 0).contiguous()
            if not torch.isfinite(blocks.sum()):
                return None
            levels = blocks.float().add_(self._bias)
            write_blocks(image[side * top : side * bottom], levels, side)
        return image


class Weights:
    """Builds the computing steps of layers from a model's weights."""

    def __init__(self, model: Model, width: int, inner: torch.dtype, device: torch.device) -> None:
        self._weights = model.weights(width)
        self._inner = inner
        self._device = device

    def embedding(self, layer: Convolution) -> Step:
        """Return the first layer, for inputs with channels last, by row, column and colour."""
        kernel, bias = self.parameters(layer.name)
        kernel = _channels_last(kernel[:, by_place(kernel.shape[1])] / LEVELS)
        padding = layer.padding

        def run(x: Tensor) -> Tensor:
            return F.conv2d(x, kernel, bias, padding=padding).contiguous()

        return run

    def rendering(self, layer: Convolution) -> tuple[Step, Tensor]:
        """Return the last layer, the inverse of `embedding`, and the bias to add to its output."""
        kernel, bias = self.parameters(layer.name)
        order = by_place(len(kernel))
        kernel = _channels_last((LEVELS * kernel[order]).to(self._inner))
        padding = layer.padding

        def run(x: Tensor) -> Tensor:
            return F.conv2d(_channels_last(x.to(kernel.dtype)), kernel, padding=padding)

        # conversion to bytes truncates, so adding 0.5 rounds
        return run, LEVELS * bias[order] + 0.5

    def steps(self, layers: Sequence[Layer], dtype: torch.dtype = torch.float32) -> list[Step]:
        """Return the sequence of steps of layers; dtype: the dtype of the convolutions."""
        steps: list[Step] = []
        for layer in layers:
            match layer:
                case Convolution():
                    kernel, bias = self.parameters(layer.name)
                    steps.append(_convolution(layer, kernel.to(dtype), bias.to(dtype)))
                case Residual():
                    steps.append(self._residual(layer))
                case Scale():
                    factors = torch.exp(self._tensor(f"{layer.name}.log_scale"))
                    steps.append(factors[:, None, None].mul)
                case Unshuffle(factor):
                    steps.append(_unshuffle(factor))
                case Shuffle(factor):
                    steps.append(_shuffle(factor))
                case LeakyReLU(slope):
                    steps.append(_leaky(slope))
                case _:
                    raise TypeError(f"no step for {layer}")
        return steps

    def parameters(self, name: str) -> tuple[Tensor, Tensor]:
        """Return kernel and bias of a convolution."""
        return self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")

    def _tensor(self, name: str) -> Tensor:
        """Return a copy, which later changes of the array do not affect."""
        return torch.tensor(self._weights[name], device=self._device)

    def _residual(self, block: Residual) -> Step:
        steps = self.steps(block.layers, self._inner)

        def run(x: Tensor) -> Tensor:
            return run_steps(steps, x).float().add_(x)

        return run


class _Product:
    """A 1×1 convolution of x (1, C, H, W)."""

    def __init__(self, matrix: Tensor, bias: Tensor) -> None:
        self._matrix, self._bias = matrix, bias

    def __call__(self, x: Tensor) -> Tensor:
        _, channels, height, columns = x.shape
        places = x.reshape(channels, -1).to(self._matrix.dtype)
        return torch.addmm(self._bias, self._matrix, places).view(1, -1, height, columns)


class _Neighbours:
    """A convolution of x (1, C, H, W) with a kernel of side 3 or more."""

    def __init__(self, kernel: Tensor, bias: Tensor, padding: int, groups: int) -> None:
        self._kernel, self._bias, self._padding, self._groups = kernel, bias, padding, groups

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self._kernel.dtype)
        return F.conv2d(x, self._kernel, self._bias, padding=self._padding, groups=self._groups)


def _convolution(layer: Convolution, kernel: Tensor, bias: Tensor) -> Step:
    if layer.side == 1:
        return _Product(kernel[:, :, 0, 0].contiguous(), bias[:, None])
    groups = 1 if layer.group is None else len(kernel) // layer.group
    return _Neighbours(kernel.contiguous(), bias, layer.padding, groups)


def run_steps(steps: Sequence[Step], x: Tensor) -> Tensor:
    """Apply the steps to x in sequence."""
    for step in steps:
        x = step(x)
    return x


def _until(layers: Sequence[Layer], kind: type[Layer]) -> tuple[list[Layer], list[Layer]]:
    """Split layers before the first of a kind."""
    place = next(k for k, layer in enumerate(layers) if isinstance(layer, kind))
    return list(layers[:place]), list(layers[place:])


def _rows(layers: Sequence[Layer]) -> int:
    """Return the halo of a strip in rows."""
    return int(reach(tuple(layers), Fraction(0)))


def _most_channels(layers: Sequence[Layer], width: int) -> int:
    """Return the largest number of output channels of a convolution among the layers."""
    return max(
        count(layer.outputs, width) for layer in flat(layers) if isinstance(layer, Convolution)
    )


def by_place(channels: int) -> Tensor:
    """Return the architecture's index of each channel of a block of pixels, colours last."""
    return torch.arange(channels).view(3, -1).T.flatten()


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _unshuffle(factor: int) -> Step:
    def run(x: Tensor) -> Tensor:
        _, channels, height, columns = x.shape
        blocks = x.view(channels, height // factor, factor, columns // factor, factor)
        # faster than torch's pixel_unshuffle
        moved = blocks.permute(0, 2, 4, 1, 3).contiguous()
        return moved.view(1, -1, height // factor, columns // factor)

    return run


def _shuffle(factor: int) -> Step:
    def run(x: Tensor) -> Tensor:
        height, columns = x.shape[2:]
        blocks = x.view(-1, factor, factor, height, columns)
        moved = blocks.permute(0, 3, 1, 4, 2).contiguous()
        return moved.view(1, -1, height * factor, columns * factor)

    return run


def _leaky(slope: float) -> Step:
    def run(x: Tensor) -> Tensor:
        return F.leaky_relu_(x, slope)

    return run
