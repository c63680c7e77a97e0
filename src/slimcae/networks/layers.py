"""Slimmable convolutions: one kernel, sliced to the active width on both sides."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.model.config import SlimCAEConfig
from slimcae.model.layers import Convolution, count
from slimcae.transforms.torch_.blocks import blocks_kernel

GROUPED_STD = 0.05
"""Standard deviation of the random taps of a grouped kernel around the identity."""


class _SlimmableKernel(nn.Module):
    """Base class of both convolutions: a kernel and biases, sliced to a width."""

    def __init__(self, layer: Convolution, config: SlimCAEConfig) -> None:
        super().__init__()
        self.layer = layer
        self._kernels = {width: layer.kernel(width)[:2] for width in config.widths}
        self._outputs = {width: count(layer.outputs, width) for width in config.widths}
        self._places = {width: place for place, width in enumerate(config.widths)}
        for name, shape in layer.tensors(config).items():
            tensor = torch.zeros(shape) if name.endswith("bias") else torch.empty(shape)
            self.register_parameter(name.rpartition(".")[2], nn.Parameter(tensor))
        if layer.bias is None:
            self.register_parameter("bias", None)

    weight: nn.Parameter
    bias: nn.Parameter | None

    def slice(self, width: int) -> tuple[Tensor, Tensor | None]:
        """Return kernel and bias (out) of a width, as views."""
        # the kernel may be a slice already, see `RateDistortionLoss`
        kernel = leading(self.weight, *self._kernels[width])
        if self.bias is None:
            return kernel, None
        bias: Tensor = self.bias
        if self.layer.bias == "own":
            bias = bias[self._places[width]]
        return kernel, bias[: self._outputs[width]]


class SlimmableConv2d(_SlimmableKernel):
    """Strided convolution whose first output and input channels form a narrower layer.

    The kernel is sliced `[:out, :in]` (Yang et al. 2021, section 4; Yu et al. 2019), so a narrow
    model computes only its slice. Padding is "same": an input of (N, in, H, W) gives
    (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def initialise(self) -> None:
        """Draw a random kernel; a grouped one is near the identity."""
        group, middle = self.layer.group, self.layer.padding
        if group is None:
            _init_kernel(self.weight, fan_in=self.weight[0].numel())
            return
        with torch.no_grad():
            each = torch.arange(len(self.weight))
            self.weight.normal_(std=GROUPED_STD)[each, each % group, middle, middle] += 1

    def forward(self, x: Tensor, width: int) -> Tensor:
        """Convolve x (N, in, H, W) with the slice of a width."""
        weight, bias = self.slice(width)
        layer = self.layer
        groups = layer.groups(width)
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=groups)


class SlimmableConvTranspose2d(_SlimmableKernel):
    """Transposed convolution, slimmable like `SlimmableConv2d`: (H, W) becomes stride × (H, W).

    The kernel is stored as (in, out, k, k), like in `torch.nn.ConvTranspose2d`.
    """

    def initialise(self) -> None:
        """Draw a random kernel."""
        # k²/stride² taps of every input channel contribute to each output pixel
        _init_kernel(self.weight, fan_in=self.weight[:, 0].numel() / self.layer.stride**2)

    def forward(self, x: Tensor, width: int) -> Tensor:
        """Convolve x (N, in, H, W) with the slice of a width."""
        weight, bias = self.slice(width)
        assert bias is not None
        stride, padding = self.layer.stride, self.layer.padding
        if self.training and stride > 2:
            return self._by_blocks(x, weight, bias)
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding=stride - 1)

    def _by_blocks(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute the same in blocks, which is faster for few output channels, with more products.

        Only training uses it; evaluation follows the definition, and `slimcae.transforms.torch_` is
        the fast implementation.
        """
        side = self.layer.stride
        blocks = F.conv2d(x, blocks_kernel(weight, side), bias.repeat(side**2), padding=1)
        n, _, height, width = blocks.shape
        pixels = blocks.permute(0, 2, 3, 1).reshape(n, height, width, side, side, -1)
        pixels = pixels.permute(0, 1, 3, 2, 4, 5).reshape(n, side * height, side * width, -1)
        return pixels.permute(0, 3, 1, 2)


def leading(kernel: Tensor, first: int, second: int) -> Tensor:
    """Return the first entries of both channel dimensions, as a view.

    A kernel without further entries is returned itself, because the gradient of a slice is costly.
    """
    if kernel.shape[0] <= first and kernel.shape[1] <= second:
        return kernel
    return kernel[:first, :second]


def _init_kernel(weight: nn.Parameter, fan_in: float) -> None:
    """Initialise with a variance-preserving normal (the layers in between are near-linear GDN)."""
    with torch.no_grad():
        weight.normal_(std=1.0 / math.sqrt(fan_in))
