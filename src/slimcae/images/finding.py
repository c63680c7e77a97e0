"""Finding image files."""

import glob
from pathlib import Path

from slimcae.errors import ImageError

KINDS = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "gif", "avif", "jp2")
"""Suffixes of the files that are taken for images in a folder."""


def find_images(path_or_glob: str) -> list[Path]:
    """The image files of a folder (searched recursively), of a glob pattern, or one file; sorted.

    Raises:
        ImageError: nothing found.
    """
    path = Path(path_or_glob)
    if path.is_file():
        return [path]
    if path.is_dir():
        suffixes = {f".{kind}" for kind in KINDS}
        found = [p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file()]
        if not found:
            raise ImageError(
                f"no images in {path}: looked in it and its folders for {' '.join(KINDS)}"
            )
        return sorted(found)
    matches = [Path(name) for name in glob.glob(path_or_glob, recursive=True)]  # noqa: PTH207
    found = [match for match in matches if match.is_file()]
    if not found:
        raise ImageError(
            f"no images at {path_or_glob!r}: give a file, a folder, or a pattern like 'dir/*.png'"
        )
    return sorted(found)
