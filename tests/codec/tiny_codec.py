"""A tiny network and its model, which code well enough to distinguish a picture from noise."""

import copy
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from PIL import Image

from conftest import smooth_pixels
from optional_torch import (
    SlimCAE,
    fit,
    fit_entropy_models,
    made_or_saved,
    to_model,
    torch,
    warm_start_transforms,
)
from slimcae.model.config import ArchitectureName, ModelInfo, SlimCAEConfig
from slimcae.model.model import Model
from slimcae.transforms import open_transforms

WIDTHS = (12, 8, 4)
LMBDA = (2000.0, 1000.0, 500.0)


def make_network(
    seed: int, architecture: ArchitectureName = "slimcae", widths: tuple[int, ...] = WIDTHS
) -> SlimCAE:
    """Return a trained network, whose weights a test may change."""
    return copy.deepcopy(_trained(seed, architecture, widths))


@cache  # training takes seconds, and most test files need the network
def _trained(seed: int, architecture: ArchitectureName, widths: tuple[int, ...]) -> SlimCAE:
    torch.manual_seed(seed)
    network = SlimCAE(SlimCAEConfig(widths, architecture=architecture))
    x = torch.stack([torch.from_numpy(smooth_pixels(64, 64, k)).permute(2, 0, 1) for k in range(4)])
    warm_start_transforms(network, x.float() / 255, LMBDA[-len(widths) :])
    fit_entropy_models(network, x.float() / 255, seed)
    return network


def save_pictures(folder: Path) -> list[Path]:
    """Save four small pictures, and return their files."""
    paths = [folder / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        Image.fromarray(smooth_pixels(96, 128, seed)).save(path)
    return paths


@cache
def fitted_model(architecture: ArchitectureName = "slimcae") -> Model:
    """Return a model whose tables and quality scale are fitted to `save_pictures`."""

    def make() -> Model:
        model = make_model(0, architecture=architecture)
        with tempfile.TemporaryDirectory() as folder:
            paths = save_pictures(Path(folder))
            found = fit(model, open_transforms(model, precision="float32"), paths, paths)
        info = replace(model.info, quality=found.quality)
        return replace(model, entropy_models=found.entropy_models, info=info)

    return made_or_saved(f"{architecture}-fitted", make)


def make_model(
    seed: int, info: ModelInfo | None = None, architecture: ArchitectureName = "slimcae"
) -> Model:
    """Return the model of that network."""
    name = f"{architecture}-{seed}"
    model = made_or_saved(name, lambda: to_model(make_network(seed, architecture)))
    return model if info is None else replace(model, info=info)
