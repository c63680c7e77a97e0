"""Layers of the transforms as data: their tensors, the slices that a width uses, and their cost.

Both the trainable modules (`slimcae.networks`) and the fast ones (`slimcae.transforms`) are built
from these.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from slimcae.model.config import SlimCAEConfig


@dataclass(frozen=True)
class More:
    """`share` times the width in use, but at most `most` channels, or the width if that is more."""

    share: Fraction
    most: int


Share = int | Fraction
"""A number of channels, or a fraction of the width in use."""
Channels = Share | More
"""A number of channels, a fraction of the width in use, or more channels than the width."""
WIDTH = Fraction(1)
"""The number of channels is the width in use."""
Shape = tuple[int, ...]
Part = tuple[slice | int, ...]
Used = dict[str, tuple[str, Part]]
"""Name of a stored tensor and the slice of it that a width uses, by the name of the slice."""

_ADJUSTMENTS = ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias")
"""Scalars that a GDN of the variant `slim+` has for each width."""


def count(channels: Channels, width: int) -> int:
    """Return the number of channels at a width."""
    match channels:
        case int():
            return channels
        case More(share, most):
            return max(width, min(int(share * width), most))
    return int(channels * width)


@dataclass(frozen=True)
class Layer:
    """Base class of layers; its defaults keep resolution and channels, and cost nothing."""

    @property
    def scale(self) -> Fraction:
        """Outputs per input, in each direction."""
        return Fraction(1)

    def reach(self, outputs: Fraction) -> Fraction:
        """Return the input halo, in inputs, for an output halo of `outputs` around a tile."""
        return outputs / self.scale

    def channels(self, inputs: int, width: int) -> int:
        """Return the number of output channels."""
        return inputs

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return the name and shape of each tensor of this layer in a model file."""
        return {}

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return the slices of these tensors that a width uses.

        The fingerprint hashes their names (docs/format.md, "Fingerprint").
        """
        return {}

    def macs(self, width: int) -> int:
        """Return the multiply-accumulates per position of the coarser of input and output."""
        return 0


@dataclass(frozen=True)
class Convolution(Layer):
    """A slimmable convolution or transposed convolution with "same" zero padding.

    name: prefix of its tensors in a model file, for example `g_a.conv1`.
    side: side of the square kernel. stride: divides the resolution, or multiplies it if transposed.
    bias: none, one that is shared and sliced like the kernel, or one for each width.
    group: channels per group, both in and out; 1 is a depthwise convolution. None: one group with
        all channels.
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
        """See `Layer.reach`; transposed convolutions have their padding at the outputs."""
        if self.transposed:
            return (outputs + self.padding) / self.stride
        return outputs * self.stride + self.padding

    def channels(self, inputs: int, width: int) -> int:
        """Return the number of output channels."""
        return count(self.outputs, width)

    def kernel(self, width: int) -> Shape:
        """Return the shape of the kernel in a network of this width alone, in torch's layout.

        It is (out, in, k, k), (in, out, k, k) if transposed, or (out, group, k, k) if grouped.
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
        """Return kernel and bias of the largest width; a bias for each width is (widths, out)."""
        widest = config.num_filters
        found: dict[str, Shape] = {f"{self.name}.weight": self.kernel(widest)}
        if self.bias is not None:
            outputs = count(self.outputs, widest)
            own = self.bias == "own"
            found[f"{self.name}.bias"] = (len(config.widths), outputs) if own else (outputs,)
        return found

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return the slices of a width, which equal the tensors of a network of it alone."""
        weight, bias = f"{self.name}.weight", f"{self.name}.bias"
        found: Used = {weight: (weight, tuple(slice(side) for side in self.kernel(width)))}
        if self.bias is not None:
            outputs = slice(count(self.outputs, width))
            own = self.bias == "own"
            found[bias] = bias, (config.widths.index(width), outputs) if own else (outputs,)
        return found

    def macs(self, width: int) -> int:
        """Return side² · in · out, or side² · group · out if grouped."""
        return math.prod(self.kernel(width))


@dataclass(frozen=True)
class Normalization(Layer):
    """A slimmable GDN over the channels in use, or its inverse; see `slimcae.networks.gdn`."""

    name: str
    inverse: bool = False

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return β and γ, stored for each width or only for the largest."""
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
        """Return the multiply-accumulates of the product with γ."""
        return width**2


@dataclass(frozen=True)
class Unshuffle(Layer):
    """Space to depth: the pixels of each factor × factor block become channels.

    The output channel is c · factor² + factor · row + column, so the first input channels become
    the first output channels.
    """

    factor: int

    @property
    def scale(self) -> Fraction:
        """The inverse of the factor."""
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
    """One factor for each latent channel and width, stored as a logarithm."""

    name: str
    latents: Channels = WIDTH

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return (widths, channels)."""
        channels = count(self.latents, config.num_filters)
        return {f"{self.name}.log_scale": (len(config.widths), channels)}

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return the row of a width."""
        name = f"{self.name}.log_scale"
        part = slice(count(self.latents, width))
        return {name: (name, (config.widths.index(width), part))}


@dataclass(frozen=True)
class Residual(Layer):
    """x + layers(x); the layers keep resolution and channels.

    name: the names of the layers begin with it.
    """

    name: str
    layers: tuple[Layer, ...]

    def reach(self, outputs: Fraction) -> Fraction:
        """Return the input halo of the inner layers."""
        return reach(self.layers, outputs)

    def tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        """Return the tensors of the inner layers."""
        return {k: v for layer in self.layers for k, v in layer.tensors(config).items()}

    def used(self, config: SlimCAEConfig, width: int) -> Used:
        """Return the slices of the inner layers that a width uses."""
        return {k: v for layer in self.layers for k, v in layer.used(config, width).items()}

    def macs(self, width: int) -> int:
        """Return the sum over the layers, which all work at one resolution."""
        return sum(layer.macs(width) for layer in self.layers)


def reach(layers: tuple[Layer, ...], outputs: Fraction) -> Fraction:
    """Return the input halo of consecutive layers for an output halo of `outputs`."""
    for layer in reversed(layers):
        outputs = layer.reach(outputs)
    return outputs


def flat(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield all layers, with residual blocks replaced by their inner layers."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flat(layer.layers)
        else:
            yield layer
