"""The scale hyperprior as it trains; `slimcae.coding.hyperprior` describes what it computes.

Source: Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018; kernels as in TensorFlow Compression's `bmshj2018.py`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.coding.exact import ACTIVATION
from slimcae.coding.hyperprior_arrays import ANALYSIS, DOWNSAMPLING, SYNTHESIS, Geometry
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.bounds import lower_bound
from slimcae.networks.context import LARGEST, UNIT
from slimcae.networks.layers import leading

SMALLEST_LOG_SCALE = math.log(0.11)
"""In symbols: what is narrower is coded as if it had this scale."""
LARGEST_LOG_SCALE = 8.0
"""Beyond it float32 no longer tells both ends of a symbol apart."""


class _Layer(nn.Module):
    """A slimmable convolution; each width has a bias of its own, which depends on log Δ."""

    def __init__(self, geometry: Geometry, most: int, widths: int) -> None:
        super().__init__()
        self.geometry = geometry
        side, stride, transposed = geometry
        self.weight = nn.Parameter(torch.empty(most, most, side, side))
        self.bias = nn.Parameter(torch.zeros(widths, 3, most))
        inputs = most * side**2 / (stride**2 if transposed else 1)
        nn.init.normal_(self.weight, std=math.sqrt(2 / inputs))

    def biases(self, place: int, channels: int, log_step: Tensor) -> Tensor:
        """Return the bias (..., channels) of a width at log Δ (...)."""
        a, b, c = self.bias[place, :, :channels]
        log_step = log_step[..., None]
        bias: Tensor = a + log_step * b + log_step.square() * c
        return bias

    def forward(self, x: Tensor, place: int, log_step: Tensor) -> Tensor:
        """Convolve x (N, C, rows, columns), of as many channels as the width at `place` has."""
        side, stride, transposed = self.geometry
        channels = x.shape[1]
        weight = leading(self.weight, channels, channels)
        bias = self.biases(place, channels, log_step)
        if transposed:
            return F.conv_transpose2d(x, weight, bias, stride, side // 2, stride - 1)
        return F.conv2d(x, weight, bias, stride, side // 2)


class Hyperprior(nn.Module):
    r"""Predicts a normal distribution around the median for each latent, from side information z.

    ::

        latents ─ log(1 + |·|) ─ 3×3 ─ ReLU ─ 5×5 /2 ─ ReLU ─ 5×5 /2 ─► z ─ Q, bottleneck of
                                                                        │    this width
        log-scales ◄─── 3×3 ─ ReLU ─ 5×5 ×2 ─ ReLU ─ 5×5 ×2 ◄───────────┘

    Kernels are shared by all widths and sliced; biases, and the bottleneck of z, are each width's
    own. z has as many channels as the latents, and is rounded to whole numbers at every Δ; all
    layers are told log Δ. Features and activations end at 127 / 16, as the integers do.

    channels: of the latents of each width, widest first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self._places = {count: place for place, count in enumerate(self.channels)}
        most = self.channels[0]
        for name, geometry in (ANALYSIS | SYNTHESIS).items():
            self.add_module(name.replace(".", ""), _Layer(geometry, most, len(self.channels)))
        nn.init.zeros_(self.layer("h_s.3").weight)
        self.bottlenecks = nn.ModuleDict()
        for count in self.channels:
            bottleneck = EntropyBottleneck(count)
            bottleneck.straight_through = True  # h_s sees whole numbers
            self.bottlenecks[str(count)] = bottleneck

    def layer(self, name: str) -> _Layer:
        """Return a layer by its name in a model file, such as `h_a.1`."""
        layer = getattr(self, name.replace(".", ""))
        assert isinstance(layer, _Layer)
        return layer

    def bottleneck(self, channels: int) -> EntropyBottleneck:
        """Return the density of z of the width with so many channels; its medians are 0."""
        bottleneck = self.bottlenecks[str(channels)]
        assert isinstance(bottleneck, EntropyBottleneck)
        return bottleneck

    @torch.no_grad()
    def begin_with(self, deviation: Tensor) -> None:
        """Predict standard deviations (C) of the latents, whatever z, of the width of C."""
        place = self._places[len(deviation)]
        self.layer("h_s.3").bias[place, 0, : len(deviation)] = torch.log(deviation)

    def forward(
        self, known: Tensor, step: Tensor | float, coded: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the bits of `y` (N, C, h, w) and of `z` (N, C, ⌈h / 4⌉, ⌈w / 4⌉).

        known: residuals y − median (N, C, h, w), which are rounded to multiples of the step Δ.
        coded: what is coded, in training the same with noise; `known` rounded unless given.
        """
        with torch.autocast(known.device.type, enabled=False):
            known = known.float()
            step = torch.as_tensor(step, dtype=torch.float32, device=known.device)
            known = known + (torch.round(known / step) * step - known).detach()
            z, likelihoods = self.bottleneck(known.shape[1])(self.analyse(known, step))
            log_scales = self.log_scales(z, step)[:, :, : known.shape[2], : known.shape[3]]
            values = known if coded is None else coded.float()
            y = normal_bits(values / step, log_scales - torch.log(step))
            return {"y": y, "z": -torch.log2(likelihoods)}

    def bits(self, known: Tensor, coded: Tensor, width: int, step: Tensor | float) -> Tensor:
        """Return all bits of residuals, see `forward`; a loss's rate."""
        found: dict[str, Tensor] = self(known, step, coded)
        return found["y"].sum() + found["z"].sum()

    def analyse(self, known: Tensor, step: Tensor) -> Tensor:
        """Return z, not rounded, of rounded residuals (N, C, h, w): h_a."""
        sizes = torch.log1p(known.abs()).clamp(max=LARGEST)
        sizes = sizes + ((UNIT * sizes).round() / UNIT - sizes).detach()
        below, right = (-side % DOWNSAMPLING for side in known.shape[2:])
        return self._run(ANALYSIS, F.pad(sizes, (0, right, 0, below)), step)

    def log_scales(self, z: Tensor, step: Tensor) -> Tensor:
        """Return the logarithm of each latent's standard deviation for whole z: h_s."""
        return self._run(SYNTHESIS, z.clamp(-ACTIVATION, ACTIVATION), step)

    def _run(self, names: Mapping[str, Geometry], x: Tensor, step: Tensor) -> Tensor:
        place, log_step = self._places[x.shape[1]], torch.log(step)
        *hidden, last = names
        for name in hidden:
            x = self.layer(name)(x, place, log_step).clamp(0, LARGEST)
        found: Tensor = self.layer(last)(x, place, log_step)
        return found

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], channels: Sequence[int]
    ) -> "Hyperprior":
        """Return what `to_arrays` described.

        Raises:
            RuntimeError: arrays that are no hyperprior's of these channels.
        """
        hyperprior = cls(channels)
        hyperprior.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        return hyperprior

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return all parameters by name, as a model file keeps them for training."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.state_dict().items()}


class _LogNormal(torch.autograd.Function):
    """log Φ, with a gradient that float32 can hold: torch takes the exponential of a difference."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        ctx.save_for_backward(x)
        return torch.special.log_ndtr(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * math.sqrt(2 / math.pi) / torch.special.erfcx(-x / math.sqrt(2))


def normal_bits(values: Tensor, log_scales: Tensor) -> Tensor:
    """Return −log₂ of the mass that a normal distribution around 0 has within ½ of each value.

    With Φ(high) − Φ(low) = Φ(high) · (1 − Φ(low) / Φ(high)), both below the middle, which loses no
    digits in the tails.
    """
    inverse = torch.exp(-lower_bound(log_scales, SMALLEST_LOG_SCALE).clamp(max=LARGEST_LOG_SCALE))
    distance = values.abs()
    high: Tensor = _LogNormal.apply((0.5 - distance) * inverse)  # type: ignore[no-untyped-call]
    low: Tensor = _LogNormal.apply((-0.5 - distance) * inverse)  # type: ignore[no-untyped-call]
    return -(high + torch.log(-torch.expm1(low - high))) / math.log(2)
