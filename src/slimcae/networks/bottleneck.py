"""The factorized entropy bottleneck: a learned density per channel, and its integer probabilities.

Source: Ballé, Minnen, Singh, Hwang, Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018, appendix 6.1. Parameter names follow CompressAI's.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.coding.tables import MAX_SYMBOL
from slimcae.model.density import FILTERS
from slimcae.networks.bounds import lower_bound

Layers = list[tuple[Tensor, Tensor, Tensor | None]]

INIT_SCALE = 10.0
LIKELIHOOD_BOUND = 1e-9
TAIL_MASS = 2.0**-17
"""Probability at each end of a table that is left to the escape. Compared with 2⁻²¹, it costs
0.004 % of the bits on average and saves a fifth of the entries."""


class EntropyBottleneck(nn.Module):
    """Density model of C independent channels, for latents that are coded to unit precision.

    The cumulative of channel c is c(x) = sigmoid(f_K ∘ … ∘ f_1(x)) with
    f_k(x) = g_k(softplus(H_k) x + b_k), g_k(x) = x + tanh(a_k) ⊙ tanh(x), none on the last.
    The likelihood of a value is the mass of the unit interval around it.

    `medians` (C) centre the rounding. No auxiliary loss trains them: `update_medians` finds
    them by bisection.
    """

    medians: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.straight_through = False
        """Whether the synthesis is trained on rounded latents with a straight-through gradient."""
        self.detached = False
        """Whether likelihoods train only the density, because another network gives the rate."""
        sizes = (1, *FILTERS, 1)
        scale = INIT_SCALE ** (1 / (len(FILTERS) + 1))
        self.matrices = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.factors = nn.ParameterList()
        for k, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            init = float(np.log(np.expm1(1 / scale / fan_out)))
            self.matrices.append(nn.Parameter(torch.full((num_channels, fan_out, fan_in), init)))
            self.biases.append(
                nn.Parameter(torch.empty(num_channels, fan_out, 1).uniform_(-0.5, 0.5))
            )
            if k < len(FILTERS):
                self.factors.append(nn.Parameter(torch.zeros(num_channels, fan_out, 1)))
        self.register_buffer("medians", torch.zeros(num_channels))

    def layers(self, dtype: torch.dtype) -> Layers:
        """Return softplus(H_k), b_k and tanh(a_k) of each layer; the last has no a_k."""
        factors: list[Tensor | None] = [torch.tanh(a.to(dtype)) for a in self.factors]
        return [
            (F.softplus(matrix.to(dtype)), bias.to(dtype), factor)
            for matrix, bias, factor in zip(
                self.matrices, self.biases, [*factors, None], strict=True
            )
        ]

    def logits_cumulative(self, x: Tensor, layers: Layers | None = None) -> Tensor:
        """Return the logit of the cumulative at x: (C, 1, n) in, (C, 1, n) out.

        layers: result of `layers` in x's dtype, to save time in repeated calls.
        """
        for matrix, bias, factor in layers or self.layers(x.dtype):
            # a plain outer product is faster
            x = (matrix * x if x.shape[1] == 1 else torch.matmul(matrix, x)) + bias
            if factor is not None:
                x = x + factor * torch.tanh(x)
        return x

    def likelihood(self, y: Tensor, step: Tensor | float = 1.0) -> Tensor:
        """Return the mass of the interval `step` around each value of y (N, C, H, W), from 1e-9.

        step: one for all values, or (1, C, 1, 1).
        """
        if isinstance(step, Tensor) and step.ndim:
            step = step.float().reshape(-1, 1, 1)
        with torch.autocast(y.device.type, enabled=False):
            values = y.float().transpose(0, 1).reshape(self.num_channels, 1, -1)
            mass = self._interval_mass(values, step)
            mass = lower_bound(mass, LIKELIHOOD_BOUND)
            n, c, h, w = y.shape
            return mass.reshape(c, n, h, w).transpose(0, 1)

    def quantize(self, y: Tensor, step: Tensor | float = 1.0) -> Tensor:
        """Round y (N, C, H, W) to the medians plus whole multiples of `step`."""
        medians = self.medians[None, :, None, None]
        return torch.round((y - medians) / step) * step + medians

    def forward(self, y: Tensor, step: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Return y_hat and likelihoods at a quantisation step, (N, C, H, W) each.

        In evaluation mode y_hat is rounded around the medians. In training mode the likelihoods
        are those of y plus uniform noise on step · [−½, ½), a differentiable proxy for rounding.
        y_hat is the noisy y, or with `straight_through` the rounded y (Minnen and Singh 2020,
        section 3.3).
        """
        y = y.float()
        if not self.training:
            y_hat = self.quantize(y, step)
            return y_hat, self.likelihood(y_hat, step)
        noisy = y + (torch.rand_like(y) - 0.5) * step
        y_hat = y + (self.quantize(y, step) - y).detach() if self.straight_through else noisy
        return y_hat, self.likelihood(noisy.detach() if self.detached else noisy, step)

    @torch.no_grad()
    def quantile(self, logit: float) -> Tensor:
        """Return where each channel's cumulative reaches a logit, by bisection: (C), float64."""
        low = torch.full((self.num_channels, 1, 1), -1.0, dtype=torch.float64)
        low = low.to(self.medians.device)
        high = -low
        layers = self.layers(low.dtype)
        for _ in range(40):  # double the bracket until it contains the solution
            too_high = self.logits_cumulative(low, layers) > logit
            too_low = self.logits_cumulative(high, layers) < logit
            if not (too_high | too_low).any():
                break
            low, high = torch.where(too_high, low * 2, low), torch.where(too_low, high * 2, high)
        for _ in range(64):
            middle = (low + high) / 2
            if ((middle == low) | (middle == high)).all():
                break  # no number in between
            below = self.logits_cumulative(middle, layers) < logit
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2).flatten()

    def update_medians(self) -> None:
        """Set the centres of rounding to the medians of the current density."""
        self.medians.copy_(self.quantile(0.0))

    def tails(self) -> tuple[Tensor, Tensor]:
        """Return the bounds of the lower and upper tails, which the escape covers: (C) each."""
        logit = float(np.log(TAIL_MASS / (1 - TAIL_MASS)))
        return self.quantile(logit), self.quantile(-logit)

    @torch.no_grad()
    def probabilities(
        self, step: float = 1.0, tails: tuple[Tensor, Tensor] | None = None
    ) -> tuple[NDArray[np.int32], list[NDArray[np.float64]]]:
        """Return the first symbol, and the masses of the symbols between the tails, per channel.

        Symbol k of channel c stands for the value medians[c] + step · k, and its mass is that of
        the interval of length `step` around it. The remainder to 1 is the probability of all
        symbols outside. tails: result of `tails`, to avoid computing them for every step.
        """
        medians = self.medians.double()
        low, high = tails or self.tails()
        first = torch.floor((low - medians) / step).clamp(-MAX_SYMBOL, 0).int()
        last = torch.ceil((high - medians) / step).clamp(0, MAX_SYMBOL).int()
        longest = int((last - first).max()) + 1
        symbols = first[:, None] + torch.arange(longest, device=first.device)
        values = (medians[:, None] + step * symbols.double())[:, None, :]
        mass = self._interval_mass(values, step)[:, 0].cpu().numpy()
        sizes = (last - first + 1).tolist()
        return first.cpu().numpy(), [row[:size] for row, size in zip(mass, sizes, strict=True)]

    def _interval_mass(self, values: Tensor, length: Tensor | float = 1.0) -> Tensor:
        layers = self.layers(values.dtype)
        lower = self.logits_cumulative(values - length / 2, layers)
        upper = self.logits_cumulative(values + length / 2, layers)
        # sigmoid saturates at 1; mirrored into the lower tail, the difference keeps its precision
        sign = torch.where(lower + upper > 0, -1.0, 1.0).to(values.dtype)
        return (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
