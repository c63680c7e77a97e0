"""Test SOAP against a slow float64 reference, and against its theory."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slimcae.training import soap
from slimcae.training.soap import Soap

Array = NDArray[np.float64]
LR = 0.03
MERGED, SPLIT = (27, 3, 3, 3), (8, 12, 5, 5)
"""Shapes of kernels with two and with three bases, 12·25 being more than the limit. One gradient
spans every side of both: where it does not, the rest of the first basis is anyone's choice."""


class Reference:
    """Algorithms 3 and 4 of the paper for one kernel, a matrix or more, side by side, in float64.

    As in the authors' code the first step takes no step, bases come largest eigenvalue first, and
    a tensor has one basis per side. The momentum stays in the kernel's own coordinates.
    """

    def __init__(self) -> None:
        self.n = 0

    def update(self, g: Array, b1: float, b2: float, refresh_every: int) -> Array:
        outer = [np.tensordot(g, g, (others(g, k), others(g, k))) for k in range(g.ndim)]
        if self.n == 0:
            self.covariances = [(1 - b2) * c for c in outer]
            self.bases = [np.linalg.eigh(c)[1] for c in self.covariances]
            self.mean, self.square = np.zeros_like(g), np.zeros_like(g)
            self.n = 1
            return np.zeros_like(g)
        n = self.n
        self.mean = b1 * self.mean + (1 - b1) * g
        self.square = b2 * self.square + (1 - b2) * turned(g, self.bases) ** 2
        direction = turned(self.mean, self.bases) / (1 - b1**n)
        direction /= np.sqrt(self.square / (1 - b2**n)) + 1e-8
        update = turned(direction, [basis.T for basis in self.bases])
        self.covariances = [
            b2 * c + (1 - b2) * new for c, new in zip(self.covariances, outer, strict=True)
        ]
        if n % refresh_every == 0:
            for k, (covariance, basis) in enumerate(zip(self.covariances, self.bases, strict=True)):
                values = np.array([v @ covariance @ v for v in basis.T])
                order = np.argsort(-values)
                self.bases[k] = np.linalg.qr(covariance @ basis[:, order])[0]
                self.square = np.take(self.square, order, axis=k)
        self.n += 1
        return update


def others(x: Array, side: int) -> list[int]:
    return [k for k in range(x.ndim) if k != side]


def turned(x: Array, bases: Sequence[Array]) -> Array:
    for k, basis in enumerate(bases):
        x = np.moveaxis(np.tensordot(basis.T, x, (1, k)), 0, k)
    return x


def gradients(shape: Sequence[int], steps: int) -> list[Tensor]:
    """Return gradients with strong directions that turn slowly, so that bases matter."""
    generator = torch.Generator().manual_seed(1)
    n = shape[0]
    mix = torch.randn(n, n, generator=generator, dtype=torch.float64)
    drift = torch.randn(n, n, generator=generator, dtype=torch.float64)
    found = []
    for k in range(steps):
        g = torch.randn(*shape, generator=generator, dtype=torch.float64)
        found.append(torch.einsum("ij,j...->i...", mix + 0.05 * k * drift, g))
    return found


def walk(kernels: list[nn.Parameter], steps: list[list[Tensor]], *, half: bool = False) -> Soap:
    optimizer = Soap(kernels, LR, half=half)
    for tensors in steps:
        for kernel, gradient in zip(kernels, tensors, strict=True):
            kernel.grad = gradient.to(kernel).contiguous(memory_format=torch.channels_last)
        optimizer.step()
    return optimizer


