"""Pixels to latents and back: one protocol, and the implementations that can be chosen.

An implementation computes one array at a time and knows nothing of tiles, files or symbols' costs;
it owns the centring of latents and what Δ does to them.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from slimcae.backend import choose_backend
from slimcae.errors import MissingPackageError, SettingError
from slimcae.model.config import whole_number

if TYPE_CHECKING:
    from slimcae.model.model import Model

MAX_THREADS = 256
"""ONNX Runtime takes memory for each thread, whether or not there is a core for it."""

Pixels = NDArray[np.uint8]
Residuals = NDArray[np.float32]
Symbols = NDArray[np.int16]
Region = tuple[slice, slice]
"""Rows and columns of pixels."""


class Transforms(Protocol):
    """g_a and g_s of one model on one device; may be used from several threads at once.

    `width` names one of the model's operating points.

    The model's architecture says how large a neighbourhood they need: `analysis_halo` and
    `synthesis_halo`, in latents.
    """

    @property
    def device(self) -> str:
        """Where it computes: `cpu` or `cuda`."""

    @property
    def precision(self) -> str:
        """`float32`, or `bfloat16` for the large products."""

    @property
    def threads(self) -> int:
        """Number of threads that one call uses."""

    @property
    def machine(self) -> str:
        """Processor, and GPU if it computes there, in words."""

    @property
    def backend(self) -> str:
        """`onnx` or `torch`, as `open_transforms` takes it."""

    @property
    def runtime(self) -> str:
        """Name and version of the library that computes, as in `torch 2.13.0`."""

    def residuals(self, pixels: Pixels, width: int) -> Residuals:
        """Return y − median (C, h, w) of pixels (H, W, 3), sides multiples of the downsampling.

        Raises:
            ModelError: latents that are not finite.
        """

    def pixels(self, symbols: Symbols, width: int, delta: float) -> Pixels:
        """Return the pixels (H, W, 3) of median + Δ · symbols (C, h, w).

        Raises:
            ModelError: a reconstruction that is not finite.
        """


class Gradients(Protocol):
    """Derivatives of one width's squared error, for encoders that search for better symbols.

    Latents are y − median, (C, h, w), float32. Levels of pixels are in [0, 1].
    """

    def squared_error(
        self,
        latents: Residuals,
        region: Region,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
    ) -> Residuals:
        """Return the gradient (C, h, w) of the squared error of what g_s makes of latents.

        region: the pixels that count, among those of the latents; `pixels` (H, W, 3) is what they
        should be, of which the last rows and columns may be missing: they do not count.
        visible: (H, W), the pixels that count; None: all. grey: the decoder takes the mean of the
        three colours.
        """


def open_gradients(model: "Model", width: int, threads: int | None = None) -> Gradients:
    """Return the derivatives of a width, which torch computes.

    Raises:
        MissingPackageError: torch is not installed.
    """
    require_gradients()
    from slimcae.transforms.torch_.gradients import TorchGradients

    return TorchGradients(model, width, threads)


def require_gradients() -> None:
    """Refuse to go on where nothing computes gradients.

    Raises:
        MissingPackageError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingPackageError("torch", "computes gradients for efforts from 3 on")


def open_transforms(
    model: "Model",
    *,
    device: str = "cpu",
    precision: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    megapixels: float | None = None,
) -> Transforms:
    """Open the transforms of a model, and import the library that computes them.

    device: `cpu`, `cuda` or `auto`. precision: `float32`, or `bfloat16` for the network's
        products, which only torch computes and which costs 0.01 dB on average; `auto` takes
        bfloat16 where torch computes and the processor has it natively.
    backend, megapixels: see `choose_backend`.
    threads: number of threads that one call uses; None: as many as there are cores.

    Raises:
        ConfigError: unknown or absent device, unknown precision, or one that would be emulated or
            that the backend does not have; unknown backend, an impossible number of threads.
        MissingPackageError: the library is not installed.
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
