"""The rate–quality curve of one photo: all widths and steps of a model, and other formats."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from typing import TypeVar

import numpy as np
from PIL import Image

from slimcae.codec import Codec
from slimcae.images import Picture
from slimcae.model.quality import Point, QualityScale
from slimcae.studio import fidelity, other_formats

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """One point to measure: of the model, or a format at a quality of its scale."""

    point: Point | None
    kind: str = ""
    quality: int = 0


def tasks(scale: QualityScale, *, with_rivals: bool) -> list[Task]:
    """Return all points of the curve, ordered from coarse to fine."""
    by_width = [scale.points(width) for width in scale.widths]
    orders = [[points[index] for index in coarse_to_fine(len(points))] for points in by_width]
    ours = [Task(point) for point in _in_turn(orders)]
    if not with_rivals:
        return ours
    others = _in_turn(
        [Task(None, kind, q) for q in rival.shown] for kind, rival in other_formats.RIVALS.items()
    )
    return _in_turn([ours, others])


def coarse_to_fine(count: int) -> list[int]:
    """Return the numbers 0 … count − 1, both ends first, then recursively the midpoints."""
    order = list(dict.fromkeys((0, count - 1)))
    gaps = [(0, count - 1)]
    while gaps:
        middles = [((low + high) // 2, low, high) for low, high in gaps if high - low > 1]
        order += [middle for middle, _, _ in middles]
        gaps = list(chain(*(((low, mid), (mid, high)) for mid, low, high in middles)))
    return order


class Curve:
    """Measures points of one photo.

    For pictures larger than a tile, only the middle, of the size of a tile, is measured, because
    each of the many points runs a synthesis.

    Sizes are those of the colours without alpha, which is the same at every point, and which other
    formats do not have. size: width and height of the measured part. whole: whether it is the whole
    picture.
    """

    def __init__(self, picture: Picture, codec: Codec) -> None:
        middle = _middle(picture, codec.tile_side)
        self.size = (middle.pixels.shape[1], middle.pixels.shape[0])
        self.whole = middle.pixels.shape == picture.pixels.shape
        self._picture = middle
        draft = codec.draft(middle)
        self._encoding = draft.encoding
        self._alpha_bytes = draft.alpha_bytes
        self._image = other_formats.opaque_image(middle)

    def measure(self, task: Task) -> dict[str, object]:
        """Measure bits per pixel and PSNR of one point."""
        if task.point is not None:
            size = self._encoding.size(task.point) - self._alpha_bytes
            psnr: float | None = self._encoding.psnr(task.point)
            names: dict[str, object] = task.point._asdict()
        else:
            data = other_formats.encode(self._image, task.kind, other_formats.Setting(task.quality))
            with Image.open(BytesIO(data)) as image:
                decoded = np.asarray(image.convert("RGB"))
            psnr = fidelity.psnr(self._picture.pixels, decoded, self._picture.visible)
            size = len(data)
            names = {"format": task.kind, "quality": task.quality}
        finite = psnr is not None and np.isfinite(psnr)
        bpp = 8 * size / (self.size[0] * self.size[1])
        return names | {"bpp": bpp, "psnr": psnr if finite else None}


def _middle(picture: Picture, side: int) -> Picture:
    """Return the middle of a picture, with at most `side` pixels in each direction."""
    rows, columns, _ = picture.pixels.shape
    top, left = max(rows - side, 0) // 2, max(columns - side, 0) // 2
    place = slice(top, top + side), slice(left, left + side)
    alpha = None if picture.alpha is None else np.ascontiguousarray(picture.alpha[place])
    return replace(picture, pixels=np.ascontiguousarray(picture.pixels[place]), alpha=alpha)


def _in_turn(lists: Iterable[Sequence[T]]) -> list[T]:
    """Return the first item of every list, then the second ones, and so on."""
    lists = list(lists)
    longest = max(map(len, lists))
    return [items[index] for index in range(longest) for items in lists if index < len(items)]
