"""The slimmable compressive autoencoder.

Source: Yang, Herranz, Cheng, Mozerov, "Slimmable Compressive Autoencoders for Practical Neural
Image Compression", CVPR 2021, https://arxiv.org/abs/2103.15726.
"""

from typing import TypedDict

import numpy as np
from torch import Tensor, nn

from slimcae.coding.contexts import Contexts, independent
from slimcae.coding.tables import from_probabilities
from slimcae.errors import ConfigError
from slimcae.model.bottleneck import EntropyBottleneck
from slimcae.model.config import DEFAULT_STEPS, ModelInfo, SlimCAEConfig
from slimcae.model.gdn import SlimmableGDN
from slimcae.model.layers import SlimmableConv2d, SlimmableConvTranspose2d

DOWNSAMPLING = 16
"""Image pixels per latent, in each direction."""


class SlimCAEOutput(TypedDict):
    """What a forward pass returns; shapes for an image batch x of (N, 3, H, W)."""

    x_hat: Tensor  # (N, 3, H, W)
    y: Tensor  # (N, width, H/16, W/16)
    y_hat: Tensor  # like y
    likelihoods: Tensor  # like y


class AnalysisTransform(nn.Module):
    """g_a: image to latents, at a given width."""

    def __init__(self, config: SlimCAEConfig) -> None:
        super().__init__()
        n = config.num_filters
        self.conv1 = SlimmableConv2d(3, n, kernel_size=9, stride=4)
        self.gdn1 = SlimmableGDN(config.widths, config.gdn)
        self.conv2 = SlimmableConv2d(n, n, kernel_size=5, stride=2)
        self.gdn2 = SlimmableGDN(config.widths, config.gdn)
        self.conv3 = SlimmableConv2d(n, n, kernel_size=5, stride=2, bias=False)
        self.gdn3 = SlimmableGDN(config.widths, config.gdn)

    def forward(self, x: Tensor, width: int) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, width, H/16, W/16)."""
        x = self.gdn1(self.conv1(x, width))
        x = self.gdn2(self.conv2(x, width))
        y: Tensor = self.gdn3(self.conv3(x, width).float())  # what is quantised is float32
        return y


class SynthesisTransform(nn.Module):
    """g_s: latents to image; the width is the number of channels that y_hat has."""

    def __init__(self, config: SlimCAEConfig) -> None:
        super().__init__()
        n = config.num_filters
        self.igdn1 = SlimmableGDN(config.widths, config.gdn, inverse=True)
        self.deconv1 = SlimmableConvTranspose2d(n, n, kernel_size=5, stride=2)
        self.igdn2 = SlimmableGDN(config.widths, config.gdn, inverse=True)
        self.deconv2 = SlimmableConvTranspose2d(n, n, kernel_size=5, stride=2)
        self.igdn3 = SlimmableGDN(config.widths, config.gdn, inverse=True)
        self.deconv3 = SlimmableConvTranspose2d(n, 3, kernel_size=9, stride=4)

    def forward(self, y_hat: Tensor) -> Tensor:
        """(N, width, h, w) to (N, 3, 16h, 16w), not clamped."""
        width = y_hat.shape[1]
        x = self.deconv1(self.igdn1(y_hat), width)
        x = self.deconv2(self.igdn2(x), width)
        x_hat: Tensor = self.deconv3(self.igdn3(x), 3)
        return x_hat


class SlimCAE(nn.Module):
    r"""One autoencoder that runs at several widths, each another rate, quality and cost.

    ::

                  g_a(·, width)                                     g_s
        x ──► conv 9×9 /4 ─ GDN ─ conv 5×5 /2 ─ GDN ─ conv 5×5 /2 ─ GDN ──► y
                                                                            │ Q, entropy bottleneck
                                                                            ▼   of this width
        x_hat ◄── deconv 9×9 ×4 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ◄── y_hat

    The kernels are shared by all widths and sliced (`slimcae.model.layers`), GDN follows the
    configured variant (`slimcae.model.gdn`), and each width has its own entropy bottleneck
    (`slimcae.model.bottleneck`). Image sides must be multiples of 16: the codec pads.

    `steps` are the quantisation steps Δ that the latents can be coded with; between widths they
    make the rate continuous. `tables` holds each width's contexts with their integer tables, for
    every step, once `update()` has built them; a model from a file has them already. `info` tells
    where the weights come from. `initialise=False` leaves the kernels unset, for weights that come
    next.
    """

    def __init__(self, config: SlimCAEConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or SlimCAEConfig()
        self.g_a = AnalysisTransform(self.config)
        self.g_s = SynthesisTransform(self.config)
        self.entropy_bottlenecks = nn.ModuleDict(
            {str(width): EntropyBottleneck(width) for width in self.config.widths}
        )
        self.steps: tuple[float, ...] = DEFAULT_STEPS
        self.tables: dict[int, tuple[Contexts, ...]] = {}
        self.info = ModelInfo()
        if initialise:
            for layer in self.modules():
                if isinstance(layer, SlimmableConv2d | SlimmableConvTranspose2d):
                    layer.initialise()

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, widest first."""
        return self.config.widths

    def entropy_bottleneck(self, width: int) -> EntropyBottleneck:
        """The entropy bottleneck of one width.

        Raises:
            ConfigError: a width that the model does not have.
        """
        if not isinstance(width, int) or width not in self.widths:
            have = ", ".join(map(str, self.widths))
            raise ConfigError(f"this model has no width {width!r}: choose from {have}")
        bottleneck = self.entropy_bottlenecks[str(width)]
        assert isinstance(bottleneck, EntropyBottleneck)
        return bottleneck

    def forward(self, x: Tensor, width: int) -> SlimCAEOutput:
        """Run images (N, 3, H, W) in [0, 1] through the codec at one width.

        Training mode adds uniform noise to the latents, evaluation mode rounds them.

        Raises:
            ConfigError: a width that the model does not have, or images of another shape.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % DOWNSAMPLING or x.shape[3] % DOWNSAMPLING:
            raise ConfigError(
                f"images of shape {tuple(x.shape)}: give (N, 3, H, W) with H and W multiples of "
                f"{DOWNSAMPLING}"
            )
        bottleneck = self.entropy_bottleneck(width)
        y = self.g_a(x, width)
        y_hat, likelihoods = bottleneck(y)
        x_hat = self.g_s(y_hat)
        return {"x_hat": x_hat, "y": y, "y_hat": y_hat, "likelihoods": likelihoods}

    def update(self) -> None:
        """Build what coding needs from the present weights: medians and integer tables.

        Called when a model is saved; the name is CompressAI's.
        """
        for width in self.widths:
            bottleneck = self.entropy_bottleneck(width)
            bottleneck.update_medians()
            tails = bottleneck.tails()
            steps = [bottleneck.probabilities(step, tails) for step in self.steps]
            tables = from_probabilities(
                np.concatenate([minimum for minimum, _ in steps]),
                [masses for _, channels in steps for masses in channels],
            )
            self.tables[width] = tuple(
                independent(tables, step * width, width) for step in range(len(steps))
            )
