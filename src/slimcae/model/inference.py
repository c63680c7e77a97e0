"""The transforms of one width laid out for speed: kernels sliced, re-laid and kept.

They compute what `SlimCAE.g_a` and `SlimCAE.g_s` do, for one picture at a time:

- Pixels stay as they lie in memory (channels last); the scale between levels and [0, 1] is in the
  first and the last kernel.
- A transposed convolution of stride 4 writes few channels in many places, which is slow. The last
  one is an equal convolution of stride 1 that computes the 4 × 4 pixels of each position as
  channels.
- What lies at a quarter of the resolution (the first convolution with its GDN, the last IGDN with
  its convolution) is computed in strips of rows that fit into the processor's cache.
- In reduced precision bfloat16 enters the products of the inner convolutions and of GDN. What lies
  next to pixels, and all between the products, is float32: there an error of 2⁻⁹ would shift whole
  areas by a part of a level. For the same reason the rounding errors of an analysis kernel cancel
  over its taps.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from slimcae.model.gdn import SlimmableGDN
from slimcae.model.layers import blocks_kernel
from slimcae.model.slimcae import SlimCAE

STRIP_BYTES = 2**21
"""Of one float32 tensor of a strip on a CPU: several of them fit into its second-level cache."""
LEVELS = 255


class Analysis:
    """g_a of one width: pixels to latents.

    inner: torch.float32, or torch.bfloat16 for the inner products.
    """

    @torch.inference_mode()
    def __init__(self, model: SlimCAE, width: int, inner: torch.dtype) -> None:
        g_a = model.g_a
        self._width = width
        self._inner = inner
        kernel, bias = g_a.conv1.slice(3, width)
        self._margin, self._stride = g_a.conv1.padding, g_a.conv1.stride
        self._kernel1, self._bias1 = _laid_out(kernel / LEVELS), _copied(bias)
        kernel, bias = g_a.conv2.slice(width, width)
        self._kernel2, self._bias2 = _laid_out(_rounded(kernel, inner), inner), _copied(bias, inner)
        kernel, _ = g_a.conv3.slice(width, width)
        self._kernel3 = _laid_out(_rounded(kernel, inner), inner)
        self._gdn1 = _Normalization(g_a.gdn1, width, inner)
        self._gdn2 = _Normalization(g_a.gdn2, width, inner)
        self._gdn3 = _Normalization(g_a.gdn3, width, torch.float32)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (H, W, 3), uint8, sides multiples of 16, to latents (width, H/16, W/16)."""
        height, columns, _ = pixels.shape
        margin, stride = self._margin, self._stride
        padded = (
            F.pad(pixels, (0, 0, margin, margin, margin, margin)).permute(2, 0, 1)[None].float()
        )
        x = torch.empty(
            (1, self._width, height // stride, columns // stride),
            dtype=self._inner,
            device=pixels.device,
            memory_format=torch.channels_last,
        )
        for top, bottom in _strips(x):
            strip = padded[:, :, stride * top : stride * (bottom - 1) + 2 * margin + 1]
            x[:, :, top:bottom] = self._gdn1(F.conv2d(strip, self._kernel1, self._bias1, stride))
        x = F.conv2d(x, self._kernel2, self._bias2, stride=2, padding=2)
        x = self._gdn2(x.float()).to(self._inner)
        x = F.conv2d(x, self._kernel3, stride=2, padding=2)
        return self._gdn3(x.float())[0]


class Synthesis:
    """g_s of one width: latents to pixels.

    inner: torch.float32, or torch.bfloat16 for the inner products.
    """

    @torch.inference_mode()
    def __init__(self, model: SlimCAE, width: int, inner: torch.dtype) -> None:
        g_s = model.g_s
        self._inner = inner
        kernel, bias = g_s.deconv1.slice(width, width)
        self._kernel1, self._bias1 = _laid_out(kernel, inner), _copied(bias, inner)
        kernel, bias = g_s.deconv2.slice(width, width)
        self._kernel2, self._bias2 = _laid_out(kernel, inner), _copied(bias, inner)
        kernel, bias = g_s.deconv3.slice(width, 3)
        self._stride = g_s.deconv3.stride
        self._kernel3 = _laid_out(blocks_kernel(kernel, self._stride) * LEVELS)
        self._bias3 = _copied((bias * LEVELS).repeat(self._stride**2))
        self._igdn1 = _Normalization(g_s.igdn1, width, torch.float32)
        self._igdn2 = _Normalization(g_s.igdn2, width, inner)
        self._igdn3 = _Normalization(g_s.igdn3, width, inner)

    def __call__(self, y_hat: Tensor) -> Tensor | None:
        """Latents (width, h, w), float32, to pixels (16h, 16w, 3), uint8.

        Returns None where the reconstruction is not finite.
        """
        x = self._igdn1(y_hat[None].contiguous(memory_format=torch.channels_last))
        x = _doubled(x.to(self._inner), self._kernel1, self._bias1)
        x = self._igdn2(x.float())
        x = _doubled(x.to(self._inner), self._kernel2, self._bias2)
        height, columns = x.shape[2:]
        side = self._stride
        image = torch.empty((side * height, side * columns, 3), dtype=torch.uint8, device=x.device)
        for top, bottom in _strips(x):
            above, below = min(top, 1), min(height - bottom, 1)
            strip = self._igdn3(x[:, :, top - above : bottom + below].float())
            strip = F.pad(strip, (1, 1, 1 - above, 1 - below))
            strip = F.conv2d(strip, self._kernel3, self._bias3)
            if not torch.isfinite(strip.sum()):
                return None
            levels = strip.round_().clamp_(0, LEVELS)[0].permute(1, 2, 0).to(torch.uint8)
            blocks = levels.reshape(bottom - top, columns, side, side, 3)
            rows = image[side * top : side * bottom].view(bottom - top, side, columns, side, 3)
            rows[:] = blocks.permute(0, 2, 1, 3, 4)
        return image


class _Normalization:
    """GDN or its inverse (`slimcae.model.gdn`): only the product with γ is in `inner`."""

    def __init__(self, norm: SlimmableGDN, width: int, inner: torch.dtype) -> None:
        beta, gamma = norm.effective(width)
        self._beta = _copied(beta)[None, :, None, None]
        self._gamma = _copied(gamma, inner)[:, :, None, None]
        self._inverse = norm.inverse

    def __call__(self, x: Tensor) -> Tensor:
        """Float32 (1, C, H, W) in and out."""
        norm = F.conv2d(x.square().to(self._gamma.dtype), self._gamma)
        norm = torch.add(self._beta, norm)
        norm = norm.sqrt_() if self._inverse else norm.rsqrt_()
        return norm.mul_(x)


def _doubled(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=2, output_padding=1)


def _rounded(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """A kernel (out, in, k, k) of values that `dtype` has, with errors that cancel over the taps.

    Each tap takes over the errors of those before, from the middle, where kernels are large, to the
    corners, where they are small and leave hardly any: what an even area becomes is about as exact
    as in float32.
    """
    side = kernel.shape[-1]
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    distances = (rows - side // 2) ** 2 + (columns - side // 2) ** 2
    taps = kernel.detach().flatten(2).permute(2, 0, 1).contiguous()
    error = torch.zeros_like(taps[0])
    for tap in distances.flatten().argsort(stable=True).tolist():
        wanted = taps[tap] + error
        taps[tap] = wanted.to(dtype)
        error = wanted - taps[tap]
    return taps.permute(1, 2, 0).reshape(kernel.shape)


def _strips(x: Tensor) -> Iterator[tuple[int, int]]:
    """First row and end of each strip of x (1, C, H, W); a GPU takes all at once."""
    _, channels, height, columns = x.shape
    rows = height
    if x.device.type == "cpu":
        rows = max(1, STRIP_BYTES // (4 * channels * columns))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _laid_out(kernel: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return kernel.detach().to(dtype).contiguous(memory_format=torch.channels_last)


def _copied(values: Tensor | None, dtype: torch.dtype = torch.float32) -> Tensor:
    assert values is not None  # the layers whose biases are asked for have one
    return values.detach().to(dtype, copy=True)