def kernels_of(*shapes: Sequence[int], dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    """Use float64, in which small eigenvalues keep their directions."""
    return [
        nn.Parameter(torch.zeros(*shape, dtype=dtype).to(memory_format=torch.channels_last))
        for shape in shapes
    ]


def test_steps_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soap, "REFRESH_EVERY", 3)
    shapes = [SPLIT, MERGED, SPLIT]  # two of one shape go through together
    kernels = kernels_of(*shapes)
    streams = [gradients(shape, 11) for shape in shapes]
    streams[2] = [2 * g.flip(0) + 1 for g in streams[2]]
    walk(kernels, [list(step) for step in zip(*streams, strict=True)])
    for kernel, stream in zip(kernels, streams, strict=True):
        a, b, h, w = kernel.shape
        sides = (a, h * w, b) if kernel.shape == SPLIT else (a, h * w * b)
        reference = Reference()
        expected = np.zeros(sides)
        for g in stream:
            by_sides = g.permute(0, 2, 3, 1).reshape(sides).numpy()
            expected -= LR * reference.update(by_sides, *soap.BETAS, 3)
        found = kernel.detach().permute(0, 2, 3, 1).reshape(sides).numpy()
        assert np.abs(expected).max() > 3 * LR
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * LR)


def test_the_first_step_only_finds_the_bases() -> None:
    (kernel,) = kernels_of(MERGED)
    walk([kernel], [[g] for g in gradients(MERGED, 1)])
    assert not kernel.any()


def test_turned_gradients_give_turned_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike Adam, its steps do not depend on the coordinates: the purpose of the method."""
    monkeypatch.setattr(soap, "REFRESH_EVERY", 2)
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(27, 27, dtype=torch.float64))[0]
    plain, other = kernels_of(MERGED, MERGED)
    stream = gradients(MERGED, 9)
    walk([plain], [[g] for g in stream])
    walk([other], [[torch.einsum("ij,j...->i...", turn, g)] for g in stream])
    expected = torch.einsum("ij,j...->i...", turn, plain.detach())
    torch.testing.assert_close(other.detach(), expected, rtol=0, atol=1e-6 * LR)


def test_bases_stay_orthonormal_and_find_the_eigenvectors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(soap, "REFRESH_EVERY", 2)
    (kernel,) = kernels_of(SPLIT)
    optimizer = walk([kernel], [[g] for g in gradients(SPLIT, 120)])
    state = optimizer.state[kernel]
    for basis in state["bases"]:
        eye = torch.eye(basis.shape[-1], dtype=torch.float64)
        torch.testing.assert_close(basis[0].T @ basis[0], eye, rtol=0, atol=1e-12)
    covariance, basis = state["covariances"][0][0], state["bases"][0][0]
    diagonal = basis.T @ covariance @ basis
    strongest = torch.linalg.eigvalsh(covariance).flip(0)
    torch.testing.assert_close(diagonal.diagonal()[:3], strongest[:3], rtol=0.02, atol=0)


def test_bfloat16_products_change_little() -> None:
    full, half = kernels_of(SPLIT, SPLIT, dtype=torch.float32)
    stream = [[g] for g in gradients(SPLIT, 8)]
    walk([full], stream)
    walk([half], stream, half=True)
    assert half.dtype == torch.float32
    difference = (half - full).norm() / full.norm()
    assert 0 < difference < 0.1


def test_a_stretched_valley_is_crossed_further_than_by_adam() -> None:
    """A noisy quadratic with rotated axes, as for kernels."""
    shape = (16, 8, 3, 3)
    basis = torch.linalg.qr(torch.randn(16, 16))[0]
    hessian = basis @ torch.diag(torch.logspace(-3, 0, 16)) @ basis.T
    aim = torch.randn(*shape)

    def left(make: type[torch.optim.Optimizer], lr: float) -> float:
        torch.manual_seed(0)
        (kernel,) = kernels_of(shape, dtype=torch.float32)
        optimizer = make([kernel], lr=lr)  # type: ignore[call-arg]
        for k in range(200):
            optimizer.param_groups[0]["lr"] = lr * (1 - k / 200)
            error = (kernel.detach() - aim).flatten(1)
            pull = hessian @ error
            noise = hessian @ torch.randn_like(error)  # of batches
            kernel.grad = (pull + noise).view(shape).contiguous(memory_format=torch.channels_last)
            optimizer.step()
        return float((error * (hessian @ error)).sum())

    rates = (0.01, 0.03, 0.1, 0.3)
    ours, adams = (min(left(make, lr) for lr in rates) for make in (Soap, torch.optim.Adam))
    assert ours < 0.5 * adams
