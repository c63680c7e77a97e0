"""Slimmable convolutions: one kernel, sliced to the active width on both sides."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.transforms.torch_.blocks import blocks_kernel


class SlimmableConv2d(nn.Module):
    """Strided convolution whose first output and input channels serve as a narrower layer.

    The kernel is sliced `[:out, :in]` (Yang et al. 2021, section 4; Yu et al. 2019), so that a
    narrow model executes only its slice. Padding is "same": an input of (N, in, H, W) gives
    (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel_size // 2
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def initialise(self) -> None:
        """Draw a random kernel."""
        _init_kernel(self.weight, fan_in=self.weight[0].numel())

    def slice(self, in_channels: int, out_channels: int) -> tuple[Tensor, Tensor | None]:
        """Kernel (out, in, k, k) and bias (out) of a narrower layer, as views."""
        bias = None if self.bias is None else self.bias[:out_channels]
        return leading(self.weight, out_channels, in_channels), bias

    def forward(self, x: Tensor, out_channels: int) -> Tensor:
        """Convolve the channels that `x` has to the first `out_channels`."""
        weight, bias = self.slice(x.shape[1], out_channels)
        return F.conv2d(x, weight, bias, self.stride, self.padding)


class SlimmableConvTranspose2d(nn.Module):
    """Transposed convolution, slimmable like `SlimmableConv2d`: (H, W) becomes stride × (H, W).

    The kernel is stored (in, out, k, k), as `torch.nn.ConvTranspose2d` has it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel_size // 2
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def initialise(self) -> None:
        """Draw a random kernel."""
        # each output pixel is reached by k²/stride² taps of every input channel
        _init_kernel(self.weight, fan_in=self.weight[:, 0].numel() / self.stride**2)

    def slice(self, in_channels: int, out_channels: int) -> tuple[Tensor, Tensor]:
        """Kernel (in, out, k, k) and bias (out) of a narrower layer, as views."""
        return leading(self.weight, in_channels, out_channels), self.bias[:out_channels]

    def forward(self, x: Tensor, out_channels: int) -> Tensor:
        """Convolve the channels that `x` has to the first `out_channels`."""
        weight, bias = self.slice(x.shape[1], out_channels)
        if self.training and self.stride > 2:
            return self._by_blocks(x, weight, bias)
        return F.conv_transpose2d(
            x, weight, bias, self.stride, self.padding, output_padding=self.stride - 1
        )

    def _by_blocks(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The same, faster where few channels are written in many places, but with more products.

        Evaluation keeps to the layer as it is defined; `slimcae.transforms.torch_` is for speed.
        """
        side = self.stride
        blocks = F.conv2d(x, blocks_kernel(weight, side), bias.repeat(side**2), padding=1)
        n, _, height, width = blocks.shape
        pixels = blocks.permute(0, 2, 3, 1).reshape(n, height, width, side, side, -1)
        pixels = pixels.permute(0, 1, 3, 2, 4, 5).reshape(n, side * height, side * width, -1)
        return pixels.permute(0, 3, 1, 2)


def leading(kernel: Tensor, first: int, second: int) -> Tensor:
    """The first entries of both channel dimensions, as a view.

    A kernel that has no more is returned as it is: the gradient of a slice costs a whole kernel.
    """
    if kernel.shape[0] <= first and kernel.shape[1] <= second:
        return kernel
    return kernel[:first, :second]


def _init_kernel(weight: nn.Parameter, fan_in: float) -> None:
    """Variance-preserving normal initialisation (the layers between are near-linear GDN)."""
    with torch.no_grad():
        weight.normal_(std=1.0 / math.sqrt(fan_in))
