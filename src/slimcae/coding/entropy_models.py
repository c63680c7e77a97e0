"""The kinds of entropy models that a model file can hold."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from slimcae.coding.activity import TablesModel
from slimcae.coding.context import ContextModel
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel

KINDS: tuple[type[EntropyModel], ...] = (
    FactorizedModel,
    TablesModel,
    ContextModel,
    HyperpriorModel,
)
"""In the order of their numbers in `.scae` files, which start at 0."""


def entropy_model_of(kind: str, arrays: Mapping[str, NDArray[Any]]) -> EntropyModel:
    """Build and validate an entropy model from the arrays of a model file.

    arrays: by name, see `EntropyModel.to_arrays`.

    Raises:
        ValueError: The kind is unknown, or arrays are missing, of the wrong type, or inconsistent.
    """
    found = {each.kind: each for each in KINDS}.get(kind)
    if found is None:
        raise ValueError(f"unknown kind of entropy model {kind!r}")
    return found.from_arrays(arrays)


def by_kind(*models: EntropyModel) -> dict[str, EntropyModel]:
    """Return a dictionary from kind to entropy model, in the order of the arguments."""
    return {model.kind: model for model in models}
