"""The slimmable compressive autoencoder.

Source: Yang, Herranz, Cheng, Mozerov, "Slimmable Compressive Autoencoders for Practical Neural
Image Compression", CVPR 2021, https://arxiv.org/abs/2103.15726.
"""

from slimcae.model.config import SlimCAEConfig
from slimcae.networks.autoencoder import Autoencoder


class SlimCAE(Autoencoder):
    r"""One autoencoder that runs at several widths, each with its own rate, quality and cost.

    ::

                  g_a(·, width)                                     g_s
        x ──► conv 9×9 /4 ─ GDN ─ conv 5×5 /2 ─ GDN ─ conv 5×5 /2 ─ GDN ──► y
                                                                            │ Q, entropy bottleneck
                                                                            ▼   of this width
        x_hat ◄── deconv 9×9 ×4 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ◄── y_hat

    The diagram shows the paper's transforms; `slimcae.model.architecture` also has others. All
    widths share and slice the kernels (`slimcae.networks.layers`). GDN has the configured variant
    (`slimcae.networks.gdn`), and each width has its own entropy bottleneck
    (`slimcae.networks.bottleneck`). Image sides must be multiples of 16; the codec pads images.

    The coding tables are part of the model (`slimcae.model`, `slimcae.networks.conversion`).
    `initialise=False` leaves the kernels uninitialised, for weights that are loaded next.
    """

    def __init__(self, config: SlimCAEConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__(config or SlimCAEConfig(), initialise=initialise)
