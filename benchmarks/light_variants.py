"""Variants of the architecture `light`, for architecture_trials.py.

A variant is a list of layers in which some layers of `light` are replaced. Layers that the package
does not have (SiLU, gates) are defined here, with their torch modules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from slimcae.model.architecture import Architecture
from slimcae.model.config import SlimCAEConfig
from slimcae.model.layers import (
    WIDTH,
    Convolution,
    Layer,
    LeakyReLU,
    More,
    Normalization,
    Residual,
    Share,
)
from slimcae.networks import transform

Edit = Callable[[Architecture], Architecture]


@dataclass(frozen=True)
class Activation(Layer):
    """A non-linearity of torch.nn without parameters."""

    kind: str


@dataclass(frozen=True)
class Gate(Layer):
    """Multiply with 2 · sigmoid(1×1(mean of 5×5)): squeeze and excitation with local means.

    Local means keep tiles exact, in contrast to means over the picture (Hu et al., CVPR 2018).
    """

    name: str

    def reach(self, outputs: Fraction) -> Fraction:
        """Return the halo of the mean."""
        return outputs + 2

    def macs(self, width: int) -> int:
        """Return those of the product."""
        return width**2


@dataclass(frozen=True)
class Manhattan(Layer):
    """A GDN without root and squares, x / (β + Γ |x|), or its inverse (Johnston et al. 2019)."""

    name: str
    inverse: bool = False

    def macs(self, width: int) -> int:
        """Return those of the product with Γ."""
        return width**2


class GateModule(nn.Module):
    """See `Gate`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]
        self.mean = nn.AvgPool2d(5, stride=1, padding=2, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x (N, C, H, W) with its gates."""
        return 2 * torch.sigmoid(self.mix(self.mean(x))) * x


class ManhattanModule(nn.Module):
    """See `Manhattan`."""

    def __init__(self, channels: int, inverse: bool) -> None:
        super().__init__()
        self.inverse = inverse
        self.log_beta = nn.Parameter(torch.zeros(channels))
        self.root = nn.Parameter(torch.eye(channels) * 0.1 + 1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Divide or multiply x (N, C, H, W) by its norms."""
        gamma = self.root.square()[:, :, None, None]
        norm = nn.functional.conv2d(x.abs(), gamma, self.log_beta.exp())
        return x * norm if self.inverse else x / norm


_known_module = transform._module


def module_of(layer: Layer, config: SlimCAEConfig) -> nn.Module:
    """Return the torch module of a layer, also of those defined here."""
    match layer:
        case Activation():
            module: nn.Module = getattr(nn, layer.kind)()
            return module
        case Gate():
            return GateModule(config.num_filters)
        case Manhattan():
            return ManhattanModule(config.num_filters, layer.inverse)
    return _known_module(layer, config)


def _each(change: Callable[[Layer], Sequence[Layer]], only: str = "") -> Edit:
    """Replace each layer whose name contains `only` by those that `change` returns."""

    def edit(found: Architecture) -> Architecture:
        sides = (
            tuple(
                new
                for layer in side
                for new in (change(layer) if only in getattr(layer, "name", "") else (layer,))
            )
            for side in (found.analysis, found.synthesis)
        )
        return Architecture(found.config, *sides)

    return edit


def _blocks(make: Callable[[str, Share], Residual], only: str = ".block") -> Edit:
    def change(layer: Layer) -> Sequence[Layer]:
        assert isinstance(layer, Residual)
        project = layer.layers[-1]
        assert isinstance(project, Convolution)
        assert not isinstance(project.outputs, More)  # in `light`, they never are
        return (make(layer.name, project.outputs),)

    return _each(change, only)


def block(
    name: str,
    channels: Share,
    *,
    expansion: int = 2,
    side: int = 3,
    between: Callable[[], Layer] = LeakyReLU,
) -> Residual:
    """Return the block of `light`, with other settings."""
    hidden = expansion * channels
    depthwise = Convolution(f"{name}.depthwise", hidden, hidden, side=side, bias="own", group=1)
    return Residual(
        name,
        (
            Convolution(f"{name}.expand", channels, hidden, side=1, bias="own"),
            between(),
            depthwise,
            between(),
            Convolution(f"{name}.project", hidden, channels, side=1, bias="own"),
        ),
    )


def convnext(name: str, channels: Share, expansion: int = 2, side: int = 3) -> Residual:
    """Return a block in the order of ConvNeXt (Liu et al., CVPR 2022): depthwise first."""
    hidden = expansion * channels
    return Residual(
        name,
        (
            Convolution(f"{name}.depthwise", channels, channels, side=side, bias="own", group=1),
            Convolution(f"{name}.expand", channels, hidden, side=1, bias="own"),
            LeakyReLU(),
            Convolution(f"{name}.project", hidden, channels, side=1, bias="own"),
        ),
    )


def _without(name: str) -> Edit:
    return _each(lambda layer: (), name)


def _after(name: str, *more: str, channels: Share) -> Edit:
    """Add blocks after a layer."""
    return _each(lambda layer: (layer, *(block(each, channels) for each in more)), name)


def _side(name: str, side: int) -> Edit:
    def change(layer: Layer) -> Sequence[Layer]:
        assert isinstance(layer, Convolution)
        return (replace(layer, side=side),)

    return _each(change, name)


def _all(*edits: Edit) -> Edit:
    def edit(found: Architecture) -> Architecture:
        for each in edits:
            found = each(found)
        return found

    return edit


def _around_latents(analysis: Layer, synthesis: Layer) -> Edit:
    """Put a layer before the scale of g_a, and one after the scale of g_s."""
    return _all(
        _each(lambda layer: (analysis, layer), "g_a.scale"),
        _each(lambda layer: (layer, synthesis), "g_s.scale"),
    )


def _wider_top(share: Fraction) -> Edit:
    """Let the last stage have more channels than the latents."""

    def edit(found: Architecture) -> Architecture:
        analysis: list[Layer] = []
        for layer in found.analysis:
            match getattr(layer, "name", ""):
                case "g_a.down3":
                    assert isinstance(layer, Convolution)
                    layer = replace(layer, outputs=share)
                case "g_a.block3" | "g_a.block4" as name:
                    layer = block(name, share)
                case "g_a.scale":
                    analysis.append(Convolution("g_a.narrow", share, WIDTH, side=1, bias="own"))
            analysis.append(layer)
        synthesis: list[Layer] = []
        for layer in found.synthesis:
            match getattr(layer, "name", ""):
                case "g_s.up3":
                    assert isinstance(layer, Convolution)
                    layer = replace(layer, inputs=share)
                case "g_s.block3" | "g_s.block4" as name:
                    layer = block(name, share)
            synthesis.append(layer)
            if getattr(layer, "name", "") == "g_s.scale":
                synthesis.append(Convolution("g_s.widen", WIDTH, share, side=1, bias="own"))
        return Architecture(found.config, tuple(analysis), tuple(synthesis))

    return edit


HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)
RELU = _blocks(lambda name, n: block(name, n, between=lambda: Activation("ReLU")))
EMBED_1X1_RELU = _all(_side("g_a.embed", 1), RELU)
GDN_WITHOUT_ROOT = _around_latents(Manhattan("g_a.gdn"), Manhattan("g_s.igdn", inverse=True))
DENSE_3X3_AT_16 = _each(
    lambda layer: (Convolution("g_s.dense", WIDTH, WIDTH, side=3, bias="own"), layer), "g_s.up3"
)

