"""Sources of pictures: a file, its bytes, a Pillow image, or an array of pixels."""

import os
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
from PIL import Image

from slimcae.errors import ImageError


class Array(Protocol):
    """A numpy array, a torch tensor on any device, or an object that numpy can convert."""

    def __array__(self) -> Any:
        """Return the numpy array."""


AnyPath = str | os.PathLike[str] | os.PathLike[bytes]
Source = AnyPath | bytes | bytearray | memoryview | BinaryIO | Image.Image | Array
Opened = str | Path | BinaryIO | Image.Image
"""Sources that Pillow accepts."""

_CHANNELS = (1, 2, 3, 4)


def as_opened(source: Source) -> Opened:
    """Convert a source to one that Pillow accepts.

    Arrays must be uint8, with shape (H, W) or (H, W, C) and C = 1 (grey), 2 (grey and alpha),
    3 (RGB) or 4 (RGBA).

    Raises:
        ImageError: The source is not a picture, or an array of the wrong type or shape.
    """
    if isinstance(source, str | Path | Image.Image):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesIO(bytes(source))  # also of a view with steps
    if isinstance(source, os.PathLike):
        return Path(os.fsdecode(source))
    if hasattr(source, "__array__"):
        return _image(_array(source))
    if hasattr(source, "read") and not isinstance(cast(object, source), TextIOBase):
        return source
    if isinstance(cast(object, source), list | tuple):
        kind = type(source).__name__
        raise ImageError(f"{kind} is not a picture: give several to Codec.compress_many")
    raise ImageError(
        f"{type(source).__name__} is not a picture: give a path, bytes of a file, a binary file, "
        "a Pillow image, or a numpy array or torch tensor of uint8, (H, W, 3)"
    )


def _array(source: Any) -> np.ndarray[Any, Any]:
    try:
        for step in ("detach", "cpu"):  # of a torch tensor
            source = getattr(source, step, lambda unchanged=source: unchanged)()
        return np.asarray(source)
    except Exception as error:  # sparse tensors and those without data, say
        raise ImageError(f"{type(source).__name__} makes no array of pixels: {error}") from error


def _image(array: np.ndarray[Any, Any]) -> Image.Image:
    shape = array.shape
    what = f"the picture, an array of shape {shape},"
    if len(shape) == 4:
        raise ImageError(f"{what} is a batch: give it to Codec.compress_many")
    if array.dtype != np.uint8:
        hint = ", round(255 x) if it is within 0 to 1" if array.dtype.kind == "f" else ""
        raise ImageError(f"{what} is {array.dtype}: give uint8, 0 to 255{hint}")
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS)):
        channels_first = len(shape) == 3 and shape[0] in _CHANNELS
        hint = "; this one seems to be (C, H, W): transpose it by (1, 2, 0)"
        raise ImageError(
            f"{what} has the wrong shape: give (H, W), or (H, W, C) with 1 to 4 channels"
            f"{hint if channels_first else ''}"
        )
    if array.size == 0:
        raise ImageError(f"{what} has no pixels: give at least one")
    if len(shape) == 3 and shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))
