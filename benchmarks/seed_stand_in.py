"""A stand-in for the earlier PyTorch port of SlimCAE, built from a description of it.

The port itself is not available. Known facts about its network: every width has its own encoder
convolutions, whose inputs are padded with zeros to the channels of the largest width; the latents
are padded with zeros, and every width has a decoder of full size; all of it is float32. That gives
15.56 M parameters, an encoder of 5.4 (width 48) to 23.9 thousand multiply-accumulates per pixel,
and a decoder of 23.8 at every width, as known of the port. Each width has its own entropy
bottleneck. A single Adam optimizer takes steps on the sum over the widths.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.gdn import SlimmableGDN
from slimcae.training.loss import bits_per_pixel


class StandIn(nn.Module):
    """The networks of all widths; `forward(x, k)` runs the k-th."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths
        self.full = full = widths[0]
        self.encoders = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Conv2d(3, width, 9, 4, 4),
                    nn.Conv2d(full, width, 5, 2, 2),
                    nn.Conv2d(full, width, 5, 2, 2, bias=False),
                    *(SlimmableGDN((width,), "switchable") for _ in range(3)),
                ]
            )
            for width in widths
        )
        self.decoders = nn.ModuleList(
            nn.ModuleList(
                [
                    SlimmableGDN((width,), "switchable", inverse=True),
                    nn.ConvTranspose2d(full, full, 5, 2, 2, 1),
                    SlimmableGDN((full,), "switchable", inverse=True),
                    nn.ConvTranspose2d(full, full, 5, 2, 2, 1),
                    SlimmableGDN((full,), "switchable", inverse=True),
                    nn.ConvTranspose2d(full, 3, 9, 4, 4, 3),
                ]
            )
            for width in widths
        )
        self.bottlenecks = nn.ModuleList(EntropyBottleneck(width) for width in widths)

    def encode(self, x: Tensor, k: int) -> Tensor:
        """Latents (N, width, H/16, W/16)."""
        conv1, conv2, conv3, gdn1, gdn2, gdn3 = _layers(self.encoders[k])
        x = self.padded(gdn1(conv1(x)))
        x = self.padded(gdn2(conv2(x)))
        y: Tensor = gdn3(conv3(x))
        return y

    def decode(self, y: Tensor, k: int) -> Tensor:
        """Pictures (N, 3, H, W) from latents (N, width, h, w)."""
        igdn, *rest = _layers(self.decoders[k])
        x: Tensor = self.padded(igdn(y))
        for layer in rest:
            x = layer(x)
        return x

    def padded(self, x: Tensor) -> Tensor:
        """With channels of zeros up to the widest."""
        return F.pad(x, (0, 0, 0, 0, 0, self.full - x.shape[1]))

    def forward(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Pictures and likelihoods."""
        y_hat, likelihoods = self.bottlenecks[k](self.encode(x, k))
        return self.decode(y_hat, k), likelihoods


def _layers(layers: nn.Module) -> list[nn.Module]:
    assert isinstance(layers, nn.ModuleList)
    return list(layers)


class StandInTrainer:
    """Whole training steps on batches of 8-bit crops (N, 3, H, W)."""

    def __init__(self, widths: tuple[int, ...], lmbda: tuple[float, ...]) -> None:
        self.model = StandIn(widths).train()
        self.lmbda = lmbda
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-4)

    def step(self, batch: Tensor) -> float:
        """One step; the loss."""
        x = batch.float() / 255
        loss = x.new_zeros(())
        for k, lmbda in enumerate(self.lmbda):
            x_hat, likelihoods = self.model(x, k)
            pixels = x.shape[0] * x.shape[2] * x.shape[3]
            loss = loss + lmbda * (x_hat - x).square().mean() + bits_per_pixel(likelihoods, pixels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()
