"""The hyperprior: exact, the same as a slow decoder, and closed to what is not valid."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from context_networks import random_symbols
from hyperpriors import random_hyperprior
from reference_decoder import Hyperprior as SlowHyperprior
from reference_decoder import decode_symbols
from slimcae.coding.entropy import Part
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.errors import BitstreamError

NAMES = tuple(random_hyperprior(0))


def slow(model: HyperpriorModel, data: bytes, shape: tuple[int, int, int], step: int) -> Any:
    lists = {name: array.tolist() for name, array in model.to_arrays().items()}
    return np.array(decode_symbols(data, SlowHyperprior(lists, step), *shape[1:]))


def slow_z(model: HyperpriorModel, symbols: NDArray[np.int16], step: int) -> NDArray[np.int16]:
    """z by the definition of h_a, one sum after the other."""
    arrays = {name: array.astype(int) for name, array in model.to_arrays().items()}
    _, height, width = symbols.shape
    sizes = arrays["features"][step][
        np.minimum(np.abs(symbols.astype(int)), arrays["features"].shape[1] - 1)
    ]
    x = np.pad(sizes, ((0, 0), (0, -height % 4), (0, -width % 4)))
    for name, stride in (("h_a.1", 1), ("h_a.2", 2), ("h_a.3", 2)):
        kernel = arrays[f"{name}.kernel"]
        middle = len(kernel) // 2
        rows, columns = x.shape[1] // stride, x.shape[2] // stride
        found = np.empty((kernel.shape[3], rows, columns), int)
        for n, i, j in np.ndindex(found.shape):
            total = arrays[f"{name}.bias"][step, n]
            for u, v in np.ndindex(kernel.shape[:2]):
                row, column = stride * i + u - middle, stride * j + v - middle
                if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                    total += kernel[u, v, :, n] @ x[:, row, column]
            found[n, i, j] = total >> arrays[f"{name}.places"][n]
        x = np.clip(found, 0 if stride == 1 or name == "h_a.2" else -127, 127)
    return x.astype(np.int16)


@pytest.mark.parametrize("size", [(5, 6), (1, 1), (1, 9), (4, 1), (8, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_slow_decoder_agrees(seed: int, size: tuple[int, int]) -> None:
    channels = (3, 1, 4)[seed]
    model = HyperpriorModel.from_arrays(random_hyperprior(seed, channels))
    symbols = random_symbols(seed, (channels, *size))
    data = model.encode(symbols, seed)
    np.testing.assert_array_equal(slow(model, data, symbols.shape, seed), symbols)
    np.testing.assert_array_equal(
        model.side_information(symbols, seed), slow_z(model, symbols, seed)
    )


def test_the_random_models_say_something() -> None:
    """Scales and z differ from place to place and end at no limit, or tests would show little."""
    model = HyperpriorModel.from_arrays(random_hyperprior(0))
    z = model.side_information(random_symbols(0, (3, 40, 40)), 0)
    assert len(np.unique(z)) > 20
    assert np.mean(np.abs(z) == 127) < 0.5
    parts = []

    def note(part: Part) -> Any:
        parts.append(part.which)
        return part.values

    model.walk(note, (3, 40, 40), 0, random_symbols(0, (3, 40, 40)))
    z_tables, tables = parts
    assert z_tables.size == 2 * 10 * 10
    assert len(np.unique(tables)) >= 5


@pytest.mark.parametrize("shape", [(3, 32, 48), (3, 1, 300), (3, 37, 41), (3, 2, 1), (3, 0, 3)])
def test_round_trip(shape: tuple[int, int, int]) -> None:
    model = HyperpriorModel.from_arrays(random_hyperprior(1))
    for step in range(3):
        symbols = random_symbols(step, shape)
        data = model.encode(symbols, step)
        assert np.array_equal(model.decode(data, shape, step), symbols)
        bits = model.ideal_bits(symbols, step)
        assert bits <= 8 * len(data) <= bits * 1.001 + 80


def test_arrays_survive() -> None:
    arrays = random_hyperprior(2)
    again = HyperpriorModel.from_arrays(arrays).to_arrays()
    assert again.keys() == arrays.keys()
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    assert all(again[name].dtype == array.dtype for name, array in arrays.items())


EXTREMES = {
    "places": (-1, 25, 127, -128),
    "bias": (2**24, -(2**24), 2**31 - 1, -(2**31)),
    "features": (-1, -128),
    "choice": (-1, 7, 2**31 - 1),
    "z_choice": (-1, 7, 2**31 - 1),
    "minimum": (-32768, 2**31 - 1),
    "length": (0, 1, 2**31 - 1),
    "counts": (0, -1, 2**31 - 1),
}


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arrays(name: str) -> None:
    arrays = random_hyperprior(4)
    array = arrays[name]
    for extreme in EXTREMES.get(name.rpartition(".")[2], ()):
        wild = array.copy()
        wild.reshape(-1)[-1] = extreme
        with pytest.raises(ValueError):
            HyperpriorModel.from_arrays(arrays | {name: wild})
    wrong: list[NDArray[Any]] = [array[..., None], array.astype(np.int64), array[:0]]
    wrong += [array.astype(np.float32), np.zeros((), array.dtype), array[..., :0]]
    if name not in ("choice", "features"):  # any number of scales or sizes is valid
        wrong += [array[..., :-1], np.concatenate([array, array], axis=-1)]
    for other in wrong:
        with pytest.raises(ValueError):
            HyperpriorModel.from_arrays(arrays | {name: other})
    with pytest.raises(ValueError, match="missing"):
        HyperpriorModel.from_arrays({key: arrays[key] for key in arrays if key != name})


@pytest.mark.parametrize("name", ["h_a.1", "h_s.2"])
def test_sums_that_are_not_exact(name: str) -> None:
    arrays = random_hyperprior(5)
    kernel = arrays[f"{name}.kernel"]
    arrays[f"{name}.bias"][:] = 0
    most = int(127 * np.abs(kernel.astype(int)).sum(axis=(0, 1, 2)).max())
    arrays[f"{name}.bias"][-1, :] = 2**24 - 1 - most
    HyperpriorModel.from_arrays(arrays)
    arrays[f"{name}.bias"][-1, :] = 2**24 - most
    with pytest.raises(ValueError, match=f"{name} .* not exact"):
        HyperpriorModel.from_arrays(arrays)


def test_numbers_of_channels_are_limited() -> None:
    HyperpriorModel.from_arrays(random_hyperprior(0, 1, (1, 1, 1024, 1, 1)))
    with pytest.raises(ValueError, match="1025 hidden channels"):
        HyperpriorModel.from_arrays(random_hyperprior(0, 1, (1, 1, 1025, 1, 1)))


def test_damaged_streams() -> None:
    model = HyperpriorModel.from_arrays(random_hyperprior(6))
    shape = (3, 5, 6)
    data = model.encode(random_symbols(6, shape), 0)
    for end in range(len(data)):
        try:
            model.decode(data[:end], shape, 0)
        except BitstreamError:
            continue
        assert end % 4 == 0
    with pytest.raises(BitstreamError):
        model.decode(data + bytes(8), shape, 0)
    for bit in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = model.decode(bytes(flipped), shape, 0)
        except BitstreamError:
            continue
        assert found.shape == shape
        assert found.dtype == np.int16


def test_z_of_any_size_is_read_alike() -> None:
    """An encoder's z lies within ±127, a stream's need not."""
    model = HyperpriorModel.from_arrays(random_hyperprior(8))
    symbols = random_symbols(8, (3, 5, 6))
    wild = np.array([32767, -32768, 128, -128, 127, -127, 0, 5], np.int16).reshape(2, 2, 2)
    model.side_information = lambda symbols, step: wild  # type: ignore[method-assign]
    data = model.encode(symbols, 1)
    np.testing.assert_array_equal(model.decode(data, (3, 5, 6), 1), symbols)
    np.testing.assert_array_equal(slow(model, data, (3, 5, 6), 1), symbols)


def backwards(a: Any, b: Any) -> Any:
    """One product after another in float32, the last first."""
    found = np.zeros((len(a), b.shape[1]), np.float32)
    for k in reversed(range(b.shape[0])):
        found += a[:, k, None] * b[k]
    return found


def by_integers(a: Any, b: Any) -> Any:
    """Products of integers of 64 bits, which know no rounding."""
    whole = [(matrix * 2.0**16).astype(np.int64) for matrix in (a, b)]
    assert all(np.array_equal(w / 2.0**16, m) for w, m in zip(whole, (a, b), strict=True))
    wide = np.einsum("ik,kj->ij", *whole)
    found = (wide / 2.0**32).astype(np.float32)
    assert np.array_equal(found.astype(np.float64) * 2.0**32, wide)
    return found


@pytest.mark.parametrize("product", [backwards, by_integers])
def test_other_products(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (40, 11, 14)
    symbols = random_symbols(9, shape)
    arrays = [random_hyperprior(seed, 40, (30, 20, 10, 20, 30)) for seed in range(2)]
    streams = [HyperpriorModel.from_arrays(each).encode(symbols, 2) for each in arrays]
    monkeypatch.setattr(np, "matmul", product)
    for each, stream in zip(arrays, streams, strict=True):
        model = HyperpriorModel.from_arrays(each)
        assert model.encode(symbols, 2) == stream
        assert np.array_equal(model.decode(stream, shape, 2), symbols)
