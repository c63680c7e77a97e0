"""The architectures of the transforms, and the properties that follow from them.

An architecture is data: two lists of layers. This module alone derives multiply-accumulates,
numbers of parameters, the slice of each tensor that a width uses, downsampling, and the
neighbourhood that a tile needs.
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
    More,
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
BROAD_LATENTS = More(Fraction(3, 2), 192)
"""Latent channels of the architecture `broad`."""
BROADER_LATENTS = Fraction(3, 2)
"""Latent channels of the architecture `broader`, per filter."""


@dataclass(frozen=True)
class Architecture:
    """The two transforms of a configuration, as lists of layers.

    Their cost depends only on the width; the tensors that they use depend on the operating point.

    analysis: g_a, from pixels to latents. synthesis: g_s, from latents to pixels.
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
        """The layers of both transforms."""
        return self.analysis + self.synthesis

    def layer(self, name: str) -> Layer:
        """Return the layer with a name, for example `g_s.deconv1`."""
        return next(layer for layer in self.layers if getattr(layer, "name", None) == name)

    def latent_channels(self, width: int) -> int:
        """Return the number of latent channels at a width."""
        channels = PICTURE_CHANNELS
        for layer in self.analysis:
            channels = layer.channels(channels, width)
        return channels

    @cached_property
    def downsampling(self) -> int:
        """Pixels per latent, in each direction."""
        return int(1 / math.prod((layer.scale for layer in self.analysis), start=Fraction(1)))

    @cached_property
    def analysis_halo(self) -> int:
        """Number of latents around a tile on whose pixels the tile's latents depend."""
        return math.ceil(reach(self.analysis, Fraction(0)) / self.downsampling)

    @cached_property
    def synthesis_halo(self) -> int:
        """Number of latents around a tile on which the tile's pixels depend."""
        return math.ceil(reach(self.synthesis, Fraction(0)))

    def encoder_macs(self, width: int) -> float:
        """Return the multiply-accumulates per pixel of g_a: convolutions and products with γ.

        The number is exact for sides that are multiples of `downsampling`; for others, count the
        pixels of the padded picture.
        """
        return float(sum(macs for macs, _ in self._work(self.analysis, width)))

    def decoder_macs(self, width: int) -> float:
        """Return the multiply-accumulates per pixel of g_s, counted as in `encoder_macs`."""
        return float(sum(macs for macs, _ in self._work(self.synthesis, width)))

    def decoder_values(self, width: int) -> float:
        """Return the largest number of values per pixel that a layer of g_s reads and writes."""
        return float(max(values for _, values in self._work(self.synthesis, width)))

    def parameters(self, width: int) -> int:
        """Return the number of parameters that a width uses, without factors of the point."""
        alone = replace(self.config, widths=(width,), method="slimcae")
        return sum(math.prod(shape) for shape in self._tensors(alone).values())

    @cached_property
    def factors(self) -> tuple[Factors, ...]:
        """The factors of the operating points, for layers that the points share."""
        return factors_of(self.config, self.analysis, self.synthesis)

    def tensors(self) -> dict[str, Shape]:
        """Return the name and shape of each tensor of the transforms in a model file."""
        config = self.config
        if config.method == "independent":
            return {
                network_prefix(point) + name: shape
                for point in config.points
                for name, shape in self._tensors(config.transforms_of(point)).items()
            }
        shared = self._tensors(config.transforms_of(config.points[0]))
        # the layers of the latents, or others with as many channels
        channels = self.latent_channels(config.num_filters)
        return shared | factor_tensors(config, self.factors, channels)

    def used(self, point: int) -> Used:
        """Return the slices of the file's tensors that a point uses, by the name of the slice.

        The fingerprint hashes these names (docs/format.md, "Fingerprint").
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
        """Return the name and shape of each kernel in a network of this width alone."""
        return {
            f"{layer.name}.weight": layer.kernel(width)
            for layer in flat(self.layers)
            if isinstance(layer, Convolution)
        }

    def _work(self, layers: tuple[Layer, ...], width: int) -> Iterator[tuple[Fraction, Fraction]]:
        """Yield, for each layer, multiply-accumulates and values (read and written) per pixel."""
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
            # transposed convolutions count per input position, strided ones per output position
            yield layer.macs(width) * min(inputs, outputs), values
            channels, positions = made, outputs


def network_prefix(point: int) -> str:
    """Return the prefix of the tensor names of one of several independent networks."""
    return f"networks.{point}."


def architecture_of(config: SlimCAEConfig) -> Architecture:
    """Return the architecture that a configuration names."""
    known = {"slimcae": slimcae, "light": light, "lighter": lighter}
    known |= {"broad": broad, "broader": broader}
    return known[config.architecture](config)


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
    3×3 without activation over groups of four channels, the four places of one 2×2 block: so
    each place depends on its neighbour in the next block, and blocks overlap (as in lapped
    transforms: Malvar and Staelin, "The LOT", IEEE Trans. ASSP 37, 1989). All widths share the
    kernels; each width has its own biases and scales.
    """
    return _light(config, embed_side=3, slope=0.1)


