"""A slow reader of model files and decoder of pixels, written from docs/format.md alone.

It shares nothing with the package: no numpy, no torch, no safetensors, only Python's numbers
(which have 53 bits, so that its pixels are better than those of float32).
"""

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from itertools import pairwise, product
from operator import mul
from typing import Any

from reference_decoder import KINDS, EntropyModel, Plane

Numbers = list[float]
EPSILON = 2.0**-36
CONVOLUTIONS = {
    "g_a.conv1": 1, "g_a.conv2": 2, "g_a.conv3": 2,
    "g_s.deconv1": 2, "g_s.deconv2": 2, "g_s.deconv3": 1,
}  # fmt: skip
"""Number of dimensions of the kernel that are sliced to the width."""


@dataclass
class Tensor:
    """Numbers of any shape, in row-major order."""

    shape: tuple[int, ...]
    numbers: list[Any]
    kind: str = "f"
    """Type of the stored numbers: a letter of `struct`."""

    def nested(self) -> Any:
        """Return the numbers as lists of lists."""
        if len(self.shape) < 2:
            return self.numbers
        block = len(self.numbers) // self.shape[0]
        return [
            Tensor(self.shape[1:], self.numbers[k * block : (k + 1) * block]).nested()
            for k in range(self.shape[0])
        ]

    def cut(self, *sides: int) -> "Tensor":
        """Return the first `sides` rows, columns …; dimensions that are not named stay whole."""
        sides += self.shape[len(sides) :]
        numbers = self.numbers
        # one dimension after another: of each block of `whole` keep the first `kept`
        for axis in range(len(sides)):
            block = math.prod(self.shape[axis + 1 :])
            whole, kept = self.shape[axis] * block, sides[axis] * block
            outer = math.prod(sides[:axis])
            pieces = [numbers[start * whole : start * whole + kept] for start in range(outer)]
            numbers = [value for piece in pieces for value in piece]
        return Tensor(sides, numbers)

    def at(self, *index: int) -> Any:
        place = 0
        for position, side in zip(index, self.shape, strict=True):
            place = place * side + position
        return self.numbers[place]


