"""Properties that must hold for any bytes that are read as a model file.

Without atheris: `fuzz_models.py` feeds it, `test_fuzz_corpus.py` tries damaged seeds. Fingerprints
are not compared, since a forger would make them right.
"""

import contextlib
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np

from context_networks import random_arrays, random_symbols
from hyperpriors import random_hyperprior
from reference_decoder import KINDS, decode_symbols
from slimcae.coding.activity import TablesModel
from slimcae.coding.context import ContextModel
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import by_kind
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.tables import from_probabilities
from slimcae.errors import BitstreamError, ModelError
from slimcae.model.architecture import slimcae
from slimcae.model.config import SlimCAEConfig
from slimcae.model.density import density_tensors
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model, density_prefix

MAX_CHANNELS = 8
"""Larger models are not used to code: the fuzzer should try many files, not large ones."""


def check_model(data: bytes, path: Path) -> bool:
    """Return whether a model file is read; if so, all of its entropy models must code exactly.

    Raises:
        AssertionError: something that must hold does not.
        Exception: whatever but `ModelError` the package lets out.
    """
    path.write_bytes(data)
    try:
        with mock.patch("slimcae.model.file._check_fingerprints"):
            model = read_model(path)
    except ModelError as error:
        assert "\n" not in str(error)
        return False
    for models in model.entropy_models.values():
        for each in models.values():
            if each.num_channels <= MAX_CHANNELS:
                check_exactness(each)
    return True


def check_edits(edits: bytes, data: bytes, path: Path) -> bool:
    """Run `check_model` on a model file with edited integers.

    edits: two bytes for a place among all integers, one for the value there, and so on.
    """
    forged = bytearray(data)
    places = [place for begin, end in integer_places(data) for place in range(begin, end)]
    for at in range(0, len(edits) - 2, 3):
        where = int.from_bytes(edits[at : at + 2], "little") % len(places)
        forged[places[where]] = edits[at + 2]
    return check_model(bytes(forged), path)


@cache
def integer_places(data: bytes) -> list[tuple[int, int]]:
    """Return start and end of each array of integers in a model file."""
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    places = [
        entry["data_offsets"]
        for name, entry in entries.items()
        if name != "__metadata__" and entry["dtype"] in ("I8", "I32")
    ]
    return [(8 + length + begin, 8 + length + end) for begin, end in places]


def check_exactness(model: EntropyModel) -> None:
    """Check that both decoders find the encoded symbols, and that arbitrary bytes do no harm."""
    shape = (model.num_channels, 2, 3)
    for step in {0, model.num_steps - 1}:
        symbols = random_symbols(step, shape)
        data = model.encode(symbols, step)
        assert np.array_equal(model.decode(data, shape, step), symbols)
        arrays = {name: array.tolist() for name, array in model.to_arrays().items()}
        planes = decode_symbols(data, KINDS[model.kind](arrays, step), 2, 3)
        assert np.array_equal(np.array(planes), symbols)
        with contextlib.suppress(BitstreamError):
            assert model.decode(data[::-1], shape, step).shape == shape


def seed_model() -> bytes:
    """Return a model of two widths with all kinds of entropy models."""
    config = SlimCAEConfig((3, 1))
    tables = from_probabilities(np.array([-1] * 9, np.int32), [np.array([0.3, 0.4, 0.1])] * 9)
    choice = np.arange(9, dtype=np.int32).reshape(3, 3, 1)
    single = from_probabilities(np.array([-1] * 3, np.int32), [np.array([0.3, 0.4, 0.1])] * 3)
    entropy_models = {
        3: by_kind(
            ContextModel.from_arrays(random_arrays(1, (1, 2), 3)),
            HyperpriorModel.from_arrays(random_hyperprior(1, 3, (2, 1, 2, 1, 2))),
            TablesModel(tables, (3,), np.empty((3, 1, 0), np.int32), choice),
            FactorizedModel(tables, 3),
        ),
        1: by_kind(ContextModel.from_arrays(random_arrays(2, (1,), 2)), FactorizedModel(single, 1)),
    }
    architecture = slimcae(config)
    shapes = architecture.tensors()
    for width in config.widths:
        densities = density_tensors(architecture.latent_channels(width))
        shapes |= {density_prefix(width) + name: shape for name, shape in densities.items()}
    tensors = {name: np.full(shape, 0.1, np.float32) for name, shape in shapes.items()}
    model = Model(config, tensors, entropy_models, (1.0, 0.5, 2.0))
    with TemporaryDirectory() as folder:
        write_model(Path(folder, "m"), model)
        return Path(folder, "m").read_bytes()
