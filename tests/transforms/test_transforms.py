"""Test opening transforms, and their descriptions."""

import threading
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from conftest import smooth_pixels
from slimcae.errors import ConfigError, ModelError, SettingError
from slimcae.machine import describe_machine
from slimcae.model.config import ARCHITECTURES, SlimCAEConfig
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model, to_network
from slimcae.networks.slimcae import SlimCAE
from slimcae.transforms import Transforms, open_transforms


@pytest.fixture(params=["onnx", "torch"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def transforms(tiny_model: Model, backend: str) -> Transforms:
    return open_transforms(tiny_model, precision="float32", backend=backend)


@pytest.fixture(params=ARCHITECTURES)
def either(request: pytest.FixtureRequest, backend: str) -> Transforms:
    torch.manual_seed(0)
    network = SlimCAE(SlimCAEConfig((12, 8), architecture=request.param))
    return open_transforms(to_model(network, steps=(1.0,)), precision="float32", backend=backend)


def test_transforms_say_where_and_how_they_compute(transforms: Transforms, backend: str) -> None:
    assert (transforms.device, transforms.precision) == ("cpu", "float32")
    assert transforms.threads == 1
    assert transforms.machine == describe_machine()
    library = {"onnx": onnxruntime, "torch": torch}[backend]
    assert transforms.runtime == f"{library.__name__} {library.__version__}"


def test_threads_are_those_that_were_asked_for(tiny_model: Model, backend: str) -> None:
    pixels = smooth_pixels(32, 32, 0)
    two = open_transforms(tiny_model, precision="float32", backend=backend, threads=2)
    assert two.threads == 2
    assert open_transforms(tiny_model, backend="torch").threads == 1
    alone = open_transforms(tiny_model, precision="float32", backend=backend, threads=1)
    found = []
    thread = threading.Thread(target=lambda: found.append(two.residuals(pixels, 8)))
    thread.start()
    thread.join()
    np.testing.assert_allclose(found[0], alone.residuals(pixels, 8), atol=1e-4)
    for count in (0, -1, 257, 1_000_000, 1.5, "2", True):
        with pytest.raises(SettingError, match=f"threads {count}: must be 1 to 256"):
            open_transforms(tiny_model, backend=backend, threads=count)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"device": "tpu"}, "'tpu'"), ({"precision": "float16"}, "'float16'")],
)
def test_unknown_devices_and_precisions_are_named(
    tiny_model: Model, backend: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        open_transforms(tiny_model, **options, backend=backend)
    with pytest.raises(ConfigError, match=words):
        open_transforms(tiny_model, **options)


@pytest.mark.parametrize("width", [12, 8, 4])
def test_residuals_and_pixels_are_centred_on_the_medians(
    tiny_model: Model, transforms: Transforms, width: int
) -> None:
    """The network is the oracle, with medians added and subtracted by hand."""
    network = to_network(tiny_model)
    pixels = smooth_pixels(48, 64, 1)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    medians = torch.from_numpy(tiny_model.medians(width))[:, None, None]
    residuals = transforms.residuals(pixels, width)
    assert residuals.shape == (width, 3, 4)
    assert residuals.dtype == np.float32
    with torch.no_grad():
        expected = (network.g_a(x, width)[0] - medians).numpy()
    np.testing.assert_allclose(residuals, expected, rtol=1e-4, atol=1e-4)

    symbols = np.random.default_rng(0).integers(-9, 10, (width, 3, 4)).astype(np.int16)
    image = transforms.pixels(symbols, width, 0.5)
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    with torch.no_grad():
        x_hat = network.g_s((medians + 0.5 * torch.from_numpy(symbols))[None], width)[0]
    levels = (x_hat.clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    # half a level is rounding; huge values sum up differently on other processors
    assert np.abs(image - levels).max() < 1.5
    assert np.mean(np.abs(image - levels) > 0.51) < 0.01


def test_pixels_may_be_read_only_and_in_any_layout(either: Transforms) -> None:
    pixels = smooth_pixels(32, 48, 2)
    expected = either.residuals(pixels, 8)
    pixels.setflags(write=False)
    np.testing.assert_array_equal(either.residuals(pixels, 8), expected)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)
    backwards = pixels[::-1].copy()[::-1]
    for other in (np.asfortranarray(pixels), planes, backwards):
        np.testing.assert_array_equal(either.residuals(other, 8), expected)
    part = np.pad(pixels, ((3, 3), (5, 5), (0, 0)))[3:-3, 5:-5]
    np.testing.assert_array_equal(either.residuals(part, 8), expected)
    symbols = np.random.default_rng(0).integers(-9, 10, (len(expected), 4, 6)).astype(np.int16)
    image = either.pixels(symbols, 8, 1.0)
    padded = np.pad(symbols, ((0, 0), (1, 1), (2, 2)))
    np.testing.assert_array_equal(either.pixels(padded[:, 1:-1, 2:-2], 8, 1.0), image)


def test_numbers_that_are_not_finite_are_refused(tiny_network: SlimCAE, backend: str) -> None:
    with torch.no_grad():
        tiny_network.g_a.conv3.weight.fill_(float("inf"))
        tiny_network.g_s.deconv3.weight.fill_(1e38)
    model = to_model(tiny_network, steps=(1.0,))
    transforms = open_transforms(model, precision="float32", backend=backend)
    with pytest.raises(ModelError, match="latents at width 8 are not finite"):
        transforms.residuals(smooth_pixels(16, 16, 0), 8)
    with pytest.raises(ModelError, match="reconstruction at width 8 is not finite"):
        transforms.pixels(np.full((8, 1, 1), 30000, np.int16), 8, 1.0)
