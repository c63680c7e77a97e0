"""The trainable context network; `slimcae.coding.context` describes the computation.

Source: Minnen and Singh, "Channel-wise autoregressive entropy models for learned image
compression", ICIP 2020 (groups of channels); He et al., "Checkerboard context model for efficient
learned image compression", CVPR 2021 (two passes over the places).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.coding.context import CROSS, EVEN
from slimcae.coding.exact import ACTIVATION
from slimcae.model.config import ArchitectureName, has_gdn

UNIT = 16
"""Features, activations and means are converted to integers in units of 1 / UNIT."""
LARGEST = ACTIVATION / UNIT
"""Largest feature or activation."""
FEW_GROUPS = (0.04, 0.1, 0.2, 0.35, 0.6, 1.0)
MANY_GROUPS = (0.03, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0)
"""Ends of the groups, as fractions of the channels; the first groups, of most energy, are small."""
MANY_CHANNELS = 128
"""Number of channels from which there are eight groups instead of six, which take little time
compared with the paper's transforms."""
LIGHT_HIDDEN = 80
"""Largest H with light transforms, which are faster."""


def default_groups(channels: int, architecture: ArchitectureName = "slimcae") -> tuple[int, ...]:
    """Return the number of channels of each group for a number of latent channels."""
    many = has_gdn(architecture) and channels >= MANY_CHANNELS
    ends = MANY_GROUPS if many else FEW_GROUPS
    return tuple(np.diff(sorted({0, *(max(1, round(channels * end)) for end in ends)})).tolist())


def default_hidden(channels: int, architecture: ArchitectureName = "slimcae") -> int:
    """Return H for a number of latent channels: 48 for 48, 64 for 96, 96 for 192 (light: 80)."""
    hidden = 32 + channels // 3
    return hidden if has_gdn(architecture) else min(hidden, LIGHT_HIDDEN)


