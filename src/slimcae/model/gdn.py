"""Generalized divisive normalization for several widths, in three variants."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.model.bounds import from_stored, lower_bound, to_stored
from slimcae.model.config import GDNVariant

BETA_MIN = 1e-6
GAMMA_INIT = 0.1


def gdn(
    x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool, mixing: torch.dtype = torch.float32
) -> Tensor:
    """Normalize x (N, C, H, W) by β (C) and γ (C, C), in float32 whatever the dtype of x.

    mixing: dtype in which the squares are summed over channels. The widest layers' sums cost an
    eighth of the network's multiplications, and more than that of its time in float32.

    GDN:  y_i = x_i / sqrt(β_i + Σ_j γ_ij x_j²)      (Ballé, Laparra, Simoncelli 2016, eq. 3)
    IGDN: y_i = x_i · sqrt(β_i + Σ_j γ_ij x_j²)      (the decoder's approximate inverse)

    float32, because the squares of a 16-bit float lose or overflow what the root needs; bfloat16,
    which has the range of float32, is good enough for their sum.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        weight = gamma[:, :, None, None]
        if mixing == torch.float32:
            norm = F.conv2d(x * x, weight, beta)
        else:
            norm = F.conv2d((x * x).to(mixing), weight.to(mixing)).float() + beta[:, None, None]
        return x * (torch.sqrt(norm) if inverse else torch.rsqrt(norm))


class _Norm(nn.Module):
    """β (C) and γ (C, C) of one GDN, stored as square roots so that they stay non-negative."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(to_stored(torch.ones(num_channels)))
        self.gamma = nn.Parameter(to_stored(GAMMA_INIT * torch.eye(num_channels)))

    def effective(self) -> tuple[Tensor, Tensor]:
        return from_stored(self.beta, BETA_MIN), from_stored(self.gamma)


class SlimmableGDN(nn.Module):
    """GDN (or its inverse) at any of several widths; the width is the channels that x has.

    `switchable`: a GDN of its own for each width.
    `slim`: one shared β (C) and γ (C, C), sliced to the width.
    `slim+`: the same, then scaled and shifted for width k by learned non-negative scalars,
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
        """β (width) and γ (width, width) as the forward pass at this width uses them."""
        if self.variant == "switchable":
            return self.owner(width).effective()
        beta, gamma = self.owner(max(self.index)).effective()
        beta, gamma = beta[:width], gamma[:width, :width]
        if self.variant == "slim+":
            k = self.index[width]
            beta = from_stored(self.beta_scale[k]) * beta + from_stored(self.beta_bias[k])
            beta = lower_bound(beta, BETA_MIN)  # scale and bias may both have come to zero
            gamma = from_stored(self.gamma_scale[k]) * gamma + from_stored(self.gamma_bias[k])
        return beta, gamma

    def own_parameters(self, width: int) -> dict[str, Tensor]:
        """Every stored number that decides what this layer does at `width`, by name."""
        owner = self.owner(width if self.variant == "switchable" else max(self.index))
        found = {"beta": owner.beta[:width], "gamma": owner.gamma[:width, :width]}
        if self.variant == "slim+":
            k = self.index[width]
            for name in ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias"):
                found[name] = getattr(self, name)[k]
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, width, H, W); float32 out.

        Training under autocast (which is to bfloat16) sums the squares in its dtype: that noise
        is small beside a batch's.
        """
        beta, gamma = self.effective(x.shape[1])
        kind = x.device.type
        mixed = self.training and torch.is_autocast_enabled(kind)
        mixing = torch.get_autocast_dtype(kind) if mixed else torch.float32
        return gdn(x, beta, gamma, self.inverse, mixing)

    def owner(self, width: int) -> _Norm:
        """The β and γ stored under a width (those of the widest alone, unless switchable)."""
        owner = self.norms[str(width)]
        assert isinstance(owner, _Norm)
        return owner
