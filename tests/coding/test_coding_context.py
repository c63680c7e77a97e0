"""The context network: exact, the same as a slow decoder, and closed to what is not valid."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from context_networks import random_arrays, random_symbols
from reference_decoder import Context as SlowContext
from reference_decoder import decode_symbols
from slimcae.coding.context import ContextModel
from slimcae.errors import BitstreamError
from slimcae.machine import processor_flags


def check_slowly(model: ContextModel, symbols: NDArray[np.int16], step: int) -> None:
    data = model.encode(symbols, step)
    lists = {name: array.tolist() for name, array in model.to_arrays().items()}
    planes = decode_symbols(data, SlowContext(lists, step), *symbols.shape[1:])
    np.testing.assert_array_equal(np.array(planes), symbols)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [(5, 6), (1, 1), (1, 7), (4, 1), (3, 3)])
def test_slow_decoder_agrees(seed: int, size: tuple[int, int]) -> None:
    groups = [(1, 2, 3), (4,), (2, 1)][seed % 3]
    model = ContextModel.from_arrays(random_arrays(seed, groups))
    check_slowly(model, random_symbols(seed, (sum(groups), *size)), seed % 3)


@pytest.mark.parametrize("shape", [(6, 32, 48), (6, 1, 300), (6, 97, 101), (6, 2, 1), (6, 0, 3)])
def test_round_trip(shape: tuple[int, int, int]) -> None:
    model = ContextModel.from_arrays(random_arrays(1))
    for step in range(3):
        symbols = random_symbols(step, shape)
        data = model.encode(symbols, step)
        assert np.array_equal(model.decode(data, shape, step), symbols)
        bits = model.ideal_bits(symbols, step)
        assert bits <= 8 * len(data) <= bits * 1.001 + 80


def test_arrays_survive() -> None:
    arrays = random_arrays(2)
    again = ContextModel.from_arrays(arrays).to_arrays()
    assert again.keys() == arrays.keys()
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    assert all(again[name].dtype == array.dtype for name, array in arrays.items())


EXTREMES = {
    "groups": (0, -1, 2**31 - 1, -(2**31)),
    "features": (-1, -128),
    "start": (2**24, -(2**24), 2**31 - 1, -(2**31)),
    "kernel_shift": (-1, 25, 127, -128),
    "bias": (2**24, -(2**31)),
    "places": (-1, 25, 127, -128),
    "mix_bias": (2**24, -(2**31)),
    "mix_places": (-1, 25, -128),
    "out_bias": (2**24, -(2**31)),
    "out_places": (-1, 25, -128),
    "reciprocal": (0, -1, 4096, 2**31 - 1, -(2**31)),
    "offset": (2**24, -(2**31), 2**20),
    "choice": (-1, 7, 2**31 - 1),
    "minimum": (-32768, 2**31 - 1),
    "length": (0, 1, 2**31 - 1),
    "counts": (0, -1, 2**31 - 1),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_numbers_out_of_range(name: str) -> None:
    for extreme in EXTREMES[name]:
        arrays = random_arrays(3)
        array = arrays[name].copy()
        array.reshape(-1)[-1] = extreme
        with pytest.raises(ValueError):
            ContextModel.from_arrays(arrays | {name: array})


@pytest.mark.parametrize("name", random_arrays(0))
def test_wrong_arrays(name: str) -> None:
    arrays = random_arrays(4)
    array = arrays[name]
    wrong: list[NDArray[Any]] = [array[:-1], array[..., None], array.astype(np.int64), array[:0]]
    wrong += [array.astype(np.float32), np.zeros((), array.dtype), np.concatenate([array, array])]
    if name == "choice":  # any number of scales is valid
        wrong = wrong[1:-1]
    for other in wrong:
        with pytest.raises(ValueError):
            ContextModel.from_arrays(arrays | {name: other})
    with pytest.raises(ValueError, match="missing"):
        ContextModel.from_arrays({key: arrays[key] for key in arrays if key != name})


@pytest.mark.parametrize("name", ["kernel", "mix", "out"])
def test_sums_that_are_not_exact(name: str) -> None:
    arrays = random_arrays(5)
    if name == "kernel":
        arrays["kernel_shift"] = np.full_like(arrays["kernel_shift"], 9)
    else:
        bias = arrays[f"{name}_bias"]
        arrays[f"{name}_bias"] = np.full_like(bias, 2**24 - 1)
    with pytest.raises(ValueError, match=f"{name} .* not exact"):
        ContextModel.from_arrays(arrays)


def test_damaged_streams() -> None:
    model = ContextModel.from_arrays(random_arrays(6))
    shape = (6, 7, 9)
    symbols = random_symbols(6, shape)
    data = model.encode(symbols, 0)
    for end in range(len(data)):
        try:
            model.decode(data[:end], shape, 0)
        except BitstreamError:
            continue
        assert end % 4 == 0
    with pytest.raises(BitstreamError):
        model.decode(data + bytes(8), shape, 0)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = model.decode(bytes(flipped), shape, 0)
        except BitstreamError:
            continue
        assert found.shape == shape
        assert found.dtype == np.int16


def test_wrong_symbols() -> None:
    model = ContextModel.from_arrays(random_arrays(7))
    wrongs: list[NDArray[Any]] = [
        np.zeros((5, 2, 2), np.int16),
        np.zeros((6, 2), np.int16),
        np.zeros((6, 2, 2), np.float32),
        np.full((6, 2, 2), -32768, np.int16),
        np.full((6, 2, 2), 40000, np.int32),
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError):
            model.encode(wrong, 0)


def into(out: Any, found: Any) -> Any:
    """As `numpy.matmul` does with its argument `out`."""
    if out is None:
        return found
    np.copyto(out, found)
    return out


def by_torch(a: Any, b: Any, out: Any = None) -> Any:
    """MKL's or oneDNN's product, whatever torch was built with."""
    torch = pytest.importorskip("torch")
    found = torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    return into(out, found)


def backwards(a: Any, b: Any, out: Any = None) -> Any:
    """One product after another in float32, the last first."""
    found = np.zeros((len(a), b.shape[1]), np.float32)
    for k in reversed(range(b.shape[0])):
        found += a[:, k, None] * b[k]
    return into(out, found)


def by_integers(a: Any, b: Any, out: Any = None) -> Any:
    """Products of integers of 64 bits, which know no rounding."""
    whole = [(matrix * 2.0**12).astype(np.int64) for matrix in (a, b)]
    assert all(np.array_equal(w / 2.0**12, m) for w, m in zip(whole, (a, b), strict=True))
    wide = np.einsum("ik,kj->ij", *whole)
    found = (wide / 2.0**24).astype(np.float32)
    assert np.array_equal(found.astype(np.float64) * 2.0**24, wide)
    return into(out, found)


@pytest.mark.parametrize("product", [by_torch, backwards, by_integers])
def test_other_products(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = []
    symbols = random_symbols(9, (46, 17, 23))
    for seed in range(3):
        model = ContextModel.from_arrays(random_arrays(seed, (3, 13, 30), 40))
        streams.append(model.encode(symbols, seed))
    monkeypatch.setattr(np, "matmul", product)
    for seed in range(3):
        model = ContextModel.from_arrays(random_arrays(seed, (3, 13, 30), 40))
        assert model.encode(symbols, seed) == streams[seed]
        assert np.array_equal(model.decode(streams[seed], (46, 17, 23), seed), symbols)


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from context_networks import random_arrays, random_symbols
from slimcae.coding.context import ContextModel
for seed in range(3):
    model = ContextModel.from_arrays(random_arrays(seed, (3, 13, 30), 40))
    data = model.encode(random_symbols(seed, (46, 33, 47)), seed)
    print(hashlib.sha256(data).hexdigest())
"""
TESTS = Path(__file__).parents[1]


def test_processors_and_threads() -> None:
    needed = {"Prescott": "pni", "Nehalem": "sse4_2", "Haswell": "avx2", "SkylakeX": "avx512f"}
    flags = processor_flags()
    cores = [core for core, flag in needed.items() if flag in flags]
    found = set()
    for core in (None, *cores, *(["Zen"] if "avx2" in flags else [])):
        for threads in ("1", "2"):
            env = os.environ | {"OPENBLAS_NUM_THREADS": threads}
            if core:
                env["OPENBLAS_CORETYPE"] = core
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, str(TESTS)],
                env=env,
                capture_output=True,
                text=True,
                check=True,
            )
            found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop().split()) == 3
