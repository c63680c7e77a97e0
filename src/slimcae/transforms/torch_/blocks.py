"""A transposed convolution as an equal one of stride 1 that computes blocks of pixels."""

from torch import Tensor
from torch.nn import functional as F


def blocks_kernel(kernel: Tensor, stride: int) -> Tensor:
    """A kernel (stride² · out, in, 3, 3) for the blocks that a transposed convolution writes.

    kernel: (in, out, 2 · stride + 1, 2 · stride + 1), used with a padding of `stride`. Input i
    reaches output o by tap k = o − stride · i + stride. In block b at place p, o is
    stride · b + p: from d = b − i = −1, 0, 1 the tap is stride · (d + 1) + p, if there is one.
    The channels of a block are ordered by row, column and colour.
    """
    fan_in, out = kernel.shape[:2]
    missing = stride - 1
    taps = F.pad(kernel, (0, missing, 0, missing))
    taps = taps.reshape(fan_in, out, 3, stride, 3, stride).flip(2, 4)  # convolutions count i − b
    return taps.permute(3, 5, 1, 0, 2, 4).reshape(stride**2 * out, fan_in, 3, 3)
