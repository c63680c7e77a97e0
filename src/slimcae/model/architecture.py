"""What the transforms are made of, and all that follows from it.

An architecture is data: two lists of layers. Multiply-accumulates, numbers of parameters, the part
of each tensor that a width uses, downsampling and the neighbourhood that a tile needs are derived
from them, here and nowhere else.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from slimcae.model.config import SlimCAEConfig
from slimcae.model.factors import Factors, factor_tensors, factors_of
from slimcae.model.layers import (
    WIDTH,
    Channels,
    Convolution,
    Layer,
    LeakyReLU,
    Normalization,
    Residual,
    Scale,
    Shape,
    Shuffle,
    Unshuffle,
    Used,
    flat,
    reach,
)

PICTURE_CHANNELS = 3


@dataclass(frozen=True)
class Architecture:
    """The two transforms of a configuration, as lists of layers.

    What they cost depends on a width alone; which tensors they take, on an operating point.

    analysis: from pixels to latents, g_a. synthesis: from latents to pixels, g_s.
    """

    config: SlimCAEConfig
    analysis: tuple[Layer, ...]
    synthesis: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point, best point first."""
        return self.config.widths

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those of both transforms."""
        return self.analysis + self.synthesis

    def layer(self, name: str) -> Layer:
        """Return the layer of a name, as in `g_s.deconv1`."""
        return next(layer for layer in self.layers if getattr(layer, "name", None) == name)

    def latent_channels(self, width: int) -> int:
        """Return the number of channels of the latents at a width."""
        return width

    @cached_property
    def downsampling(self) -> int:
        """Pixels per latent, in each direction."""
        return int(1 / math.prod((layer.scale for layer in self.analysis), start=Fraction(1)))

    @cached_property
    def analysis_halo(self) -> int:
        """Latents around a tile whose pixels it depends on."""
        return math.ceil(reach(self.analysis, Fraction(0)) / self.downsampling)

    @cached_property
    def synthesis_halo(self) -> int:
        """Latents around a tile that its pixels depend on."""
        return math.ceil(reach(self.synthesis, Fraction(0)))

    def encoder_macs(self, width: int) -> float:
        """Return the analysis' multiply-accumulates per pixel: convolutions and products with γ.

        Exact for sides that are multiples of `downsampling`; of others, count the pixels of the
        padded picture.
        """
        return float(sum(macs for macs, _ in self._work(self.analysis, width)))

    def decoder_macs(self, width: int) -> float:
        """Return the synthesis' multiply-accumulates per pixel, counted as in `encoder_macs`."""
        return float(sum(macs for macs, _ in self._work(self.synthesis, width)))

    def decoder_values(self, width: int) -> float:
        """Return the numbers per pixel that the layer with the most of them reads and writes."""
        return float(max(values for _, values in self._work(self.synthesis, width)))

    def parameters(self, width: int) -> int:
        """Return how many numbers of both transforms a width uses, factors of a point aside."""
        alone = replace(self.config, widths=(width,), method="slimcae")
        return sum(math.prod(shape) for shape in self._tensors(alone).values())

    @cached_property
    def factors(self) -> tuple[Factors, ...]:
        """Those that the operating points have beside layers that they share."""
        return factors_of(self.config, self.analysis, self.synthesis)

    def tensors(self) -> dict[str, Shape]:
        """Return name and shape of each tensor of the transforms that a model file has."""
        config = self.config
        if config.method == "independent":
            return {
                network_prefix(point) + name: shape
                for point in config.points
                for name, shape in self._tensors(config.transforms_of(point)).items()
            }
        shared = self._tensors(config.transforms_of(config.points[0]))
        return shared | factor_tensors(config, self.factors)

    def used(self, point: int) -> Used:
        """Return which part of which tensor of the file a point uses, by the part's own name.

        The names are those that the fingerprint hashes (docs/format.md, "Fingerprint").
        """
        own, width = self.config.transforms_of(point), self.config.filters(point)
        found = {k: v for layer in self.layers for k, v in layer.used(own, width).items()}
        if self.config.method == "independent":
            prefix = network_prefix(point)
            return {name: (prefix + stored, part) for name, (stored, part) in found.items()}
        row = self.config.points.index(point)
        return found | {each.name: (each.name, (row,)) for each in self.factors}

    def _tensors(self, config: SlimCAEConfig) -> dict[str, Shape]:
        return {k: v for layer in self.layers for k, v in layer.tensors(config).items()}

    def kernels(self, width: int) -> dict[str, Shape]:
        """Return name and shape of each kernel of a network of this width alone."""
        return {
            f"{layer.name}.weight": layer.kernel(width)
            for layer in flat(self.layers)
            if isinstance(layer, Convolution)
        }

    def _work(self, layers: tuple[Layer, ...], width: int) -> Iterator[tuple[Fraction, Fraction]]:
        """Yield multiply-accumulates and values in and out per pixel of each layer."""
        analysis = layers is self.analysis
        channels = PICTURE_CHANNELS if analysis else self.latent_channels(width)
        positions = Fraction(1) if analysis else Fraction(1, self.downsampling**2)
        for layer in layers:
            inputs, outputs = positions, positions * layer.scale**2
            made = layer.channels(channels, width)
            inner = 0
            if isinstance(layer, Residual):
                widths = [channels]
                for part in layer.layers:
                    widths.append(part.channels(widths[-1], width))
                inner = max(map(sum, pairwise(widths)))
            values = max(inputs * channels + outputs * made, inputs * inner)
            # what a transposed convolution does at each input, a strided one does at each output
            yield layer.macs(width) * min(inputs, outputs), values
            channels, positions = made, outputs


