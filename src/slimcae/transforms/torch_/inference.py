"""The transforms of one width, optimised for speed: kernels are sliced and rearranged once.

They compute the same as `g_a` and `g_s` of `slimcae.networks.slimcae`, for one picture at a time:

- Pixels keep their memory layout (channels last). The first and last kernels include the scale
  between pixel values and [0, 1].
- A transposed convolution of stride 4 writes few channels to many places, which is slow. The last
  one is replaced by an equal convolution of stride 1 that computes the 4 × 4 pixels of each
  position as channels.
- Layers at a quarter of the resolution (the first convolution with its GDN, the last IGDN with its
  convolution) are computed in strips of rows that fit in the processor's cache.

Reduced precision uses bfloat16 in the convolutions and in the products of GDN. Its relative error
of 2⁻⁹ would shift whole areas by a fraction of a level, so bfloat16 values are kept small, or their
errors cancel:

- The first convolution sees pixel values minus 128, which bfloat16 represents exactly.
- The rounding errors of an analysis kernel cancel over its taps.
- The last bias is added in float32, to values that are small without it.
- In widths above `NARROW`, the first convolution and everything between the products is float32. In
  narrower ones it is bfloat16 too, because their pictures have larger errors anyway, and these
  operations take a larger part of their time.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slimcae.model.layers import Convolution, Normalization
from slimcae.model.model import Model
from slimcae.transforms.torch_.blocks import blocks_kernel

STRIP_BYTES = 3 * 2**20
"""Largest size of one tensor of a strip on a CPU, so that several fit in its caches."""
NARROW = 96
"""Largest width with reduced precision outside of the inner products too."""
LEVELS = 255
CPU = torch.device("cpu")
CENTRE = 128


class Analysis:
    """g_a of one width: pixels to latents.

    inner: torch.float32, or torch.bfloat16 for the products (see the top).
    """

    @torch.inference_mode()
    def __init__(
        self, model: Model, width: int, inner: torch.dtype, device: torch.device = CPU
    ) -> None:
        self._width = model.filters(width)
        self._inner = inner
        self._between = _between(self._width, inner)
        kernel, bias = _kernel(model, "g_a.conv1", width, device)
        first = _convolution(model, "g_a.conv1")
        self._margin, self._stride = first.padding, first.stride
        kernel = kernel / LEVELS
        bias = bias + CENTRE * kernel.sum((1, 2, 3))
        self._kernel1 = _laid_out(_rounded(kernel, self._between), self._between)
        self._bias1 = bias.to(self._between)
        kernel, bias = _kernel(model, "g_a.conv2", width, device)
        self._kernel2, self._bias2 = _laid_out(_rounded(kernel, inner), inner), bias.to(inner)
        kernel, _ = _kernel(model, "g_a.conv3", width, device)
        self._kernel3 = _laid_out(_rounded(kernel, inner), inner)
        self._gdn1 = _Normalization(model, "g_a.gdn1", width, inner, device)
        self._gdn2 = _Normalization(model, "g_a.gdn2", width, inner, device)
        self._gdn3 = _Normalization(model, "g_a.gdn3", width, torch.float32, device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return latents (width, H/16, W/16) of pixels (H, W, 3), uint8, multiples of 16."""
        height, columns, _ = pixels.shape
        margin, stride = self._margin, self._stride
        # flipping the top bit turns a byte into the signed number byte − CENTRE
        centred = (pixels ^ CENTRE).view(torch.int8)
        centred = F.pad(centred, (0, 0, margin, margin, margin, margin), value=-CENTRE)
        padded = centred.permute(2, 0, 1)[None]
        shape = (1, self._width, height // stride, columns // stride)
        x = _empty(shape, self._inner, pixels.device)
        row = self._between.itemsize * self._width * x.shape[3]
        for top, bottom in strips(row, x.shape[2], x.device):
            strip = padded[:, :, stride * top : stride * (bottom - 1) + 2 * margin + 1]
            strip = strip.to(self._between)  # here, while it is in the cache
            strip = F.conv2d(strip, self._kernel1, self._bias1, self._stride)
            self._gdn1(strip, out=x[:, :, top:bottom])
        x = F.conv2d(x, self._kernel2, self._bias2, stride=2, padding=2)
        x = self._gdn2(x, out=x)
        kernel = self._kernel3
        if x.shape[3] == 2:  # bfloat16 in oneDNN leaves parts of a single column unwritten
            x, kernel = x.float(), kernel.float()
        x = F.conv2d(x, kernel, stride=2, padding=2).float()
        return self._gdn3(x, out=x)[0]


class Synthesis:
    """g_s of one width: latents to pixels.

    inner: torch.float32, or torch.bfloat16 for the products (see the top).
    """

    @torch.inference_mode()
    def __init__(
        self, model: Model, width: int, inner: torch.dtype, device: torch.device = CPU
    ) -> None:
        self._inner = inner
        self._between = _between(model.filters(width), inner)
        kernel, bias = _kernel(model, "g_s.deconv1", width, device)
        self._kernel1, self._bias1 = _laid_out(kernel, inner), bias.to(inner)
        kernel, bias = _kernel(model, "g_s.deconv2", width, device)
        self._kernel2, self._bias2 = _laid_out(kernel, inner), bias.to(inner)
        kernel, bias = _kernel(model, "g_s.deconv3", width, device)
        self._stride = _convolution(model, "g_s.deconv3").stride
        self._kernel3 = _laid_out(blocks_kernel(kernel, self._stride) * LEVELS, inner)
        # conversion to bytes truncates, so adding 0.5 rounds
        self._bias3 = (bias * LEVELS).repeat(self._stride**2) + 0.5
        self._igdn1 = _Normalization(model, "g_s.igdn1", width, torch.float32, device)
        self._igdn2 = _Normalization(model, "g_s.igdn2", width, inner, device)
        self._igdn3 = _Normalization(model, "g_s.igdn3", width, inner, device)

    def __call__(self, y_hat: Tensor) -> Tensor | None:
        """Return pixels (16h, 16w, 3), uint8, of latents (width, h, w), float32.

        Return None if the reconstruction is not finite.
        """
        x = y_hat[None].contiguous(memory_format=torch.channels_last)
        x = self._igdn1(x, out=torch.empty_like(x)).to(self._inner)
        x = _doubled(x, self._kernel1, self._bias1)
        x = _doubled(self._igdn2(x, out=x), self._kernel2, self._bias2)
        _, width, height, columns = x.shape
        side = self._stride
        image = torch.empty((side * height, side * columns, 3), dtype=torch.uint8, device=x.device)
        parts = list(strips(self._between.itemsize * width * columns, height, x.device))
        window = _empty((1, width, parts[0][1] + 2, columns), self._inner, x.device)
        for top, bottom in parts:
            above, below = min(top, 1), min(height - bottom, 1)
            strip = window[:, :, : bottom - top + 2]
            strip[:, :, 0], strip[:, :, -1] = 0, 0  # zero padding at the borders of the picture
            inside = strip[:, :, 1 - above : bottom - top + 1 + below]
            self._igdn3(x[:, :, top - above : bottom + below], out=inside)
            blocks = F.conv2d(strip, self._kernel3, padding=(0, 1))[0].permute(1, 2, 0)
            if not torch.isfinite(blocks.sum()):
                return None
            write_blocks(image[side * top : side * bottom], blocks.float().add_(self._bias3), side)
        return image


class _Normalization:
    """GDN or its inverse (`slimcae.networks.gdn`), whose product with γ is in `inner`."""

    def __init__(
        self, model: Model, name: str, width: int, inner: torch.dtype, device: torch.device
    ) -> None:
        beta, gamma = model.normalization(name, width)
        self._between = _between(model.filters(width), inner)
        self._gamma = _tensor(gamma, device).to(inner)[:, :, None, None]
        self._beta = _tensor(beta, device).to(self._between)
        layer = model.architecture.layer(name)
        assert isinstance(layer, Normalization)
        self._inverse = layer.inverse

    def __call__(self, x: Tensor, out: Tensor) -> Tensor:
        """Normalize x (1, C, H, W), float32 or `inner`, into `out`, which may be x; return it."""
        squares = (x * x).to(self._gamma.dtype)  # faster than square(), which is a power
        if self._between == self._gamma.dtype:
            norm = F.conv2d(squares, self._gamma, self._beta)
        else:
            norm = F.conv2d(squares, self._gamma).to(self._between).add_(self._beta[:, None, None])
        norm = norm.sqrt_() if self._inverse else norm.rsqrt_()
        if norm.dtype == x.dtype == out.dtype:
            return torch.mul(norm, x, out=out)
        return out.copy_(norm.mul_(x.float()))  # one step of mixed dtypes would be slower


def _doubled(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=2, output_padding=1)


def write_blocks(rows: Tensor, blocks: Tensor, side: int) -> None:
    """Truncate the levels of blocks (h, w, 3 · side²), float32, into rows of an image.

    Overwrites `blocks`, whose channels are ordered by row, column and colour. rows: (side · h,
    side · w, 3), uint8, contiguous.
    """
    height, columns, _ = blocks.shape
    # converting floats to 16 bits and then to bytes is four times as fast as directly
    levels = blocks.clamp_(0, LEVELS).to(torch.int16).to(torch.uint8)
    # a row of a block, of 3 · side bytes, is copied in 4-byte words
    words = levels.view(torch.int32).view(height, columns, side, -1)
    places = rows.view(-1).view(torch.int32).view(height, side, columns, -1)
    places.copy_(words.permute(0, 2, 1, 3))


def _rounded(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """Round a kernel (out, in, k, k) to `dtype` so that rounding errors cancel over the taps.

    Error diffusion runs from the middle of the kernel, where taps are large, to the corners, where
    they are small. Flat areas then come out about as exactly as in float32.
    """
    if dtype == kernel.dtype:
        return kernel
    out, fan_in, side, _ = kernel.shape
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    distances = (rows - side // 2) ** 2 + (columns - side // 2) ** 2
    taps = kernel.detach().permute(2, 3, 0, 1).reshape(side**2, out, fan_in)
    found = torch.empty((out, side**2, fan_in), dtype=dtype, device=kernel.device)
    error = torch.zeros_like(taps[0])
    for tap in distances.flatten().argsort(stable=True).tolist():
        wanted = taps[tap] + error
        found[:, tap] = wanted
        error = wanted - found[:, tap].float()
    return found.view(out, side, side, fan_in).permute(0, 3, 1, 2)


def strips(
    row_bytes: int, height: int, device: torch.device, multiple: int = 1
) -> Iterator[tuple[int, int]]:
    """Yield start and end rows of about equal strips of `height` rows; a GPU gets one strip.

    row_bytes: bytes per row of the largest tensor. multiple: the rows of every strip but the last
        are a multiple of this.
    """
    count = 1
    if device.type == "cpu":
        count = min(height, math.ceil(row_bytes * height / STRIP_BYTES))
    rows = math.ceil(height / count / multiple) * multiple
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _between(width: int, inner: torch.dtype) -> torch.dtype:
    """Return the dtype between the products of a width, whose own dtype is `inner`."""
    return inner if width <= NARROW else torch.float32


def _empty(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)


def _laid_out(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    return kernel.to(dtype).contiguous(memory_format=torch.channels_last)


def _kernel(model: Model, name: str, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the kernel and bias of a convolution at a width; zeros if there is no bias."""
    weights = model.weights(width)
    kernel = _tensor(weights[f"{name}.weight"], device)
    bias = weights.get(f"{name}.bias")
    return kernel, kernel.new_zeros(len(kernel)) if bias is None else _tensor(bias, device)


def _tensor(array: NDArray[np.float32], device: torch.device) -> Tensor:
    """Return a copy, which later changes of the array do not affect."""
    return torch.tensor(array, device=device)


def _convolution(model: Model, name: str) -> Convolution:
    layer = model.architecture.layer(name)
    assert isinstance(layer, Convolution)
    return layer
