"""Test the graphs against the training network and the `onnx` package."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from made_models import WIDTHS, make, make_light, network_latents, network_levels
from onnx import numpy_helper
from PIL import Image
from torch.nn import functional as F

from conftest import HANG, smooth_pixels
from slimcae.errors import ConfigError
from slimcae.model.config import GDN_VARIANTS
from slimcae.model.file import read_model
from slimcae.model.model import Model
from slimcae.model.registry import shipped_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.transforms.onnx_ import OnnxTransforms
from slimcae.transforms.onnx_.building import (
    analysis_graph,
    blocks_kernel,
    gradient_graph,
    synthesis_graph,
)
from slimcae.transforms.onnx_.differentiation import differentiate
from slimcae.transforms.onnx_.graph import Graph

PHOTO = Path(__file__).parents[2] / "examples" / "images" / "parrots.png"
EVERY = [
    *((variant, make) for variant in GDN_VARIANTS),
    ("light", make_light),
    ("lighter", make_light),
    ("broad", make_light),
    ("broader", make_light),
]


@pytest.fixture(params=EVERY, ids=lambda pair: pair[0])
def made(request: pytest.FixtureRequest) -> tuple[SlimCAE, Model]:
    variant, maker = request.param
    pair: tuple[SlimCAE, Model] = maker(variant)
    return pair


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [(16, 16), (48, 80), (208, 16)], ids=str)
def test_onnx_equals_the_network(
    made: tuple[SlimCAE, Model], width: int, size: tuple[int, int]
) -> None:
    network, model = made
    transforms = OnnxTransforms(model)
    medians = model.medians(width)[:, None, None]
    pixels = smooth_pixels(*size, seed=5)
    y = network_latents(network, pixels, width)
    residuals = transforms.residuals(pixels, width)
    np.testing.assert_allclose(residuals, y.numpy() - medians, rtol=1e-4, atol=1e-4)
    symbols = np.rint(residuals / 0.5).astype(np.int16)
    levels = network_levels(network, torch.from_numpy(medians + 0.5 * symbols.astype(np.float32)))
    # half a level is rounding
    assert np.abs(transforms.pixels(symbols, width, 0.5) - levels.numpy()).max() < 0.501


@pytest.mark.parametrize("width", [48, 192])
def test_onnx_agrees_with_torch_on_the_shipped_weights(width: int) -> None:
    """Pixels are equal within one level, and nearly all symbols are equal."""
    from slimcae.transforms.torch_ import TorchTransforms

    model = read_model(shipped_model())
    ours, theirs = OnnxTransforms(model), TorchTransforms(model, precision="float32")
    with Image.open(PHOTO) as image:
        pixels = np.asarray(image)[:256, :192]
    symbols = np.rint(theirs.residuals(pixels, width)).astype(np.int16)
    differ = symbols != np.rint(ours.residuals(pixels, width))
    assert np.mean(differ) < 1e-4
    assert np.abs(symbols).max() > 3
    one, other = (each.pixels(symbols, width, 1.0).astype(int) for each in (ours, theirs))
    assert np.abs(one - other).max() <= 1
    assert np.mean(one != other) < 1e-3


def test_graphs_are_what_the_standard_allows(made: tuple[SlimCAE, Model]) -> None:
    _, model = made
    gradients = [gradient_graph(model, 8, grey=grey) for grey in (False, True)]
    for graph in (analysis_graph(model, 8), synthesis_graph(model, 8), *gradients):
        found = onnx.load_from_string(graph)
        onnx.checker.check_model(found, full_check=True)
        assert found.SerializeToString() == graph
        assert [opset.version for opset in found.opset_import] == [13]


def test_an_operator_without_a_derivative_is_an_error() -> None:
    graph = Graph()
    last = graph.add("Add", graph.add("Erf", "x"), "x")
    with pytest.raises(TypeError, match="no derivative of Erf"):
        differentiate(graph, last, "seed", "x")


def test_attributes_and_constants_are_read_back_as_they_were_written() -> None:
    graph = Graph()
    numbers = np.arange(-3, 9, dtype=np.float32).reshape(3, 4) / 7
    sides = np.array([2**40, -1, 0, 127, 128, 300], np.int64)
    names = [graph.constant(array) for array in (numbers, sides)]
    last = graph.add("Made", "x", *names, whole=-5, part=0.25, word="λ", several=[1, -2, 300])
    found = onnx.load_from_string(graph.to_bytes({"x": ("uint8", 4)}, {last: ("float32", 0)})).graph
    np.testing.assert_array_equal(numpy_helper.to_array(found.initializer[0]), numbers)
    np.testing.assert_array_equal(numpy_helper.to_array(found.initializer[1]), sides)
    assert list(found.node[0].input) == ["x", *names]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in found.node[0].attribute}
    assert attributes == {
        "whole": -5,
        "part": 0.25,
        "word": "λ".encode(),
        "several": [1, -2, 300],
    }
    assert len(found.input[0].type.tensor_type.shape.dim) == 4


def test_the_runtime_reports_nothing_to_anybody(tmp_path: Path) -> None:
    """Official builds store a device number and send events, unless disabled."""
    program = """if True:
        import os
        import numpy as np
        from slimcae.codec import Codec
        from slimcae.images import Picture
        from slimcae.model.file import read_model
        from slimcae.model.registry import shipped_model
        Codec(read_model(shipped_model())).compress(Picture(np.zeros((16, 16, 3), np.uint8)), 48)
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    """
    folders = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | folders,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_large_constants_of_float16_take_half_the_bytes_and_mean_the_same() -> None:
    rng = np.random.default_rng(0)
    full = rng.normal(size=(40, 40)).astype(np.float32)
    half = full.astype(np.float16).astype(np.float32)
    graph = Graph(half=True)
    x = "x"
    for array in (half, full, half[:3]):
        x = graph.add("Add", x, graph.constant(array))
    found = onnx.load_from_string(graph.to_bytes({"x": ("float32", 2)}, {x: ("float32", 2)})).graph
    kept = [numpy_helper.to_array(tensor) for tensor in found.initializer]
    assert [array.dtype for array in kept] == [np.float16, np.float32, np.float32]
    for array, expected in zip(kept, (half, full, half[:3]), strict=True):
        np.testing.assert_array_equal(array.astype(np.float32), expected)
    cast = found.node[0]
    assert (cast.op_type, list(cast.input)) == ("Cast", [found.initializer[0].name])
    model = read_model(shipped_model())  # its file has float16
    graphs = [synthesis_graph(model, 192, half=half) for half in (True, False)]
    assert len(graphs[0]) < 0.6 * len(graphs[1])
    onnx.checker.check_model(onnx.load_from_string(graphs[0]), full_check=True)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_kernel_of_blocks_does_what_the_transposed_convolution_does(stride: int) -> None:
    rng = np.random.default_rng(stride)
    kernel = rng.normal(size=(5, 3, 2 * stride + 1, 2 * stride + 1)).astype(np.float32)
    x = torch.from_numpy(rng.normal(size=(1, 5, 4, 6)).astype(np.float32))
    expected = F.conv_transpose2d(
        x, torch.from_numpy(kernel), stride=stride, padding=stride, output_padding=stride - 1
    )
    blocks = F.conv2d(x, torch.from_numpy(blocks_kernel(kernel, stride)), padding=1)
    # the channels of a block are ordered by position; those of a pixel shuffle by output
    by_output = blocks.view(1, stride**2, 3, 4, 6).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(F.pixel_shuffle(by_output, stride), expected, atol=1e-4, rtol=1e-4)


def test_what_onnx_cannot_do_is_refused(tiny_model: Model) -> None:
    with pytest.raises(ConfigError, match="bfloat16: only the backend torch"):
        OnnxTransforms(tiny_model, precision="bfloat16")
    with pytest.raises(ConfigError, match="no CUDA; install onnxruntime-gpu"):
        OnnxTransforms(tiny_model, "cuda")
    assert OnnxTransforms(tiny_model, "auto").device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_gpu_is_asked_for_where_the_runtime_knows_one(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Test as much as possible without a GPU."""
    asked = []

    def session(graph: bytes, options: object, providers: list[str]) -> Any:
        asked.append(providers)
        return made(graph, options, ["CPUExecutionProvider"])

    made = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    transforms = OnnxTransforms(tiny_model, device)
    assert transforms.device == "cuda"
    transforms.residuals(smooth_pixels(16, 16, 0), 4)
    assert asked == [["CUDAExecutionProvider", "CPUExecutionProvider"]]
    assert OnnxTransforms(tiny_model, "cpu").device == "cpu"
