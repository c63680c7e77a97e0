"""The modulated autoencoder: one network for all λ, whose channels are scaled by functions of λ.

Source: Yang, Herranz, van de Weijer, Iglesias Guitián, López, Mozerov, "Variable rate deep image
compression with modulated autoencoder", IEEE Signal Processing Letters 27, 2020; sizes as in the
authors' code.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

from slimcae.errors import ConfigError, ModelError
from slimcae.model.config import SlimCAEConfig
from slimcae.model.factors import MODULATION
from slimcae.model.layers import Convolution
from slimcae.networks.autoencoder import Arrays, Autoencoder, StoredArrays, arrays

HIDDEN = 50
"""Units between λ and the factors."""
PREFIX = f"{MODULATION}."
"""Prefix of the training tensors of the functions from λ to factors."""


class ModulatedAutoencoder(Autoencoder):
    """One network, with factors m(λ) and d(λ) for each channel, and a density per operating point.

    ::

        x ── conv ─ · m1 ─ GDN ─ conv ─ · m2 ─ GDN ─ conv ─ · m3 ─ GDN ──► y
        x_hat ◄── deconv ─ · d3 ─ IGDN ─ deconv ─ · d2 ─ IGDN ─ deconv ─ · d1 ─ IGDN ◄── y_hat

        m, d: exp(W2 · ReLU(W1 · λ / λ_max + b1) + b2)

    The implementation folds the factors into the kernels, which is equivalent.

    lmbda: λ of each operating point, best first; λ_max is the first.
    """

    largest: Tensor
    _lmbda: Tensor

    def __init__(
        self, config: SlimCAEConfig, lmbda: Sequence[float], *, initialise: bool = True
    ) -> None:
        super().__init__(config, initialise=initialise)
        self.register_buffer("largest", torch.tensor([float(lmbda[0])]))
        self.register_buffer("_lmbda", torch.tensor(lmbda), persistent=False)
        self.lmbda = tuple(lmbda)
        self._layers: dict[str, Convolution] = {}
        for factors in self.architecture.factors:
            assert isinstance(factors.layer, Convolution)
            self._layers[factors.name] = factors.layer
        self.modulators = nn.ModuleDict(
            {_module_name(layer): _modulator(config.num_filters) for layer in self._layers.values()}
        )

    def log_factors(self, lmbda: Tensor) -> dict[str, Tensor]:
        """Return the logarithms of all factors (…, channels) at λ (…), by their names in files."""
        condition = (lmbda / self.largest[0])[..., None]
        with torch.autocast(condition.device.type, enabled=False):
            return {
                name: self.modulators[_module_name(layer)](condition)
                for name, layer in self._layers.items()
            }

    @torch.no_grad()
    def begin_with_steps(self) -> None:
        """Let the rounding step be proportional to λ^−½, and all other factors be 1.

        This is for transforms that were made without factors. The logarithms of the factors on both
        sides of the latents are linear between the λ of the operating points, or between 51 of
        them.
        """
        for layer in self._layers.values():
            for parameter in self._linear_layers(layer)[1].parameters():
                parameter.zero_()
        conditions = (self._lmbda / self.largest).flip(0)
        if len(conditions) > HIDDEN + 1:
            places = torch.linspace(0, len(conditions) - 1, HIDDEN + 1).round().long()
            conditions = conditions[places]
        wanted = 0.5 * torch.log(conditions)
        slopes = wanted.diff() / conditions.diff()
        units = len(slopes)
        ends = self.architecture.analysis[-2], self.architecture.synthesis[1]
        for end, sign in zip(ends, (1, -1), strict=True):
            assert isinstance(end, Convolution)
            first, second = self._linear_layers(end)
            first.weight[:units] = 1
            first.bias[:units] = -conditions[:-1]  # each unit bends the line at one λ
            second.weight[:, :units] = sign * slopes.diff(prepend=slopes.new_zeros(1))
            second.bias[:] = sign * wanted[0]

    def _linear_layers(self, layer: Convolution) -> tuple[nn.Linear, nn.Linear]:
        first, _, second = self.modulators[_module_name(layer)].children()
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        return first, second

    def analyse(self, x: Tensor, width: int) -> Tensor:
        """Return the latents of images at a point."""
        y: Tensor = functional_call(self.g_a, self._folded("g_a", width), (x, self.widths[0]))
        return y

    def synthesise(self, y_hat: Tensor, width: int) -> Tensor:
        """Return the images of latents at a point."""
        folded = self._folded("g_s", width)
        x_hat: Tensor = functional_call(self.g_s, folded, (y_hat, self.widths[0]))
        return x_hat

    def _folded(self, transform: str, width: int) -> dict[str, Tensor]:
        """The parameters of a transform that factors change, by their names in it."""
        logs = self.log_factors(self._lmbda[self.points.index(width)])
        found = {}
        for name, layer in self._layers.items():
            side, _, module = layer.name.partition(".")
            if side != transform:
                continue
            parameters = dict(getattr(self, side).get_submodule(module).named_parameters())
            factors = torch.exp(logs[name])
            # the first dimension is that of what is written, or of a transposed kernel read
            found[f"{module}.weight"] = parameters["weight"] * factors[:, None, None, None]
            if not layer.transposed and "bias" in parameters:
                found[f"{module}.bias"] = parameters["bias"] * factors
        return found

    @torch.no_grad()
    def at(self, lmbda: Sequence[float]) -> "ModulatedAutoencoder":
        """Return a network with operating points at other λ, each with the nearest density.

        Raises:
            ConfigError: λ do not decrease, or are beyond the trained ones.
        """
        low, high = self.lmbda[-1], self.lmbda[0]
        falling = all(a > b for a, b in pairwise(lmbda))
        if not (lmbda and falling and low <= lmbda[-1] and lmbda[0] <= high):
            raise ConfigError(
                f"lmbda {' '.join(f'{each:g}' for each in lmbda)}: must be decreasing values from "
                f"{high:g} to {low:g}, the range of the training"
            )
        config = SlimCAEConfig(
            self.widths[:1] * len(lmbda), self.config.gdn, self.config.architecture, "modulated"
        )
        other = ModulatedAutoencoder(config, lmbda, initialise=False)
        own = self.state_dict()
        state = {k: v for k, v in own.items() if not k.startswith("entropy_bottlenecks.")}
        other.load_state_dict(state, strict=False)
        for point, value in zip(other.points, lmbda, strict=True):
            distances = {
                abs(value - known): p for p, known in zip(self.points, self.lmbda, strict=True)
            }
            nearest = self.entropy_bottleneck(distances[min(distances)])
            other.entropy_bottleneck(point).load_state_dict(nearest.state_dict())
        return other.train(self.training)

    def tensors(self) -> Arrays:
        """Return the tensors of the network for a model file, with the factors of its points."""
        state = self.state_dict()
        found = {k: v for k, v in state.items() if k not in self._training_state()}
        with torch.no_grad():  # one by one, because batches are rounded differently
            rows = [self.log_factors(value) for value in self._lmbda]
        return arrays(found | {name: torch.stack([r[name] for r in rows]) for name in rows[0]})

    def training_tensors(self) -> Arrays:
        """Return the tensors of the functions from λ to factors."""
        return {PREFIX + name: array for name, array in arrays(self._training_state()).items()}

    def restore(self, tensors: StoredArrays, training_tensors: StoredArrays) -> None:
        """Load the weights of a model file."""
        found = {
            k.removeprefix(PREFIX): v for k, v in training_tensors.items() if k.startswith(PREFIX)
        }
        missing = sorted(self._training_state().keys() - found)
        if missing:
            raise ModelError(f"the model has no {missing[0]}, which training needs")
        own = {k: v for k, v in tensors.items() if k not in self._layers}
        super().restore(own | found, {})

    def _training_state(self) -> dict[str, Tensor]:
        state = self.state_dict()
        return {k: v for k, v in state.items() if k.startswith("modulators.") or k == "largest"}


def _module_name(layer: Convolution) -> str:
    return layer.name.replace(".", "_")


def _modulator(channels: int) -> nn.Sequential:
    """Return a network from λ / λ_max to the logarithms of factors, initially near zero."""
    first, second = nn.Linear(1, HIDDEN), nn.Linear(HIDDEN, channels)
    for layer in (first, second):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.ReLU(), second)
