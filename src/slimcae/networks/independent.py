"""Independent models: a separate network for each operating point.

Source: Ballé, Laparra, Simoncelli, "End-to-end optimized image compression", ICLR 2017: one network
is trained for each λ.
"""

from torch import Tensor, nn

from slimcae.model.config import SlimCAEConfig
from slimcae.networks.autoencoder import Autoencoder, TransformPair


class IndependentModels(Autoencoder):
    """Several networks, of equal or different widths, each trained for its own λ."""

    def __init__(self, config: SlimCAEConfig, *, initialise: bool = True) -> None:
        nn.Module.__init__(self)  # there are no common transforms
        self.networks = nn.ModuleDict(
            {str(point): TransformPair(config.transforms_of(point)) for point in config.points}
        )
        self._finish(config, initialise)

    def initialise(self) -> None:
        """Draw random kernels."""
        for network, _ in self.pairs:
            network.initialise()

    @property
    def pairs(self) -> list[tuple[TransformPair, tuple[int, ...]]]:
        """Return a pair of transforms for each operating point."""
        return [(self._network(point), (point,)) for point in self.points]

    @property
    def parts(self) -> list[list[nn.Parameter]]:
        """Return the parameters of each network, whose gradients are clipped separately."""
        return [
            [*self._network(point).parameters(), *self.entropy_bottleneck(point).parameters()]
            for point in self.points
        ]

    def analyse(self, x: Tensor, width: int) -> Tensor:
        """Return the latents of images, computed by the network of a point."""
        y: Tensor = self._network(width).g_a(x, self._filters[width])
        return y

    def synthesise(self, y_hat: Tensor, width: int) -> Tensor:
        """Return the images of latents, computed by the network of a point."""
        x_hat: Tensor = self._network(width).g_s(y_hat, self._filters[width])
        return x_hat

    def _network(self, point: int) -> TransformPair:
        network = self.networks[str(point)]
        assert isinstance(network, TransformPair)
        return network
