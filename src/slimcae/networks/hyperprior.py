"""The trainable scale hyperprior; `slimcae.coding.hyperprior` describes the computation.

Source: Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018; kernels as in TensorFlow Compression's `bmshj2018.py`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.coding.exact import ACTIVATION
from slimcae.coding.hyperprior_arrays import ANALYSIS, DOWNSAMPLING, SYNTHESIS, Geometry
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.bounds import lower_bound
from slimcae.networks.context import LARGEST, UNIT
from slimcae.networks.layers import leading

SMALLEST_LOG_SCALE = math.log(0.11)
"""Smallest scale in symbols; smaller ones are clipped."""
LARGEST_LOG_SCALE = 8.0
"""Largest scale; beyond it, float32 cannot resolve the two ends of a symbol."""


class _Layer(nn.Module):
    """A slimmable convolution, in which each point has its own bias, a function of log Δ."""

    def __init__(self, geometry: Geometry, most: int, points: int) -> None:
        super().__init__()
        self.geometry = geometry
        side, stride, transposed = geometry
        self.weight = nn.Parameter(torch.empty(most, most, side, side))
        self.bias = nn.Parameter(torch.zeros(points, 3, most))
        inputs = most * side**2 / (stride**2 if transposed else 1)
        nn.init.normal_(self.weight, std=math.sqrt(2 / inputs))

    def biases(self, place: int, channels: int, log_step: Tensor) -> Tensor:
        """Return the bias (..., channels) of a point at log Δ (...)."""
        a, b, c = self.bias[place, :, :channels]
        log_step = log_step[..., None]
        bias: Tensor = a + log_step * b + log_step.square() * c
        return bias

    def forward(self, x: Tensor, place: int, log_step: Tensor) -> Tensor:
        """Convolve x (N, C, rows, columns) with the channels of the point at index `place`."""
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
                                                                        │    this point
        log-scales ◄─── 3×3 ─ ReLU ─ 5×5 ×2 ─ ReLU ─ 5×5 ×2 ◄───────────┘

    The operating points share and slice the kernels; each point has its own biases and bottleneck
    of z. z has as many channels as the latents, and is rounded to integers at every Δ; all layers
    get log Δ. Features and activations are clipped at 127 / 16, like the integers.

    channels: number of latent channels of each operating point, largest first.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.channels = dict(channels)
        self.places = {point: place for place, point in enumerate(self.channels)}
        most = next(iter(self.channels.values()))
        for name, geometry in (ANALYSIS | SYNTHESIS).items():
            self.add_module(name.replace(".", ""), _Layer(geometry, most, len(self.channels)))
        nn.init.zeros_(self.layer("h_s.3").weight)
        self.bottlenecks = nn.ModuleDict()
        for point, count in self.channels.items():
            bottleneck = EntropyBottleneck(count)
            bottleneck.straight_through = True  # h_s gets integers
            self.bottlenecks[str(point)] = bottleneck

    def layer(self, name: str) -> _Layer:
        """Return a layer by its name in a model file, such as `h_a.1`."""
        layer = getattr(self, name.replace(".", ""))
        assert isinstance(layer, _Layer)
        return layer

    def bottleneck(self, point: int) -> EntropyBottleneck:
        """Return the density of z at an operating point; its medians are 0."""
        bottleneck = self.bottlenecks[str(point)]
        assert isinstance(bottleneck, EntropyBottleneck)
        return bottleneck

    @torch.no_grad()
    def begin_with(self, deviation: Tensor, point: int) -> None:
        """Initialise the predicted standard deviations (C) of a point, independent of z."""
        place = self.places[point]
        self.layer("h_s.3").bias[place, 0, : len(deviation)] = torch.log(deviation)

    def forward(
        self, known: Tensor, point: int, step: Tensor | float, coded: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the bits of `y` (N, C, h, w) and of `z` (N, C, ⌈h / 4⌉, ⌈w / 4⌉).

        known: residuals y − median (N, C, h, w), which are rounded to multiples of the step Δ.
        coded: the coded residuals, in training with noise; None: `known` rounded.
        """
        with torch.autocast(known.device.type, enabled=False):
            known = known.float()
            step = torch.as_tensor(step, dtype=torch.float32, device=known.device)
            known = known + (torch.round(known / step) * step - known).detach()
            z, likelihoods = self.bottleneck(point)(self.analyse(known, point, step))
            log_scales = self.log_scales(z, point, step)[:, :, : known.shape[2], : known.shape[3]]
            values = known if coded is None else coded.float()
            y = normal_bits(values / step, log_scales - torch.log(step))
            return {"y": y, "z": -torch.log2(likelihoods)}

    def bits(self, known: Tensor, coded: Tensor, point: int, step: Tensor | float) -> Tensor:
        """Return the total bits of residuals, see `forward`."""
        found: dict[str, Tensor] = self(known, point, step, coded)
        return found["y"].sum() + found["z"].sum()

    def analyse(self, known: Tensor, point: int, step: Tensor) -> Tensor:
        """Apply h_a: return z, not rounded, for rounded residuals (N, C, h, w)."""
        sizes = torch.log1p(known.abs()).clamp(max=LARGEST)
        sizes = sizes + ((UNIT * sizes).round() / UNIT - sizes).detach()
        below, right = (-side % DOWNSAMPLING for side in known.shape[2:])
        return self._run(ANALYSIS, F.pad(sizes, (0, right, 0, below)), point, step)

    def log_scales(self, z: Tensor, point: int, step: Tensor) -> Tensor:
        """Apply h_s: return the logarithm of each latent's standard deviation for integer z."""
        return self._run(SYNTHESIS, z.clamp(-ACTIVATION, ACTIVATION), point, step)

    def _run(self, names: Mapping[str, Geometry], x: Tensor, point: int, step: Tensor) -> Tensor:
        place, log_step = self.places[point], torch.log(step)
        *hidden, last = names
        for name in hidden:
            x = self.layer(name)(x, place, log_step).clamp(0, LARGEST)
        found: Tensor = self.layer(last)(x, place, log_step)
        return found


