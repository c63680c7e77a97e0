"""The transform warm start: initialise training with a Karhunen–Loève transform codec.

From random weights, most of a small budget is spent on learning a good linear transform. The
principal components of image blocks are such a transform, and three nested block transforms (4×4
pixels, then 2×2, then 2×2 blocks of coefficients) match the resolutions of all architectures.
Components are ordered by variance, so small widths, which use the first channels, keep the most
important ones. The synthesis transform is the transpose.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from slimcae.networks.autoencoder import Autoencoder, TransformPair
from slimcae.networks.bottleneck import INIT_SCALE, EntropyBottleneck
from slimcae.networks.bounds import to_stored
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.modulated import ModulatedAutoencoder
from slimcae.training.workers import one_thread

GAMMA_DIAGONAL = 1e-4
GAMMA_ELSEWHERE = 1e-6
SPARE_STD = 0.01
"""Standard deviation of the kernels of channels beyond those of the transform."""
LAP = 0.7
"""Fraction of the step between block means that each lap of the light synthesis keeps."""
FIT_STEPS = 300
FIT_VALUES = 1024
"""Latents per channel in one step of fitting the entropy models."""


@torch.no_grad()
def warm_start_transforms(model: Autoencoder, x: Tensor, lmbda: tuple[float, ...]) -> None:
    """Set g_a and g_s to a nested block transform of the images and its inverse.

    x: sample of images (N, 3, H, W) in [0, 1], sides multiples of 16. The gain makes the rounding
    step optimal for λ: with independent coefficients, MSE = Δ²/12 and 3 coefficients per pixel,
    λ·MSE + bpp is minimal at Δ² = 18 / (λ ln 2).
    """
    of_point = dict(zip(model.points, lmbda, strict=True))
    for pair, points in model.pairs:
        # points with the same width all start like the best one
        widths = model.config.transforms_of(points[0]).widths
        own = dict(zip(widths, (of_point[point] for point in points), strict=False))
        gain = math.sqrt(max(own.values()) * math.log(2) / 18)
        if pair.config.has_gdn:
            n = pair.config.num_filters
            first, second, third = nested_components(x, min(48, n), n, n)
            _start_slimcae(pair, gain, x.mean(dim=(0, 2, 3)), (first, second, third), own)
        else:
            _start_light(pair, gain, x, own)
    if isinstance(model, ModulatedAutoencoder):
        model.begin_with_steps()


def _start_slimcae(
    model: TransformPair,
    gain: float,
    mean: Tensor,
    components: tuple[Tensor, Tensor, Tensor],
    lmbda: dict[int, float],
) -> None:
    first, second, third = components
    g_a, g_s = model.g_a, model.g_s
    _place(g_a.conv1.weight, gain * first)
    _place(g_a.conv2.weight, second)
    _place(g_a.conv3.weight, third)
    _place(g_s.deconv1.weight, third)
    _place(g_s.deconv2.weight, second)
    _place(g_s.deconv3.weight, first / gain)
    # spare channels of feature maps get small noise, which no other layer reads yet
    g_a.conv1.weight[len(first) :].normal_(std=SPARE_STD * gain)
    g_a.conv2.weight[len(second) :].normal_(std=SPARE_STD)
    g_s.deconv1.weight[:, len(second) :].normal_(std=SPARE_STD)
    g_s.deconv2.weight[:, len(first) :].normal_(std=SPARE_STD)
    assert g_a.conv1.bias is not None
    g_a.conv1.bias.zero_()
    g_a.conv1.bias[: len(first)] = -gain * (first.sum(dim=(2, 3)) @ mean)
    g_s.deconv3.bias.copy_(mean)

    for norm in (g_a.gdn1, g_a.gdn2, g_s.igdn2, g_s.igdn3):
        near_identity(norm, None)
    # the rounding step of a width grows with λ^−½: through β of the layers around the latents
    beta = {width: max(lmbda.values()) / value for width, value in lmbda.items()}
    near_identity(g_a.gdn3, beta)
    near_identity(g_s.igdn1, beta)


def _start_light(model: TransformPair, gain: float, x: Tensor, lmbda: dict[int, float]) -> None:
    """Initialise the light transforms; `initialise` has set residual branches to zero.

    The laps start as a time-domain lapped transform (Tran, Liang, Tu, "Lapped transform via
    time-domain pre- and post-processing", IEEE Trans. Signal Processing 51, 2003) of the block
    means. Without them, every block of 16 × 16 pixels would have a visible border.
    """
    n = model.config.num_filters
    g_a, g_s = model.g_a, model.g_s
    mean = x.mean(dim=(0, 2, 3))
    z = x - mean[:, None, None]
    first = principal_components(z, 4, min(n // 4, 48))
    z = F.conv2d(z, first, stride=4)
    pixels, levels = (
        first.flatten(1),
        mean.repeat_interleave(16),
    )  # in the channel order of `Unshuffle`
    for kernel in (g_a.embed.weight, g_s.render.weight):
        kernel.zero_()
    middle = g_a.embed.weight.shape[-1] // 2
    g_a.embed.weight[: len(pixels), :, middle, middle] = pixels
    g_s.render.weight[:, : len(pixels), 1, 1] = pixels.T
    g_a.embed.bias[:, : len(pixels)] = -(pixels @ levels)
    g_s.render.bias[:] = levels
    averages = torch.ones(3, dtype=torch.bool, device=x.device)  # colours are smooth
    part = first
    for lap_in, down, up, lap_out, most in (
        (g_a.lap2, g_a.down2, g_s.up2, g_s.lap2, n // 2),
        (g_a.lap3, g_a.down3, g_s.up3, g_s.lap3, len(g_a.down3.weight)),
    ):
        averages = _averaging(part, averages)
        before, after = lapping(averages, 1 / LAP), lapping(averages, LAP)
        for kernel, values in ((lap_in.weight, before), (lap_out.weight, after)):
            kernel.copy_(lapping(torch.zeros(len(kernel) // 4), 1))
            kernel[: len(values)] = values
        lapped = F.conv2d(F.pixel_unshuffle(z, 2), before, padding=1, groups=z.shape[1])
        z = F.pixel_shuffle(lapped, 2)
        part = principal_components(z, 2, min(most, 4 * z.shape[1]))
        z = F.conv2d(z, part, stride=2)
        matrix = part.flatten(1)
        for kernel, values in ((down.weight, matrix), (up.weight, matrix.T)):
            kernel.zero_()
            kernel[: values.shape[0], : values.shape[1], 0, 0] = values
    # the gain is in the scales; in the kernels it would make some so large and others so small that
    # no learning rate suits both. The rounding step of a width is proportional to λ^−½
    for place, value in enumerate(lmbda.values()):
        factor = math.log(gain) + 0.5 * math.log(value / max(lmbda.values()))
        g_a.scale.log_scale[place] = factor
        g_s.scale.log_scale[place] = -factor


def _averaging(components: Tensor, smooth: Tensor) -> Tensor:
    """Return which components (count, C, k, k) are mostly block means of smooth channels (C)."""
    means = components[:, smooth].sum(dim=(2, 3)) / components.shape[-1]
    return means.square().sum(dim=1) > 0.5


def lapping(where: Tensor, factor: float) -> Tensor:
    """Return a kernel (4C, 4, 3, 3) that changes the steps between neighbouring 2×2 blocks.

    where: mask of the C channels to change. The two values on both sides of a border keep their
    mean, and their difference is multiplied by `factor`; the kernel for 1 / factor inverts this.
    Channels are in the order of `Unshuffle`, in groups of four.
    """
    own, other = (1 + factor) / 2, (1 - factor) / 2
    # axes: output phase, input phase, and block (left, own, right)
    line = torch.zeros(2, 2, 3)
    line[0, 0, 1] = line[1, 1, 1] = own
    line[0, 1, 0] = line[1, 0, 2] = other
    plane = torch.einsum("iax,jby->ijabxy", line, line).reshape(4, 4, 3, 3)
    same = torch.zeros(4, 4, 3, 3)
    same[:, :, 1, 1] = torch.eye(4)
    kernels = torch.stack([same, plane])[where.long().cpu()]  # (C, 4, 4, 3, 3)
    return kernels.flatten(0, 1).to(where.device)


def nested_components(x: Tensor, *counts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the components of 4×4 pixels of images, of 2×2 of these, and of 2×2 of those.

    counts: maximal number of each. Kernels are (count, channels, size, size), in order of variance.
    """
    z = x - x.mean(dim=(0, 2, 3))[:, None, None]
    found = []
    for size, count in zip((4, 2, 2), counts, strict=True):
        part = principal_components(z, size, min(count, size**2 * z.shape[1]))
        z = F.conv2d(z, part, stride=size)
        found.append(part)
    first, second, third = found
    return first, second, third


def fit_entropy_models(
    model: Autoencoder, x: Tensor, seed: int, points: Sequence[int] | None = None
) -> None:
    """Fit the entropy bottlenecks alone to the latents of the images x (N, 3, H, W).

    points: operating points to fit; None: all.

    The density of each channel is first scaled to the deviation of its latents, then fitted by
    Adam.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    for width in model.points if points is None else points:
        with torch.no_grad():
            y = model.analyse(x, width).float().transpose(0, 1).flatten(1)  # (C, values)
        # one thread, because threads of thousands of tiny operations would mostly wait
        with one_thread():
            _fit(model.entropy_bottleneck(width), y, generator)


def _fit(bottleneck: EntropyBottleneck, y: Tensor, generator: torch.Generator) -> None:
    """Fit one width's densities to its latents y (C, values)."""
    with torch.no_grad():
        # a logistic distribution of scale s has the standard deviation s·π/√3
        spread = (y.std(dim=1) * math.sqrt(3) / math.pi).clamp_min(0.05)
        matrix = bottleneck.matrices[0]
        slope = F.softplus(matrix) * (INIT_SCALE / spread)[:, None, None]
        matrix.copy_(slope + torch.log(-torch.expm1(-slope)))  # the inverse of softplus
    optimizer = torch.optim.Adam(bottleneck.parameters(), lr=1e-2)
    for _ in range(FIT_STEPS):
        where = torch.randint(
            y.shape[1], (min(FIT_VALUES, y.shape[1]),), generator=generator, device=y.device
        )
        values = y[:, where]
        noise = torch.rand(values.shape, generator=generator, device=y.device) - 0.5
        likelihoods = bottleneck.likelihood((values + noise)[None, :, :, None])
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(-torch.log2(likelihoods).mean())
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def principal_components(x: Tensor, size: int, count: int) -> Tensor:
    """Return the leading orthonormal components of the size × size blocks of x (N, C, H, W).

    Return kernels (count, C, size, size), in order of variance.
    """
    channels = x.shape[1]
    rows = F.unfold(x, size, stride=size).transpose(1, 2).reshape(-1, channels * size**2).double()
    _, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    components: Tensor = vectors.flip(1).T[:count].reshape(count, channels, size, size)
    return components.float()


def near_identity(norm: SlimmableGDN, beta: dict[int, float] | None) -> None:
    """Make a norm almost linear; `beta` scales each width if the variant supports it."""
    for owner in (norm.owner(int(name)) for name in norm.norms):
        eye = torch.eye(len(owner.beta), device=owner.beta.device)
        gamma = GAMMA_ELSEWHERE + (GAMMA_DIAGONAL - GAMMA_ELSEWHERE) * eye
        owner.gamma.copy_(to_stored(gamma))
        owner.beta.copy_(to_stored(torch.ones_like(owner.beta)))
    if beta is None:
        return
    for width, value in beta.items():
        scaled = torch.tensor(value, device=eye.device)
        if norm.variant == "switchable":
            norm.owner(width).beta.copy_(to_stored(scaled).expand(width))
        elif norm.variant == "slim+":
            norm.beta_scale[norm.index[width]] = to_stored(scaled)


def _place(weight: Tensor, components: Tensor) -> None:
    """Write components (count, C, size, size) to the taps of a kernel that one stride covers.

    Kernels are (coefficients, C, k, k), both in analysis and in transposed synthesis layers. The
    taps start at k // 2, the position of a block's first pixel with "same" padding.
    """
    count, channels, size, _ = components.shape
    middle = weight.shape[-1] // 2
    taps = slice(middle, middle + size)
    weight.zero_()
    weight[:count, :channels, taps, taps] = components
