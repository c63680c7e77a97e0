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
"""In the order of their numbers in `.scae` files, from 0 on."""


def entropy_model_of(kind: str, arrays: Mapping[str, NDArray[Any]]) -> EntropyModel:
    """Return the entropy model that a model file's arrays describe, checked.

    arrays: by the names of `EntropyModel.to_arrays`.

    Raises:
        ValueError: an unknown kind; arrays that are missing, of another type, or contradict each
            other.
    """
    found = {each.kind: each for each in KINDS}.get(kind)
    if found is None:
        raise ValueError(f"an entropy model of unknown kind {kind!r}")
    return found.from_arrays(arrays)


def by_kind(*models: EntropyModel) -> dict[str, EntropyModel]:
    """Return entropy models of one width by their kinds, in this order."""
    return {model.kind: model for model in models}
