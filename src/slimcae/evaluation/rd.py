"""Rate-distortion points of one of our models: whole files at every operating point."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from PIL import Image

from slimcae.evaluation.contenders import Pixels, as_rgb
from slimcae.evaluation.measure import RDPoint, measure
from slimcae.images import Picture

Progress = Callable[[Sequence[Path], str], Iterable[Path]]
"""Wraps the images of a model (its name is the label) to show how far it is: `tqdm.tqdm`, say."""


class _Info(Protocol):
    @property
    def lmbda(self) -> tuple[float, ...] | None: ...


class Codec(Protocol):
    """What an evaluation needs of a codec; `slimcae.codec.Codec` has it."""

    @property
    def info(self) -> _Info:
        """Has `lmbda`: a λ per operating point in the order of `points`, or None if not known."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters per layer of each operating point."""

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point."""

    def compress(self, picture: Picture, /, *, point: int) -> bytes:
        """A whole compressed file."""

    def decompress(self, data: bytes, /) -> Image.Image:
        """The picture of a compressed file."""

    def ideal_bits(self, pixels: Pixels, point: int, /) -> float:
        """Information content of an image's symbols under the model's entropy model."""

    def macs(self, point: int, /) -> tuple[float, float]:
        """Multiply-accumulates per pixel of the analysis and of the synthesis."""


class _WholeFiles:
    """A contender with all points of a model, whose files hold alpha and metadata, too."""

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

    The setting of each is its width, which several may have in common; λ tells them apart then.

    The rate is that of whole files, alpha and metadata included; the quality is that of the colour
    pixels alone. See `slimcae.evaluation.measure` for how it is measured.

    Raises:
        ImageError: no image can be read.
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
