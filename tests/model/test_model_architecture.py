"""Test values derived from layers: against torch's counter, autograd, networks, the document."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from reference_model import Model as SlowModel
from slimcae.model.architecture import (
    Architecture,
    architecture_of,
    broader,
    light,
    lighter,
    slimcae,
)
from slimcae.model.config import (
    ARCHITECTURES,
    DEFAULT_WIDTHS,
    GDN_VARIANTS,
    ArchitectureName,
    GDNVariant,
    SlimCAEConfig,
)
from slimcae.model.density import density_tensors
from slimcae.model.file import write_model
from slimcae.model.layers import WIDTH, Convolution, Layer, Normalization
from slimcae.model.model import density_prefix
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE

ROOT = Path(__file__).parents[2]
WIDTHS = (12, 8, 1)

LIGHT = SlimCAEConfig((24, 12, 4), architecture="light")
LIGHTER = SlimCAEConfig((24, 12, 4), architecture="lighter")
BROAD = SlimCAEConfig((24, 12, 4), architecture="broad")
BROADER = SlimCAEConfig((132, 12, 4), architecture="broader")  # both differ from 128 filters on

every_variant = pytest.mark.parametrize("variant", GDN_VARIANTS)
every_config = pytest.mark.parametrize(
    "config",
    [
        *(SlimCAEConfig((12, 8, 4), variant) for variant in GDN_VARIANTS),
        LIGHT,
        LIGHTER,
        BROAD,
        BROADER,
    ],
    ids=str,
)


@pytest.fixture(scope="module", params=GDN_VARIANTS)
def network(request: pytest.FixtureRequest) -> SlimCAE:
    torch.manual_seed(0)
    return SlimCAE(SlimCAEConfig(WIDTHS, request.param)).eval()


@pytest.fixture(scope="module")
def light_network() -> SlimCAE:
    torch.manual_seed(0)
    network = SlimCAE(LIGHT).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # residual branches are zero at the start
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@every_config
@pytest.mark.parametrize("place", [0, 1, 2])
def test_macs_are_what_torch_counts(config: SlimCAEConfig, place: int) -> None:
    network, width = SlimCAE(config).eval(), config.widths[place]
    with torch.no_grad():
        with FlopCounterMode(display=False) as encoder:
            y = network.g_a(torch.zeros(1, 3, 48, 32), width)
        with FlopCounterMode(display=False) as decoder:
            network.g_s(y, width)
    # torch counts a multiply-accumulate as two operations
    assert encoder.get_total_flops() / 2 == network.architecture.encoder_macs(width) * 48 * 32
    assert decoder.get_total_flops() / 2 == network.architecture.decoder_macs(width) * 48 * 32


def test_macs_are_those_of_the_readme() -> None:
    architectures = (broader(SlimCAEConfig(architecture="broader")), slimcae(SlimCAEConfig()))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| +(\d+) \| ([\d.]+) k \| ([\d.]+) k \|$", text, re.MULTILINE)
    assert [int(width) for width, *_ in rows] == [192, 144, 96, 72, 48]
    for width, *macs in rows:
        for architecture, one in zip(architectures, macs, strict=True):
            assert f"{architecture.decoder_macs(int(width)) / 1000:#.3g}" == one
            assert architecture.encoder_macs(int(width)) == architecture.decoder_macs(int(width))
    kernels = [architecture.kernels(192).values() for architecture in architectures]
    numbers = [sum(map(math.prod, shapes)) / 1e6 for shapes in kernels]
    assert "{:.2f} M parameters (`paper`: {:.2f} M)".format(*numbers) in text


def test_macs_of_the_light_architecture_are_those_of_its_reference() -> None:
    """Thousands per pixel and side, as the trials that it comes from counted them.

    Their laps had one input for each output instead of four: 27 products more at each place.
    """
    architecture = light(SlimCAEConfig(architecture="light"))
    for width, kmacs in ((192, 4.3), (144, 2.7), (96, 1.44), (72, 0.95), (48, 0.54)):
        laps = 27 * (2 * width / 256 + width / 64)
        trial = architecture.encoder_macs(width) - laps
        assert trial / 1000 == pytest.approx(kmacs, abs=0.05)
        assert architecture.encoder_macs(width) == architecture.decoder_macs(width)


@pytest.mark.parametrize("width", [192, 48])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_those_of_a_network_of_this_width_alone(
    width: int, name: ArchitectureName
) -> None:
    network = SlimCAE(SlimCAEConfig((width,), architecture=name))
    numbers = [*network.g_a.parameters(), *network.g_s.parameters()]
    whole = architecture_of(SlimCAEConfig(architecture=name))
    assert whole.parameters(width) == sum(p.numel() for p in numbers)


def test_values_are_those_of_the_largest_layer() -> None:
    """By hand: 2 · w numbers in and out at a quarter of the resolution; 48 at the output pixels."""
    assert slimcae(SlimCAEConfig()).decoder_values(192) == 2 * 192 / 16
    architecture = light(SlimCAEConfig(architecture="light"))
    assert architecture.decoder_values(192) == 4 * (192 // 4) / 16
    assert architecture.decoder_values(48) == (48 + 48) / 16


def test_lighter_differs_from_light_in_the_first_layer_and_the_activation() -> None:
    """A 3×3 over 48 channels has eight ninths of its products beside the middle."""
    first = light(SlimCAEConfig(architecture="light"))
    second = lighter(SlimCAEConfig(architecture="lighter"))
    for width in DEFAULT_WIDTHS:
        saved = 8 * 48 * (width // 4) / 16
        assert first.encoder_macs(width) - second.encoder_macs(width) == saved
        assert first.decoder_macs(width) == second.decoder_macs(width)
    assert (second.analysis_halo, second.synthesis_halo) == (5, 5)
    assert second.tensors() | {"g_a.embed.weight": (48, 48, 3, 3)} == first.tensors()


@pytest.mark.parametrize(
    ("name", "counts"),
    [("broad", (192, 192, 144, 108, 72)), ("broader", (288, 216, 144, 108, 72))],
)
def test_broad_and_broader_have_more_latents_and_little_more_to_compute(
    name: ArchitectureName, counts: tuple[int, ...]
) -> None:
    """By hand: two blocks of two 1×1 and a 3×3, and the layers before and behind them."""
    first = light(SlimCAEConfig(architecture="light"))
    second = architecture_of(SlimCAEConfig(architecture=name))
    for width, latents in zip(DEFAULT_WIDTHS, counts, strict=True):
        assert second.latent_channels(width) == latents
        more = latents - width
        # 2w inputs of down3 (outputs of up3), and 2w inner channels of the four 1×1 of the blocks
        macs = (2 * width * more + 4 * 2 * width * more) / 256
        assert second.encoder_macs(width) - first.encoder_macs(width) == pytest.approx(macs)
        assert second.decoder_macs(width) - first.decoder_macs(width) == pytest.approx(macs)
    assert (second.analysis_halo, second.synthesis_halo) == (5, 5)
    most = {"broad": 256, "broader": 384}[name]
    assert architecture_of(SlimCAEConfig((256,), architecture=name)).latent_channels(256) == most


def test_the_halos_of_the_light_network_are_what_gradients_reach(light_network: SlimCAE) -> None:
    architecture = light_network.architecture
    middle = 7
    x = torch.rand(1, 3, 15 * 16, 15 * 16, requires_grad=True)
    light_network.g_a(x, 12)[0, :, middle, middle].sum().backward()
    assert x.grad is not None
    reached = torch.nonzero(x.grad.abs().sum((0, 1, 2))).flatten()
    before = 16 * middle - int(reached.min())
    after = int(reached.max()) - (16 * middle + 15)
    assert architecture.analysis_halo == math.ceil(max(before, after) / 16)

    y_hat = torch.randn(1, 12, 15, 15, requires_grad=True)
    pixels = slice(16 * middle, 16 * (middle + 1))
    light_network.g_s(y_hat, 12)[0, :, pixels, pixels].sum().backward()
    assert y_hat.grad is not None
    reached = torch.nonzero(y_hat.grad.abs().sum((0, 1, 2))).flatten()
    reach = max(middle - int(reached.min()), int(reached.max()) - middle)
    assert architecture.synthesis_halo == reach


def test_the_halos_are_what_gradients_reach(network: SlimCAE) -> None:
    """Autograd is the oracle: which pixels affect a latent, and which latents affect a pixel."""
    architecture = network.architecture
    x = torch.rand(1, 3, 160, 160, requires_grad=True)
    network.g_a(x, 12)[0, :, 5, 5].sum().backward()
    assert x.grad is not None
    reached = torch.nonzero(x.grad.abs().sum((0, 1, 2))).flatten()
    # 57 pixels about the latent's position, 5 · 16
    assert (int(reached.min()), int(reached.max())) == (80 - 28, 80 + 28)
    assert architecture.analysis_halo == math.ceil(28 / 16)

    y_hat = torch.randn(1, 12, 11, 11, requires_grad=True)
    network.g_s(y_hat, 12)[0, :, 80:96, 80:96].sum().backward()
    assert y_hat.grad is not None
    reached = torch.nonzero(y_hat.grad.abs().sum((0, 1, 2))).flatten()
    reach = max(5 - int(reached.min()), int(reached.max()) - 5)
    assert architecture.synthesis_halo == reach


def chain(*layers: tuple[int, int]) -> Architecture:
    """Return an architecture of layers of these kernel sides and strides, and their inverses."""
    names = [f"conv{k}" for k in range(len(layers))]
    down: list[Layer] = [
        Convolution(f"g_a.{name}", 1, 1, side, stride)
        for name, (side, stride) in zip(names, layers, strict=True)
    ]
    up: list[Layer] = [
        Convolution(f"g_s.de{name}", 1, 1, side, stride, transposed=True)
        for name, (side, stride) in zip(names, layers, strict=True)
    ]
    return Architecture(SlimCAEConfig((1,)), tuple(down), tuple(reversed(up)))


@pytest.mark.parametrize(
    "layers",
    [
        ((3, 1),),
        ((1, 1), (1, 2)),
        ((5, 2),),
        ((5, 2),) * 4,
        ((9, 4), (5, 2), (5, 2)),
        ((3, 1), (5, 2), (3, 1), (5, 2), (3, 1)),
        ((7, 2), (3, 4), (9, 1)),
    ],
    ids=str,
)
def test_the_halos_of_other_layers_are_what_gradients_reach(
    layers: tuple[tuple[int, int], ...],
) -> None:
    """Use kernels of ones, so that everything in reach has a gradient; a halo may be one larger."""
    architecture = chain(*layers)
    scale = architecture.downsampling
    assert scale == math.prod(stride for _, stride in layers)
    latents, middle = 41, 20

    x = torch.zeros(1, 1, scale * latents, dtype=torch.float64, requires_grad=True)
    y = x
    for side, stride in layers:
        kernel = torch.ones(1, 1, side, dtype=torch.float64)
        y = torch.nn.functional.conv1d(y, kernel, stride=stride, padding=side // 2)
    (gradient,) = torch.autograd.grad(y[0, 0, middle], x)
    reached = torch.nonzero(gradient.flatten()).flatten()
    before, after = scale * middle - int(reached.min()), int(reached.max()) - scale * middle
    # the latent's own pixels begin at its position and go on for `scale`
    needed = max(math.ceil(before / scale), math.ceil((after - scale + 1) / scale), 0)
    assert needed <= architecture.analysis_halo <= needed + 1

    y = torch.zeros(1, 1, latents, dtype=torch.float64, requires_grad=True)
    x_hat = y
    for side, stride in reversed(layers):
        kernel = torch.ones(1, 1, side, dtype=torch.float64)
        x_hat = torch.nn.functional.conv_transpose1d(
            x_hat, kernel, stride=stride, padding=side // 2, output_padding=stride - 1
        )
    assert x_hat.shape == x.shape
    pixels = x_hat[0, 0, scale * middle : scale * (middle + 1)]
    (gradient,) = torch.autograd.grad(pixels.sum(), y)
    reached = torch.nonzero(gradient.flatten()).flatten()
    needed = max(middle - int(reached.min()), int(reached.max()) - middle)
    assert needed <= architecture.synthesis_halo <= needed + 1


@pytest.mark.parametrize(
    "config",
    [
        *(SlimCAEConfig(w, v) for w in ((12, 8, 4), (5,), DEFAULT_WIDTHS) for v in GDN_VARIANTS),
        LIGHT,
        SlimCAEConfig(architecture="light"),
    ],
    ids=str,
)
def test_tensors_are_those_of_the_network(config: SlimCAEConfig) -> None:
    with torch.device("meta"):
        state = SlimCAE(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    densities = {
        density_prefix(width) + name: shape
        for width in config.widths
        for name, shape in density_tensors(width).items()
    }
    assert architecture_of(config).tensors() | densities == shapes


@pytest.mark.parametrize("channels", [1, 7])
def test_tensors_of_a_density_are_those_of_the_bottleneck(channels: int) -> None:
    state = EntropyBottleneck(channels).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert density_tensors(channels) == shapes


def documented_shapes(width: int, variant: GDNVariant) -> dict[str, tuple[int, ...]]:
    """Return the arrays of transforms in the table of docs/format.md, "Fingerprint"."""
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8").split("### Fingerprint")[1]
    layers = [f"g_a.gdn{k}" for k in (1, 2, 3)] + [f"g_s.igdn{k}" for k in (1, 2, 3)]
    found = {}
    for cell, shapes in re.findall(r"^\| (`.*?) \| (\(.*?) \|", text, re.MULTILINE):
        if "`slim+` only" in cell and variant != "slim+":
            continue
        names = re.findall(r"`((?:g_\w\.\w*conv\d|L)\.\w+)`", cell)
        sizes = re.findall(r"\(([^)]*)\)", shapes.replace("C", str(width)))
        for place, name in enumerate(names):
            size = sizes[min(place, len(sizes) - 1)]  # one for all, or one for each
            shape = tuple(int(side) for side in size.split(",") if side)
            for layer in layers if name.startswith("L.") else [""]:
                found[name.replace("L.", f"{layer}.")] = shape
    return found


@every_variant
@pytest.mark.parametrize("width", [7, 5, 2])
def test_the_parts_of_a_width_are_those_of_the_document(variant: GDNVariant, width: int) -> None:
    architecture = slimcae(SlimCAEConfig((7, 5, 2), variant))
    stored = {name: np.empty(shape) for name, shape in architecture.tensors().items()}
    used = architecture.used(width)
    shapes = {name: stored[source][part].shape for name, (source, part) in used.items()}
    assert shapes == documented_shapes(width, variant)


@every_variant
def test_the_weights_of_a_width_are_those_of_the_slow_reader(
    variant: GDNVariant, tmp_path: Path
) -> None:
    """The slow reader is written from docs/format.md alone, and does not use the package."""
    torch.manual_seed(3)
    network = SlimCAE(SlimCAEConfig((6, 4, 1), variant))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
    model = to_model(network, steps=(1.0,))
    write_model(tmp_path / "model", model)
    slow_model = SlowModel((tmp_path / "model").read_bytes())
    for width in (6, 4, 1):
        weights = model.weights(width)
        arrays = slow_model._arrays(width)
        assert weights.keys() == {name for name in arrays if name.startswith("g_")}
        for name, weight in weights.items():
            assert weight.shape == arrays[name].shape
            assert weight.ravel().tolist() == arrays[name].numbers


def test_layers_are_found_by_name() -> None:
    architecture = slimcae(SlimCAEConfig((8, 4)))
    assert architecture.layer("g_s.deconv3") == Convolution(
        "g_s.deconv3", WIDTH, 3, side=9, stride=4, transposed=True
    )
    assert architecture.layer("g_s.igdn2") == Normalization("g_s.igdn2", inverse=True)
    assert architecture.downsampling == 16
    assert [architecture.latent_channels(width) for width in architecture.widths] == [8, 4]
