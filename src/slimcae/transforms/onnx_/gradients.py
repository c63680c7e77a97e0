"""Derivatives of the squared error, for encoders with time.

They decide what is coded, and are no part of what decoders compute. Always in float32 on the
processor.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimcae.model.architecture import PICTURE_CHANNELS
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Region, Residuals
from slimcae.transforms.onnx_.building import LEVELS, block_side, gradient_graph
from slimcae.transforms.onnx_.planes import to_planes
from slimcae.transforms.onnx_.sessions import Sessions


class OnnxGradients:
    """See `slimcae.transforms.Gradients`."""

    def __init__(self, model: Model, threads: int | None = None) -> None:
        """Prepare a model; threads: number of threads per call; None: one per core."""
        self._asked = (model, threads)
        self._model = model
        self._side = block_side(model.architecture.synthesis)
        self._sessions = Sessions(
            lambda width, grey: gradient_graph(model, width, grey=grey), "cpu", threads
        )

    def __reduce__(self) -> tuple[type["OnnxGradients"], tuple[Any, ...]]:
        """Pickle the model and the options; graphs are rebuilt when unpickled."""
        return type(self), self._asked

    def squared_error(
        self,
        width: int,
        size: tuple[int, int],
        region: Region,
        pixels: Pixels,
        visible: NDArray[np.bool_] | None,
        grey: bool,
    ) -> Callable[[Residuals], Residuals]:
        """Return the function from latents to the gradient of the squared error of a region."""
        medians = self._model.medians(width)[:, None, None]
        scale = self._model.architecture.downsampling
        image = np.zeros((scale * size[0], scale * size[1], PICTURE_CHANNELS), np.uint8)
        weights = np.zeros(image.shape, np.float32)
        place = image[region].shape  # pixels may be missing at the end of the region
        pixels = pixels[: place[0], : place[1]]
        inside = tuple(
            slice(each.start, each.start + length)
            for each, length in zip(region, pixels.shape[:2], strict=True)
        )
        image[inside] = pixels
        counts = 1 if visible is None else visible[: place[0], : place[1], None]
        weights[inside] = np.float32(2 / LEVELS**2) * counts
        original = {
            "planes": to_planes(image, self._side),
            "weights": to_planes(weights, self._side),
        }

        def gradient(latents: Residuals) -> Residuals:
            y = (latents + medians)[None]
            (found,) = self._sessions.run(
                (width, grey), ["gradient"], image.size, latents=y, **original
            )
            slope: Residuals = found[0]
            return slope

        return gradient
