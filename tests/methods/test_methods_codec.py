"""Test the codec with models whose operating points are not widths."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from conftest import smooth_pixels
from method_networks import OTHERS, coding
from slimcae.codec import Codec
from slimcae.container import read_header
from slimcae.errors import BitstreamError, ConfigError
from slimcae.model.config import METHODS, ArchitectureName, Method
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model
from slimcae.model.registry import InstalledModel, matching_model
from slimcae.networks.autoencoder import Autoencoder
from slimcae.training.loss import bits_per_pixel
from slimcae.transforms import open_transforms

BOTH = [
    *[(method, "slimcae") for method in OTHERS],
    ("independent", "light"),
    ("bottleneck_scaling", "light"),
    ("independent", "broad"),
    ("bottleneck_scaling", "broader"),
]
PIXELS = smooth_pixels(96, 128, 9)


def float_levels(
    network: Autoencoder, symbols: np.ndarray, point: int, scale: Tensor
) -> np.ndarray:
    """Return the levels (H, W, 3), not rounded, of a point's symbols, with latent factors."""
    medians = network.entropy_bottleneck(point).medians[:, None, None]
    y_hat = (torch.from_numpy(symbols) + medians) / scale[:, None, None]
    with torch.no_grad():
        x_hat = network.synthesise(y_hat[None], point)[0]
    levels: np.ndarray = (x_hat.clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    return levels


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize(("method", "architecture"), BOTH)
def test_transforms_compute_what_the_network_does(
    method: Method, architecture: ArchitectureName, backend: str
) -> None:
    network, model = coding(method, architecture)
    transforms = open_transforms(model, precision="float32", backend=backend)
    x = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float() / 255
    for point in model.points:
        scale = torch.ones(model.architecture.latent_channels(model.filters(point)))
        if method == "bottleneck_scaling":
            scale = network.log_scale(point).exp().detach()  # type: ignore[operator]
        with torch.no_grad():
            y = network.analyse(x, point)[0] * scale[:, None, None]
        residuals = transforms.residuals(PIXELS, point)
        medians = model.medians(point)[:, None, None]
        np.testing.assert_allclose(residuals, y.numpy() - medians, rtol=1e-3, atol=1e-3)
        symbols = np.rint(residuals).astype(np.int16)
        levels = float_levels(network, symbols, point, scale)
        image = transforms.pixels(symbols, point, 1.0)
        assert np.abs(image - levels).max() < 1
        assert np.mean(np.abs(image - levels) > 0.52) < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_files_are_as_large_as_estimated_and_come_back(method: Method) -> None:
    network, model = coding(method)
    codec = Codec(model, precision="float32")
    x = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float() / 255
    for point in model.points:
        with torch.no_grad():
            estimate = bits_per_pixel(network(x, point)["likelihoods"], PIXELS[..., 0].size)
        data = codec.compress(Image.fromarray(PIXELS), point=point, verify=True)
        bytes_ = float(estimate) * PIXELS[..., 0].size / 8
        assert abs(len(data) - bytes_) <= 0.01 * bytes_ + 64
        found = np.asarray(codec.decompress(data), int)
        expected = network(x, point)["x_hat"].detach()[0].clamp(0, 1) * 255
        error = np.abs(found - expected.permute(1, 2, 0).numpy())
        assert np.median(error) < 0.6
        assert read_header(data).num_filters == model.filters(point)


@pytest.mark.parametrize("method", OTHERS)
def test_points_of_one_width_are_told_apart_by_their_files(method: Method, tmp_path: Path) -> None:
    _, model = coding(method)
    codec = Codec(model, precision="float32")
    files = {point: codec.compress(PIXELS, point=point) for point in codec.points}
    symbols = [codec.read_symbols(data) for data in files.values()]
    assert len({array.tobytes() for array in symbols}) == 3
    assert codec.compress(PIXELS) == files[3]  # the best
    assert codec.compress(PIXELS, point=2, step=1) != files[2]

    path = tmp_path / "model.safetensors"
    write_model(path, model)
    again = Codec(read_model(path), precision="float32")
    assert again.model.points == (3, 2, 1)
    assert again.model.config == model.config
    for data in files.values():
        assert again.decompress(data).tobytes() == codec.decompress(data).tobytes()
        header = read_header(data)
        forged = replace(header, model_fingerprint=bytes(8))
        with pytest.raises(BitstreamError, match="the file needs model tiny width"):
            again._check_model(forged)


@pytest.mark.parametrize("method", OTHERS)
def test_a_width_is_refused_where_it_tells_nothing(method: Method) -> None:
    codec = Codec(coding(method)[1], precision="float32")
    with pytest.raises(ConfigError, match=f"width 12 cannot be chosen.* {method}, differ in λ"):
        codec.compress(PIXELS, width=12)
    with pytest.raises(ConfigError, match="no operating point 12: choose from 3, 2, 1"):
        codec.compress(PIXELS, point=12)
    with pytest.raises(ConfigError, match="width and point contradict"):
        codec.compress(PIXELS, width=12, point=1)


def test_a_width_and_a_point_are_one_where_widths_differ() -> None:
    codec = Codec(coding("slimcae")[1], precision="float32")
    assert codec.points == codec.widths == (12, 8, 4)
    assert codec.compress(PIXELS, point=8) == codec.compress(PIXELS, width=8)
    with pytest.raises(ConfigError, match="no width 5: choose from 12, 8, 4"):
        codec.compress(PIXELS, point=5)


@pytest.mark.parametrize("method", OTHERS)
def test_models_survive_copies_of_what_their_files_hold(method: Method) -> None:
    _, model = coding(method)
    again = copy.deepcopy(model)
    assert [again.fingerprint(p) for p in again.points] == [
        model.fingerprint(p) for p in model.points
    ]


def test_an_installed_model_is_found_by_the_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = coding("modulated")
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path))
    write_model(tmp_path / "m.safetensors", model)
    codec = Codec(model, precision="float32")
    for point in codec.points:
        found = matching_model(read_header(codec.compress(PIXELS, point=point)))
        assert isinstance(found, InstalledModel)
        assert found.header.point_of(12, model.fingerprint(point).hex()) == point


def test_an_independent_network_is_the_model_of_its_width_alone() -> None:
    """The fingerprint depends on numbers, not on their storage: files decode with either."""
    _, model = coding("independent")
    codec = Codec(model, precision="float32")
    for point in model.points:
        alone = model.alone(point)
        assert alone.points == (model.filters(point),)
        assert alone.fingerprint(alone.points[0]) == model.fingerprint(point)
        data = codec.compress(PIXELS, point=point)
        picture = Codec(alone, precision="float32").decompress(data)
        assert picture.tobytes() == codec.decompress(data).tobytes()
    with pytest.raises(ConfigError, match="modulated"):
        coding("modulated")[1].alone(3)


def test_points_share_all_but_their_factors() -> None:
    def size(model: Model) -> int:
        return sum(a.size for name, a in model.tensors.items() if "bottleneck" not in name)

    one = size(coding("independent")[1].alone(3))
    assert size(coding("bottleneck_scaling")[1]) == one + 3 * 12
    assert size(coding("modulated")[1]) == one + 6 * 3 * 12
    assert size(coding("independent")[1]) > 2 * one
