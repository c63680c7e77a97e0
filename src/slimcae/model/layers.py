"""Layers of the transforms as data: their tensors, what a width uses of them, and what they cost.

The modules that train (`slimcae.networks`) and the fast ones that code (`slimcae.transforms`) are
built from these.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from slimcae.model.config import SlimCAEConfig

Channels = int | Fraction
"""A number of channels, or a part of the width in use."""
WIDTH = Fraction(1)
"""As many channels as the width in use says."""
Shape = tuple[int, ...]
Part = tuple[slice | int, ...]
Used = dict[str, tuple[str, Part]]
"""Name of a stored tensor and the part of it that a width uses, by the part's own name."""

_ADJUSTMENTS = ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias")
"""Numbers that a GDN of the variant `slim+` has for each width."""


def count(channels: Channels, width: int) -> int:
    """Return the number of channels at a width."""
    return channels if isinstance(channels, int) else int(channels * width)


@dataclass(frozen=True)
class Layer:
    """One layer; this base class is one that changes neither resolution nor channels, for free."""

    @property
    def scale(self) -> Fraction:
        """Outputs per input, in each direction."""
        return Fraction(1)

    def reach(self, outputs: Fraction) -> Fraction:
        """Return how many inputs around those of a tile matter, if so many outputs around it do."""
        return outputs / self.scale

    def channels(self, inputs: int, width: int) -> int:
        """Return the number of output channels."""
        return inputs

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return name and shape of each tensor that a model file has of this layer."""
        return {}

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return what a width uses of these tensors.

        The names are those that the fingerprint hashes (docs/format.md, "Fingerprint").
        """
        return {}

    def macs(self, width: int) -> int:
        """Return the multiply-accumulates at each position of the coarser of its two sides."""
        return 0


@dataclass(frozen=True)
class Convolution(Layer):
    """A slimmable convolution, or with `transposed` a transposed one; "same" padding, zeros.

    name: of its tensors in a model file, as in `g_a.conv1`.
    side: of the square kernel. stride: it divides the resolution, or transposed multiplies it.
    bias: none, one that all widths share as they share the kernel, or one for each width.
    group: channels of a group, which has a kernel of its own and makes as many outputs; 1 is a
        depthwise convolution. None: all inputs make all outputs.
    """

    name: str
    inputs: Channels
    outputs: Channels
    side: int
    stride: int = 1
    transposed: bool = False
    bias: str | None = "shared"
    group: int | None = None

    @property
    def padding(self) -> int:
        """Rows and columns of zeros on each side."""
        return self.side // 2

    @property
    def scale(self) -> Fraction:
        """The stride, or its inverse."""
        return Fraction(self.stride) if self.transposed else Fraction(1, self.stride)

    def reach(self, outputs: Fraction) -> Fraction:
        """See `Layer.reach`; of transposed ones, the padding is at the outputs."""
        if self.transposed:
            return (outputs + self.padding) / self.stride
        return outputs * self.stride + self.padding

    def channels(self, inputs: int, width: int) -> int:
        """Return the number of output channels."""
        return count(self.outputs, width)

    def kernel(self, width: int) -> Shape:
        """Return the kernel's shape in a network of this width alone, as torch stores it.

        (out, in, k, k), (in, out, k, k) of transposed ones, and (out, group, k, k) of grouped ones.
        """
        inputs, outputs = count(self.inputs, width), count(self.outputs, width)
        if self.group is not None:
            inputs = self.group
        channels = (inputs, outputs) if self.transposed else (outputs, inputs)
        return (*channels, self.side, self.side)

    def groups(self, width: int) -> int:
        """Return the number of groups."""
        return 1 if self.group is None else count(self.outputs, width) // self.group

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return kernel and bias of the widest width; of a bias for each width, (widths, out)."""
        widest = config.num_filters
        found: dict[str, Shape] = {f"{self.name}.weight": self.kernel(widest)}
        if self.bias is not None:
            outputs = count(self.outputs, widest)
            own = self.bias == "own"
            found[f"{self.name}.bias"] = (len(config.widths), outputs) if own else (outputs,)
        return found

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return the slices of a width, which are what a network of it alone would have."""
        weight, bias = f"{self.name}.weight", f"{self.name}.bias"
        found: Used = {weight: (weight, tuple(slice(side) for side in self.kernel(width)))}
        if self.bias is not None:
            outputs = slice(count(self.outputs, width))
            own = self.bias == "own"
            found[bias] = bias, (config.widths.index(width), outputs) if own else (outputs,)
        return found

    def macs(self, width: int) -> int:
        """Return side² · in · out, of grouped ones side² · group · out."""
        return math.prod(self.kernel(width))


