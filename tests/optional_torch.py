"""torch and what needs it, for tests that also run where it is not installed.

There, using any of these names skips the test, and tiny models come from the folder that
SLIMCAE_TEST_MODELS names (made by save_models.py, where torch is).
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimcae.model.file import read_model
from slimcae.model.model import Model

FOLDER = Path(os.environ.get("SLIMCAE_TEST_MODELS", ""))


class _Missing:
    """Skip the test that uses it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):  # pytest looks for fixtures among all names
            raise AttributeError(name)
        pytest.skip("torch is not installed")

    def __call__(self, *_: object, **__: object) -> Any:
        pytest.skip("torch is not installed")


if TYPE_CHECKING:
    import torch

    from slimcae.networks.conversion import load_network, to_model, to_network
    from slimcae.networks.slimcae import SlimCAE
    from slimcae.training.fitting import fit
    from slimcae.training.run_folder import locked
    from slimcae.training.warm_start import fit_entropy_models, warm_start_transforms
    from slimcae.transforms.torch_ import TorchTransforms
else:
    try:
        import torch
    except ModuleNotFoundError:
        torch = SlimCAE = TorchTransforms = _Missing()
        load_network = to_model = to_network = _Missing()
        fit = locked = fit_entropy_models = warm_start_transforms = _Missing()
    else:
        from slimcae.networks.conversion import load_network, to_model, to_network
        from slimcae.networks.slimcae import SlimCAE
        from slimcae.training.fitting import fit
        from slimcae.training.run_folder import locked
        from slimcae.training.warm_start import fit_entropy_models, warm_start_transforms
        from slimcae.transforms.torch_ import TorchTransforms

HAS_TORCH = not isinstance(torch, _Missing)
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")

__all__ = [
    "HAS_TORCH",
    "SlimCAE",
    "TorchTransforms",
    "fit",
    "fit_entropy_models",
    "load_network",
    "locked",
    "made_or_saved",
    "needs_torch",
    "to_model",
    "to_network",
    "torch",
    "warm_start_transforms",
]


def made_or_saved(name: str, make: Callable[[], Model]) -> Model:
    """Return the result of `make` with torch, or the one that save_models.py saved by this name."""
    return make() if HAS_TORCH else read_model(FOLDER / f"{name}.safetensors")