class Hyperpriors(nn.ModuleDict):
    """The hyperpriors of all operating points, as the rate estimator of a loss.

    Points whose transforms share kernels share a hyperprior, which is named after the first of
    them.
    """

    def __init__(self, hyperpriors: Iterable[Hyperprior]) -> None:
        named = {str(next(iter(each.channels))): each for each in hyperpriors}
        super().__init__(named)
        self._names = {point: name for name, each in named.items() for point in each.channels}

    @classmethod
    def of_config(cls, config: SlimCAEConfig) -> "Hyperpriors":
        """Return new hyperpriors: one for all points, or one for each independent network."""
        channels = {point: config.filters(point) for point in config.points}
        if config.method == "independent":
            return cls(Hyperprior({point: count}) for point, count in channels.items())
        return cls([Hyperprior(channels)])

    @property
    def by_point(self) -> dict[int, Hyperprior]:
        """Return the hyperprior of each point."""
        found = {point: self[name] for point, name in self._names.items()}
        return {p: each for p, each in found.items() if isinstance(each, Hyperprior)}

    def bits(self, known: Tensor, coded: Tensor, point: int, step: Tensor | float) -> Tensor:
        """Return the total bits of residuals at a point, see `Hyperprior.forward`."""
        hyperprior = self[self._names[point]]
        assert isinstance(hyperprior, Hyperprior)
        return hyperprior.bits(known, coded, point, step)


class _LogNormal(torch.autograd.Function):
    """log Φ, with a gradient that is stable in float32, unlike torch's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        ctx.save_for_backward(x)
        return torch.special.log_ndtr(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * math.sqrt(2 / math.pi) / torch.special.erfcx(-x / math.sqrt(2))


def normal_bits(values: Tensor, log_scales: Tensor) -> Tensor:
    """Return −log₂ of the mass of a zero-mean normal distribution within ½ of each value.

    The function uses Φ(high) − Φ(low) = Φ(high) · (1 − Φ(low) / Φ(high)), both in the lower half,
    which is precise in the tails.
    """
    inverse = torch.exp(-lower_bound(log_scales, SMALLEST_LOG_SCALE).clamp(max=LARGEST_LOG_SCALE))
    distance = values.abs()
    high: Tensor = _LogNormal.apply((0.5 - distance) * inverse)  # type: ignore[no-untyped-call]
    low: Tensor = _LogNormal.apply((-0.5 - distance) * inverse)  # type: ignore[no-untyped-call]
    return -(high + torch.log(-torch.expm1(low - high))) / math.log(2)
