"""What the transforms are made of: their layers, and all that follows from them.

An architecture is data. The modules that train (`slimcae.networks`) and the fast ones that code
(`slimcae.transforms`) are built from its layers; multiply-accumulates, numbers of parameters, the
part of each tensor that a width uses, downsampling and the neighbourhood that a tile needs are
derived from them, here and nowhere else.

Source of the layers: Yang, Herranz, Cheng, Mozerov, "Slimmable Compressive Autoencoders for
Practical Neural Image Compression", CVPR 2021, section 4; Ballé, Minnen, Singh, Hwang, Johnston,
ICLR 2018, figure 4 (the same with one width).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from slimcae.model.config import SlimCAEConfig

PICTURE_CHANNELS = 3

Part = tuple[slice | int, ...]


@dataclass(frozen=True)
class Convolution:
    """A slimmable convolution, or with `transposed` a transposed one; "same" padding, zeros.

    name: of its tensors in a model file, as in `g_a.conv1`.
    inputs, outputs: numbers of channels; None is the width in use.
    side: of the square kernel. stride: it divides the resolution, or transposed multiplies it.
    """

    name: str
    inputs: int | None
    outputs: int | None
    side: int
    stride: int
    transposed: bool = False
    bias: bool = True

    @property
    def padding(self) -> int:
        """Rows and columns of zeros on each side."""
        return self.side // 2

    def shapes(self, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of each tensor of a network of this width alone."""
        inputs, outputs = self.inputs or width, self.outputs or width
        # as torch stores them: (out, in, k, k), and (in, out, k, k) of transposed ones
        channels = (inputs, outputs) if self.transposed else (outputs, inputs)
        yield f"{self.name}.weight", (*channels, self.side, self.side)
        if self.bias:
            yield f"{self.name}.bias", (outputs,)

    def macs(self, width: int) -> int:
        """Return the multiply-accumulates at each position of its smaller side."""
        return self.side**2 * (self.inputs or width) * (self.outputs or width)


@dataclass(frozen=True)
class Normalization:
    """A slimmable GDN over the channels in use, or its inverse; see `slimcae.networks.gdn`."""

    name: str
    inverse: bool = False


Layer = Convolution | Normalization