VARIANTS: dict[str, Edit] = {
    "base": lambda found: found,
    "expand-1": _blocks(lambda name, n: block(name, n, expansion=1)),
    "expand-3": _blocks(lambda name, n: block(name, n, expansion=3)),
    "expand-4-at-16": _blocks(lambda n, c: block(n, c, expansion=4 if c == WIDTH else 2)),
    "convnext": _blocks(convnext),
    "convnext-5x5": _blocks(lambda name, n: convnext(name, n, side=5)),
    "relu": RELU,
    "silu": _blocks(lambda name, n: block(name, n, between=lambda: Activation("SiLU"))),
    "gelu": _blocks(lambda name, n: block(name, n, between=lambda: Activation("GELU"))),
    "no-block-at-4": _without(".block1"),
    "blocks-1-2-2": _all(
        _after("g_a.block2", "g_a.block5", channels=HALF),
        _after("g_s.block2", "g_s.block5", channels=HALF),
    ),
    "blocks-1-1-4": _all(
        _after("g_a.block4", "g_a.block5", "g_a.block6", channels=WIDTH),
        _after("g_s.block3", "g_s.block5", "g_s.block6", channels=WIDTH),
    ),
    "rich-analysis": _all(
        _after("g_a.block1", "g_a.block5", channels=QUARTER),
        _after("g_a.block2", "g_a.block6", channels=HALF),
        _after("g_a.block4", "g_a.block7", "g_a.block8", channels=WIDTH),
    ),
    "lean-synthesis": _all(_without("g_s.block1"), _without("g_s.block4")),
    "embed-1x1-relu": EMBED_1X1_RELU,
    "embed-1x1-relu-gdn-without-root": _all(EMBED_1X1_RELU, GDN_WITHOUT_ROOT),
    "embed-1x1-relu-dense-3x3-at-16": _all(EMBED_1X1_RELU, DENSE_3X3_AT_16),
    "embed-1x1": _side("g_a.embed", 1),
    "render-1x1": _side("g_s.render", 1),
    "render-5x5": _side("g_s.render", 5),
    "depthwise-5x5": _blocks(lambda n, c: block(n, c, side=3 if c == QUARTER else 5)),
    "dense-3x3-at-16": DENSE_3X3_AT_16,
    "wider-top": _wider_top(Fraction(4, 3)),
    "gdn": _around_latents(Normalization("g_a.gdn"), Normalization("g_s.igdn", inverse=True)),
    "gdn-without-root": GDN_WITHOUT_ROOT,
    "gate": _around_latents(Gate("g_a.gate"), Gate("g_s.gate")),
}
"""The variants by name. /4 and /16 mean a quarter and a sixteenth of the resolution."""
