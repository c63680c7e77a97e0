"""Our models in CompressAI's clothes, against stand-ins for the little of it that is used.

`benchmarks/peers/eval_model.py` does the same with the real one, in its own environment.
"""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from PIL import Image
from torch import nn

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.errors import BitstreamError, ConfigError, MissingPackageError
from slimcae.evaluation import evaluate_codec
from slimcae.images.distortion import mse, psnr, squared_error
from slimcae.model.file import read_model

MODEL = read_model(Path(__file__).parent / "data" / "golden" / "tiny.safetensors")
WIDTH = 8


@pytest.fixture
def compressai(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield `slimcae.compressai`, imported beside stand-ins; `zoo` and `registry` are theirs."""
    registry: dict[str, type] = {}
    zoo: dict[str, Callable[..., Any]] = {}

    def register_model(name: str) -> Callable[[type], type]:
        return lambda cls: registry.setdefault(name, cls)

    modules: dict[str, dict[str, Any]] = {
        "compressai": {},
        "compressai.models": {"CompressionModel": nn.Module},
        "compressai.registry": {"register_model": register_model},
        "compressai.zoo": {"image_models": zoo},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "slimcae.compressai", raising=False)
    ours = importlib.import_module("slimcae.compressai")
    yield SimpleNamespace(ours=ours, registry=registry, zoo=zoo)
    del sys.modules["slimcae.compressai"]


def images(*pixels: np.ndarray) -> torch.Tensor:
    """Return pictures as CompressAI takes them."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


def levels(x_hat: torch.Tensor) -> np.ndarray:
    """Return the 8-bit pictures, as CompressAI's evaluation rounds them."""
    return (x_hat * 255).clamp(0, 255).round().permute(0, 2, 3, 1).byte().numpy()


def test_it_is_registered_by_name(compressai: Any) -> None:
    assert compressai.registry == {"slimcae": compressai.ours.SlimCAE}
    assert list(compressai.zoo) == ["slimcae"]
    compressai.ours.register("tiny", MODEL)
    made = [compressai.zoo["tiny"](quality=q, metric="mse").width for q in (1, 2, 3)]
    assert made == [4, 8, 12]
    assert not compressai.zoo["tiny"](1).training
    with pytest.raises(ConfigError, match="quality 4"):
        compressai.zoo["tiny"](4)


def test_files_and_pictures_are_those_of_the_codec(compressai: Any) -> None:
    model = compressai.ours.SlimCAE(MODEL, WIDTH, backend="onnx")
    codec = Codec(MODEL, backend="onnx")
    pictures = [smooth_pixels(50, 72, seed) for seed in (1, 2)]
    out = model.compress(images(*pictures))
    assert out == {"strings": [[codec.compress(each, WIDTH) for each in pictures]], "shape": (4, 5)}
    x_hat = model.decompress(**out)["x_hat"]
    restored = [np.asarray(codec.decompress(data)) for data in out["strings"][0]]
    np.testing.assert_array_equal(levels(x_hat), np.stack(restored))
    with pytest.raises(BitstreamError, match="72x50"):
        model.decompress(out["strings"], (4, 4))


def test_rate_and_quality_are_those_of_evaluate(compressai: Any, tmp_path: Path) -> None:
    pictures = [smooth_pixels(96, 128, seed) for seed in range(2)]
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path)
    codec = Codec(MODEL, backend="torch", precision="float32")
    ours = {point.setting: point for point in evaluate_codec(codec, paths, name="tiny")}[WIDTH]
    model = compressai.ours.SlimCAE(MODEL, WIDTH, backend="torch", precision="float32")
    rates, qualities, estimates = [], [], []
    for pixels in pictures:
        x = images(pixels)
        data = model.compress(x)
        restored = levels(model.decompress(**data)["x_hat"])[0]
        rates.append(8 * len(data["strings"][0][0]) / (96 * 128))
        qualities.append(psnr(mse(squared_error(pixels, restored, None), pixels.size)))
        found = model(x)
        assert found["likelihoods"]["y"].shape == (1, WIDTH, 6, 8)
        bits = -torch.log2(found["likelihoods"]["y"]).sum().item()
        estimates.append(bits / (96 * 128))
        assert np.abs(levels(found["x_hat"])[0].astype(int) - restored).max() <= 1
    assert np.mean(rates) == pytest.approx(ours.bpp, rel=1e-12)
    assert np.mean(qualities) == pytest.approx(ours.psnr, rel=1e-12)
    assert ours.bpp_estimated is not None
    # another order of sums may round a latent otherwise
    assert math.isclose(np.mean(estimates), ours.bpp_estimated, rel_tol=2e-3)


def test_it_is_for_evaluation(compressai: Any) -> None:
    model = compressai.ours.SlimCAE(MODEL)
    assert model.width == 12
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ConfigError, match="multiples of 16"):
        model(torch.zeros(1, 3, 40, 32))
    with pytest.raises(ConfigError, match="width"):
        compressai.ours.SlimCAE(MODEL, 9)


def test_without_compressai_the_import_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compressai", None)
    monkeypatch.delitem(sys.modules, "slimcae.compressai", raising=False)
    with pytest.raises(MissingPackageError, match="compressai"):
        importlib.import_module("slimcae.compressai")
