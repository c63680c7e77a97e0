"""Test the codec inside other programs: forks, pickling, autocast, asyncio, numpy integers."""

import asyncio
import copy
import multiprocessing
import os
import pickle  # noqa: TID251 (what other programs do)
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_codec import fitted_model, make_model

import slimcae
from conftest import HANG, smooth_pixels
from optional_torch import needs_torch, torch
from slimcae.codec import Codec, Target
from slimcae.errors import (
    BitstreamError,
    ConfigError,
    ContradictionError,
    ImageError,
    MissingPackageError,
    SettingError,
    SlimCAEError,
)
from slimcae.model.file import write_model

SOURCE = Path(__file__).parents[2] / "src"
BACKENDS = ["onnx", pytest.param("torch", marks=needs_torch)]
IMAGE = Image.fromarray(smooth_pixels(70, 90, 0))

FORK = """
import multiprocessing, os, sys
from PIL import Image
import slimcae

def coded(_):
    data = codec.compress(image)
    return data, codec.decompress(data).tobytes(), codec.transforms.threads

def coded_anew(_):
    global codec
    codec = slimcae.load(path, backend=backend, threads=2)
    return coded(_)

path, backend, way = sys.argv[1:]
codec = slimcae.load(path, backend=backend, threads=2)
image = Image.effect_mandelbrot((200, 140), (-2, -1, 1, 1), 50).convert("RGB")
expected = coded(None)[:2]
if way == "exit":  # what the parent had is deleted in the child, too
    child = os.fork()
    if not child:
        data, picture, threads = coded(None)
        sys.exit(int((data, picture) != expected or threads != 1))
    assert os.waitpid(child, 0)[1] == 0
else:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map(coded if way == "pool" else coded_anew, range(4)):
            assert found[:2] == expected
assert coded(None)[:2] == expected  # the parent goes on as before
assert codec.transforms.threads == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", ["pool", "anew", "exit"])
def test_processes_made_by_fork_compute_like_their_parent(
    tmp_path: Path, backend: str, way: str
) -> None:
    """With two threads, which the child does not have, it would wait forever."""
    write_model(tmp_path / "m.safetensors", make_model(0))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, tmp_path / "m.safetensors", backend, way],
        env=os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr


def compressed(codec: Codec) -> bytes:
    return codec.compress(IMAGE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_codec_goes_to_another_process(backend: str) -> None:
    codec = Codec(make_model(0), backend=backend, threads=1, precision="float32", tile_side=64)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(compressed, [codec]) == compressed(codec)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "copied", [lambda codec: pickle.loads(pickle.dumps(codec)), copy.deepcopy, copy.copy]
)
def test_copies_are_the_same_codec(backend: str, copied: Callable[[Codec], Codec]) -> None:
    codec = Codec(make_model(0), backend=backend, threads=1, precision="float32", tile_side=64)
    compressed(codec)  # prepared kernels are not pickled
    other = copied(codec)
    assert (other.tile_side, other.widths, other.info) == (64, codec.widths, codec.info)
    assert other.transforms.backend == backend
    assert (other.transforms.threads, other.transforms.precision) == (1, "float32")
    data = compressed(codec)
    assert compressed(other) == data
    assert other.decompress(data) == codec.decompress(data)


@needs_torch
def test_a_gpu_of_the_parent_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    from slimcae.transforms import torch_

    transforms = torch_.TorchTransforms(make_model(0))
    monkeypatch.setattr(transforms, "_device", torch.device("cuda"))
    monkeypatch.setattr(torch_, "forks", lambda: transforms._forks + 1)
    with pytest.raises(ConfigError, match=r"forked process cannot use the GPU .* spawn"):
        transforms.residuals(np.zeros((16, 16, 3), np.uint8), 8)


@needs_torch
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast_around_a_call_changes_nothing(dtype: str) -> None:
    codec = Codec(make_model(0), backend="torch", precision="float32")
    data = codec.compress(IMAGE)
    picture = codec.decompress(data)
    for inside in (codec, Codec(make_model(0), backend="torch", precision="float32")):
        with torch.autocast("cpu", getattr(torch, dtype)):
            assert inside.compress(IMAGE) == data
            assert inside.decompress(data) == picture
            assert torch.is_autocast_enabled("cpu")


@needs_torch
def test_other_global_settings_of_torch_change_nothing() -> None:
    codec = Codec(make_model(0), backend="torch", precision="float32")
    data = codec.compress(IMAGE)
    picture = codec.decompress(data)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"), torch.enable_grad():
            assert codec.compress(IMAGE) == data
            assert codec.decompress(data) == picture
    finally:
        torch.set_default_dtype(before)


def test_calls_from_asyncio() -> None:
    """Calls run in threads, so the event loop continues."""
    codec = Codec(make_model(0), backend="onnx")

    async def several() -> list[bytes]:
        calls = (asyncio.to_thread(codec.compress, IMAGE, width) for width in codec.widths)
        return await asyncio.gather(*calls)

    assert asyncio.run(several()) == [codec.compress(IMAGE, width) for width in codec.widths]


INTEGERS = [np.int64, np.int32, np.uint8, np.array]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_numpy(kind: Callable[[int], Any]) -> None:
    codec = Codec(fitted_model(), backend="onnx")
    assert codec.compress(IMAGE, kind(8)) == codec.compress(IMAGE, 8)
    assert codec.compress(IMAGE, 8, step=kind(3)) == codec.compress(IMAGE, 8, step=3)
    few = codec.compress(IMAGE, widths=(4, 8))
    assert codec.compress(IMAGE, widths=[kind(4), kind(8)]) == few
    array: Any = np.array([4, 8])
    assert codec.compress(IMAGE, widths=array) == few
    pixels = np.asarray(IMAGE)
    symbols = codec.analyse(pixels, 8, 2)
    assert np.array_equal(codec.analyse(pixels, kind(8), kind(2)), symbols)
    shape = (pixels.shape[0], pixels.shape[1])
    assert np.array_equal(
        codec.synthesise(symbols, shape, kind(8), kind(2)), codec.synthesise(symbols, shape, 8, 2)
    )
    assert codec.macs(kind(8)) == codec.macs(8)
    assert codec.ideal_bits(pixels, kind(8), kind(2)) == codec.ideal_bits(pixels, 8, 2)
    settings = Codec(make_model(0), backend="onnx", threads=kind(1), tile_side=kind(64))
    assert (settings.transforms.threads, settings.tile_side) == (1, 64)


@needs_torch
def test_integers_of_numpy_in_the_network(tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors", make_model(0))
    model = slimcae.load_model(tmp_path / "m.safetensors").eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        same = model(x, width=8)["x_hat"]
        assert torch.equal(model(x, width=np.int64(8))["x_hat"], same)


def test_numbers_of_numpy_count_with_all_their_bits() -> None:
    """A byte would overflow in sizes, and float16 would lose digits."""
    codec = Codec(fitted_model(), backend="onnx")
    choices: list[tuple[str, Any]] = [
        ("target_size", np.uint8(250)),
        ("quality", np.float32(40)),
        ("bpp", np.float16(0.5)),
    ]
    for name, value in choices:
        closest: dict[str, Any] = {} if name == "quality" else {"closest": True}
        plain = {name: value.item(), **closest}
        assert codec.compress(IMAGE, **{name: value}, **closest) == codec.compress(IMAGE, **plain)


@pytest.mark.parametrize("width", [True, 8.0, np.float64(8), "8", np.array([8, 4]), np.int64(9)])
def test_what_is_no_width_of_the_model(width: Any) -> None:
    with pytest.raises(ConfigError, match="this model has no width"):
        Codec(make_model(0), backend="onnx").compress(IMAGE, width)


def test_what_is_no_number_of_threads() -> None:
    for threads in (True, 1.0, np.int64(0)):
        with pytest.raises(SettingError, match="threads"):
            Codec(make_model(0), backend="onnx", threads=threads)


def test_a_target_holds_plain_numbers() -> None:
    size, widths, quality = np.int64(3), np.array([4]), np.float32(2.5)
    choices: list[dict[str, Any]] = [{"target_size": size, "widths": widths}, {"quality": quality}]
    first, second = (Target(**choice) for choice in choices)
    assert type(first.target_size) is int
    assert first.widths == (4,)
    assert type(second.quality) is float


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("text", field="width"),
        SettingError("threads", 0, "1 to 256"),
        ContradictionError("widths", "1", Path("a"), "2"),
        MissingPackageError("torch", "computes pictures"),
        BitstreamError("text", field="model"),
        ImageError("text"),
    ],
)
def test_errors_go_to_another_process(error: SlimCAEError) -> None:
    """A pool of processes waits forever for an error that cannot be unpickled."""
    error.__cause__ = None
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert (str(other), vars(other)) == (str(error), vars(error))