def network_prefix(point: int) -> str:
    """Return how the names of tensors begin that belong to one of several independent networks."""
    return f"networks.{point}."


def architecture_of(config: SlimCAEConfig) -> Architecture:
    """Return the architecture that a configuration names."""
    return {"slimcae": slimcae, "light": light}[config.architecture](config)


def slimcae(config: SlimCAEConfig) -> Architecture:
    """Return the architecture of the paper.

    ::

        x ── conv 9×9 /4 ─ GDN ─ conv 5×5 /2 ─ GDN ─ conv 5×5 /2 ─ GDN ──► y
        x̂ ◄─ deconv 9×9 ×4 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ─ deconv 5×5 ×2 ─ IGDN ── ŷ

    Source: Yang, Herranz, Cheng, Mozerov, "Slimmable Compressive Autoencoders for Practical Neural
    Image Compression", CVPR 2021, section 4; Ballé, Minnen, Singh, Hwang, Johnston, ICLR 2018,
    figure 4 (the same with one width).
    """
    colours = PICTURE_CHANNELS
    return Architecture(
        config,
        analysis=(
            Convolution("g_a.conv1", colours, WIDTH, side=9, stride=4),
            Normalization("g_a.gdn1"),
            Convolution("g_a.conv2", WIDTH, WIDTH, side=5, stride=2),
            Normalization("g_a.gdn2"),
            Convolution("g_a.conv3", WIDTH, WIDTH, side=5, stride=2, bias=None),
            Normalization("g_a.gdn3"),
        ),
        synthesis=(
            Normalization("g_s.igdn1", inverse=True),
            Convolution("g_s.deconv1", WIDTH, WIDTH, side=5, stride=2, transposed=True),
            Normalization("g_s.igdn2", inverse=True),
            Convolution("g_s.deconv2", WIDTH, WIDTH, side=5, stride=2, transposed=True),
            Normalization("g_s.igdn3", inverse=True),
            Convolution("g_s.deconv3", WIDTH, colours, side=9, stride=4, transposed=True),
        ),
    )


def light(config: SlimCAEConfig) -> Architecture:
    """Return an architecture of 1×1 products and 3×3 convolutions of one or four channels.

    ::

        x ─ /4 ─ 3×3 → w/4 ─ B ─ /2 ─ lap ─ 1×1 → w/2 ─ B ─ /2 ─ lap ─ 1×1 → w ─ B ─ B ─ scale ─► y
        x̂ ◄─ ×4 ─ 3×3 → 48 ─ B ─ ×2 ─ lap ─ 1×1 → w ─ B ─ ×2 ─ lap ─ 1×1 → 2w ─ B ─ B ─ scale ── ŷ

        B: x + 1×1(leaky ReLU(depthwise 3×3(leaky ReLU(1×1 → twice the channels))))

    It takes 19 % (width 192) to 28 % (48) of the multiply-accumulates of the paper's.

    w is the width; /n and ×n are pixels to channels and back (`Unshuffle`, `Shuffle`). `lap` is a
    3×3 without activation over groups of four channels, which are the places of one 2×2 block: so
    a place sees the one beside it in the next block, and blocks overlap (as in lapped transforms:
    Malvar and Staelin, "The LOT", IEEE Trans. ASSP 37, 1989). Kernels are shared by all widths,
    each of which has biases and scales of its own.
    """
    quarter, half = Fraction(1, 4), Fraction(1, 2)
    colours = 16 * PICTURE_CHANNELS
    return Architecture(
        config,
        analysis=(
            Unshuffle(4),
            Convolution("g_a.embed", colours, quarter, side=3, bias="own"),
            _block("g_a.block1", quarter),
            Unshuffle(2),
            _lap("g_a.lap2", 4 * quarter),
            Convolution("g_a.down2", 4 * quarter, half, side=1, bias="own"),
            _block("g_a.block2", half),
            Unshuffle(2),
            _lap("g_a.lap3", 4 * half),
            Convolution("g_a.down3", 4 * half, WIDTH, side=1, bias="own"),
            _block("g_a.block3", WIDTH),
            _block("g_a.block4", WIDTH),
            Scale("g_a.scale"),
        ),
        synthesis=(
            Scale("g_s.scale"),
            _block("g_s.block4", WIDTH),
            _block("g_s.block3", WIDTH),
            Convolution("g_s.up3", WIDTH, 4 * half, side=1, bias="own"),
            _lap("g_s.lap3", 4 * half),
            Shuffle(2),
            _block("g_s.block2", half),
            Convolution("g_s.up2", half, 4 * quarter, side=1, bias="own"),
            _lap("g_s.lap2", 4 * quarter),
            Shuffle(2),
            _block("g_s.block1", quarter),
            Convolution("g_s.render", quarter, colours, side=3, bias="own"),
            Shuffle(4),
        ),
    )


def _block(name: str, channels: Channels) -> Residual:
    hidden = 2 * channels
    return Residual(
        name,
        (
            Convolution(f"{name}.expand", channels, hidden, side=1, bias="own"),
            LeakyReLU(),
            _depthwise(f"{name}.depthwise", hidden),
            LeakyReLU(),
            Convolution(f"{name}.project", hidden, channels, side=1, bias="own"),
        ),
    )


def _depthwise(name: str, channels: Channels) -> Convolution:
    return Convolution(name, channels, channels, side=3, bias="own", group=1)


def _lap(name: str, channels: Channels) -> Convolution:
    return Convolution(name, channels, channels, side=3, bias="own", group=4)
