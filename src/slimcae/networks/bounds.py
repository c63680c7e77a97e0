"""Bounded parameters: a lower bound with useful gradients, and storage of non-negative values."""

from typing import Any

import torch
from torch import Tensor

from slimcae.model.normalization import PEDESTAL


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (grad,) = grad_outputs
        passes = (x >= ctx.bound) | (grad < 0)
        return grad * passes, None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """Return max(x, bound), whose gradient still passes below the bound if it increases x."""
    result: Tensor = _LowerBound.apply(x, bound)  # type: ignore[no-untyped-call]
    return result


def to_stored(value: Tensor) -> Tensor:
    """Return the stored form of a non-negative number: sqrt(value + 2⁻³⁶) (Ballé et al. 2018)."""
    return torch.sqrt(value.clamp_min(0.0) + PEDESTAL)


def from_stored(stored: Tensor, minimum: float = 0.0) -> Tensor:
    """Return the effective value, at least `minimum`: max(stored, sqrt(minimum + 2⁻³⁶))² − 2⁻³⁶."""
    return lower_bound(stored, (minimum + PEDESTAL) ** 0.5) ** 2 - PEDESTAL
