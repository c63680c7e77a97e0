"""Reverse-mode differentiation of ONNX graphs, for the operators of g_s."""

from collections import defaultdict
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from slimcae.transforms.onnx_.graph import Graph, Node

LARGE = 1e30
"""Moves all numbers, except those nearer to zero than float32 resolves, beyond ±1."""


def differentiate(graph: Graph, of: str, seed: str, by: str) -> str:
    """Append the product of a Jacobian, transposed, with an array.

    of: the output, by: the input of the Jacobian; both are in the graph. seed: name of the array,
    of the output's shape.

    Returns:
        The name of the product, which has the shape of `by`.

    Raises:
        TypeError: An operator in between has no rule here.
    """
    nodes = list(graph.nodes)
    depending = {by}
    for node in nodes:
        if depending.intersection(node.inputs):
            depending.update(node.outputs)
    parts: dict[str, list[str]] = defaultdict(list)
    parts[of].append(seed)
    for node in reversed(nodes):
        if not depending.intersection(node.inputs) or node.outputs[0] not in parts:
            continue
        slope = _sum(graph, parts[node.outputs[0]])
        for place, name in enumerate(node.inputs):
            if name in depending:
                parts[name].append(_backward(graph, node, place, slope))
    return _sum(graph, parts[by])


def _sum(graph: Graph, names: list[str]) -> str:
    return reduce(lambda one, other: graph.add("Add", one, other), names)


def _backward(graph: Graph, node: Node, place: int, slope: str) -> str:
    """Append the derivative by one input of a node, given that by its output."""
    add, given = graph.add, node.attributes
    match node.operator:
        case "Add":
            return slope
        case "Mul":
            return add("Mul", slope, node.inputs[1 - place])
        case "Sqrt":
            half = graph.constant(np.array(0.5, np.float32))
            return add("Div", add("Mul", slope, half), node.outputs[0])
        case "LeakyRelu":
            # the output has the sign of the input, which the runtime then need not keep
            return _leaky(graph, node.outputs[0], slope, given["alpha"])
        case "Conv" if given["strides"] == [1, 1]:
            return _convolved_back(graph, node, slope)
        case "Reshape" | "Unsqueeze":
            return add("Reshape", slope, add("Shape", node.inputs[0]))
        case "Transpose":
            return add("Transpose", slope, perm=np.argsort(given["perm"]).tolist())
        case "DepthToSpace" if given["mode"] == "CRD":
            return _gathered(graph, slope, given["blocksize"], _channels(graph, node.inputs[0]))
        case "Concat":
            return graph.split(slope, len(node.inputs), given["axis"])[place]
    raise TypeError(f"no derivative of {node.operator}")


def _leaky(graph: Graph, output: str, slope: str, alpha: float) -> str:
    """Append the product with 1 where the output is positive, and with alpha elsewhere.

    The output has the sign of the input, which the runtime then need not keep. `Where` takes ten
    times as long as these operators.
    """
    add = graph.add
    large, low, high = (graph.constant(np.array(x, np.float32)) for x in (LARGE, alpha, 1))
    return add("Mul", slope, add("Clip", add("Mul", output, large), low, high))


def _gathered(graph: Graph, slope: str, side: int, channels: int) -> str:
    """Append the inverse of `DepthToSpace`: a strided convolution that copies single values.

    `SpaceToDepth` has another order of channels, and is slower.
    """
    places = side**2
    kernel = np.tile(np.eye(places, dtype=np.float32), (channels // places, 1))
    kernel = kernel.reshape(channels, 1, side, side)
    groups = channels // places
    return _conv(graph, slope, kernel, [0] * 4, groups, stride=side)


def _channels(graph: Graph, name: str) -> int:
    """Return the number of channels of a convolution's output."""
    (node,) = (node for node in graph.nodes if name in node.outputs)
    assert node.operator == "Conv"
    return len(graph.constants[node.inputs[1]])


def _convolved_back(graph: Graph, node: Node, slope: str) -> str:
    """Append the convolution with the kernel mirrored, and inputs and outputs exchanged."""
    kernel, groups = graph.constants[node.inputs[1]], node.attributes["group"]
    outputs, fan_in, *sides = kernel.shape
    kernel = kernel.reshape(groups, outputs // groups, fan_in, *sides).transpose(0, 2, 1, 3, 4)
    kernel = kernel.reshape(groups * fan_in, outputs // groups, *sides)[:, :, ::-1, ::-1]
    pads = [
        side - 1 - pad for side, pad in zip((*sides, *sides), node.attributes["pads"], strict=True)
    ]
    return _conv(graph, slope, kernel, pads, groups)


def _conv(
    graph: Graph, x: str, kernel: NDArray[np.float32], pads: list[int], groups: int, stride: int = 1
) -> str:
    weights = graph.constant(np.ascontiguousarray(kernel))
    return graph.add("Conv", x, weights, pads=pads, strides=[stride, stride], group=groups)
