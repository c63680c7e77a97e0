"""A model as data: weights, entropy models and a description. `slimcae.networks` trains it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import entropy_model_of
from slimcae.errors import ConfigError
from slimcae.model.architecture import Architecture, architecture_of
from slimcae.model.config import DEFAULT_STEPS, ModelInfo, SlimCAEConfig
from slimcae.model.density import MEDIANS, density_tensors
from slimcae.model.folding import fold, normalized
from slimcae.model.normalization import effective
from slimcae.model.quality import QualityScale

Floats = NDArray[np.float32]

FAST_EFFORT = 1
DEFAULT_EFFORT = 2
EFFORTS = range(FAST_EFFORT, 10)
"""Efforts of an encoder: 1 is the fastest to encode and decode, higher ones give smaller files."""
_FAST_KINDS = ("tables", "factorized")


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """Everything that coding with a model needs.

    An operating point is identified by its number (see `points`), which is its width if widths
    differ. Throughout the code, `width` means this number; the number of filters of the point is
    `filters(width)`.

    config: widths, variant of the normalization, and what the points share.
    tensors: tensors of the transforms and of each point's density, named as in the file; float32,
        or float16 if the file stores that (half the memory, same values).
    entropy_models: the entropy models of each point, by kind. The first kind gives the smallest
        files; encoders use it unless the effort asks for speed.
    steps: quantisation steps Δ for the latents, which make the rate nearly continuous between
        widths.
    info: name, version and training of the weights.
    training_tensors: float32 tensors that only further training needs.

    Raises:
        ValueError: A width has no entropy model, or one under the wrong kind.
    """

    config: SlimCAEConfig
    tensors: Mapping[str, Floats | NDArray[np.float16]]
    entropy_models: Mapping[int, Mapping[str, EntropyModel]]
    steps: tuple[float, ...] = DEFAULT_STEPS
    info: ModelInfo = field(default_factory=ModelInfo)
    training_tensors: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for width in self.points:
            models = self.entropy_models.get(width)
            if not models or any(kind != model.kind for kind, model in models.items()):
                raise ValueError(f"{self.label(width)} needs entropy models, keyed by their kinds")

    def __reduce__(self) -> tuple[Callable[..., "Model"], tuple[Any, ...]]:
        """Pickle the contents of a model file; the coder's tables are rebuilt when unpickled."""
        arrays = {
            width: {kind: model.to_arrays() for kind, model in models.items()}
            for width, models in self.entropy_models.items()
        }
        more = (self.steps, self.info, dict(self.training_tensors))
        return _of_arrays, (self.config, dict(self.tensors), arrays, *more)

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, best (of most bits) first."""
        return self.config.widths

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point, best first: its width, or n … 1."""
        return self.config.points

    def filters(self, width: int) -> int:
        """Return the width (filters per layer) of an operating point."""
        return self.config.filters(width)

    def label(self, width: int) -> str:
        """Return the display name of a point: `width 96`, or `point 3 (λ 512)`."""
        return self.config.label(width, self.info.lmbda)

    @cached_property
    def architecture(self) -> Architecture:
        """The layers of the transforms."""
        return architecture_of(self.config)

    @cached_property
    def scale(self) -> QualityScale:
        """Mean rate and quality of the operating points."""
        return QualityScale.of_model(self.steps, self.points, self.info.quality)

    def __repr__(self) -> str:
        widths = " ".join(map(str, self.widths))
        method = "" if self.config.method == "slimcae" else f"{self.config.method}, "
        return f"<Model {self.info.name} {self.info.version}, {method}widths {widths}>"

    def check_width(self, width: object) -> int:
        """Return a width that identifies an operating point, as an int.

        Raises:
            ConfigError: There is no such width, or several points have it.
        """
        return self.config.check_width(width)

    def check_point(self, width: object) -> int:
        """Return the number of an operating point as an int.

        Raises:
            ConfigError: The model has no such point.
        """
        return self.config.check_point(width)

    def point_of(self, num_filters: int, fingerprint: bytes) -> int | None:
        """Return the operating point that a header names; None if another model made the file."""
        fitting = (p for p in self.points if self.filters(p) == num_filters)
        return next((p for p in fitting if self.fingerprint(p) == fingerprint), None)

    def kind(self, width: int, effort: int = DEFAULT_EFFORT) -> str:
        """Return the kind of entropy model that an encoder uses at a width.

        Raises:
            ConfigError: The model has no such width.
        """
        kinds = self.entropy_models[self.check_point(width)]
        fast = [kind for kind in _FAST_KINDS if kind in kinds] if effort == FAST_EFFORT else []
        return next(iter((*fast, *kinds)))

    def efforts(self, width: int) -> tuple[int, ...]:
        """Return the efforts that lead to different decoding times at a width, the default first.

        Raises:
            ConfigError: The model has no such width.
        """
        fast = self.kind(width, FAST_EFFORT) != self.kind(width)
        return (DEFAULT_EFFORT, FAST_EFFORT) if fast else (DEFAULT_EFFORT,)

    def entropy_model(self, width: int, kind: str | None = None) -> EntropyModel:
        """Return an entropy model of a width.

        kind: None selects the kind that gives the smallest files.

        Raises:
            ConfigError: The model has no such width, or not this kind at the width.
        """
        models = self.entropy_models[self.check_point(width)]
        if kind is None:
            return next(iter(models.values()))
        if kind not in models:
            raise ConfigError(
                f"the model has no entropy model of kind {kind} at {self.label(width)}, only "
                f"{', '.join(models)}"
            )
        return models[kind]

    def medians(self, width: int) -> Floats:
        """Return the centres of rounding (C) of a width."""
        return self.tensors[density_prefix(width) + MEDIANS].astype(np.float32, copy=False)

    def alone(self, width: int) -> "Model":
        """Return a model with a single operating point and method `slimcae`.

        Raises:
            ConfigError: The point has factors, which such a model cannot store.
        """
        if self.architecture.factors:
            raise ConfigError(f"a point of method {self.config.method} cannot be split off")
        filters = self.filters(width)
        config = SlimCAEConfig((filters,), self.config.gdn, self.config.architecture)
        architecture, own = architecture_of(config), self._stored(width)
        tensors = {k: np.empty(v, np.float32) for k, v in architecture.tensors().items()}
        for name, (stored, part) in architecture.used(filters).items():
            tensors[stored][part] = own[name]
        for name in density_tensors(architecture.latent_channels(filters)):
            density = self.tensors[density_prefix(width) + name]
            tensors[density_prefix(filters) + name] = density.astype(np.float32, copy=False)
        lmbda, quality = self.info.lmbda, self.info.quality
        info = replace(
            self.info,
            lmbda=None if lmbda is None else (lmbda[self.points.index(width)],),
            quality=None if quality is None else {filters: quality[width]},
        )
        models = {filters: self.entropy_models[width]}
        return Model(config, tensors, models, self.steps, info)

    def weights(self, width: int) -> dict[str, Floats]:
        """Return the slices of the transforms' tensors that a point uses, in float32.

        The names are those of a network of this point alone: `g_a.conv1.weight`, `g_a.gdn1.beta`.
        Factors of the point are folded in, except those that `normalization` folds in.
        """
        stored = self._stored(width)
        found = {name: part.astype(np.float32, copy=False) for name, part in stored.items()}
        factors = self.architecture.factors
        logs = {each.name: found.pop(each.name) for each in factors if each.name in found}
        for each in factors:
            fold(each, logs[each.name], found)
        return found

    def _stored(self, width: int) -> dict[str, NDArray[Any]]:
        used = self.architecture.used(width)
        return {name: self.tensors[stored][part] for name, (stored, part) in used.items()}

    def normalization(self, name: str, width: int) -> tuple[Floats, Floats]:
        """Return the effective β (width) and γ (width, width) of a normalization."""
        stem, stored = f"{name}.", self._stored(width)
        weights = {k.removeprefix(stem): v for k, v in stored.items() if k.startswith(stem)}
        beta, gamma = effective({k: v.astype(np.float32, copy=False) for k, v in weights.items()})
        for each in self.architecture.factors:
            if each.layer == self.architecture.layer(name):
                beta, gamma = normalized(each, stored[each.name], beta, gamma)
        return beta, gamma

    @cached_property
    def fingerprint(self) -> Callable[[int], bytes]:
        """A cached function from operating point to fingerprint, 8 bytes; see docs/format.md."""
        return cache(self._fingerprint)

    def _fingerprint(self, width: int) -> bytes:
        digest = hashlib.sha256()
        arrays = self._stored(width)
        for name in density_tensors(self.architecture.latent_channels(self.filters(width))):
            arrays[f"entropy_bottleneck.{name}"] = self.tensors[density_prefix(width) + name]
        for kind, model in self.entropy_models[width].items():
            arrays |= {f"{kind}.{name}": array for name, array in model.to_arrays().items()}
        arrays["steps"] = np.array(self.steps, np.float32)
        for name, array in sorted(arrays.items()):
            if array.dtype == np.float16:
                array = array.astype(np.float32)
            little_endian = np.asarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name} {little_endian.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(little_endian).reshape(-1).view(np.uint8).data)
        return digest.digest()[:8]


def density_prefix(width: int) -> str:
    """Return the prefix of the tensor names of an operating point's density."""
    return f"entropy_bottlenecks.{width}."


def _of_arrays(
    config: SlimCAEConfig,
    tensors: dict[str, Floats],
    arrays: dict[int, dict[str, dict[str, NDArray[Any]]]],
    *more: Any,
) -> Model:
    """Return the model that `Model.__reduce__` describes."""
    entropy_models = {
        width: {kind: entropy_model_of(kind, found) for kind, found in kinds.items()}
        for width, kinds in arrays.items()
    }
    return Model(config, tensors, entropy_models, *more)
