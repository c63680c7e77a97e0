"""Generalized divisive normalization for several widths, in three variants."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.model.config import GDNVariant
from slimcae.model.normalization import BETA_MIN
from slimcae.networks.bounds import from_stored, lower_bound, to_stored

GAMMA_INIT = 0.1


def gdn(
    x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool, mixing: torch.dtype = torch.float32
) -> Tensor:
    """Normalize x (N, C, H, W) by β (C) and γ (C, C), in float32 for any dtype of x.

    mixing: dtype in which the squares are summed over channels. In the largest width these sums are
    an eighth of the multiplications, and take a larger part of the time in float32.

    GDN:  y_i = x_i / sqrt(β_i + Σ_j γ_ij x_j²)      (Ballé, Laparra, Simoncelli 2016, eq. 3)
    IGDN: y_i = x_i · sqrt(β_i + Σ_j γ_ij x_j²)      (the decoder's approximate inverse)

    float32 is needed because squares of 16-bit floats lose precision or overflow; for their sum,
    bfloat16 suffices, which has the range of float32.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        weight = gamma[:, :, None, None]
        if mixing == torch.float32:
            norm = F.conv2d(x * x, weight, beta)
        else:
            norm = F.conv2d((x * x).to(mixing), weight.to(mixing)).float() + beta[:, None, None]
        return x * (torch.sqrt(norm) if inverse else torch.rsqrt(norm))


class _HalfGDN(torch.autograd.Function):
    """`gdn` entirely in bfloat16, with half the memory traffic and fewer passes.

    In training, memory takes as much time here as products. The gradient, with r the factor on x
    and t = ∂L/∂(norm) up to ∓½:  GDN: t = g·x·r³, dx = g·r − x·γᵀt;
    IGDN: t = g·x/r, dx = g·r + x·γᵀt;  dγ = ∓½ Σ t_i x_j², dβ = ∓½ Σ t.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
        weight = gamma.to(x.dtype)[:, :, None, None]
        norm = F.conv2d(x * x, weight, beta.to(x.dtype))
        factor = norm.sqrt_() if inverse else norm.rsqrt_()
        ctx.save_for_backward(x, weight, factor)
        ctx.inverse = inverse
        return x * factor

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, factor = ctx.saved_tensors
        (grad,) = grad_outputs
        t = grad * x
        if ctx.inverse:
            t.div_(factor)
        else:
            t.mul_(factor).mul_(factor).mul_(factor)
        mixed, d_weight, d_bias = torch.ops.aten.convolution_backward(
            t, x * x, weight, [len(weight)],
            [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True],
        )  # fmt: skip
        sign = 1 if ctx.inverse else -1
        d_x = (grad * factor).addcmul_(x, mixed, value=sign)
        half = 0.5 * sign
        return d_x, half * d_bias.float(), half * d_weight[:, :, 0, 0].float(), None


class _Norm(nn.Module):
    """β (C) and γ (C, C) of one GDN, stored as square roots to keep them non-negative."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(to_stored(torch.ones(num_channels)))
        self.gamma = nn.Parameter(to_stored(GAMMA_INIT * torch.eye(num_channels)))

    def effective(self) -> tuple[Tensor, Tensor]:
        return from_stored(self.beta, BETA_MIN), from_stored(self.gamma)


class SlimmableGDN(nn.Module):
    """GDN (or its inverse) for several widths; the width is the number of channels of x.

    - `switchable`: a separate GDN for each width.
    - `slim`: one shared β (C) and γ (C, C), sliced to the width.
    - `slim+`: the same, then scaled and shifted for width k by learned non-negative scalars,
      γ_k = s_γk·γ[:w, :w] + b_γk and β_k = s_βk·β[:w] + b_βk (SlimGDN+ in the authors' code).
    """

    def __init__(self, widths: tuple[int, ...], variant: GDNVariant, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.variant: GDNVariant = variant
        self.index = {width: k for k, width in enumerate(widths)}
        owners = widths if variant == "switchable" else widths[:1]
        self.norms = nn.ModuleDict({str(width): _Norm(width) for width in owners})
        if variant == "slim+":
            self.beta_scale = nn.Parameter(to_stored(torch.ones(len(widths))))
            self.beta_bias = nn.Parameter(to_stored(torch.zeros(len(widths))))
            self.gamma_scale = nn.Parameter(to_stored(torch.ones(len(widths))))
            self.gamma_bias = nn.Parameter(to_stored(torch.zeros(len(widths))))

    def effective(self, width: int) -> tuple[Tensor, Tensor]:
        """Return β (width) and γ (width, width) that the forward pass at this width uses."""
        if self.variant == "switchable":
            return self.owner(width).effective()
        beta, gamma = self.owner(max(self.index)).effective()
        beta, gamma = beta[:width], gamma[:width, :width]
        if self.variant == "slim+":
            k = self.index[width]
            beta = from_stored(self.beta_scale[k]) * beta + from_stored(self.beta_bias[k])
            beta = lower_bound(beta, BETA_MIN)  # scale and bias may both be zero
            gamma = from_stored(self.gamma_scale[k]) * gamma + from_stored(self.gamma_bias[k])
        return beta, gamma

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, width, H, W); the result is float32.

        Training under autocast (to bfloat16) sums the squares in bfloat16, and returns bfloat16 for
        an x of that type, since this error is small compared with the noise of batches.
        """
        beta, gamma = self.effective(x.shape[1])
        if not (self.training and torch.is_autocast_enabled(x.device.type)):
            return gdn(x, beta, gamma, self.inverse)
        if x.dtype != torch.bfloat16:
            return gdn(x, beta, gamma, self.inverse, mixing=torch.bfloat16)
        with torch.autocast(x.device.type, enabled=False):
            y: Tensor = _HalfGDN.apply(x, beta, gamma, self.inverse)  # type: ignore[no-untyped-call]
        return y

    def owner(self, width: int) -> _Norm:
        """Return the norm stored for a width (only the largest has one, unless switchable)."""
        owner = self.norms[str(width)]
        assert isinstance(owner, _Norm)
        return owner
