"""Model files for the page's decoder: entropy models and graphs, one file for each width.

docs/browser.md, "Model files", describes them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import safetensors.numpy

from slimcae.model.architecture import architecture_of
from slimcae.model.header import ModelHeader
from slimcae.model.model import Model
from slimcae.transforms.onnx_.building import synthesis_graph

INDEX = "index.json"
ENTROPY, GRAPH = "safetensors", "onnx"
"""Suffixes of the files of a width."""


def index_file(models: Iterable[tuple[str, ModelHeader]]) -> bytes:
    """Return the list of models, each with the folder of its files."""
    described = [_described(folder, header) for folder, header in models]
    return json.dumps({"models": described}).encode()


def width_file(model: Model, width: int, kind: str) -> bytes:
    """Return one of the files of a width; kind: its suffix."""
    return (
        synthesis_graph(model, width, half=True) if kind == GRAPH else _entropy_file(model, width)
    )


def folder_names(headers: Iterable[ModelHeader]) -> Iterator[str]:
    """Yield a folder name for each model: NAME-VERSION, with a suffix if that is taken."""
    taken: set[str] = set()
    for header in headers:
        # model names may have characters that addresses may not
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", f"{header.name}-{header.version}").lstrip(".")
        name, number = stem, 2
        while name in taken:
            name = f"{stem}-{number}"
            number += 1
        taken.add(name)
        yield name


def _described(folder: str, header: ModelHeader) -> dict[str, Any]:
    architecture = architecture_of(header.config)
    return {
        "name": header.name,
        "version": header.version,
        "folder": folder,
        "steps": header.steps,
        "downsampling": architecture.downsampling,
        "halo": architecture.synthesis_halo,
        "widths": {
            str(width): {
                "fingerprint": header.fingerprints[str(width)],
                "kinds": header.entropy_models[width],
                "filters": header.config.filters(width),
                "label": header.config.label(width, header.lmbda),
                "macs": architecture.decoder_macs(header.config.filters(width)),
            }
            for width in header.points
        },
    }


def _entropy_file(model: Model, width: int) -> bytes:
    arrays = {"medians": model.medians(width)}
    for kind, entropy_model in model.entropy_models[width].items():
        arrays |= {f"{kind}.{name}": array for name, array in entropy_model.to_arrays().items()}
    return safetensors.numpy.save({n: np.ascontiguousarray(a) for n, a in arrays.items()})
