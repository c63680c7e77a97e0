import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from slimcae.errors import ConfigError
from slimcae.model.config import (
    DEFAULT_WIDTHS,
    GDN_VARIANTS,
    ArchitectureName,
    GDNVariant,
    SlimCAEConfig,
)
from slimcae.model.layers import WIDTH, Convolution
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.layers import SlimmableConv2d, SlimmableConvTranspose2d
from slimcae.networks.slimcae import SlimCAE

KMACS = {48: 2.04, 72: 4.05, 96: 6.71, 144: 14.0, 192: 23.9}
"""Thousand multiply-accumulates per pixel of encoder or decoder, from the project's notes."""
SHARED_CONVOLUTIONS = 2 * (81 * 3 * 192 + 2 * 25 * 192**2) + 4 * 192 + 3


def on_meta(widths: tuple[int, ...] = DEFAULT_WIDTHS, gdn: GDNVariant = "switchable") -> SlimCAE:
    with torch.device("meta"):
        return SlimCAE(SlimCAEConfig(widths, gdn))


def count(network: nn.Module, kind: type | tuple[type, ...]) -> int:
    """Count the parameters of all layers of a kind."""
    layers = [layer for layer in network.modules() if isinstance(layer, kind)]
    return sum(p.numel() for layer in layers for p in layer.parameters())


def randomize(network: SlimCAE) -> None:
    """Make every parameter random and none at a bound, so that no layer is an identity."""
    torch.manual_seed(4)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if "entropy" not in name:
                norm = p.uniform_(0.3, 1.0) if "gdn" in name else p.normal_(std=0.1)
                assert torch.isfinite(norm).all()


class Plain(nn.Module):
    """A plain codec of one width, not slimmable, made of torch.nn layers only."""

    def __init__(self, network: SlimCAE, width: int) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList(
            [
                nn.Conv2d(3, w, 9, 4, 4),
                nn.Conv2d(w, w, 5, 2, 2),
                nn.Conv2d(w, w, 5, 2, 2, bias=False),
            ]
        )
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(w, w, 5, 2, 2, output_padding=1),
                nn.ConvTranspose2d(w, w, 5, 2, 2, output_padding=1),
                nn.ConvTranspose2d(w, 3, 9, 4, 4, output_padding=3),
            ]
        )
        state = network.state_dict()
        for side, layers in (("g_a.conv", self.down), ("g_s.deconv", self.up)):
            for k, layer in enumerate(layers, start=1):
                for name, p in layer.named_parameters():
                    region = tuple(slice(0, size) for size in p.shape)
                    p.data = state[f"{side}{k}.{name}"][region].clone()
        self.norms = {
            name: [p.detach() for p in layer.effective(width)]
            for name, layer in network.named_modules()
            if isinstance(layer, SlimmableGDN)
        }

    def norm(self, x: Tensor, name: str) -> Tensor:
        beta, gamma = self.norms[name]
        root = (beta[:, None, None] + torch.einsum("ij,njhw->nihw", gamma, x**2)).sqrt()
        return x * root if "igdn" in name else x / root

    def analyse(self, x: Tensor) -> Tensor:
        for k, layer in enumerate(self.down, start=1):
            x = self.norm(layer(x), f"g_a.gdn{k}")
        return x

    def synthesise(self, y: Tensor) -> Tensor:
        for k, layer in enumerate(self.up, start=1):
            y = layer(self.norm(y, f"g_s.igdn{k}"))
        return y