def lighter(config: SlimCAEConfig) -> Architecture:
    """Return `light` with a 1×1 as its first convolution, and ReLU instead of leaky ReLU.

    It takes three quarters (width 192) to half (48) of the multiply-accumulates of the analysis of
    `light`.
    """
    return _light(config, embed_side=1, slope=0.0)


def broad(config: SlimCAEConfig) -> Architecture:
    """Return `light` with up to half as many latent channels again at the narrow widths.

    The number of latent channels is max(w, min(3/2 w, 192)): 192, 192, 144, 108 and 72 at widths
    192, 144, 96, 72 and 48. The blocks at the resolution of the latents have as many channels;
    their inner layers have 2w, as in `light`.
    """
    return _light(config, embed_side=3, slope=0.1, latents=BROAD_LATENTS)


def broader(config: SlimCAEConfig) -> Architecture:
    """Return `light` with half as many latent channels again at every width.

    It is `broad` without its limit of 192 latents: 288, 216, 144, 108 and 72 at widths 192, 144,
    96, 72 and 48.
    """
    return _light(config, embed_side=3, slope=0.1, latents=BROADER_LATENTS)


def _light(
    config: SlimCAEConfig, embed_side: int, slope: float, latents: Channels = WIDTH
) -> Architecture:
    def block(name: str, channels: Channels) -> Residual:
        # more latents do not widen the inner layers
        if isinstance(channels, More) or channels is latents:
            return _block(name, channels, 2 * WIDTH, slope)
        return _block(name, channels, 2 * channels, slope)

    quarter, half = Fraction(1, 4), Fraction(1, 2)
    colours = 16 * PICTURE_CHANNELS
    return Architecture(
        config,
        analysis=(
            Unshuffle(4),
            Convolution("g_a.embed", colours, quarter, side=embed_side, bias="own"),
            block("g_a.block1", quarter),
            Unshuffle(2),
            _lap("g_a.lap2", 4 * quarter),
            Convolution("g_a.down2", 4 * quarter, half, side=1, bias="own"),
            block("g_a.block2", half),
            Unshuffle(2),
            _lap("g_a.lap3", 4 * half),
            Convolution("g_a.down3", 4 * half, latents, side=1, bias="own"),
            block("g_a.block3", latents),
            block("g_a.block4", latents),
            Scale("g_a.scale", latents),
        ),
        synthesis=(
            Scale("g_s.scale", latents),
            block("g_s.block4", latents),
            block("g_s.block3", latents),
            Convolution("g_s.up3", latents, 4 * half, side=1, bias="own"),
            _lap("g_s.lap3", 4 * half),
            Shuffle(2),
            block("g_s.block2", half),
            Convolution("g_s.up2", half, 4 * quarter, side=1, bias="own"),
            _lap("g_s.lap2", 4 * quarter),
            Shuffle(2),
            block("g_s.block1", quarter),
            Convolution("g_s.render", quarter, colours, side=3, bias="own"),
            Shuffle(4),
        ),
    )


def _block(name: str, channels: Channels, hidden: Channels, slope: float) -> Residual:
    return Residual(
        name,
        (
            Convolution(f"{name}.expand", channels, hidden, side=1, bias="own"),
            LeakyReLU(slope),
            _depthwise(f"{name}.depthwise", hidden),
            LeakyReLU(slope),
            Convolution(f"{name}.project", hidden, channels, side=1, bias="own"),
        ),
    )


def _depthwise(name: str, channels: Channels) -> Convolution:
    return Convolution(name, channels, channels, side=3, bias="own", group=1)


def _lap(name: str, channels: Channels) -> Convolution:
    return Convolution(name, channels, channels, side=3, bias="own", group=4)
