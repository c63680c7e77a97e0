"""The slimmable compressive autoencoder.

Source: Yang, Herranz, Cheng, Mozerov, "Slimmable Compressive Autoencoders for Practical Neural
Image Compression", CVPR 2021, https://arxiv.org/abs/2103.15726.
"""

from typing import TypedDict

from torch import Tensor, nn

from slimcae.errors import ConfigError
from slimcae.model.architecture import Architecture, Convolution, Normalization, slimcae
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.layers import SlimmableConv2d, SlimmableConvTranspose2d


class SlimCAEOutput(TypedDict):
    """What a forward pass returns; shapes for an image batch x of (N, 3, H, W)."""

    x_hat: Tensor  # (N, 3, H, W)
    y: Tensor  # (N, width, H/16, W/16)
    y_hat: Tensor  # like y
    likelihoods: Tensor  # like y


class AnalysisTransform(nn.Module):
    """g_a: image to latents, at a given width."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.conv1 = _conv(architecture, "g_a.conv1")
        self.gdn1 = _norm(architecture, "g_a.gdn1")
        self.conv2 = _conv(architecture, "g_a.conv2")
        self.gdn2 = _norm(architecture, "g_a.gdn2")
        self.conv3 = _conv(architecture, "g_a.conv3")
        self.gdn3 = _norm(architecture, "g_a.gdn3")

    def forward(self, x: Tensor, width: int) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, width, H/16, W/16)."""
        x = self.gdn1(self.conv1(x, width))
        x = self.gdn2(self.conv2(x, width))
        y: Tensor = self.gdn3(self.conv3(x, width).float())  # what is quantised is float32
        return y


class SynthesisTransform(nn.Module):
    """g_s: latents to image; the width is the number of channels that y_hat has."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.igdn1 = _norm(architecture, "g_s.igdn1")
        self.deconv1 = _deconv(architecture, "g_s.deconv1")
        self.igdn2 = _norm(architecture, "g_s.igdn2")
        self.deconv2 = _deconv(architecture, "g_s.deconv2")
        self.igdn3 = _norm(architecture, "g_s.igdn3")
        self.deconv3 = _deconv(architecture, "g_s.deconv3")

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

    The kernels are shared by all widths and sliced (`slimcae.networks.layers`), GDN follows the
    configured variant (`slimcae.networks.gdn`), and each width has its own entropy bottleneck
    (`slimcae.networks.bottleneck`). Image sides must be multiples of 16: the codec pads.

    What codes symbols belongs to the model file (`slimcae.model`, `slimcae.networks.conversion`).
    `initialise=False` leaves the kernels unset, for weights that come next.
    """

    def __init__(self, config: SlimCAEConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or SlimCAEConfig()
        self.architecture = slimcae(self.config)
        self.g_a = AnalysisTransform(self.architecture)
        self.g_s = SynthesisTransform(self.architecture)
        self.entropy_bottlenecks = nn.ModuleDict(
            {
                str(width): EntropyBottleneck(self.architecture.latent_channels(width))
                for width in self.config.widths
            }
        )
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
        bottleneck = self.entropy_bottlenecks[str(self.config.check_width(width))]
        assert isinstance(bottleneck, EntropyBottleneck)
        return bottleneck

    def forward(self, x: Tensor, width: int, step: Tensor | float = 1.0) -> SlimCAEOutput:
        """Run images (N, 3, H, W) in [0, 1] through the codec at one width and step Δ.

        Training mode adds uniform noise to the latents, evaluation mode rounds them.

        Raises:
            ConfigError: a width that the model does not have, or images of another shape.
        """
        scale = self.architecture.downsampling
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % scale or x.shape[3] % scale:
            raise ConfigError(
                f"images of shape {tuple(x.shape)}: give (N, 3, H, W) with H and W multiples of "
                f"{scale}"
            )
        bottleneck = self.entropy_bottleneck(width)
        y = self.g_a(x, width)
        y_hat, likelihoods = bottleneck(y, step)
        x_hat = self.g_s(y_hat)
        return {"x_hat": x_hat, "y": y, "y_hat": y_hat, "likelihoods": likelihoods}

    def update(self) -> None:
        """Find the medians, around which latents are rounded, of the present densities.

        Called when a model is made of the network; the name is CompressAI's.
        """
        for width in self.widths:
            self.entropy_bottleneck(width).update_medians()


def _conv(architecture: Architecture, name: str) -> SlimmableConv2d:
    layer, n = architecture.layer(name), architecture.config.num_filters
    assert isinstance(layer, Convolution)
    inputs, outputs = layer.inputs or n, layer.outputs or n
    return SlimmableConv2d(inputs, outputs, layer.side, layer.stride, layer.bias)


def _deconv(architecture: Architecture, name: str) -> SlimmableConvTranspose2d:
    layer, n = architecture.layer(name), architecture.config.num_filters
    assert isinstance(layer, Convolution)
    return SlimmableConvTranspose2d(layer.inputs or n, layer.outputs or n, layer.side, layer.stride)


def _norm(architecture: Architecture, name: str) -> SlimmableGDN:
    layer, config = architecture.layer(name), architecture.config
    assert isinstance(layer, Normalization)
    return SlimmableGDN(config.widths, config.gdn, inverse=layer.inverse)
