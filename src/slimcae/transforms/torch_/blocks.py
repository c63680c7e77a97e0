"""Replace a transposed convolution by an equal convolution of stride 1 that computes blocks."""

from torch import Tensor
from torch.nn import functional as F


def blocks_kernel(kernel: Tensor, stride: int) -> Tensor:
    """Return a kernel (stride² · out, in, 3, 3) that computes a transposed convolution in blocks.

    kernel: (in, out, 2 · stride + 1, 2 · stride + 1), used with a padding of `stride`. Input i
    contributes to output o with tap k = o − stride · i + stride. At place p of block b,
    o = stride · b + p, so the tap for d = b − i = −1, 0, 1 is stride · (d + 1) + p, if it exists.
    The channels of a block are ordered by row, column and colour.
    """
    fan_in, out = kernel.shape[:2]
    missing = stride - 1
    taps = F.pad(kernel, (0, missing, 0, missing))
    taps = taps.reshape(fan_in, out, 3, stride, 3, stride).flip(2, 4)  # convolutions count i − b
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(stride**2 * out, fan_in, 3, 3)
