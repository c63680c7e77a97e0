"""Codecs of installed models, loaded once and cached."""

from functools import lru_cache
from pathlib import Path
from typing import Unpack

from PIL import Image

from slimcae import container
from slimcae.codec.codec import Codec, CompressOptions, Source
from slimcae.codec.decoding import Crop
from slimcae.codec.sources import Data, opened
from slimcae.images import MAX_PIXELS
from slimcae.model.file import read_model
from slimcae.model.registry import find_model, model_for


def load(
    model: str | Path | None = None,
    *,
    device: str = "cpu",
    precision: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    megapixels: float | None = None,
) -> Codec:
    """Load a model and return its codec.

    model: a file, a run folder, or the name of an installed model (NAME or NAME@VERSION); None is
        the shipped model.
    device: `cpu`, `cuda` or `auto`. precision: `auto`, `float32` or `bfloat16`.
    backend: `auto`, `onnx` or `torch`. threads: number of threads per call; None: one per core.
    megapixels: expected size of the pictures, if known, which `auto` considers for the backend.

    `slimcae.transforms.open_transforms` describes these options in full.

    Raises:
        ModelError: The model is missing, damaged or not a model.
        ConfigError: Options do not work on this machine.
    """
    return Codec(
        read_model(find_model(model)),
        device=device,
        precision=precision,
        backend=backend,
        threads=threads,
        megapixels=megapixels,
    )


def compress(image: Source, width: int | None = None, **options: Unpack[CompressOptions]) -> bytes:
    """Compress a picture with the shipped model; see `Codec.compress`."""
    return codec_of(None).compress(image, width, **options)


def decompress(
    data: Data, *, crop: Crop | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode a file with the installed model that encoded it; see `Codec.decompress`."""
    with opened(data) as reader:
        return codec_for(reader.header).decompress(reader, crop=crop, max_pixels=max_pixels)


def codec_of(model: str | Path | None) -> Codec:
    """Return the cached codec of a model; see `load` for the name.

    Raises:
        ModelError: See `load`.
    """
    return _codec(find_model(model))


def codec_for(header: container.Header) -> Codec:
    """Return the cached codec of the installed model that encoded a file.

    Raises:
        BitstreamError: The model is not installed.
    """
    return _codec(model_for(header))


@lru_cache(maxsize=4)
def _codec(path: Path) -> Codec:
    return load(path)