class Model:
    """docs/format.md, "Model files"."""

    def __init__(self, data: bytes) -> None:
        start = 8 + int.from_bytes(data[:8], "little")
        entries = json.loads(data[8:start])
        self.described = json.loads(entries.pop("__metadata__")["slimcae"])
        self.tensors = {}
        for name, entry in entries.items():
            begin, end = entry["data_offsets"]
            kind = {"F32": "f", "F16": "e", "I32": "i", "I8": "b"}[entry["dtype"]]
            numbers = struct.iter_unpack(f"<{kind}", data[start + begin : start + end])
            shape = tuple(entry["shape"])
            self.tensors[name] = Tensor(shape, [value for (value,) in numbers], kind)

    def point(self, number: int) -> "PointModel":
        """docs/format.md, "Operating points": the network of one, in format 6."""
        return PointModel(self, number)

    def entropy_model(self, width: int, step: int, kind: str | None = None) -> EntropyModel:
        """docs/format.md, "Symbols"; without `kind` the first that the model has."""
        kind = kind or self.described["entropy_models"][str(width)][0]
        arrays = {name: tensor.nested() for name, tensor in self._integers(width, kind).items()}
        return KINDS[kind](arrays, step)

    def _integers(self, width: int, kind: str) -> dict[str, Tensor]:
        prefix = f"{kind}.{width}."
        tensors = self.tensors.items()
        return {k.removeprefix(prefix): tensor for k, tensor in tensors if k.startswith(prefix)}

    def fingerprint(self, width: int) -> bytes:
        """docs/format.md, "Fingerprint"."""
        arrays = self._arrays(width)
        digest = hashlib.sha256()
        for name in sorted(arrays):
            tensor = arrays[name]
            of_kind = name.startswith(tuple(f"{kind}." for kind in KINDS))
            kind = tensor.kind if of_kind else "f"
            described = {"f": "<f4", "i": "<i4", "b": "|i1"}[kind]
            digest.update(f"{name} {described} {tensor.shape}\n".encode("ascii"))
            digest.update(struct.pack(f"<{len(tensor.numbers)}{kind}", *tensor.numbers))
        return digest.digest()[:8]

    def _arrays(self, width: int) -> dict[str, Tensor]:
        tensors, steps = self.tensors, self.described["steps"]
        arrays = {"steps": Tensor((len(steps),), steps)}
        for kind in self.described["entropy_models"][str(width)]:
            found = self._integers(width, kind)
            arrays |= {f"{kind}.{name}": tensor for name, tensor in found.items()}
        prefix = f"entropy_bottlenecks.{width}."
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                arrays["entropy_bottleneck." + name.removeprefix(prefix)] = tensor
        if self.described["config"].get("architecture", "slimcae") != "slimcae":
            return arrays | self._light_arrays(width)
        for name, sliced in CONVOLUTIONS.items():
            arrays[f"{name}.weight"] = tensors[f"{name}.weight"].cut(*[width] * sliced)
        for name in ("g_a.conv1", "g_a.conv2", "g_s.deconv1", "g_s.deconv2"):
            arrays[f"{name}.bias"] = tensors[f"{name}.bias"].cut(width)
        arrays["g_s.deconv3.bias"] = tensors["g_s.deconv3.bias"]
        for layer in ("g_a.gdn1", "g_a.gdn2", "g_a.gdn3", "g_s.igdn1", "g_s.igdn2", "g_s.igdn3"):
            owner = f"{layer}.norms.{self._owner(width)}"
            arrays[f"{layer}.beta"] = tensors[f"{owner}.beta"].cut(width)
            arrays[f"{layer}.gamma"] = tensors[f"{owner}.gamma"].cut(width, width)
            if self.described["config"]["gdn"] == "slim+":
                k = self.described["config"]["widths"].index(width)
                for key in ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias"):
                    number = tensors[f"{layer}.{key}"].numbers[k]
                    arrays[f"{layer}.{key}"] = Tensor((), [number])
        return arrays

    def _light_arrays(self, width: int) -> dict[str, Tensor]:
        """docs/format.md, "Architecture `light`" and "Encoder": slices by the layers' channels."""
        c, k = width, self.described["config"]["widths"].index(width)
        latents = self.latents(width)
        dense = {
            "g_a.embed": (c // 4, 48), "g_a.down2": (c // 2, c), "g_a.down3": (latents, 2 * c),
            "g_s.up3": (2 * c, latents), "g_s.up2": (c, c // 2), "g_s.render": (48, c // 4),
        }  # fmt: skip
        for g in ("g_a", "g_s"):
            dense |= {f"{g}.lap2": (c, 4), f"{g}.lap3": (2 * c, 4)}
            for number, d, h in ((1, c // 4, c // 2), (2, c // 2, c), (3, latents, 2 * c),
                                 (4, latents, 2 * c)):  # fmt: skip
                block = f"{g}.block{number}"
                dense |= {f"{block}.expand": (h, d), f"{block}.depthwise": (h, 1)}
                dense[f"{block}.project"] = (d, h)
        found = {}
        for name, (outputs, inputs) in dense.items():
            found[f"{name}.weight"] = self.tensors[f"{name}.weight"].cut(outputs, inputs)
            found[f"{name}.bias"] = self._row(f"{name}.bias", k, outputs)
        for name in ("g_a.scale.log_scale", "g_s.scale.log_scale"):
            found[name] = self._row(name, k, latents)
        return found

    def latents(self, width: int) -> int:
        """docs/format.md, "Architectures `broad` and `broader`": the number of channels of y."""
        match self.described["config"].get("architecture"):
            case "broad":
                return max(width, min(3 * width // 2, 192))
            case "broader":
                return 3 * width // 2
        return width

    def _row(self, name: str, row: int, count: int) -> Tensor:
        tensor = self.tensors[name]
        return Tensor((count,), [tensor.at(row, column) for column in range(count)])

    def _owner(self, width: int) -> int:
        """Return the width under which β and γ of a width are stored."""
        config = self.described["config"]
        return width if config["gdn"] == "switchable" else int(config["widths"][0])

    def pixels(
        self, planes: list[Plane], step: int, height: int, width: int, grey: bool
    ) -> list[list[tuple[int, ...]]]:
        """docs/format.md, "Pixels": rows of (red, green, blue), or of one grey."""
        x_hat = self.synthesise(planes, step)
        levels = [
            [[round(min(max(value, 0), 1) * 255) for value in row[:width]] for row in plane]
            for plane in x_hat
        ]
        rows = [list(zip(*(plane[y] for plane in levels), strict=True)) for y in range(height)]
        return [[(round(sum(p) / 3),) for p in row] for row in rows] if grey else rows

    def synthesise(self, planes: list[Plane], step: int) -> list[list[Numbers]]:
        """Return x_hat: three planes of 16 pixels per latent, in each direction."""
        # no two widths of the models here have as many latents
        widths = self.described["config"]["widths"]
        width = next(width for width in widths if self.latents(width) == len(planes))
        (delta,) = struct.unpack("<f", struct.pack("<f", self.described["steps"][step]))
        medians = self.tensors[f"entropy_bottlenecks.{width}.medians"].numbers
        x = [
            [[median + delta * k for k in row] for row in plane]
            for median, plane in zip(medians, planes, strict=True)
        ]
        x = self._before(x)
        if self.described["config"].get("architecture", "slimcae") != "slimcae":
            return self._light(x, width)
        for number, stride in ((1, 2), (2, 2), (3, 4)):
            x = self._between(f"g_s.deconv{number}", self._normalised(f"g_s.igdn{number}", x))
            kernel = self.tensors[f"g_s.deconv{number}.weight"]
            bias = self.tensors[f"g_s.deconv{number}.bias"].numbers
            x = transposed(x, kernel, bias[: 3 if number == 3 else width], stride)
        return x

    def _before(self, x: list[list[Numbers]]) -> list[list[Numbers]]:
        """Return the input of the synthesis: the latents."""
        return x

    def _between(self, layer: str, x: list[list[Numbers]]) -> list[list[Numbers]]:
        """Return the input of a layer: the output of the one before."""
        return x

    def _light(self, x: list[list[Numbers]], width: int) -> list[list[Numbers]]:
        """docs/format.md, "Architecture `light`" and the two after it."""
        share = 0.0 if self.described["config"]["architecture"] == "lighter" else 0.1
        arrays = self._light_arrays(width)
        factors = map(math.exp, arrays["g_s.scale.log_scale"].numbers)
        x = [[[f * v for v in row] for row in plane] for f, plane in zip(factors, x, strict=True)]

        def layer(name: str, x: list[list[Numbers]]) -> list[list[Numbers]]:
            return convolved(x, arrays[f"g_s.{name}.weight"], arrays[f"g_s.{name}.bias"].numbers)

        def block(number: int, x: list[list[Numbers]]) -> list[list[Numbers]]:
            inner = x
            for name in ("expand", "depthwise"):
                inner = layer(f"block{number}.{name}", inner)
                inner = [[[max(v, share * v) for v in row] for row in plane] for plane in inner]
            added = layer(f"block{number}.project", inner)
            return [
                [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]
                for planes in zip(x, added, strict=True)
            ]

        x = block(3, block(4, x))
        x = block(2, shuffled(layer("lap3", layer("up3", x)), 2))
        x = block(1, shuffled(layer("lap2", layer("up2", x)), 2))
        return shuffled(layer("render", x), 4)

    def _normalised(self, layer: str, x: list[list[Numbers]]) -> list[list[Numbers]]:
        beta, gamma = self.norm(layer, len(x))
        height, width, channels = len(x[0]), len(x[0][0]), range(len(x))
        out = [[[0.0] * width for _ in range(height)] for _ in channels]
        for row, column in product(range(height), range(width)):
            squares = [plane[row][column] ** 2 for plane in x]
            for i in channels:
                norm = beta[i] + sum(map(mul, gamma[i], squares))
                out[i][row][column] = x[i][row][column] * math.sqrt(norm)
        return out

    def norm(self, layer: str, width: int) -> tuple[Numbers, list[Numbers]]:
        """Return β and the rows of γ of a layer at a width."""
        owner = f"{layer}.norms.{self._owner(width)}"
        stored = self.tensors[f"{owner}.gamma"].cut(width, width)
        beta = [value(v, 1e-6) for v in self.tensors[f"{owner}.beta"].numbers[:width]]
        gamma = [[value(stored.at(i, j), 0) for j in range(width)] for i in range(width)]
        if self.described["config"]["gdn"] == "slim+":
            k = self.described["config"]["widths"].index(width)
            scalars = {
                key: value(self.tensors[f"{layer}.{key}"].numbers[k], 0)
                for key in ("beta_scale", "beta_bias", "gamma_scale", "gamma_bias")
            }
            beta = [max(scalars["beta_scale"] * b + scalars["beta_bias"], 1e-6) for b in beta]
            gamma = [
                [scalars["gamma_scale"] * g + scalars["gamma_bias"] for g in row] for row in gamma
            ]
        return beta, gamma


class PointModel(Model):
    """docs/format.md, "Operating points": a point's network, as if it were alone."""

    def __init__(self, model: Model, point: int) -> None:
        config = model.described["config"]
        widths = config["widths"]
        own = config["method"] == "independent"
        falling = all(a > b for a, b in pairwise(widths))
        points = widths if own and falling else list(range(len(widths), 0, -1))
        row = points.index(point)
        self.width = widths[row]
        self.described = {
            **model.described,
            "config": {**config, "widths": [self.width]},
            "entropy_models": {str(self.width): model.described["entropy_models"][str(point)]},
        }
        self.tensors, self.factors = {}, {}
        for name, tensor in model.tensors.items():
            first, _, rest = name.partition(".")
            number, _, last = rest.partition(".")
            if first == "networks":
                if number == str(point):
                    self.tensors[last] = tensor
            elif first in ("g_a", "g_s", "scaling"):
                if name == "scaling.log_scale" or name.endswith(".modulation"):
                    count = tensor.shape[1]
                    self.factors[name] = Tensor((count,), [tensor.at(row, c) for c in range(count)])
                else:
                    self.tensors[name] = tensor
            elif number == str(point):
                self.tensors[f"{first}.{self.width}.{last}"] = tensor

    def _arrays(self, width: int) -> dict[str, Tensor]:
        return super()._arrays(width) | self.factors

    def _before(self, x: list[list[Numbers]]) -> list[list[Numbers]]:
        if "scaling.log_scale" not in self.factors:
            return x
        return multiplied(x, [-v for v in self.factors["scaling.log_scale"].numbers])

    def _between(self, layer: str, x: list[list[Numbers]]) -> list[list[Numbers]]:
        name = f"{layer}.modulation"
        return multiplied(x, self.factors[name].numbers) if name in self.factors else x


def multiplied(x: list[list[Numbers]], logs: Numbers) -> list[list[Numbers]]:
    """Multiply planes by a factor each, given as its logarithm."""
    factors = map(math.exp, logs)
    return [[[f * v for v in row] for row in plane] for f, plane in zip(factors, x, strict=True)]


def value(stored: float, minimum: float) -> float:
    """docs/format.md: the value of a number that is stored as a root."""
    return float(max(stored, math.sqrt(minimum + EPSILON)) ** 2 - EPSILON)


def convolved(x: list[list[Numbers]], kernel: Tensor, bias: Numbers) -> list[list[Numbers]]:
    """docs/format.md: a convolution that keeps rows and columns, grouped by the kernel's inputs."""
    outputs, inputs, side, _ = kernel.shape
    height, width = len(x[0]), len(x[0][0])
    out = [[[b] * width for _ in range(height)] for b in bias]
    for o, c, u, v in product(range(outputs), range(inputs), range(side), range(side)):
        weight = kernel.at(o, c, u, v)
        plane = x[o - o % inputs + c if len(x) == outputs else c]
        for i, j in product(range(height), range(width)):
            row, column = i + u - side // 2, j + v - side // 2
            if 0 <= row < height and 0 <= column < width:
                out[o][i][j] += weight * plane[row][column]
    return out


def shuffled(x: list[list[Numbers]], n: int) -> list[list[Numbers]]:
    """docs/format.md: channels to positions."""
    height, width = len(x[0]), len(x[0][0])
    return [
        [
            [x[n * n * c + n * (i % n) + j % n][i // n][j // n] for j in range(n * width)]
            for i in range(n * height)
        ]
        for c in range(len(x) // (n * n))
    ]


def transposed(
    x: list[list[Numbers]], kernel: Tensor, bias: Numbers, stride: int
) -> list[list[Numbers]]:
    """docs/format.md: a transposed convolution."""
    side = kernel.shape[2]
    height, width = len(x[0]), len(x[0][0])
    out = [[[b] * (stride * width) for _ in range(stride * height)] for b in bias]
    for c, plane in enumerate(x):
        for o, u, v in product(range(len(bias)), range(side), range(side)):
            weight = kernel.at(c, o, u, v)
            for i, j in product(range(height), range(width)):
                row, column = stride * i + u - side // 2, stride * j + v - side // 2
                if 0 <= row < stride * height and 0 <= column < stride * width:
                    out[o][row][column] += weight * plane[i][j]
    return out
