"""The transforms between pixels and latents: a protocol, and the choice of its implementation.

An implementation computes one array at a time, including the centring of latents and the
dequantisation by Δ. Tiles, files and rates are handled elsewhere.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from slimcae.backend import choose_backend, require
from slimcae.errors import SettingError
from slimcae.model.config import whole_number

if TYPE_CHECKING:
    from slimcae.model.model import Model

MAX_THREADS = 256
"""Limit on threads; ONNX Runtime allocates memory for each, even beyond the number of cores."""

Pixels = NDArray[np.uint8]
Residuals = NDArray[np.float32]
Symbols = NDArray[np.int16]
Region = tuple[slice, slice]
"""Rows and columns of pixels."""


class Transforms(Protocol):
    """g_a and g_s of one model on one device. Thread-safe.

    `width` is the number of an operating point. The neighbourhoods that g_a and g_s need are the
    `analysis_halo` and `synthesis_halo` of the model's architecture, in latents.
    """

    @property
    def device(self) -> str:
        """The device: `cpu` or `cuda`."""

    @property
    def precision(self) -> str:
        """The precision of the large products: `float32` or `bfloat16`."""

    @property
    def threads(self) -> int:
        """Number of threads that one call uses."""

    @property
    def machine(self) -> str:
        """Description of the processor, and of the GPU if it is used."""

    @property
    def backend(self) -> str:
        """`onnx` or `torch`, as `open_transforms` takes it."""

    @property
    def runtime(self) -> str:
        """Name and version of the runtime library, for example `torch 2.13.0`."""

    def residuals(self, pixels: Pixels, width: int) -> Residuals:
        """Return y − median (C, h, w) of pixels (H, W, 3).

        H and W must be multiples of the downsampling.

        Raises:
            ModelError: Latents are not finite.
        """

    def pixels(self, symbols: Symbols, width: int, delta: float) -> Pixels:
        """Return the pixels (H, W, 3) of median + Δ · symbols (C, h, w).

        Raises:
            ModelError: The reconstruction is not finite.
        """


class Gradients(Protocol):
    """Derivatives of the squared error of one model, for encoders that optimise symbols.

    Latents are y − median, (C, h, w), float32. Pixel values are in [0, 1].
    """

    def squared_error(
        self,
        width: int,
        size: tuple[int, int],
        region: Region,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
    ) -> Callable[[Residuals], Residuals]:
        """Return a function from latents to the gradient (C, h, w) of the squared error.

        width: number of the operating point. size: (h, w) of the latents. region: the part of the
        reconstruction that is compared. pixels: (H, W, 3), the original of the region; rows and
        columns missing at its end are ignored. visible: (H, W), mask of the pixels to compare;
        None: all. grey: the decoder averages the three colours.
        """


def open_gradients(model: "Model", threads: int | None = None) -> Gradients:
    """Return the derivatives of a model, computed by ONNX Runtime.

    Raises:
        MissingPackageError: ONNX Runtime is not installed.
    """
    require("onnx", "computes gradients for efforts from 3 on")
    from slimcae.transforms.onnx_.gradients import OnnxGradients

    return OnnxGradients(model, threads)


def open_transforms(
    model: "Model",
    *,
    device: str = "cpu",
    precision: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    megapixels: float | None = None,
) -> Transforms:
    """Open the transforms of a model, and import the runtime library.

    device: `cpu`, `cuda` or `auto`. precision: `float32`, or `bfloat16` for the network's
        products, which needs torch and costs 0.01 dB on average; `auto` uses bfloat16 with torch
        on processors that have it natively.
    backend, megapixels: see `choose_backend`.
    threads: number of threads per call; None: one per core.

    Raises:
        ConfigError: The device is unknown or absent; the precision is unknown, emulated, or not
            supported by the backend; the backend is unknown; the number of threads is invalid.
        MissingPackageError: The library is not installed.
    """
    if threads is not None:
        number = whole_number(threads)
        if number is None or not 1 <= number <= MAX_THREADS:
            raise SettingError("threads", threads, f"1 to {MAX_THREADS}")
        threads = number
    chosen = choose_backend(
        backend,
        device=device,
        precision=precision,
        megapixels=megapixels,
        architecture=model.config.architecture,
    )
    if chosen == "torch":
        from slimcae.transforms.torch_ import TorchTransforms

        return TorchTransforms(model, device, precision, threads)
    from slimcae.transforms.onnx_ import OnnxTransforms

    return OnnxTransforms(model, device, precision, threads)
