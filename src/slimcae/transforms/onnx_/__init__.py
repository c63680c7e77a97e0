"""The transforms in ONNX Runtime, which needs a quarter of torch's memory and loads quickly."""

from typing import Any

import numpy as np

from slimcae.errors import ConfigError, ModelError
from slimcae.machine import describe_machine
from slimcae.model.architecture import PICTURE_CHANNELS
from slimcae.model.config import DEVICES, PRECISIONS
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Residuals, Symbols
from slimcae.transforms.onnx_.building import analysis_graph, block_side, synthesis_graph
from slimcae.transforms.onnx_.planes import to_pixels, to_planes
from slimcae.transforms.onnx_.sessions import Sessions, has_cuda, runtime


class OnnxTransforms:
    """g_a and g_s of one model in ONNX Runtime, in float32; see `slimcae.transforms.Transforms`."""

    def __init__(
        self, model: Model, device: str = "cpu", precision: str = "auto", threads: int | None = None
    ) -> None:
        """Prepare a model for a device.

        threads: number of threads per call; None: one per core.

        Raises:
            ConfigError: The device is unknown or absent, or the precision is not float32.
        """
        self._model = model
        self._device = _resolve_device(device)
        if precision not in PRECISIONS:
            raise ConfigError(
                f"unknown precision {precision!r}: choose from {', '.join(PRECISIONS)}"
            )
        if precision == "bfloat16":
            raise ConfigError("precision bfloat16: only the backend torch supports it")
        self._asked = (device, precision, threads)
        self._analysis = Sessions(lambda w: analysis_graph(model, w), self._device, threads)
        self._synthesis = Sessions(lambda w: synthesis_graph(model, w), self._device, threads)

    def __reduce__(self) -> tuple[type["OnnxTransforms"], tuple[Any, ...]]:
        """Pickle the model and the options; graphs are rebuilt when unpickled."""
        return type(self), (self._model, *self._asked)

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return self._device

    @property
    def precision(self) -> str:
        """`float32`."""
        return "float32"

    @property
    def threads(self) -> int:
        """Number of threads per call; 1 in a forked process."""
        return self._analysis.threads

    @property
    def machine(self) -> str:
        """See `describe_machine`."""
        return describe_machine()

    @property
    def backend(self) -> str:
        """`onnx`."""
        return "onnx"

    @property
    def runtime(self) -> str:
        """Name and version, for example `onnxruntime 1.32.0`."""
        return runtime()

    def residuals(self, pixels: Pixels, width: int) -> Residuals:
        """Return y − median (C, h, w) of pixels (H, W, 3)."""
        planes = to_planes(pixels, block_side(self._model.architecture.analysis))
        (y,) = self._analysis.run((width,), ["latents"], pixels.size, planes=planes)
        found: Residuals = y[0] - self._model.medians(width)[:, None, None]
        if not np.isfinite(found.sum()):
            raise ModelError(f"the model's latents at width {width} are not finite")
        return found

    def pixels(self, symbols: Symbols, width: int, delta: float) -> Pixels:
        """Return the pixels (H, W, 3) of median + Δ · symbols (C, h, w)."""
        y_hat = self._model.medians(width)[:, None, None] + np.float32(delta) * symbols
        scale = self._model.architecture.downsampling
        values = PICTURE_CHANNELS * scale**2 * y_hat[0].size
        planes, total = self._synthesis.run(
            (width,), ["planes", "sum"], values, latents=y_hat[None]
        )
        if not np.isfinite(total):
            raise ModelError(f"the reconstruction at width {width} is not finite")
        return to_pixels(planes, block_side(self._model.architecture.synthesis))


def _resolve_device(name: str) -> str:
    """Return `cpu` or `cuda`; `auto` is a GPU if this build of the runtime supports one.

    Raises:
        ConfigError: The name is unknown, or it is `cuda` and the runtime does not support it.
    """
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}: choose from {', '.join(DEVICES)}")
    if name == "cuda" and not has_cuda():
        raise ConfigError(
            "device cuda: this build of ONNX Runtime has no CUDA; install onnxruntime-gpu, or use "
            "cpu or auto"
        )
    return "cuda" if has_cuda() and name != "cpu" else "cpu"