@dataclass(frozen=True)
class Architecture:
    """The two transforms of a configuration, as lists of layers.

    analysis: from pixels to latents, g_a. synthesis: from latents to pixels, g_s.
    """

    config: SlimCAEConfig
    analysis: tuple[Layer, ...]
    synthesis: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """The operating points, widest first."""
        return self.config.widths

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those of both transforms."""
        return self.analysis + self.synthesis

    def layer(self, name: str) -> Layer:
        """Return the layer of a name, as in `g_s.deconv1`."""
        return next(layer for layer in self.layers if layer.name == name)

    def latent_channels(self, width: int) -> int:
        """Return the number of channels of the latents at a width."""
        return width

    @cached_property
    def downsampling(self) -> int:
        """Pixels per latent, in each direction."""
        return math.prod(conv.stride for conv in _convolutions(self.analysis))

    @cached_property
    def analysis_halo(self) -> int:
        """Latents around a tile whose pixels it depends on."""
        reach = 0  # in inputs of the layer
        for conv in reversed(_convolutions(self.analysis)):
            reach = reach * conv.stride + conv.padding
        return -(-reach // self.downsampling)

    @cached_property
    def synthesis_halo(self) -> int:
        """Latents around a tile that its pixels depend on."""
        reach = Fraction(0)  # in inputs of the layer
        for conv in reversed(_convolutions(self.synthesis)):
            reach = (reach + conv.padding) / conv.stride
        return math.ceil(reach)

    def encoder_macs(self, width: int) -> float:
        """Return the analysis' multiply-accumulates per pixel: convolutions and products with γ.

        Exact for sides that are multiples of `downsampling`; of others, count the pixels of the
        padded picture.
        """
        return _macs(self.analysis, width, positions=Fraction(1))

    def decoder_macs(self, width: int) -> float:
        """Return the synthesis' multiply-accumulates per pixel, counted as in `encoder_macs`."""
        return _macs(self.synthesis, width, positions=Fraction(1, self.downsampling**2))

    def parameters(self, width: int) -> int:
        """Return how many numbers of both transforms a width uses."""
        shared = sum(
            math.prod(shape)
            for layer in self.layers
            if isinstance(layer, Convolution)
            for _, shape in layer.shapes(width)
        )
        norms = sum(isinstance(layer, Normalization) for layer in self.layers)
        return shared + norms * (width**2 + width)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of each tensor of the transforms that a model file has."""
        found: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            if isinstance(layer, Convolution):
                found |= dict(layer.shapes(self.widths[0]))
                continue
            for owner in self._owners():
                found[f"{layer.name}.norms.{owner}.beta"] = (owner,)
                found[f"{layer.name}.norms.{owner}.gamma"] = (owner, owner)
            if self.config.gdn == "slim+":
                found |= {f"{layer.name}.{key}": (len(self.widths),) for key in _ADJUSTMENTS}
        return found

    def used(self, width: int) -> dict[str, tuple[str, Part]]:
        """Return which part of which tensor of the file a width uses, by the part's own name.

        The names are those that the fingerprint hashes (docs/format.md, "Fingerprint").
        """
        found: dict[str, tuple[str, Part]] = {}
        owner = width if self.config.gdn == "switchable" else self.widths[0]
        for layer in self.layers:
            if isinstance(layer, Convolution):
                for name, shape in layer.shapes(width):
                    found[name] = name, tuple(slice(side) for side in shape)
                continue
            for key, dimensions in (("beta", 1), ("gamma", 2)):
                stored = f"{layer.name}.norms.{owner}.{key}"
                found[f"{layer.name}.{key}"] = stored, (slice(width),) * dimensions
            if self.config.gdn == "slim+":
                place = self.widths.index(width)
                for key in _ADJUSTMENTS:
                    name = f"{layer.name}.{key}"
                    found[name] = name, (place,)
        return found

    def _owners(self) -> tuple[int, ...]:
        """The widths under which β and γ are stored."""
        return self.widths if self.config.gdn == "switchable" else self.widths[:1]


_ADJUSTMENTS = ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias")
"""Numbers that `slim+` has for each width."""


def slimcae(config: SlimCAEConfig) -> Architecture:
    """Return the architecture of the paper.

    ::

        x ── conv 9×9 /4 ─ GDN ─ conv 5×5 /2 ─ GDN ─ conv 5×5 /2 ─ GDN ──► y
        x̂ ◄─ deconv 9×9 ×4 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ── ŷ
    """
    colours = PICTURE_CHANNELS
    return Architecture(
        config,
        analysis=(
            Convolution("g_a.conv1", colours, None, side=9, stride=4),
            Normalization("g_a.gdn1"),
            Convolution("g_a.conv2", None, None, side=5, stride=2),
            Normalization("g_a.gdn2"),
            Convolution("g_a.conv3", None, None, side=5, stride=2, bias=False),
            Normalization("g_a.gdn3"),
        ),
        synthesis=(
            Normalization("g_s.igdn1", inverse=True),
            Convolution("g_s.deconv1", None, None, side=5, stride=2, transposed=True),
            Normalization("g_s.igdn2", inverse=True),
            Convolution("g_s.deconv2", None, None, side=5, stride=2, transposed=True),
            Normalization("g_s.igdn3", inverse=True),
            Convolution("g_s.deconv3", None, colours, side=9, stride=4, transposed=True),
        ),
    )


def _convolutions(layers: tuple[Layer, ...]) -> list[Convolution]:
    return [layer for layer in layers if isinstance(layer, Convolution)]


def _macs(layers: tuple[Layer, ...], width: int, positions: Fraction) -> float:
    """Multiply-accumulates per pixel; positions: of the first layer's input, for each pixel."""
    total = Fraction(0)
    for layer in layers:
        if isinstance(layer, Normalization):
            total += width**2 * positions
            continue
        # a transposed convolution does at each input what its convolution does at each output
        if layer.transposed:
            total += layer.macs(width) * positions
            positions *= layer.stride**2
        else:
            positions /= layer.stride**2
            total += layer.macs(width) * positions
    return float(total)
