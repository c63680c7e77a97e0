"""Rate-distortion points of one of our models, measured on whole files at every point."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from PIL import Image

from slimcae.evaluation.contenders import Pixels, as_rgb
from slimcae.evaluation.measure import RDPoint, measure
from slimcae.images import Picture

Progress = Callable[[Sequence[Path], str], Iterable[Path]]
"""Wraps the images of a model (with its name as label) to show progress, as `tqdm.tqdm` does."""


class _Info(Protocol):
    @property
    def lmbda(self) -> tuple[float, ...] | None: ...


class Codec(Protocol):
    """The interface of a codec for evaluation; `slimcae.codec.Codec` implements it."""

    @property
    def info(self) -> _Info:
        """Description with `lmbda`: λ per operating point in the order of `points`, or None."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point."""

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point."""

    def compress(self, picture: Picture, /, *, point: int) -> bytes:
        """Return a whole compressed file."""

    def decompress(self, data: bytes, /) -> Image.Image:
        """Return the picture of a compressed file."""

    def ideal_bits(self, pixels: Pixels, point: int, /) -> float:
        """Return the information content of an image's symbols in bits."""

    def macs(self, point: int, /) -> tuple[float, float]:
        """Return the multiply-accumulates per pixel of g_a and of g_s."""


class _WholeFiles:
    """A contender with all points of a model; its files include alpha and metadata."""

    settings = ""

    def __init__(self, codec: Codec, name: str) -> None:
        self.codec = codec
        self.name = name
        self.points = codec.points
        self._widths = dict(zip(codec.points, codec.widths, strict=True))

    def label(self, point: float) -> str:
        return f"width {self._widths[int(point)]}"

    def encode(self, picture: Picture, point: float) -> bytes:
        return self.codec.compress(picture, point=int(point))

    def decode(self, data: bytes) -> Pixels:
        return as_rgb(self.codec.decompress(data))


def silent(images: Sequence[Path], _name: str) -> Iterable[Path]:
    """Show no progress."""
    return images


def evaluate_codec(
    codec: Codec, images: Sequence[Path], *, name: str, progress: Progress = silent
) -> list[RDPoint]:
    """Return the RD points of a codec on all images, in the order of its operating points.

    The setting of a point is its width; points with equal widths differ in λ.

    The rate is that of whole files, including alpha and metadata; the quality is that of the colour
    pixels. `slimcae.evaluation.measure` describes the measurement.

    Raises:
        ImageError: No image can be read.
    """
    (points,), _ = measure(
        [_WholeFiles(codec, name)],
        images,
        ideal_bits=lambda pixels, point: codec.ideal_bits(pixels, int(point)),
        progress=lambda paths: progress(paths, name),
    )
    lmbdas = codec.info.lmbda or [None] * len(points)
    found = []
    for point, number, width, lmbda in zip(points, codec.points, codec.widths, lmbdas, strict=True):
        encoder, decoder = codec.macs(number)
        found.append(
            replace(point, setting=width, lmbda=lmbda, encoder_macs=encoder, decoder_macs=decoder)
        )
    return found
