"""A model as data: numbers, integers and a description. What trains is `slimcae.networks`."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from slimcae.model.normalization import effective
from slimcae.model.quality import QualityScale

Floats = NDArray[np.float32]

FAST_EFFORT = 1
DEFAULT_EFFORT = 2
EFFORTS = range(FAST_EFFORT, 10)
"""What an encoder can go for: 1 is speed of encoder and decoder, more is smaller files."""
_FAST_KINDS = ("tables", "factorized")


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """Everything that coding with a model needs.

    config: widths, and the variant of the normalization.
    tensors: of the transforms and of each width's density, named as in the file; float32, or
        float16 where the file has that, which takes half the memory. They mean the same.
    entropy_models: what codes the symbols of each width, by kind; the kind that makes the
        smallest files comes first, and is an encoder's choice unless speed is asked for.
    steps: quantisation steps Δ that the latents can be coded with; between widths they make the
        rate continuous.
    info: where the weights come from.
    training_tensors: float32, for training to go on with, without meaning for coding.

    Raises:
        ValueError: a width without an entropy model, or with one under another kind's name.
    """

    config: SlimCAEConfig
    tensors: Mapping[str, Floats | NDArray[np.float16]]
    entropy_models: Mapping[int, Mapping[str, EntropyModel]]
    steps: tuple[float, ...] = DEFAULT_STEPS
    info: ModelInfo = field(default_factory=ModelInfo)
    training_tensors: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for width in self.config.widths:
            models = self.entropy_models.get(width)
            if not models or any(kind != model.kind for kind, model in models.items()):
                raise ValueError(f"width {width} needs entropy models, each under its kind")

    def __reduce__(self) -> tuple[Callable[..., "Model"], tuple[Any, ...]]:
        """Pickle what a model file holds; the coder's own tables are made anew."""
        arrays = {
            width: {kind: model.to_arrays() for kind, model in models.items()}
            for width, models in self.entropy_models.items()
        }
        more = (self.steps, self.info, dict(self.training_tensors))
        return _of_arrays, (self.config, dict(self.tensors), arrays, *more)

    @property
    def widths(self) -> tuple[int, ...]:
        """The operating points, widest (best quality, most bits) first."""
        return self.config.widths

    @cached_property
    def architecture(self) -> Architecture:
        """The layers of the transforms."""
        return architecture_of(self.config)

    @cached_property
    def scale(self) -> QualityScale:
        """Mean rate and quality of the operating points."""
        return QualityScale.of_model(self.steps, self.widths, self.info.quality)

    def __repr__(self) -> str:
        widths = " ".join(map(str, self.widths))
        return f"<Model {self.info.name} {self.info.version}, widths {widths}>"

    def check_width(self, width: object) -> int:
        """Return a width that the model has.

        Raises:
            ConfigError: another one.
        """
        return self.config.check_width(width)

    def kind(self, width: int, effort: int = DEFAULT_EFFORT) -> str:
        """Return the kind of entropy model that an encoder uses at a width.

        Raises:
            ConfigError: a width that the model lacks.
        """
        kinds = self.entropy_models[self.check_width(width)]
        fast = [kind for kind in _FAST_KINDS if kind in kinds] if effort == FAST_EFFORT else []
        return next(iter((*fast, *kinds)))

    def efforts(self, width: int) -> tuple[int, ...]:
        """Return the efforts that make a difference for a decoder at a width, the default first.

        Raises:
            ConfigError: a width that the model lacks.
        """
        fast = self.kind(width, FAST_EFFORT) != self.kind(width)
        return (DEFAULT_EFFORT, FAST_EFFORT) if fast else (DEFAULT_EFFORT,)

    def entropy_model(self, width: int, kind: str | None = None) -> EntropyModel:
        """Return what codes the symbols of a width.

        kind: None is the one that makes the smallest files.

        Raises:
            ConfigError: a width that the model lacks, or a kind that it lacks there.
        """
        models = self.entropy_models[self.check_width(width)]
        if kind is None:
            return next(iter(models.values()))
        if kind not in models:
            raise ConfigError(
                f"the model has no entropy model of kind {kind} at width {width}, only "
                f"{', '.join(models)}"
            )
        return models[kind]

    def medians(self, width: int) -> Floats:
        """Return the centres of rounding (C) of a width."""
        return self.tensors[density_prefix(width) + MEDIANS].astype(np.float32, copy=False)

    def weights(self, width: int) -> dict[str, Floats]:
        """Return the tensors of the transforms, each as far as a width uses it.

        In float32. The names are those of a network of this width alone: `g_a.conv1.weight`,
        `g_a.gdn1.beta`.
        """
        stored = self._stored(width)
        return {name: part.astype(np.float32, copy=False) for name, part in stored.items()}

    def _stored(self, width: int) -> dict[str, NDArray[Any]]:
        used = self.architecture.used(width)
        return {name: self.tensors[stored][part] for name, (stored, part) in used.items()}

    def normalization(self, name: str, width: int) -> tuple[Floats, Floats]:
        """Return β (width) and γ (width, width) of a normalization, as its formula has them."""
        stem, weights = f"{name}.", self.weights(width)
        return effective({k.removeprefix(stem): weights[k] for k in weights if k.startswith(stem)})

    @cached_property
    def fingerprint(self) -> Callable[[int], bytes]:
        """The fingerprint of a width, 8 bytes, computed once; see docs/format.md."""
        return cache(self._fingerprint)

    def _fingerprint(self, width: int) -> bytes:
        digest = hashlib.sha256()
        arrays = self._stored(width)
        for name in density_tensors(self.architecture.latent_channels(width)):
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
    """Return how the names of a width's density begin."""
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