@dataclass(frozen=True)
class Normalization(Layer):
    """A slimmable GDN over the channels in use, or its inverse; see `slimcae.networks.gdn`."""

    name: str
    inverse: bool = False

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return β and γ, stored for each width or for the widest alone."""
        found: dict[str, Shape] = {}
        for owner in config.widths if config.gdn == "switchable" else config.widths[:1]:
            found[f"{self.name}.norms.{owner}.beta"] = (owner,)
            found[f"{self.name}.norms.{owner}.gamma"] = (owner, owner)
        if config.gdn == "slim+":
            found |= {f"{self.name}.{key}": (len(config.widths),) for key in _ADJUSTMENTS}
        return found

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return β, γ and, for `slim+`, the adjustments of a width."""
        found: Used = {}
        owner = width if config.gdn == "switchable" else config.num_filters
        for key, dimensions in (("beta", 1), ("gamma", 2)):
            stored = f"{self.name}.norms.{owner}.{key}"
            found[f"{self.name}.{key}"] = stored, (slice(width),) * dimensions
        if config.gdn == "slim+":
            for key in _ADJUSTMENTS:
                name = f"{self.name}.{key}"
                found[name] = name, (config.widths.index(width),)
        return found

    def macs(self, width: int) -> int:
        """Return those of the product with γ."""
        return width**2


@dataclass(frozen=True)
class Unshuffle(Layer):
    """Space to depth: the pixels of each factor × factor block become channels.

    Channel c · factor² + factor · row + column, so that the first channels in are the first out.
    """

    factor: int

    @property
    def scale(self) -> Fraction:
        """The factor's inverse."""
        return Fraction(1, self.factor)

    def channels(self, inputs: int, width: int) -> int:
        """Return factor² times the inputs."""
        return self.factor**2 * inputs


@dataclass(frozen=True)
class Shuffle(Layer):
    """Depth to space, the inverse of `Unshuffle`."""

    factor: int

    @property
    def scale(self) -> Fraction:
        """The factor."""
        return Fraction(self.factor)

    def channels(self, inputs: int, width: int) -> int:
        """Return the inputs divided by factor²."""
        return inputs // self.factor**2


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """max(x, slope · x)."""

    slope: float = 0.1


@dataclass(frozen=True)
class Scale(Layer):
    """A factor for each latent channel and width, stored as its logarithm."""

    name: str

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return (widths, channels)."""
        return {f"{self.name}.log_scale": (len(config.widths), config.num_filters)}

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return the row of a width."""
        name = f"{self.name}.log_scale"
        return {name: (name, (config.widths.index(width), slice(width)))}


@dataclass(frozen=True)
class Residual(Layer):
    """x + layers(x); the layers keep resolution and channels.

    name: the names of the layers begin with it.
    """

    name: str
    layers: tuple[Layer, ...]

    def reach(self, outputs: Fraction) -> Fraction:
        """Return that of the layers."""
        return reach(self.layers, outputs)

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return those of the layers."""
        return {k: v for layer in self.layers for k, v in layer.tensors(config).items()}

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return what a width uses of the layers."""
        return {k: v for layer in self.layers for k, v in layer.used(config, width).items()}

    def macs(self, width: int) -> int:
        """Return the sum over the layers, which all work at one resolution."""
        return sum(layer.macs(width) for layer in self.layers)


def reach(layers: tuple[Layer, ...], outputs: Fraction) -> Fraction:
    """Return how many inputs around those of a tile matter to so many outputs around it."""
    for layer in reversed(layers):
        outputs = layer.reach(outputs)
    return outputs


def flat(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield all layers, those of residual blocks instead of the blocks."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flat(layer.layers)
        else:
            yield layer