@pytest.mark.parametrize("variant", GDN_VARIANTS)
@pytest.mark.parametrize("width", [12, 8, 4])
def test_each_width_equals_a_plain_network_of_sliced_weights(
    variant: GDNVariant, width: int
) -> None:
    network = SlimCAE(SlimCAEConfig((12, 8, 4), variant))
    randomize(network)
    plain = Plain(network, width)
    x = torch.rand(2, 3, 48, 32)
    with torch.no_grad():
        y = network.g_a(x, width)
        torch.testing.assert_close(y, plain.analyse(x), rtol=1e-4, atol=1e-5)
        x_hat, expected = network.g_s(y, width), plain.synthesise(y)
    assert y.shape == (2, width, 3, 2)
    torch.testing.assert_close(x_hat, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


class PlainLight:
    """A plain light network of one width, not slimmable, made of torch functions only."""

    def __init__(self, network: SlimCAE, width: int) -> None:
        self.state, self.width = network.state_dict(), width
        self.place = network.widths.index(width)
        self.slope = 0.0 if network.config.architecture == "lighter" else 0.1
        broad = network.config.architecture in ("broad", "broader")
        self.latents = {16: 24, 8: 12, 4: 6}[width] if broad else width

    def conv(self, x: Tensor, name: str, out: int, *, groups: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"][:out, : x.shape[1] // groups]
        bias: Tensor = self.state[f"{name}.bias"][self.place, :out]
        y: Tensor = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
        return y

    def block(self, x: Tensor, name: str, hidden: int) -> Tensor:
        channels = x.shape[1]
        y = F.leaky_relu(self.conv(x, f"{name}.expand", hidden), self.slope)
        y = self.conv(y, f"{name}.depthwise", hidden, groups=hidden)
        y = F.leaky_relu(y, self.slope)
        return x + self.conv(y, f"{name}.project", channels)

    def lap(self, x: Tensor, name: str) -> Tensor:
        return self.conv(x, name, x.shape[1], groups=x.shape[1] // 4)

    def scale(self, x: Tensor, name: str) -> Tensor:
        factors: Tensor = self.state[name][self.place, : self.latents].exp()
        return x * factors[:, None, None]

    def analyse(self, x: Tensor) -> Tensor:
        w = self.width
        x = self.conv(F.pixel_unshuffle(x, 4), "g_a.embed", w // 4)
        x = self.block(x, "g_a.block1", w // 2)
        x = self.conv(self.lap(F.pixel_unshuffle(x, 2), "g_a.lap2"), "g_a.down2", w // 2)
        x = self.block(x, "g_a.block2", w)
        x = self.conv(self.lap(F.pixel_unshuffle(x, 2), "g_a.lap3"), "g_a.down3", self.latents)
        x = self.block(self.block(x, "g_a.block3", 2 * w), "g_a.block4", 2 * w)
        return self.scale(x, "g_a.scale.log_scale")

    def synthesise(self, y: Tensor) -> Tensor:
        w = self.width
        x = self.scale(y, "g_s.scale.log_scale")
        x = self.block(self.block(x, "g_s.block4", 2 * w), "g_s.block3", 2 * w)
        x = F.pixel_shuffle(self.lap(self.conv(x, "g_s.up3", 2 * w), "g_s.lap3"), 2)
        x = self.block(x, "g_s.block2", w)
        x = F.pixel_shuffle(self.lap(self.conv(x, "g_s.up2", w), "g_s.lap2"), 2)
        x = self.conv(self.block(x, "g_s.block1", w // 2), "g_s.render", 48)
        return F.pixel_shuffle(x, 4)


@pytest.mark.parametrize("architecture", ["light", "lighter", "broad", "broader"])
@pytest.mark.parametrize("width", [16, 8, 4])
def test_each_width_of_light_equals_a_plain_network_of_sliced_weights(
    width: int, architecture: ArchitectureName
) -> None:
    network = SlimCAE(SlimCAEConfig((16, 8, 4), architecture=architecture))
    torch.manual_seed(4)
    with torch.no_grad():
        for p in [*network.g_a.parameters(), *network.g_s.parameters()]:
            p.normal_(std=0.2)
        plain = PlainLight(network, width)
        x = torch.rand(2, 3, 48, 32)
        y = network.g_a(x, width)
        torch.testing.assert_close(y, plain.analyse(x), rtol=1e-4, atol=1e-5)
        x_hat, expected = network.g_s(y, width), plain.synthesise(y)
    assert y.shape == (2, plain.latents, 3, 2)
    torch.testing.assert_close(x_hat, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("width", [8, 4])
def test_entries_of_light_outside_the_slice_do_not_learn(width: int) -> None:
    """The architecture defines the slices of a width; autograd is the oracle."""
    network = SlimCAE(SlimCAEConfig((16, 8, 4), architecture="light")).train()
    torch.manual_seed(4)
    with torch.no_grad():
        for p in [*network.g_a.parameters(), *network.g_s.parameters()]:
            p.normal_(std=0.2)
    out = network(torch.rand(1, 3, 64, 64), width)
    (out["x_hat"].square().sum() - out["likelihoods"].log().sum()).backward()
    parameters = dict(network.named_parameters())
    used = network.architecture.used(width)
    for name, part in used.values():
        gradient = parameters[name].grad
        assert gradient is not None
        assert gradient[part].count_nonzero() > 0.9 * gradient[part].numel(), name
        assert gradient.count_nonzero() == gradient[part].count_nonzero(), name
    transforms = {name for name in parameters if name.startswith("g_")}
    assert {name for name, _ in used.values()} == transforms


def outside(name: str, tensor: Tensor, width: int) -> Tensor | None:
    """Return a mask of the entries of a shared kernel that a width must not use, or None."""
    if "conv" not in name:
        return None
    mask = torch.ones(tensor.shape, dtype=torch.bool)
    kept = [slice(0, width) if size == 12 else slice(None) for size in tensor.shape[:2]]
    mask[tuple(kept[: min(2, tensor.ndim)])] = False
    return mask


@pytest.mark.parametrize("width", [8, 4])
def test_entries_outside_the_slice_neither_act_nor_learn(width: int) -> None:
    network = SlimCAE(SlimCAEConfig((12, 8, 4))).train()
    randomize(network)
    x = torch.rand(1, 3, 32, 32)
    torch.manual_seed(9)  # the noise of training
    before = network(x, width)
    (before["x_hat"].square().sum() - before["likelihoods"].log().sum()).backward()
    masked = 0
    with torch.no_grad():
        for name, p in network.named_parameters():
            mask = outside(name, p, width)
            if mask is not None:
                assert p.grad is not None
                assert not p.grad[mask].any(), name
                assert p.grad[~mask].any(), name
                p[mask] = math.nan
                masked += int(mask.sum())
            elif f".{width}." not in name:  # another width's own norm or density
                assert p.grad is None, name
                p.fill_(math.nan)
        assert masked
        torch.manual_seed(9)
        after = network(x, width)
    for key in ("x_hat", "y", "y_hat", "likelihoods"):
        assert torch.equal(before[key], after[key]), key


@pytest.mark.parametrize("widths", [DEFAULT_WIDTHS, (192,), (192, 191, 7, 1)])
def test_shared_convolutions_hold_as_much_whatever_the_widths(widths: tuple[int, ...]) -> None:
    found = count(on_meta(widths), (SlimmableConv2d, SlimmableConvTranspose2d))
    assert found == SHARED_CONVOLUTIONS == 3_780_483


def test_parameter_counts_of_the_variants() -> None:
    own = 6 * sum(w * w + w for w in DEFAULT_WIDTHS)
    assert count(on_meta(), SlimmableGDN) == own
    assert SHARED_CONVOLUTIONS + own == pytest.approx(4.23e6, rel=0.002)
    assert count(on_meta(gdn="slim"), SlimmableGDN) == 6 * (192 * 192 + 192)
    assert count(on_meta(gdn="slim+"), SlimmableGDN) == 222_456
    assert pytest.approx(4.00e6, rel=0.002) == SHARED_CONVOLUTIONS + 222_456


def test_parameters_beside_convolutions_and_norms_are_densities_only() -> None:
    """Filters 3 3 3 3: 58 numbers per channel, for each width."""
    network = on_meta()
    rest = sum(p.numel() for p in network.parameters()) - count(network, SlimmableGDN)
    assert rest - SHARED_CONVOLUTIONS == 58 * sum(DEFAULT_WIDTHS)


@pytest.mark.parametrize(("width", "kmacs"), KMACS.items())
def test_multiply_accumulates_are_those_of_the_slice(width: int, kmacs: float) -> None:
    network, side = SlimCAE().eval(), 64
    with torch.no_grad(), FlopCounterMode(display=False) as analysis:
        y = network.g_a(torch.zeros(1, 3, side, side), width)
    with torch.no_grad(), FlopCounterMode(display=False) as synthesis:
        network.g_s(y, width)
    for counter in (analysis, synthesis):
        assert counter.get_total_flops() / 2 / side**2 / 1000 == pytest.approx(kmacs, rel=0.02)


@pytest.mark.parametrize("widths", [(1,), (5,), (7, 2), (50, 49, 3, 2, 1)])
@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_any_strictly_decreasing_widths_run(widths: tuple[int, ...], variant: GDNVariant) -> None:
    network = SlimCAE(SlimCAEConfig(widths, variant)).eval()
    assert network.widths == widths
    for width in widths:
        out = network(torch.rand(1, 3, 16, 32), width)
        assert out["x_hat"].shape == (1, 3, 16, 32)
        assert out["y"].shape == out["y_hat"].shape == out["likelihoods"].shape
        assert out["y"].shape == (1, width, 1, 2)
        assert all(torch.isfinite(value).all() for value in out.values())


@pytest.mark.parametrize("size", [(16, 16), (16, 80), (48, 64), (112, 16)])
def test_sixteen_pixels_become_one_latent_and_back(
    tiny_network: SlimCAE, size: tuple[int, int]
) -> None:
    out = tiny_network(torch.rand(2, 3, *size), 8)
    assert out["y"].shape == (2, 8, size[0] // 16, size[1] // 16)
    assert out["x_hat"].shape == (2, 3, *size)


@pytest.mark.parametrize(
    "widths", [(), (4, 8), (8, 8), (8, 0), (8, -1), (8, 4.0), (True,), ("8", "4"), (8, None)]
)
def test_widths_that_cannot_work_are_named(widths: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match=r"strictly decreasing positive integers") as caught:
        SlimCAEConfig(widths)
    assert str(list(widths)) in str(caught.value)


def test_an_unknown_gdn_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'fat'.*switchable, slim, slim\+"):
        SlimCAEConfig((8,), "fat")  # type: ignore[arg-type]


def test_an_absent_width_is_named(tiny_network: SlimCAE) -> None:
    with pytest.raises(ConfigError, match="no width 6: choose from 12, 8, 4"):
        tiny_network(torch.rand(1, 3, 16, 16), 6)


def test_training_and_evaluation_differ_in_noise_alone(tiny_network: SlimCAE) -> None:
    x = torch.rand(1, 3, 64, 64)
    trained, evaluated = tiny_network.train()(x, 8), tiny_network.eval()(x, 8)
    assert torch.equal(trained["y"], evaluated["y"])
    assert torch.equal(evaluated["y_hat"], torch.round(evaluated["y"]))  # new medians are zero
    assert not torch.equal(trained["y_hat"], evaluated["y_hat"])
    assert ((trained["y_hat"] - trained["y"]).abs() <= 0.5 + 1e-6).all()


def test_update_finds_the_medians_of_every_width(tiny_network: SlimCAE) -> None:
    tiny_network.update()
    for width in (12, 8, 4):
        bottleneck = tiny_network.entropy_bottleneck(width)
        with torch.no_grad():
            logits = bottleneck.logits_cumulative(bottleneck.medians.double()[:, None, None])
        torch.testing.assert_close(logits, torch.zeros_like(logits), rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_autocast_keeps_densities_latents_and_evaluated_norms_in_float32(
    tiny_network: SlimCAE, training: bool
) -> None:
    tiny_network.train(training)
    conv: set[torch.dtype] = set()
    norm: dict[str, torch.dtype] = {}
    for name, layer in tiny_network.named_modules():
        if isinstance(layer, SlimmableConv2d | SlimmableConvTranspose2d):
            layer.register_forward_hook(lambda _, __, out: conv.add(out.dtype))
        elif isinstance(layer, SlimmableGDN):
            layer.register_forward_hook(lambda _, __, out, n=name: norm.update({n: out.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        out = tiny_network(torch.rand(1, 3, 32, 32), 12)
    assert conv == {torch.bfloat16}
    halves = {name for name, dtype in norm.items() if dtype == torch.bfloat16}
    assert halves == ({"g_a.gdn1", "g_a.gdn2", "g_s.igdn2", "g_s.igdn3"} if training else set())
    assert set(norm.values()) - {torch.bfloat16} == {torch.float32}
    assert {out[k].dtype for k in ("y", "y_hat", "likelihoods")} == {torch.float32}


def test_training_computes_the_last_layer_as_evaluation_does() -> None:
    torch.manual_seed(6)
    data = Convolution("x", WIDTH, 3, side=9, stride=4, transposed=True)
    layer = SlimmableConvTranspose2d(data, SlimCAEConfig((6, 4)))
    layer.initialise()
    with torch.no_grad():
        assert layer.bias is not None
        layer.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    x = torch.randn(2, 4, 5, 7).requires_grad_()
    found = {}
    for training in (True, False):
        y = layer.train(training)(x, 4)
        towards = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        found[training] = [y, *torch.autograd.grad(y, [x, *layer.parameters()], towards)]
    for fast, plain in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
