"""The transforms of one width as ONNX graphs, built from the layers and the kernels of a model.

Pixels are inputs and outputs in planes (see `block_side`), latents in the coder's layout. The
graphs use few and old operators, which all runtimes for browsers support.
"""

from collections.abc import Sequence
from itertools import product
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from slimcae.model.architecture import PICTURE_CHANNELS
from slimcae.model.layers import (
    Convolution,
    Layer,
    LeakyReLU,
    Normalization,
    Residual,
    Scale,
    Shuffle,
    Unshuffle,
)
from slimcae.model.model import Model
from slimcae.transforms.onnx_.differentiation import differentiate
from slimcae.transforms.onnx_.graph import FLOAT, UINT8, Graph

LEVELS = 255

Floats = NDArray[np.float32]


def block_side(layers: Sequence[Layer]) -> int:
    """Return the side n of the blocks of pixels that a graph of these layers reads or writes.

    A block has 3 · n² values. A plane (H / n, W / n) holds one of these values for every block;
    planes are ordered by row in the block, column, and colour.
    """
    if isinstance(layers[0], Unshuffle):
        return layers[0].factor
    last = layers[-1]
    if isinstance(last, Shuffle):
        return last.factor
    return last.stride if isinstance(last, Convolution) else 1


def analysis_graph(model: Model, width: int) -> bytes:
    """Return the graph of g_a, from `planes`, uint8, to `latents` (1, C, h, w), float32.

    planes: (1, 3 · n², H / n, W / n), see `block_side`.
    """
    builder = _Builder(model, width)
    layers = model.architecture.analysis
    x = builder.graph.add("Cast", "planes", to=FLOAT)
    first = next(k for k, layer in enumerate(layers) if isinstance(layer, Convolution))
    builder.places = block_side(layers) ** 2
    convolution = layers[first]
    assert isinstance(convolution, Convolution)
    x = builder.convolution(convolution, x, scale=1 / LEVELS)
    x = builder.run(layers[first + 1 :], x)
    builder.graph.add("Identity", x, output="latents")
    return builder.graph.to_bytes({"planes": ("uint8", 4)}, {"latents": ("float32", 4)})


def synthesis_graph(model: Model, width: int, *, half: bool = False) -> bytes:
    """Return the graph of g_s, from `latents` (1, C, h, w), float32, to `planes`, uint8, and `sum`.

    planes: (1, 3 · n², H / n, W / n), see `block_side`. sum: sum of all pixel values before their
    conversion to bytes, which is finite if they all are. half: see `Graph`.
    """
    builder = _Builder(model, width, half=half)
    # conversion to bytes truncates, so adding 0.5 rounds
    x = builder.rendered("latents", LEVELS, 0.5)
    builder.graph.add("ReduceSum", x, output="sum", keepdims=0)
    x = builder.graph.add("Clip", x, builder.number(0), builder.number(LEVELS))
    builder.graph.add("Cast", x, output="planes", to=UINT8)
    return builder.graph.to_bytes(
        {"latents": ("float32", 4)}, {"planes": ("uint8", 4), "sum": ("float32", 0)}
    )


def gradient_graph(model: Model, width: int, *, grey: bool) -> bytes:
    """Return the graph of a gradient by `latents` (1, C, h, w), float32.

    Inputs: `latents`; `planes`, uint8, the original (see `block_side`); `weights`, float32, one per
    value of the planes. Output: `gradient`, like the latents, of ½ Σ weights · (x̂ − x)², with both
    in levels of 8 bits. grey: x̂ is the mean of its three colours.
    """
    builder = _Builder(model, width)
    add, shape = builder.graph.add, builder.shape
    levels = builder.rendered("latents", LEVELS, 0)
    shown = add("Clip", levels, builder.number(0), builder.number(LEVELS))
    inside = add("Cast", add("Equal", levels, shown), to=FLOAT)
    original, weights = add("Cast", "planes", to=FLOAT), "weights"
    if not grey:
        slope = add("Mul", add("Sub", shown, original), weights)
    else:  # colours are neighbours in the planes
        blocks = shape(-1, PICTURE_CHANNELS, 0, 0)
        shown, original, weights = (add("Reshape", x, blocks) for x in (shown, original, weights))
        shown = add("ReduceMean", shown, axes=[1], keepdims=1)
        slope = add("Mul", add("Sub", shown, original), weights)
        slope = add("ReduceMean", slope, axes=[1], keepdims=1)
        slope = add("Concat", slope, slope, slope, axis=1)
        slope = add("Reshape", slope, shape(1, -1, 0, 0))
    slope = add("Mul", slope, inside)
    add("Identity", differentiate(builder.graph, levels, slope, "latents"), output="gradient")
    floats = ("float32", 4)
    return builder.graph.to_bytes(
        {"latents": floats, "planes": ("uint8", 4), "weights": floats}, {"gradient": floats}
    )


