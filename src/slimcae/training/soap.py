"""SOAP, the optimizer of the convolution kernels: Adam in the eigenbasis of Shampoo.

Source: Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson, Kakade, "SOAP: Improving and
Stabilizing Shampoo using Adam", ICLR 2025, https://arxiv.org/abs/2409.11321, algorithm 3. It is
reported to save learned image codecs most of Adam's steps (https://arxiv.org/abs/2601.20769).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

BETAS = (0.9, 0.95)
"""Decay of the gradient's average, and of those of its squares and covariances."""
EPSILON = 1e-8
REFRESH_EVERY = 10
"""Steps between two updates of the bases, which change slowly and cost more than a step."""
LARGEST_SIDE = 256
"""Largest side up to which the input channels and taps of a kernel share one basis."""


class Soap(torch.optim.Optimizer):
    """Optimizer for kernels (a, b, k, k) with a basis for each of their sides.

    Sides are a, k·k and b, or a and k·k·b if the latter is small. The optimizer keeps the average
    covariance of the gradients of each side; Adam runs in the basis of its eigenvectors, which is
    updated every `REFRESH_EVERY` steps by one power iteration and a QR decomposition. The first
    step only computes the bases.

    Kernels of the same shape are processed together without device synchronization. All state is in
    `state_dict()`, under the first kernel of each shape.

    half: change bases in bfloat16, which on a CPU saves half of the time of a step. Covariances
    stay in float32, because their eigenvalues span six orders of magnitude.
    """

    def __init__(self, params: Iterable[Any], lr: float, *, half: bool = False) -> None:
        super().__init__(params, {"lr": lr})
        self._half = half

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all kernels; their gradients must be set."""
        assert closure is None
        for group in self.param_groups:
            same: dict[torch.Size, list[Tensor]] = {}
            for kernel in group["params"]:
                same.setdefault(kernel.shape, []).append(kernel)
            for kernels in same.values():
                update = self._update(kernels)
                if update is not None:
                    steps = _as_kernels(update, kernels[0].shape)
                    torch._foreach_add_(kernels, list(steps.unbind()), alpha=-group["lr"])

    def _update(self, kernels: list[Tensor]) -> Tensor | None:
        """Return the update (without the learning rate), by side; None at the first step."""
        state = self.state[kernels[0]]
        gradient = _by_sides(torch.stack([_gradient(kernel) for kernel in kernels]))
        sides = range(1, gradient.ndim)
        covariances = [self._covariance(gradient, side) for side in sides]
        if not state:
            state["step"] = 0
            state["covariances"] = [(1 - BETAS[1]) * new for new in covariances]
            state["bases"] = [torch.linalg.eigh(c).eigenvectors for c in state["covariances"]]
            state["mean"] = torch.zeros_like(gradient)  # of gradients in the bases
            state["square"] = torch.zeros_like(gradient)
            return None
        state["step"] += 1
        torch._foreach_lerp_(state["covariances"], covariances, 1 - BETAS[1])
        turned = self._turn(gradient, state["bases"])
        mean = state["mean"].lerp_(turned, 1 - BETAS[0])
        square = state["square"].mul_(BETAS[1]).addcmul_(turned, turned, value=1 - BETAS[1])
        corrections = [1 - beta ** state["step"] for beta in BETAS]
        scale = (square / corrections[1]).sqrt_().add_(EPSILON)
        update = self._turn((mean / corrections[0]).div_(scale), _transposed(state["bases"]))
        if state["step"] % REFRESH_EVERY == 0:
            self._refresh(state)
        return update

    def _refresh(self, state: dict[str, Any]) -> None:
        """Update the eigenvectors, and transform the state to the new bases."""
        mean = self._turn(state["mean"], _transposed(state["bases"]))
        bases = []
        for side, (covariance, basis) in enumerate(
            zip(state["covariances"], state["bases"], strict=True), start=1
        ):
            moved = covariance @ basis
            # largest first, which QR preserves best; the squares move with their directions
            order = (basis * moved).sum(dim=1).argsort(dim=1, descending=True)
            moved = moved.gather(2, order[:, None, :].expand_as(moved))
            bases.append(torch.linalg.qr(moved).Q)
            shape = [1] * state["square"].ndim
            shape[0], shape[side] = order.shape
            along = order.view(shape).expand_as(state["square"])
            state["square"] = state["square"].gather(side, along)
        state["bases"] = bases
        state["mean"] = self._turn(mean, bases)

    def _covariance(self, x: Tensor, side: int) -> Tensor:
        """Return the covariance (count, n, n) of a side of length n, summed over other sides."""
        if side == x.ndim - 1:
            rows = x.flatten(1, -2).transpose(1, 2)
        else:
            rows = x.movedim(side, 1).flatten(2)
        return torch.bmm(rows, rows.transpose(1, 2))

    def _turn(self, x: Tensor, bases: list[Tensor]) -> Tensor:
        """Return the coordinates of x (count, a, …) in the bases (count, n, n) of its sides."""
        first, *middle, last = bases
        x = self._product(first.transpose(1, 2), x.flatten(2)).view_as(x)
        x = self._product(x.flatten(1, -2), last).view_as(x)
        for basis in middle:  # the taps, a short side
            x = basis.transpose(1, 2)[:, None] @ x
        return x

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        if self._half:
            return torch.bmm(a.bfloat16(), b.bfloat16()).float()
        return torch.bmm(a, b)


def _gradient(kernel: Tensor) -> Tensor:
    assert kernel.grad is not None
    return kernel.grad


def _transposed(bases: list[Tensor]) -> list[Tensor]:
    return [basis.transpose(1, 2) for basis in bases]


def _by_sides(x: Tensor) -> Tensor:
    """Reshape (count, a, b, k, k) to (count, a, k·k, b) or (count, a, k·k·b)."""
    x = x.permute(0, 1, 3, 4, 2)  # no copy if kernels are stored channels last
    if x[0, 0].numel() <= LARGEST_SIDE:
        return x.flatten(2)
    return x.flatten(2, 3)


def _as_kernels(x: Tensor, shape: torch.Size) -> Tensor:
    """Invert `_by_sides` for kernels of a shape (a, b, k, k)."""
    a, b, height, width = shape
    return x.reshape(-1, a, height, width, b).permute(0, 1, 4, 2, 3)
