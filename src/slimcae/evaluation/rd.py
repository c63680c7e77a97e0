"""Rate-distortion points of one of our models: whole files at every width."""

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
        """Has `lmbda`: a λ per width in the order of `widths`, or None if not known."""

    @property
    def widths(self) -> tuple[int, ...]:
        """The operating points."""

    def compress(self, picture: Picture, width: int, /) -> bytes:
        """A whole compressed file."""

    def decompress(self, data: bytes, /) -> Image.Image:
        """The picture of a compressed file."""

    def ideal_bits(self, pixels: Pixels, width: int, /) -> float:
        """Information content of an image's symbols under the model's entropy model."""

    def macs(self, width: int, /) -> tuple[float, float]:
        """Multiply-accumulates per pixel of the analysis and of the synthesis."""


class _WholeFiles:
    """A contender with a point per width, whose files hold alpha and metadata, too."""

    settings = ""

    def __init__(self, codec: Codec, name: str) -> None:
        self.codec = codec
        self.name = name
        self.points = codec.widths

    def label(self, point: float) -> str:
        return f"width {point:g}"

    def encode(self, picture: Picture, point: float) -> bytes:
        return self.codec.compress(picture, int(point))

    def decode(self, data: bytes) -> Pixels:
        return as_rgb(self.codec.decompress(data))


def silent(images: Sequence[Path], _name: str) -> Iterable[Path]:
    """Show no progress."""
    return images


def evaluate_codec(
    codec: Codec, images: Sequence[Path], *, name: str, progress: Progress = silent
) -> list[RDPoint]:
    """Return the RD points of a codec on all images, one per width, in the order of its widths.

    The rate is that of whole files, alpha and metadata included; the quality is that of the colour
    pixels alone. See `slimcae.evaluation.measure` for how it is measured.

    Raises:
        ImageError: no image can be read.
    """
    (points,), _ = measure(
        [_WholeFiles(codec, name)],
        images,
        ideal_bits=lambda pixels, width: codec.ideal_bits(pixels, int(width)),
        progress=lambda paths: progress(paths, name),
    )
    lmbdas = codec.info.lmbda or [None] * len(points)
    found = []
    for point, width, lmbda in zip(points, codec.widths, lmbdas, strict=True):
        encoder, decoder = codec.macs(width)
        found.append(replace(point, lmbda=lmbda, encoder_macs=encoder, decoder_macs=decoder))
    return found
