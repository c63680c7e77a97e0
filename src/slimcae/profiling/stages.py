"""Time of one picture by stage: network, coder and the rest."""

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from slimcae.codec import Codec
from slimcae.images import Picture
from slimcae.model.model import DEFAULT_EFFORT

T = TypeVar("T")


@dataclass(frozen=True)
class Stages:
    """Seconds of encoding or decoding one picture.

    whole: the whole call, pixels to bytes or bytes to pixels. network: the transforms, including
    the conversion of pixels. coder: entropy coding of the symbols.
    """

    whole: float
    network: float
    coder: float

    @property
    def rest(self) -> float:
        """Padding, rounding, container, checksums; negative only if tiles are coded in parallel."""
        return self.whole - self.network - self.coder


def stage_seconds(
    codec: Codec, pixels: NDArray[np.uint8], width: int, effort: int = DEFAULT_EFFORT
) -> tuple[Stages, Stages]:
    """Return the times of encoding and of decoding one picture (H, W, 3) at Δ = 1."""
    network, coder = _Clock(), _Clock()
    entropy_models = {
        kind: _clocked(each, ("encode", "decode"), coder)
        for kind, each in codec.model.entropy_models[width].items()
    }
    timed = copy(codec)
    timed.model = replace(
        codec.model, entropy_models={**codec.model.entropy_models, width: entropy_models}
    )
    for each in codec.points:
        timed.model.fingerprint(each)  # computed once per model, so not part of a call
    timed.transforms = _clocked(codec.transforms, ("residuals", "pixels"), network)
    picture = Picture(pixels)

    def stages(call: Callable[[], T]) -> tuple[T, Stages]:
        network.seconds = coder.seconds = 0.0
        start = time.perf_counter()
        result = call()
        return result, Stages(time.perf_counter() - start, network.seconds, coder.seconds)

    data, encode = stages(lambda: timed.compress(picture, point=width, effort=effort))
    _, decode = stages(lambda: np.asarray(timed.decompress(data)))
    return encode, decode


class _Clock:
    """Accumulated seconds of the clocked methods."""

    def __init__(self) -> None:
        self.seconds = 0.0


def _clocked(original: T, methods: tuple[str, ...], clock: _Clock) -> T:
    return cast("T", _Clocked(original, methods, clock))


class _Clocked:
    """A proxy of an object that clocks some of its methods."""

    def __init__(self, original: object, methods: tuple[str, ...], clock: _Clock) -> None:
        self._original, self._methods, self._clock = original, methods, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._original, name)
        if name not in self._methods:
            return found

        def clocked(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return found(*args)
            finally:
                self._clock.seconds += time.perf_counter() - start

        return clocked
