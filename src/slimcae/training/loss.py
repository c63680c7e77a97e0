"""The rate–distortion loss of a slimmable autoencoder."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from slimcae.networks.autoencoder import Autoencoder, SlimCAEOutput
from slimcae.networks.context import ContextNetworks
from slimcae.networks.hyperprior import Hyperpriors
from slimcae.networks.layers import leading


def bits_per_pixel(likelihoods: Tensor, num_pixels: int) -> Tensor:
    """Return the estimated rate: the sum of −log2(likelihoods) per pixel of the batch."""
    return -torch.log2(likelihoods).sum() / num_pixels


def border_error(error: Tensor, side: int) -> Tensor:
    """Return the mean squared steps of an error across the borders of blocks.

    error: (N, C, H, W). side: side of the square blocks. Blocks are visible where the error jumps,
    which the mean squared error does not measure.
    """
    total = error.new_zeros(())
    for axis in (2, 3):
        before = torch.arange(side - 1, error.shape[axis] - 1, side, device=error.device)
        step = error.index_select(axis, before + 1) - error.index_select(axis, before)
        total = total + step.square().sum()
    return total / error.numel()


class RateDistortionLoss(nn.Module):
    """Σ over widths, or other operating points, of λ_w · MSE_w + bpp_w (Yang et al. 2021, eq. 5).

    With context networks or hyperpriors (`rates`), these give the rate, and the densities train on
    detached latents. At a step Δ the distortion is weighted with λ / Δ², the slope at which Δ is
    optimal if 1 is optimal at λ.

    MSE is taken on images in [0, 1], as in the authors' code: λ = 2048 here is
    2048 / 255² = 0.0315 on the scale of 8-bit values. Rates count bits per pixel of the batch,
    N × H × W.

    balance: `sum`, or `log` for Σ log(λ_w · MSE_w + bpp_w), in which relative changes have the same
        weight at every width; in the sum, large widths have several times the weight.
    border_weight: weight of `border_error`, for the blocks of a latent, relative to the MSE.

    The loss contains the model, so a single forward call goes from pixels to the loss, which
    DistributedDataParallel can wrap and torch.compile can trace.
    """

    _lmbda: Tensor

    def __init__(
        self,
        model: Autoencoder,
        lmbda: Sequence[float],
        rates: ContextNetworks | Hyperpriors | None = None,
        *,
        balance: Literal["sum", "log"] = "sum",
        border_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self._balance = balance
        self._border_weight = border_weight
        self._block = model.architecture.downsampling  # torch.compile does not support properties
        self._sides = {
            width: {k: v[:2] for k, v in model.architecture.kernels(width).items()}
            for width in (model.widths if model.config.method == "slimcae" else ())
        }
        """What the kernels that all widths share are sliced to, by width and name."""
        self.rates = rates
        self.register_buffer("_lmbda", torch.zeros(len(lmbda)), persistent=False)
        self.lmbda = tuple(lmbda)

    @property
    def lmbda(self) -> tuple[float, ...]:
        """λ of each operating point of the model, in full precision."""
        return self._exact_lmbda

    @lmbda.setter
    def lmbda(self, values: tuple[float, ...]) -> None:
        self._exact_lmbda = values
        self._lmbda.copy_(torch.tensor(values))

    def forward(
        self, x: Tensor, widths: Sequence[int], step: Tensor | float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return the loss (scalar), and bpp and MSE of each width (len(widths), 2), detached.

        x: (N, 3, H, W) in [0, 1]. widths: largest first. step: Δ.
        """
        n, _, height, width = x.shape
        total = x.new_zeros(())
        measured = []
        # each width slices the kernels of the previous one, so the gradient of a slice is padded
        # only to the next larger width, not to the whole kernel
        parameters = self.model.named_parameters()
        shared = next(iter(self._sides.values()), {})
        kernels: dict[str, Tensor] = {name: p for name, p in parameters if name in shared}
        if torch.is_autocast_enabled(x.device.type):
            half = torch.get_autocast_dtype(x.device.type)
            kernels = {name: kernel.to(half) for name, kernel in kernels.items()}
        for filters in widths:
            sides = self._sides.get(filters, {})
            kernels = {name: leading(kernel, *sides[name]) for name, kernel in kernels.items()}
            out = functional_call(self.model, kernels, (x, filters, step))
            bpp = bits_per_pixel(out["likelihoods"], n * height * width)
            error = out["x_hat"].float() - x
            mse = distortion = error.square().mean()
            if self._border_weight:
                distortion = mse + self._border_weight * border_error(error, self._block)
            if self.rates is not None:
                total = total + bpp  # of the density, whose latents are detached
                bpp = self._bits(self.rates, out, filters, step) / (n * height * width)
            lmbda = self._lmbda[self.model.points.index(filters)] / step**2
            cost = lmbda * distortion + bpp
            total = total + (torch.log(cost) if self._balance == "log" else cost)
            measured.append(torch.stack([bpp.detach(), mse.detach()]))
        return total, torch.stack(measured)

    def _bits(
        self,
        rates: ContextNetworks | Hyperpriors,
        out: SlimCAEOutput,
        width: int,
        step: Tensor | float,
    ) -> Tensor:
        """Return the bits from `rates`, whose context is y_hat; in training, noisy y is coded."""
        bottleneck = self.model.entropy_bottleneck(width)
        medians = bottleneck.medians[:, None, None]
        known = coded = out["y_hat"] - medians
        if bottleneck.training and bottleneck.straight_through:
            y = out["y"].float()
            coded = y + (torch.rand_like(y) - 0.5) * step - medians
        return rates.bits(known, coded, width, step)
