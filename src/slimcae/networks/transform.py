"""A trainable transform: the sequence of layers of an architecture."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slimcae.model import layers as data
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.layers import SlimmableConv2d, SlimmableConvTranspose2d


class Transform(nn.Module):
    """g_a or g_s for several widths.

    The module of a layer has the last part of the layer's name: `g_a.conv1` is `conv1`.
    exact_end: compute the last layer in float32, even if the others use reduced precision.
    """

    def __init__(
        self, layers: Sequence[data.Layer], config: SlimCAEConfig, *, exact_end: bool = False
    ) -> None:
        super().__init__()
        self._exact_end = exact_end
        for number, layer in enumerate(layers):
            name = getattr(layer, "name", f"layer{number}").rpartition(".")[2]
            self.add_module(name, _module(layer, config))

    def __getattr__(self, name: str) -> Any:  # modules depend on the architecture
        return super().__getattr__(name)

    def initialise(self) -> None:
        """Draw random kernels; residual branches start at zero."""
        for module in self.modules():
            if isinstance(module, SlimmableConv2d | SlimmableConvTranspose2d):
                module.initialise()
        for module in self.modules():
            if isinstance(module, _Residual):
                module.close()

    def forward(self, x: Tensor, width: int) -> Tensor:
        """Run a batch (N, channels, H, W) through all layers.

        g_a takes images in [0, 1], (N, 3, H, W), and returns latents (N, C, H / 16, W / 16); g_s
        is the reverse, and does not clamp.
        """
        last = len(self._modules) - 1
        for number, module in enumerate(self.children()):
            if number == last and self._exact_end:
                x = x.float()
            x = module(x, width) if isinstance(module, _OF_A_WIDTH) else module(x)
        return x


class _Residual(Transform):
    """x plus the output of the layers."""

    def close(self) -> None:
        """Set the output of the last layer to zero."""
        with torch.no_grad():
            list(self.children())[-1].weight.zero_()  # type: ignore[operator]

    def forward(self, x: Tensor, width: int) -> Tensor:
        return x + super().forward(x, width)


class _Scale(nn.Module):
    """A factor for each channel and width."""

    def __init__(self, layer: data.Scale, config: SlimCAEConfig) -> None:
        super().__init__()
        self._index = {width: k for k, width in enumerate(config.widths)}
        (shape,) = layer.tensors(config).values()
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, width: int) -> Tensor:
        factors = torch.exp(self.log_scale[self._index[width], : x.shape[1]])
        return x * factors[:, None, None]


_OF_A_WIDTH = (SlimmableConv2d, SlimmableConvTranspose2d, Transform, _Scale)
"""Modules that need the width as an argument; others use the channels of their input."""


def _module(layer: data.Layer, config: SlimCAEConfig) -> nn.Module:
    match layer:
        case data.Convolution(transposed=True):
            return SlimmableConvTranspose2d(layer, config)
        case data.Convolution():
            return SlimmableConv2d(layer, config)
        case data.Normalization():
            return SlimmableGDN(config.widths, config.gdn, layer.inverse)
        case data.Residual():
            return _Residual(layer.layers, config)
        case data.Scale():
            return _Scale(layer, config)
        case data.Unshuffle():
            return nn.PixelUnshuffle(layer.factor)
        case data.Shuffle():
            return nn.PixelShuffle(layer.factor)
        case data.LeakyReLU():
            return nn.LeakyReLU(layer.slope)
    raise TypeError(f"no module for {layer}")
