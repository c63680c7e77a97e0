"""Exported models, the page's decoder in Node, and the files of the runtime."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import HANG
from slimcae.model.file import read_model
from slimcae.model.header import read_model_header
from slimcae.model.registry import shipped_model
from slimcae.studio.page_models import ENTROPY, INDEX, folder_names, index_file, width_file

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
TINY = GOLDEN / "tiny.safetensors"
MODEL_OF = {
    "scae": TINY,
    "light": GOLDEN / "tiny-light.safetensors",
    "broad": GOLDEN / "tiny-broad.safetensors",
    "broader": GOLDEN / "tiny-broader.safetensors",
    "hyperprior": GOLDEN / "tiny-hyperprior.safetensors",
}
"""The model for each folder of golden files."""
MODELS = (shipped_model(), *MODEL_OF.values())
FILES = [path for folder in MODEL_OF for path in sorted((GOLDEN / folder).glob("*.scae"))]

NODE = shutil.which("node")
_SCRIPT = Path(__file__).with_name("page_decoder.mjs")

needs_node = pytest.mark.skipif(NODE is None, reason="no JavaScript: apt-get install nodejs")


def digest(symbols: "np.ndarray[Any, Any]") -> str:
    return hashlib.sha256(symbols.astype("<i2").tobytes()).hexdigest()


def write_entropy_models(folder: Path, paths: Sequence[Path] = MODELS) -> Path:
    """Export the parts of models that symbols need, and return the folder."""
    headers = [read_model_header(path) for path in paths]
    names = list(folder_names(headers))
    for name, path in zip(names, paths, strict=True):
        (folder / name).mkdir(parents=True)
        model = read_model(path)
        for point in model.points:
            file = folder / name / f"{point}.{ENTROPY}"
            file.write_bytes(width_file(model, point, ENTROPY))
    (folder / INDEX).write_bytes(index_file(zip(names, headers, strict=True)))
    return folder


def decoded_in_node(models: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Return digests of symbols, or errors, by file name."""
    asked = {"models": f"{models}/", "files": {name: str(path) for name, path in files.items()}}
    done = subprocess.run(
        [str(NODE), str(_SCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    assert found.keys() == files.keys()
    return found
