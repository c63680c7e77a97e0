"""Bottleneck scaling: one trained network with scaled latents, which changes the rounding.

Source: Theis, Shi, Cunningham, Huszár, "Lossy image compression with compressive autoencoders",
ICLR 2017, section 3.3.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.model.config import SlimCAEConfig
from slimcae.model.factors import SCALING
from slimcae.model.model import Model, density_prefix
from slimcae.networks.autoencoder import Arrays, Autoencoder, SlimCAEOutput, StoredArrays, arrays


class ScaledBottleneck(Autoencoder):
    """The network of the best operating point; others have a factor s for each latent channel.

    ::

        y ── · s ── Q ── / s ──► y_hat

    Only the logarithm of s is trained. The density of y determines that of y · s, so the densities
    of the other points follow from that of the best point: `forward` evaluates it on intervals of
    1 / s, and `update` stores the resulting densities.
    """

    def __init__(
        self, config: SlimCAEConfig, lmbda: Sequence[float] | None, *, initialise: bool = True
    ) -> None:
        """Start with s = √(λ / λ of the best point), which is optimal for small Δ."""
        super().__init__(config, initialise=initialise)
        best, *others = lmbda or [1.0] * len(config.points)
        start = torch.tensor([math.log(each / best) / 2 for each in others])
        channels = self.architecture.latent_channels(config.num_filters)
        self.log_scales = nn.Parameter(start[:, None].repeat(1, channels))

    @property
    def trained_points(self) -> tuple[int, ...]:
        """All points except the best, whose network is already trained."""
        return self.points[1:]

    def freeze(self) -> None:
        """Disable gradients of everything except the factors."""
        self.requires_grad_(False)
        self.log_scales.requires_grad_(True)

    def begin_with(self, model: Model) -> None:
        """Load the weights of a model with one width and without factors."""
        foreign, own = density_prefix(model.points[0]), density_prefix(self.points[0])
        state = {name.replace(foreign, own): array for name, array in model.tensors.items()}
        self.load_state_dict({k: torch.tensor(v).float() for k, v in state.items()}, strict=False)

    def log_scale(self, width: int) -> Tensor:
        """Return log s (channels) of an operating point."""
        row = self.points.index(width)
        return self.log_scales[row - 1] if row else torch.zeros_like(self.log_scales[0])

    def forward(self, x: Tensor, width: int, step: Tensor | float = 1.0) -> SlimCAEOutput:
        """Run images (N, 3, H, W) in [0, 1] through the codec at one operating point and step Δ.

        y and y_hat are those of the synthesis, not multiplied by s.
        """
        self._check(x)
        y = self.analyse(x, width)
        steps = step * torch.exp(-self.log_scale(width))[None, :, None, None]
        y_hat, likelihoods = self.entropy_bottleneck(self.points[0])(y, steps)
        x_hat = self.synthesise(y_hat, width)
        return {"x_hat": x_hat, "y": y, "y_hat": y_hat, "likelihoods": likelihoods}

    @torch.no_grad()
    def update(self) -> None:
        """Store the density of each point, and update all medians."""
        best = self.entropy_bottleneck(self.points[0])
        for point in self.trained_points:
            density = self.entropy_bottleneck(point)
            density.load_state_dict(best.state_dict())
            # of the values y · s, the first layer sees y again
            slope = F.softplus(best.matrices[0]) * torch.exp(-self.log_scale(point))[:, None, None]
            density.matrices[0].copy_(slope + torch.log(-torch.expm1(-slope)))
        super().update()

    def tensors(self) -> Arrays:
        """Return the tensors of the network for a model file, with log s of all points."""
        found = arrays(self.state_dict())
        del found["log_scales"]
        rows = torch.stack([self.log_scale(point) for point in self.points])
        return found | arrays({SCALING: rows})

    def restore(self, tensors: StoredArrays, training_tensors: StoredArrays) -> None:
        """Load the weights of a model file."""
        own = {name: array for name, array in tensors.items() if name != SCALING}
        super().restore(own | {"log_scales": tensors[SCALING][1:]}, training_tensors)
