"""A writer of ONNX graphs.

The `onnx` package would do the same, but has 60 MB of dependencies. An ONNX model is a protocol
buffer with the messages and field numbers of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Operators are from opset 13.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 13
IR_VERSION = 7
"""IR version of the first ONNX release with this opset, which all later runtimes accept."""

FLOAT, UINT8 = 1, 2
_TYPES = {"float32": FLOAT, "uint8": UINT8, "int64": 7, "float16": 10}
"""TensorProto.DataType."""
_LARGE = 1024
"""Smallest number of elements for which storing a constant as float16 is worth a `Cast`."""
_INT, _FLOAT, _STRING, _INTS = 2, 1, 3, 7  # AttributeProto.AttributeType

Attribute = int | float | str | Sequence[int]


@dataclass(frozen=True)
class Node:
    """One operator with the names of what it reads and writes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Return a NodeProto."""
        return _message(
            *((1, name) for name in self.inputs),
            *((2, name) for name in self.outputs),
            (4, self.operator),
            *((5, _attribute(key, value)) for key, value in self.attributes.items()),
        )


@dataclass
class Graph:
    """A graph under construction: nodes in execution order, and constants by name.

    half: store large constants as float16 if that is exact. The graph has fewer bytes, but a
        runtime may take up to 1.5 times as long to load it.
    """

    half: bool = False
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(
        self, operator: str, *inputs: str, output: str | None = None, **attributes: Attribute
    ) -> str:
        """Append a node and return the name of its output; None generates a name."""
        name = output or f"{operator}{len(self.nodes)}"
        self.nodes.append(Node(operator, inputs, (name,), attributes))
        return name

    def split(self, name: str, parts: int, axis: int) -> list[str]:
        """Append a node that splits an array into equal parts along an axis."""
        names = [f"Split{len(self.nodes)}.{part}" for part in range(parts)]
        self.nodes.append(Node("Split", (name,), tuple(names), {"axis": axis}))
        return names

    def constant(self, array: NDArray[Any]) -> str:
        """Add an array (float32, uint8 or int64) as a constant and return its name."""
        if self.half and array.dtype == np.float32 and array.size >= _LARGE:
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            if np.array_equal(half.astype(np.float32), array):
                return self.add("Cast", self._keep(half), to=FLOAT)
        return self._keep(array)

    def _keep(self, array: NDArray[Any]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = array
        return name

    def to_bytes(
        self, inputs: Mapping[str, tuple[str, int]], outputs: Mapping[str, tuple[str, int]]
    ) -> bytes:
        """Return the model; inputs, outputs: type and number of dimensions by name."""
        graph = _message(
            *((1, node.to_bytes()) for node in self.nodes),
            (2, "slimcae"),
            *((5, _tensor(name, array)) for name, array in self.constants.items()),
            *((11, _value(name, *kind)) for name, kind in inputs.items()),
            *((12, _value(name, *kind)) for name, kind in outputs.items()),
        )
        return _message((1, IR_VERSION), (2, "slimcae"), (7, graph), (8, _message((2, OPSET))))


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    """Return a TensorProto."""
    return _message(
        *((1, side) for side in array.shape),
        (2, _TYPES[array.dtype.name]),
        (8, name),
        (9, array.astype(array.dtype.newbyteorder("<")).tobytes()),
    )


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case int():
            return _message((1, name), (3, value), (20, _INT))
        case float():
            return _message((1, name), (2, np.float32(value)), (20, _FLOAT))
        case str():
            return _message((1, name), (4, value), (20, _STRING))
    return _message((1, name), *((8, number) for number in value), (20, _INTS))


def _value(name: str, kind: str, dimensions: int) -> bytes:
    """Return a ValueInfoProto with named dimensions, which may have any size."""
    shape = _message(*((1, _message((2, f"{name}{k}"))) for k in range(dimensions)))
    tensor = _message((1, _TYPES[kind]), (2, shape))
    return _message((1, name), (2, _message((1, tensor))))


def _message(*fields: tuple[int, int | np.float32 | str | bytes]) -> bytes:
    """Return the fields in the wire format of protocol buffers: number and type, then value."""
    return b"".join(_parts(fields))


def _parts(fields: Iterable[tuple[int, int | np.float32 | str | bytes]]) -> Iterator[bytes]:
    for number, value in fields:
        if isinstance(value, int):
            yield _varint(number << 3 | 0) + _varint(value)
        elif isinstance(value, np.float32):
            yield _varint(number << 3 | 5) + value.astype("<f4").tobytes()
        else:
            data = value.encode() if isinstance(value, str) else value
            yield _varint(number << 3 | 2) + _varint(len(data))
            yield data


def _varint(value: int) -> bytes:
    """Return a varint: 7 bits per byte, lowest first; the high bit marks that more bytes follow."""
    value &= 2**64 - 1  # negative ones in two's complement
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
