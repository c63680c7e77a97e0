"""Which library computes."""

import math
from pathlib import Path
from typing import Any

import pytest

from slimcae import backend, machine
from slimcae.backend import TORCH_PAYS_AFTER, choose_backend, has_bfloat16
from slimcae.errors import ConfigError, MissingPackageError
from slimcae.model.model import Model
from slimcae.transforms import open_transforms

MANY = TORCH_PAYS_AFTER


@pytest.fixture(params=[True, False], ids=["bfloat16", "no bfloat16"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(backend, "has_bfloat16", lambda: request.param)
    found: bool = request.param
    return found


def install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(backend, "_is_installed", lambda name: name in names)


def test_onnx_is_taken_unless_torch_is_faster_or_needed(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    install(monkeypatch, "onnx", "torch")
    assert choose_backend() == "onnx"
    assert choose_backend(megapixels=0.9 * MANY) == "onnx"
    assert choose_backend(megapixels=MANY) == ("torch" if native else "onnx")
    assert choose_backend(precision="float32", megapixels=math.inf) == "onnx"
    assert choose_backend(megapixels=math.inf, architecture="light") == "onnx"
    assert choose_backend(precision="bfloat16", architecture="light") == "torch"
    assert choose_backend(precision="bfloat16") == "torch"
    assert choose_backend(device="cuda") == choose_backend(device="auto") == "torch"
    for name in ("onnx", "torch"):
        assert choose_backend(name, megapixels=math.inf) == name


def test_what_is_not_installed_is_not_taken(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    install(monkeypatch, "onnx")
    options: dict[str, Any]
    for options in ({"megapixels": math.inf}, {"device": "cuda"}, {"device": "auto"}):
        assert choose_backend(**options) == "onnx"
    with pytest.raises(MissingPackageError, match="torch, which computes pictures, is not"):
        choose_backend("torch")
    with pytest.raises(MissingPackageError, match="torch, which bfloat16 needs, is not installed"):
        choose_backend(precision="bfloat16")
    install(monkeypatch, "torch")
    assert choose_backend() == "torch"
    with pytest.raises(MissingPackageError, match="onnxruntime, which"):
        choose_backend("onnx")
    install(monkeypatch)
    with pytest.raises(MissingPackageError):
        choose_backend()


def test_an_unknown_backend_is_named(tiny_model: Model) -> None:
    with pytest.raises(ConfigError, match="'tensorflow': choose from auto, onnx, torch"):
        open_transforms(tiny_model, backend="tensorflow")


@pytest.mark.parametrize(
    ("flags", "limit", "found"),
    [
        ("fma avx2 avx512_bf16", "", True),
        ("amx_bf16", "", True),
        ("fma avx2 avx512f", "", False),
        ("avx512_bf16", "AVX2", False),
        ("avx512_bf16", "AVX512_CORE_BF16", True),
        ("avx512_bf16", "default", True),
    ],
)
def test_the_processor_tells_whether_it_computes_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, limit: str, found: bool
) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert not has_bfloat16()
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu vme {flags}\nbugs\t: x\n")
    assert has_bfloat16() is found
