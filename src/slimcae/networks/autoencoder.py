"""The base of the autoencoders of all methods: transforms and entropy bottlenecks."""

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slimcae.errors import ConfigError
from slimcae.model.architecture import architecture_of
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.transform import Transform

Arrays = dict[str, NDArray[np.float32]]
StoredArrays = Mapping[str, NDArray[np.float32] | NDArray[np.float16]]


class SlimCAEOutput(TypedDict):
    """Result of a forward pass; shapes are for an image batch x of (N, 3, H, W)."""

    x_hat: Tensor  # (N, 3, H, W)
    y: Tensor  # (N, C, H/16, W/16)
    y_hat: Tensor  # like y
    likelihoods: Tensor  # like y


class TransformPair(nn.Module):
    """g_a and g_s of a configuration."""

    def __init__(self, config: SlimCAEConfig) -> None:
        super().__init__()
        self.config = config
        architecture = architecture_of(config)
        self.g_a = Transform(architecture.analysis, config, exact_end=True)
        self.g_s = Transform(architecture.synthesis, config)

    def initialise(self) -> None:
        """Draw random kernels."""
        self.g_a.initialise()
        self.g_s.initialise()


class Autoencoder(TransformPair):
    """An autoencoder with several operating points, which differ in rate and quality.

    ::

        x ── g_a(·, point) ──► y ── Q, entropy bottleneck of the point ──► y_hat ── g_s ──► x_hat

    This class has one pair of transforms for all points. Other methods override `analyse` and
    `synthesise`, or `forward`.

    `initialise=False` leaves the kernels uninitialised, for weights that are loaded next.
    """

    def __init__(self, config: SlimCAEConfig, *, initialise: bool = True) -> None:
        super().__init__(config.transforms_of(config.points[0]))
        self._finish(config, initialise)

    def _finish(self, config: SlimCAEConfig, initialise: bool) -> None:
        self.config = config
        self.architecture = architecture_of(config)
        self._downsampling = (
            self.architecture.downsampling
        )  # torch.compile does not support properties
        self._filters = dict(zip(config.points, config.widths, strict=True))
        self.entropy_bottlenecks = nn.ModuleDict(
            {
                str(point): EntropyBottleneck(self.architecture.latent_channels(width))
                for point, width in self._filters.items()
            }
        )
        if initialise:
            self.initialise()

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, best point first."""
        return self.config.widths

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point, best first; see `SlimCAEConfig.points`."""
        return self.config.points

    @property
    def trained_points(self) -> tuple[int, ...]:
        """The operating points that training changes."""
        return self.points

    def freeze(self) -> None:
        """Disable gradients of parameters that the method does not train."""

    @property
    def pairs(self) -> list[tuple[TransformPair, tuple[int, ...]]]:
        """Return the pairs of transforms, and the operating points that use each."""
        return [(self, self.points)]

    @property
    def parts(self) -> list[list[nn.Parameter]]:
        """Return the parameters of each independently trained part; here, of the whole network."""
        return [list(self.parameters())]

    def entropy_bottleneck(self, width: int) -> EntropyBottleneck:
        """Return the entropy bottleneck of one operating point.

        Raises:
            ConfigError: The model does not have the point.
        """
        bottleneck = self.entropy_bottlenecks[str(self.config.check_point(width))]
        assert isinstance(bottleneck, EntropyBottleneck)
        return bottleneck

    def analyse(self, x: Tensor, width: int) -> Tensor:
        """Return the latents y (N, C, H/16, W/16) of images (N, 3, H, W) at a point."""
        y: Tensor = self.g_a(x, self._filters[width])
        return y

    def synthesise(self, y_hat: Tensor, width: int) -> Tensor:
        """Return the images (N, 3, H, W) of latents (N, C, H/16, W/16) at a point."""
        x_hat: Tensor = self.g_s(y_hat, self._filters[width])
        return x_hat

    def forward(self, x: Tensor, width: int, step: Tensor | float = 1.0) -> SlimCAEOutput:
        """Run images (N, 3, H, W) in [0, 1] through the codec at one point and step Δ.

        width: the number of the operating point, which in method `slimcae` is its width.

        Training mode adds uniform noise to the latents; evaluation mode rounds them.

        Raises:
            ConfigError: The model does not have the point, or the shape of the images is wrong.
        """
        self._check(x)
        bottleneck = self.entropy_bottleneck(width)
        y = self.analyse(x, width)
        y_hat, likelihoods = bottleneck(y, step)
        x_hat = self.synthesise(y_hat, width)
        return {"x_hat": x_hat, "y": y, "y_hat": y_hat, "likelihoods": likelihoods}

    def _check(self, x: Tensor) -> None:
        scale = self._downsampling
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % scale or x.shape[3] % scale:
            raise ConfigError(
                f"images of shape {tuple(x.shape)}: must be (N, 3, H, W), H and W multiples of "
                f"{scale}"
            )

    def update(self) -> None:
        """Update the medians, the centres of rounding, for the current densities.

        The conversion to a model calls it. The name is that of CompressAI.
        """
        for width in self.points:
            self.entropy_bottleneck(width).update_medians()

    def tensors(self) -> Arrays:
        """Return the tensors of the network for a model file, including densities, by name."""
        return arrays(self.state_dict())

    def restore(self, tensors: StoredArrays, training_tensors: StoredArrays) -> None:
        """Load the weights of a model file; inverse of `tensors`.

        Raises:
            ModelError: Training tensors that this method needs are missing.
        """
        state = {name: torch.tensor(array).float() for name, array in tensors.items()}
        self.load_state_dict(state, assign=True)

    def training_tensors(self) -> Arrays:
        """Return the tensors for a model file that only further training needs."""
        return {}


def arrays(tensors: dict[str, Tensor]) -> Arrays:
    """Return copies of tensors as float32 arrays."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in tensors.items()}
