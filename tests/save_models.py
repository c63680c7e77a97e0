"""Save the tiny models that tests make with torch, for tests in environments without torch.

PYTHONPATH=tests:tests/cli:tests/codec python tests/save_models.py FOLDER
"""

import sys
from pathlib import Path

from command_line import tiny_model
from tiny_codec import fitted_model, make_model

from conftest import random_model
from slimcae.model.config import ARCHITECTURES
from slimcae.model.file import write_model


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    models = {
        "random": random_model(),
        "light-0": make_model(0, architecture="light"),
        **{f"slimcae-{seed}": make_model(seed) for seed in (0, 1, 3)},
        **{f"{name}-fitted": fitted_model(name) for name in ARCHITECTURES},
        **{f"12-8-{seed}": tiny_model(seed, (12, 8)) for seed in (0, 1)},
    }
    for name, model in models.items():
        write_model(folder / f"{name}.safetensors", model)


if __name__ == "__main__":
    main()
