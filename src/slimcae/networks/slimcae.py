"""The slimmable compressive autoencoder.

Source: Yang, Herranz, Cheng, Mozerov, "Slimmable Compressive Autoencoders for Practical Neural
Image Compression", CVPR 2021, https://arxiv.org/abs/2103.15726.
"""

from typing import TypedDict

from torch import Tensor, nn

from slimcae.errors import ConfigError
from slimcae.model.architecture import architecture_of
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.transform import Transform


class SlimCAEOutput(TypedDict):
    """What a forward pass returns; shapes for an image batch x of (N, 3, H, W)."""

    x_hat: Tensor  # (N, 3, H, W)
    y: Tensor  # (N, width, H/16, W/16)
    y_hat: Tensor  # like y
    likelihoods: Tensor  # like y


class SlimCAE(nn.Module):
    r"""One autoencoder that runs at several widths, each with its own rate, quality and cost.

    ::

                  g_a(·, width)                                     g_s
        x ──► conv 9×9 /4 ─ GDN ─ conv 5×5 /2 ─ GDN ─ conv 5×5 /2 ─ GDN ──► y
                                                                            │ Q, entropy bottleneck
                                                                            ▼   of this width
        x_hat ◄── deconv 9×9 ×4 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ◄── y_hat

    These are the paper's transforms; `slimcae.model.architecture` has them and others. The kernels
    are shared by all widths and sliced (`slimcae.networks.layers`), GDN follows the configured
    variant (`slimcae.networks.gdn`), and each width has its own entropy bottleneck
    (`slimcae.networks.bottleneck`). Image sides must be multiples of 16: the codec pads.

    What codes symbols belongs to the model file (`slimcae.model`, `slimcae.networks.conversion`).
    `initialise=False` leaves the kernels unset, for weights that come next.
    """

    def __init__(self, config: SlimCAEConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or SlimCAEConfig()
        self.architecture = architecture_of(self.config)
        self._downsampling = self.architecture.downsampling  # torch.compile knows no properties
        self.g_a = Transform(self.architecture.analysis, self.config, exact_end=True)
        self.g_s = Transform(self.architecture.synthesis, self.config)
        self.entropy_bottlenecks = nn.ModuleDict(
            {
                str(width): EntropyBottleneck(self.architecture.latent_channels(width))
                for width in self.config.widths
            }
        )
        if initialise:
            self.g_a.initialise()
            self.g_s.initialise()

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, widest first."""
        return self.config.widths

    def entropy_bottleneck(self, width: int) -> EntropyBottleneck:
        """Return the entropy bottleneck of one width.

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
        scale = self._downsampling
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % scale or x.shape[3] % scale:
            raise ConfigError(
                f"images of shape {tuple(x.shape)}: give (N, 3, H, W) with H and W multiples of "
                f"{scale}"
            )
        bottleneck = self.entropy_bottleneck(width)
        y = self.g_a(x, width)
        y_hat, likelihoods = bottleneck(y, step)
        x_hat = self.g_s(y_hat, width)
        return {"x_hat": x_hat, "y": y, "y_hat": y_hat, "likelihoods": likelihoods}

    def update(self) -> None:
        """Find the medians, around which latents are rounded, of the present densities.

        Called when a model is made of the network; the name is CompressAI's.
        """
        for width in self.widths:
            self.entropy_bottleneck(width).update_medians()
