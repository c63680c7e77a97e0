"""Slimmable convolutions: one kernel, sliced to the active width on both sides."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        return self.weight[:out_channels, :in_channels], bias

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
        return self.weight[:in_channels, :out_channels], self.bias[:out_channels]

    def forward(self, x: Tensor, out_channels: int) -> Tensor:
        """Convolve the channels that `x` has to the first `out_channels`."""
        weight, bias = self.slice(x.shape[1], out_channels)
        return F.conv_transpose2d(
            x, weight, bias, self.stride, self.padding, output_padding=self.stride - 1
        )


def _init_kernel(weight: nn.Parameter, fan_in: float) -> None:
    """Variance-preserving normal initialisation (the layers between are near-linear GDN)."""
    with torch.no_grad():
        weight.normal_(std=1.0 / math.sqrt(fan_in))
