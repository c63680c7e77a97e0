"""Test the fast transforms against the training network."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from made_models import WIDTHS, make, make_light, network_latents, network_levels
from torch.nn import functional as F

from conftest import smooth_pixels
from slimcae.errors import ConfigError
from slimcae.model.config import GDN_VARIANTS, ArchitectureName, GDNVariant
from slimcae.networks.conversion import to_model
from slimcae.transforms.torch_ import TorchTransforms, device, inference
from slimcae.transforms.torch_.blocks import blocks_kernel
from slimcae.transforms.torch_.device import has_native_bfloat16, resolve_precision
from slimcae.transforms.torch_.inference import Analysis, Synthesis
from slimcae.transforms.torch_.light import LightAnalysis, LightSynthesis


@pytest.fixture(params=[2**21, 1500], ids=["one strip", "many strips"])
def strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "STRIP_BYTES", request.param)


@pytest.fixture(params=[0, 96], ids=["wide", "narrow"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny widths represent wide ones, which keep more in float32, and narrow ones."""
    monkeypatch.setattr(inference, "NARROW", request.param)


@pytest.mark.parametrize("variant", GDN_VARIANTS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [(16, 16), (48, 80)], ids=str)
def test_float32_equals_the_network(
    strips: None, variant: GDNVariant, width: int, size: tuple[int, int]
) -> None:
    network, model = make(variant)
    pixels = smooth_pixels(*size, seed=5)
    expected = network_latents(network, pixels, width)
    found = Analysis(model, width, torch.float32)(torch.from_numpy(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    levels = Synthesis(model, width, torch.float32)(expected)
    assert levels is not None
    assert levels.dtype == torch.uint8
    # half a level is rounding
    difference = (levels.float() - network_levels(network, expected)).abs().max()
    assert difference < 0.501


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [(16, 16), (48, 80), (208, 16)], ids=str)
@pytest.mark.parametrize("architecture", ["light", "lighter", "broad", "broader"])
def test_light_in_float32_equals_the_network(
    strips: None, width: int, size: tuple[int, int], architecture: ArchitectureName
) -> None:
    network, model = make_light(architecture)
    pixels = smooth_pixels(*size, seed=5)
    expected = network_latents(network, pixels, width)
    found = LightAnalysis(model, width, torch.float32)(torch.from_numpy(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    levels = LightSynthesis(model, width, torch.float32)(expected)
    assert levels is not None
    assert levels.dtype == torch.uint8
    assert (levels.float() - network_levels(network, expected)).abs().max() < 0.501


@pytest.mark.parametrize("width", WIDTHS)
def test_light_in_reduced_precision_comes_close_and_is_used(strips: None, width: int) -> None:
    network, model = make_light()
    pixels = smooth_pixels(64, 64, seed=6)
    expected = network_latents(network, pixels, width)
    found = LightAnalysis(model, width, torch.bfloat16)(torch.from_numpy(pixels))
    assert found.dtype == torch.float32
    error = (found - expected).abs().max()
    assert 1e-5 * expected.abs().max() < error < 0.02 * expected.abs().max()
    levels = LightSynthesis(model, width, torch.bfloat16)(expected)
    assert levels is not None
    difference = (levels.float() - network_levels(network, expected)).abs()
    assert 0.3 < difference.max() < 10
    assert difference.mean() < 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("level", [30, 128, 230])
def test_light_in_reduced_precision_shifts_no_area(width: int, level: int) -> None:
    """Levels and latents of an even picture equal float32 on average over each channel."""
    _, model = make_light()
    pixels = torch.full((64, 64, 3), level, dtype=torch.uint8)
    exact = LightAnalysis(model, width, torch.float32)(pixels)
    found = LightAnalysis(model, width, torch.bfloat16)(pixels)
    inside = (slice(None), slice(1, -1), slice(1, -1))
    shift = (found - exact)[inside].mean((1, 2)).abs()
    assert shift.max() < 0.004 * exact.abs().max()
    one, other = (LightSynthesis(model, width, inner) for inner in (torch.float32, torch.bfloat16))
    exact_levels, levels = one(exact), other(exact)
    assert exact_levels is not None and levels is not None
    assert abs(float((levels.float() - exact_levels.float()).mean())) < 0.1


@pytest.mark.parametrize("width", WIDTHS)
def test_light_that_is_not_finite_is_found(width: int) -> None:
    network = copy.deepcopy(make_light()[0])
    with torch.no_grad():
        network.g_s.render.weight.fill_(1e38)
    synthesis = LightSynthesis(to_model(network), width, torch.float32)
    assert synthesis(torch.ones(width, 2, 3)) is None


@pytest.mark.parametrize("width", WIDTHS)
def test_reduced_precision_comes_close_and_is_used(strips: None, kind: None, width: int) -> None:
    network, model = make("switchable")
    pixels = smooth_pixels(64, 64, seed=6)
    expected = network_latents(network, pixels, width)
    found = Analysis(model, width, torch.bfloat16)(torch.from_numpy(pixels))
    assert found.dtype == torch.float32
    error = (found - expected).abs().max()
    assert 1e-5 * expected.abs().max() < error < 0.01 * expected.abs().max()
    levels = Synthesis(model, width, torch.bfloat16)(expected)
    assert levels is not None
    difference = (levels.float() - network_levels(network, expected)).abs()
    # emulated bfloat16 rounds sums more often
    largest, mean = (4, 0.5) if has_native_bfloat16(torch.device("cpu")) else (8, 0.8)
    assert difference.max() < largest
    assert difference.mean() < mean


@pytest.mark.parametrize("size", [(16, 16), (96, 16), (160, 16), (16, 160), (80, 32)], ids=str)
def test_nothing_is_left_unwritten(size: tuple[int, int]) -> None:
    """Freed memory is full of values that are not finite: none may be used."""
    _, model = make("switchable")
    analysis = Analysis(model, 8, torch.bfloat16)
    exact = Analysis(model, 8, torch.float32)
    pixels = torch.from_numpy(smooth_pixels(*size, seed=5))
    expected = exact(pixels)
    for size_of_waste in range(500, 60_000, 1500):
        waste = [torch.full((size_of_waste,), torch.nan) for _ in range(8)]
        del waste
        found = analysis(pixels)
        assert (found - expected).abs().max() < 0.01 * expected.abs().max()


def test_strips_are_about_equal_and_cover_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    row_bytes = 2 * 6 * 10
    cpu = torch.device("cpu")
    for most in (1, 479, 480, 7000, 10**6):
        monkeypatch.setattr(inference, "STRIP_BYTES", most)
        strips = list(inference.strips(row_bytes, 100, cpu))
        assert [top for top, _ in strips] == [0, *(end for _, end in strips[:-1])]
        assert strips[-1][1] == 100
        rows = [end - top for top, end in strips]
        assert rows[0] == max(rows) == 1 or row_bytes * rows[0] <= most + row_bytes
        even = list(inference.strips(row_bytes, 100, cpu, multiple=4))
        assert all(top % 4 == 0 for top, _ in even)
        assert even[-1][1] == 100
    assert len(strips) == 1


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_blocks_are_the_pixels_of_the_transposed_convolution(stride: int) -> None:
    generator = torch.Generator().manual_seed(1)
    kernel = torch.randint(-9, 10, (5, 3, 2 * stride + 1, 2 * stride + 1), generator=generator)
    x = torch.randint(-9, 10, (1, 5, 4, 6), generator=generator).double()
    expected = F.conv_transpose2d(
        x, kernel.double(), stride=stride, padding=stride, output_padding=stride - 1
    )
    blocks = F.conv2d(x, blocks_kernel(kernel.double(), stride), padding=1)
    shaped = blocks.reshape(stride, stride, 3, 4, 6).permute(2, 3, 0, 4, 1)
    assert torch.equal(shaped.reshape(3, 4 * stride, 6 * stride), expected[0])


def test_errors_of_rounded_kernels_cancel_over_the_taps() -> None:
    kernel = torch.randn(8, 6, 5, 5, generator=torch.Generator().manual_seed(2))
    kernel[:, :, [0, 0, -1, -1], [0, -1, 0, -1]] /= 10  # the corners
    assert torch.equal(inference._rounded(kernel, torch.float32), kernel)
    half = inference._rounded(kernel, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.is_contiguous(memory_format=torch.channels_last)
    rounded = half.float()
    # a tap may be off by two roundings: its own, and the remainder of earlier taps
    assert ((rounded - kernel).abs() <= 2**-7 * kernel.abs() + 2**-7 * kernel.abs().max()).all()
    plain = (kernel.bfloat16().float() - kernel).sum(dim=(2, 3)).abs().mean()
    ours = (rounded - kernel).sum(dim=(2, 3)).abs().mean()
    assert ours < plain / 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_is_no_picture(value: float) -> None:
    _, model = make("switchable")
    synthesis = Synthesis(model, 8, torch.float32)
    y = torch.zeros(8, 3, 3)
    assert synthesis(y) is not None
    y[2, 1, 1] = value
    assert synthesis(y) is None


def test_weights_are_copied_so_that_a_codec_stays_what_it_was() -> None:
    model = to_model(make("slim")[0])
    analysis, synthesis = Analysis(model, 8, torch.float32), Synthesis(model, 8, torch.float32)
    pixels = torch.from_numpy(smooth_pixels(32, 32, seed=7))
    y = analysis(pixels)
    levels = synthesis(y)
    assert levels is not None
    for tensor in model.tensors.values():
        tensor.fill(0)
    again = synthesis(y)
    assert again is not None
    assert torch.equal(analysis(pixels), y)
    assert torch.equal(again, levels)


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_where_it_is_native(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: str
) -> None:
    monkeypatch.setattr(device, "has_native_bfloat16", lambda device: native)
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) == expected
    assert resolve_precision("float32", cpu) == "float32"
    with pytest.raises(ConfigError, match=r"'float16': choose from auto, float32, bfloat16"):
        resolve_precision("float16", cpu)


def test_bfloat16_is_refused_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(device, "has_native_bfloat16", lambda device: True)
    assert resolve_precision("bfloat16", cpu) == "bfloat16"
    monkeypatch.setattr(device, "has_native_bfloat16", lambda device: False)
    with pytest.raises(ConfigError, match=r"emulate it.* choose float32 or auto"):
        resolve_precision("bfloat16", cpu)
    with pytest.raises(ConfigError, match="emulate it"):
        TorchTransforms(make("switchable")[1], "cpu", "bfloat16")


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_native_is_what_the_processor_has_and_onednn_may_use(
    monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: True})
    for allowed in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda a=allowed: a)
        assert has_native_bfloat16(cpu) is allowed
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: False})
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert not has_native_bfloat16(cpu)


def test_an_imitated_processor_without_bfloat16_has_none() -> None:
    """The settings of `make test-processors` reach oneDNN as they reach this project."""
    script = (
        "import torch; from slimcae.transforms.torch_.device import has_native_bfloat16;"
        "print(has_native_bfloat16(torch.device('cpu')))"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.skipif(sys.platform != "linux", reason="OpenMP of torch's Linux builds is libgomp")
@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "70000"}])
def test_threads_soon_wait_without_taking_the_processor(given: dict[str, str]) -> None:
    """libgomp itself reports the value; other settings are not changed."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", "import slimcae.transforms.torch_"],
        env=kept | {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": os.pathsep.join(sys.path)} | given,
        capture_output=True,
        text=True,
    )
    for name, value in (given or {"GOMP_SPINCOUNT": "1000"}).items():
        assert f"{name} = '{value}'" in done.stderr
    assert ("GOMP_SPINCOUNT = '1000'" in done.stderr) == (not given)