class _Builder:
    """Appends layers to a graph.

    places: number of places in the blocks of the `Unshuffle` before or the `Shuffle` after the
        current layer. The graph orders channels by place first, then as the architecture does. 1
        if both orders are equal.
    """

    def __init__(self, model: Model, width: int, *, half: bool = False) -> None:
        self.graph = Graph(half)
        self.places = 1
        self._outputs = 0  # outputs of the last convolution
        self._model, self._point, self._width = model, width, model.filters(width)
        self._weights = model.weights(width)

    def number(self, value: float) -> str:
        """Append a scalar constant."""
        return self.graph.constant(np.array(value, np.float32))

    def run(self, layers: Sequence[Layer], x: str) -> str:
        """Append layers in sequence."""
        while layers:
            layer, *layers = layers
            if isinstance(layer, Convolution):
                x = self.convolution(layer, x, places=_places_wanted(layers))
            elif isinstance(layer, Unshuffle) and layers and _is_lap(lap := layers[0]):
                layers = layers[1:]
                x = self._unshuffled(layer.factor, lap, x)
            else:
                x = self._layer(layer, x)
        assert self.places == 1
        return x

    def rendered(self, x: str, scale: float, offset: float) -> str:
        """Append g_s, up to planes of scale · x̂ + offset."""
        layers = self._model.architecture.synthesis
        side = block_side(layers)
        if isinstance(layers[-1], Shuffle):
            layers = layers[:-1]
        rendering = layers[-1]
        assert isinstance(rendering, Convolution)
        kernel, bias = self.parameters(rendering)
        if rendering.transposed:
            kernel, bias, padding = blocks_kernel(kernel, side), np.tile(bias, side**2), 1
        else:
            order = _by_place(len(kernel), side**2)
            kernel, bias, padding = kernel[order], bias[order], rendering.padding
        x = self.run(layers[:-1], x)
        factor, more = np.float32(scale), np.float32(offset)
        with np.errstate(over="ignore"):  # what is not finite shows in the results
            return self.convolve(x, factor * kernel, factor * bias + more, [padding] * 4)

    def parameters(self, layer: Convolution) -> tuple[Floats, Floats]:
        """Return the kernel and bias of a convolution at this width; zeros if there is no bias."""
        kernel = self._weights[f"{layer.name}.weight"]
        outputs = kernel.shape[1 if layer.transposed else 0]
        return kernel, self._weights.get(f"{layer.name}.bias", np.zeros(outputs, np.float32))

    def convolve(
        self,
        x: str,
        kernel: Floats,
        bias: Floats,
        pads: list[int],
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        """Append a convolution; pads: top, left, bottom, right."""
        weights = (self.graph.constant(np.ascontiguousarray(array)) for array in (kernel, bias))
        return self.graph.add(
            "Conv", x, *weights, pads=pads, strides=[stride, stride], group=groups
        )

    def convolution(self, layer: Convolution, x: str, scale: float = 1, places: int = 1) -> str:
        """Append a convolution of scale · x.

        places: places by which the outputs are ordered; grouped convolutions keep the order.
        """
        kernel, bias = self.parameters(layer)
        kernel = kernel * np.float32(scale)
        if layer.transposed:
            return self._doubled(x, kernel, bias)
        if layer.group is None:
            kernel = kernel[:, _by_place(kernel.shape[1], self.places)]
            self.places = places
        assert self.places == 1 or not _is_lap(layer)  # its groups must stay together
        order = _by_place(len(kernel), self.places)
        kernel, bias = kernel[order], bias[order]
        self._outputs = len(kernel)
        groups = layer.groups(self._width)
        return self.convolve(x, kernel, bias, [layer.padding] * 4, layer.stride, groups)

    def _layer(self, layer: Layer, x: str) -> str:
        add = self.graph.add
        match layer:
            case Normalization():
                beta, gamma = self._model.normalization(layer.name, self._point)
                norm = self.convolve(add("Mul", x, x), gamma[:, :, None, None], beta, [0] * 4)
                return add("Mul" if layer.inverse else "Div", x, add("Sqrt", norm))
            case Residual():
                return add("Add", x, self.run(layer.layers, x))
            case Scale():
                factors = np.exp(self._weights[f"{layer.name}.log_scale"])
                return add("Mul", x, self.graph.constant(factors[:, None, None]))
            case LeakyReLU(slope):
                return add("LeakyRelu", x, alpha=slope)
            case Shuffle(factor) if self.places == 1:
                return add("DepthToSpace", x, blocksize=factor, mode="CRD")
            case Shuffle(factor):
                assert self.places == factor**2
                self.places = 1
                return self._shuffled(x, factor, layer.channels(self._outputs, self._width))
            case Unshuffle(factor):
                self.places = factor**2
                return add("SpaceToDepth", x, blocksize=factor)
        raise TypeError(f"no operator for {layer}")

    def _unshuffled(self, factor: int, lap: Convolution, x: str) -> str:
        """Append `Unshuffle` and a grouped convolution as one strided convolution.

        This is faster than `SpaceToDepth` and keeps the channels in the architecture's order.
        """
        kernel, bias = self.parameters(lap)
        outputs, _, side, _ = kernel.shape
        taps = kernel.reshape(outputs, factor, factor, side, side).transpose(0, 3, 1, 4, 2)
        taps = taps.reshape(outputs, 1, factor * side, factor * side)
        self._outputs = outputs
        pads = [factor * lap.padding] * 4
        return self.convolve(x, taps, bias, pads, factor, lap.groups(self._width))

    def _doubled(self, x: str, kernel: Floats, bias: Floats) -> str:
        """Append a transposed convolution of stride 2 as four convolutions of stride 1.

        Each computes one of the four output places, with (3, 3), (3, 2), (2, 3) or (2, 2) taps.
        """
        taps = blocks_kernel(kernel, 2)
        places = [
            self.convolve(x, part[:, :, row:, column:], bias, [1 - row, 1 - column, 1, 1])
            for part, (row, column) in zip(
                np.split(taps, 4), product((0, 1), repeat=2), strict=True
            )
        ]
        return self._shuffled(self.graph.add("Concat", *places, axis=1), 2, len(bias))

    def _shuffled(self, x: str, factor: int, channels: int) -> str:
        """Append operators that turn (1, factor² · C, h, w), ordered by place, into pixels.

        `DepthToSpace` takes twice as long, because ONNX Runtime moves single numbers there.
        """
        add, shape = self.graph.add, self.shape
        x = add("Unsqueeze", x, shape(0))
        x = add("Reshape", x, shape(factor, factor, channels, 0, 0))
        x = add("Reshape", add("Transpose", x, perm=[0, 2, 3, 4, 1]), shape(0, 0, 0, -1))
        return add("Reshape", add("Transpose", x, perm=[1, 2, 0, 3]), shape(1, channels, -1, 0))

    def shape(self, *sides: int) -> str:
        """Append a shape constant; in a `Reshape`, 0 keeps a side, and -1 infers it."""
        return self.graph.constant(np.array(sides, np.int64))


def blocks_kernel(kernel: Floats, stride: int) -> Floats:
    """Return a kernel (stride² · out, in, 3, 3) that computes a transposed convolution in blocks.

    kernel: (in, out, 2 · stride + 1, 2 · stride + 1), used with a padding of `stride`. The channels
    of a block are ordered by row, column and output. See `slimcae.transforms.torch_.blocks`.
    """
    fan_in, out = kernel.shape[:2]
    missing = (0, stride - 1)
    taps = np.pad(kernel, ((0, 0), (0, 0), missing, missing))
    taps = np.flip(taps.reshape(fan_in, out, 3, stride, 3, stride), (2, 4))
    return taps.transpose(3, 5, 1, 0, 2, 4).reshape(stride**2 * out, fan_in, 3, 3)


def _places_wanted(layers: Sequence[Layer]) -> int:
    """Return the number of places by which the inputs of layers are to be ordered."""
    for layer in layers:
        if isinstance(layer, Shuffle):
            return layer.factor**2
        if not (isinstance(layer, Convolution) and layer.group == 1):
            break
    return 1


def _is_lap(layer: Layer) -> TypeGuard[Convolution]:
    """Return whether a layer is a grouped convolution over the places of blocks (`lap`)."""
    return isinstance(layer, Convolution) and layer.group not in (None, 1)


def _by_place(channels: int, places: int) -> NDArray[np.intp]:
    """Return the architecture's channel index for each channel in place-major order."""
    return np.arange(channels).reshape(-1, places).T.ravel()