class ContextNetwork(nn.Module):
    r"""Predicts a logistic distribution of each latent from the latents coded before it.

    ::

        latents ─ features ─ 3×3 ─ Σ ─ ReLU ─┬─ 1×1 ─ ReLU ─ + ─ 1×1 ─► mean, log-scale
                                   │         └───────────────┘          of the next part
                     sum over all parts so far: H numbers per place

    A part is a group of channels on the black or on the white fields of a checkerboard. Each group
    has one 3×3 kernel. Its taps on fields of the other colour (`cross`) and of the same (`even`)
    are separate, because they are used at different times. Each part has its own layers after Σ.

    groups: number of channels of each group, C in total. hidden: H. log_scales: (C), initial values
    of the predicted log-scales; zeros by default.
    """

    def __init__(
        self, groups: Sequence[int], hidden: int, log_scales: Tensor | None = None
    ) -> None:
        super().__init__()
        self.groups = tuple(groups)
        self.hidden = hidden
        ends = np.cumsum(self.groups).tolist()
        self.slices = [slice(start, end) for start, end in pairwise([0, *ends])]
        if log_scales is None:
            log_scales = torch.zeros(ends[-1])
        # the weights of sizes start with one sign per hidden number, which then predicts scales
        signs = torch.randn(hidden).sign()
        self.cross, self.even = nn.ParameterList(), nn.ParameterList()
        for size in self.groups:
            kernel = torch.empty(9, size, 2, hidden).uniform_(-0.5, 0.5) / math.sqrt(18 * size)
            kernel[:, :, 1] = kernel[:, :, 1].abs() * signs
            self.cross.append(nn.Parameter(kernel[list(CROSS)].flatten(0, 2)))
            self.even.append(nn.Parameter(kernel[list(EVEN)].flatten(0, 2)))
        parts = 2 * len(self.groups)
        self.start = nn.Parameter(torch.zeros(2, hidden))
        self.bias = nn.Parameter(torch.zeros(parts, 1, hidden))
        mix = torch.empty(parts, hidden, hidden).uniform_(-1, 1) / math.sqrt(hidden)
        self.mix = nn.Parameter(mix)
        self.mix_bias = nn.Parameter(torch.zeros(parts, 1, hidden))
        self.out, self.out_bias = nn.ParameterList(), nn.ParameterList()
        for group in self.slices:
            begin = log_scales[group]
            self.out.append(nn.Parameter(torch.zeros(2, hidden, 2 * len(begin))))
            bias = torch.cat([torch.zeros_like(begin), begin])
            self.out_bias.append(nn.Parameter(bias.repeat(2, 1, 1)))

    @classmethod
    def for_channels(
        cls,
        channels: int,
        deviation: Tensor | None = None,
        architecture: ArchitectureName = "slimcae",
    ) -> "ContextNetwork":
        """Return a new network of default sizes.

        deviation: (C), initial standard deviation of each channel's latents.
        architecture: architecture of the transforms, which determines a suitable network size.
        """
        log_scales = None if deviation is None else torch.log(0.4 * deviation)
        groups = default_groups(channels, architecture)
        return cls(groups, default_hidden(channels, architecture), log_scales)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ContextNetwork":
        """Return the network whose parameters these are; inverse of `to_arrays`.

        Raises:
            KeyError, ValueError, RuntimeError: The arrays are not those of a network.
        """
        count, hidden, _ = arrays["mix"].shape
        groups = [arrays[f"out.{g}"].shape[2] // 2 for g in range(count // 2)]
        network = cls(groups, hidden)
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        return network

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return all parameters by name, as stored in a model file for training."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    def forward(self, known: Tensor, steps: Tensor, coded: Tensor | None = None) -> Tensor:
        """Return the bits of latents, coded as black and as white fields: (2, P, C).

        known: decoded residuals y − median of P places and their eight neighbours in raster order,
            (P, 9, C), zero outside of the picture. Parts that are not coded yet are ignored.
        steps: Δ at each place, (P, 1).
        coded: the coded residuals at the P places, (P, C); None: `known` at the centre. In training
            it may be noisy while `known` is rounded. Both get gradients.
        """
        with torch.autocast(known.device.type, enabled=False):
            known, steps = known.float(), steps.float()
            values = known[:, 4] if coded is None else coded.float()
            means, log_scales = self.predict(self.features(known), torch.log(steps))
            bits: Tensor = _LogisticBits.apply(  # type: ignore[no-untyped-call]
                values, means, log_scales, steps
            )
        return bits

    @staticmethod
    def features(values: Tensor) -> Tensor:
        """Return ± log(1 + abs(v)) and log(1 + abs(v)) of values v (P, 9, C): (P, 9, C, 2).

        They are rounded like the integers, unless a gradient is needed.
        """
        sizes = torch.log1p(values.abs()).clamp(max=LARGEST)
        if not (values.requires_grad and torch.is_grad_enabled()):
            sizes = (UNIT * sizes).round() / UNIT
        return torch.stack([values.sign() * sizes, sizes], dim=3)

    def predict(self, features: Tensor, log_steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-scales, (2, P, C) each, of features (P, 9, C, 2), log Δ (P, 1)."""
        cross, even = features[:, CROSS], features[:, EVEN]
        state = log_steps * self.start[0] + log_steps.square() * self.start[1]
        states = []
        for group, to_cross, to_even in zip(self.slices, self.cross, self.even, strict=True):
            states.append(state)
            state = state + cross[:, :, group].flatten(1) @ to_cross
            states.append(state)
            if group.stop < features.shape[2]:
                state = state + even[:, :, group].flatten(1) @ to_even
        hidden = (torch.stack(states) + self.bias).clamp(0, LARGEST)
        hidden = hidden + torch.baddbmm(self.mix_bias, hidden, self.mix).clamp(0, LARGEST)
        outputs = [
            torch.baddbmm(bias, hidden[2 * g : 2 * g + 2], weight)
            for g, (weight, bias) in enumerate(zip(self.out, self.out_bias, strict=True))
        ]
        halves = [output.chunk(2, dim=2) for output in outputs]
        means, log_scales = (torch.cat(list(half), dim=2) for half in zip(*halves, strict=True))
        return means, log_scales


class ContextNetworks(nn.ModuleDict):
    """The context networks of all operating points, as the rate estimator of a loss."""

    def __init__(self, networks: Mapping[int, ContextNetwork]) -> None:
        super().__init__({str(point): network for point, network in networks.items()})

    @property
    def by_point(self) -> dict[int, ContextNetwork]:
        """The networks."""
        networks = {int(point): network for point, network in self.items()}
        return {p: net for p, net in networks.items() if isinstance(net, ContextNetwork)}

    def bits(self, known: Tensor, coded: Tensor, point: int, step: Tensor | float) -> Tensor:
        """Return the bits of residuals (N, C, h, w), as the mean over both colours of each place.

        known: decoded residuals. coded: coded residuals, in training with noise.
        """
        around = neighbourhoods(known)
        values = coded.permute(0, 2, 3, 1).flatten(0, 2)
        steps = around.new_ones(len(around), 1) * step
        bits: Tensor = self[str(point)](around, steps, values)
        return bits.sum() / 2


def neighbourhoods(latents: Tensor) -> Tensor:
    """Return every place of latents (N, C, h, w) with its eight neighbours: (N · h · w, 9, C)."""
    count, channels, height, width = latents.shape
    columns = F.unfold(latents, 3, padding=1).reshape(count, channels, 9, height * width)
    return columns.permute(0, 3, 2, 1).reshape(-1, 9, channels)


class _LogisticBits(torch.autograd.Function):
    """−log₂ of the mass of a logistic distribution within Δ / 2 of a value, with explicit gradient.

    With a and b the ends in units of the scale, σ(a) − σ(b) = σ(a) · σ(−b) · (1 − e^(b − a)), which
    is precise in the tails.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, means: Tensor, log_scales: Tensor, steps: Tensor) -> Any:
        inverse = torch.exp(-log_scales.clamp(-6, 7))
        distance = values - means
        length = steps * inverse
        high = (0.5 * steps - distance.abs()) * inverse
        low = high - length
        rest = -torch.expm1(-length)
        logs = F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(rest)
        above, below = torch.sigmoid(-high), torch.sigmoid(low)
        ctx.save_for_backward(
            (above - below) * inverse * distance.sign() / -math.log(2),
            (above * high - below * low + (1 - rest) / rest * length) / math.log(2),
        )
        return logs / -math.log(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        by_mean, by_log_scale = ctx.saved_tensors
        to_means = grads[0] * by_mean
        to_values = -to_means.sum(0) if ctx.needs_input_grad[0] else None
        return to_values, to_means, grads[0] * by_log_scale, None
