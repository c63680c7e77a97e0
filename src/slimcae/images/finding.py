"""Search for image files."""

import glob
import logging
import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from slimcae.errors import ImageError
from slimcae.images.plugins import plugin_kinds

log = logging.getLogger("slimcae")

KINDS = (
    *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "mpo", "webp", "avif", "avifs"),
    *("tif", "tiff", "gif", "bmp", "dib", "ppm", "pgm", "pbm", "pnm", "pfm"),
    *("jp2", "j2k", "j2c", "jpc", "jpf", "jpx"),
)
"""Suffixes of image files in a folder: all that Pillow knows for PNG, JPEG, MPO, WebP, AVIF, TIFF,
GIF, BMP, PPM and JPEG 2000."""

_NO_CONTENT = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Search:
    """Result of a recursive search of a folder.

    files: files with one of the requested suffixes, sorted. left_out: number of other files by
    suffix, in lower case, with dot, without hidden and system files. closed: one error for each
    folder that cannot be read.
    """

    files: list[Path]
    left_out: Counter[str]
    closed: list[OSError]


def find_images(path_or_glob: str) -> list[Path]:
    """Return the image files of a folder (searched recursively), a pattern or a path, sorted.

    A folder that cannot be read is left out with a warning.

    Raises:
        ImageError: No image was found.
    """
    path = Path(path_or_glob)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = find_files(path, (*KINDS, *plugin_kinds()))
        for error in found.closed:
            reason = error.strerror or error
            log.warning("folder %s cannot be read: %s (left out)", error.filename, reason)
        if not found.files:
            raise ImageError(
                f"no images in {path} or its subfolders: searched for {' '.join(KINDS)}"
            )
        return found.files
    matches = sorted({match for match in _matches(path) if match.is_file()})
    if not matches:
        raise ImageError(
            f"no images at {path_or_glob!r}: give a file, a folder, or a pattern like 'dir/*.png'"
        )
    return matches


def find_files(top: Path, kinds: Collection[str]) -> Search:
    """Search a folder and all below for files with these suffixes.

    kinds: suffixes without dot. Linked folders are searched like others; a folder with several
    paths, for example in a loop of links, is searched once, by a path without links if possible.
    Files called `._*`, which macOS stores next to pictures, are left out.
    """
    suffixes = {f".{kind}" for kind in kinds}
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    closed: list[OSError] = []
    for folder, names in _walk(top, closed):
        for name in names:
            suffix = Path(name).suffix.lower()
            if suffix in suffixes and not name.startswith("._"):
                files.append(folder / name)
            elif not name.startswith(".") and name.lower() not in _NO_CONTENT:
                left_out[suffix] += 1
    return Search(sorted(file for file in files if file.is_file()), left_out, closed)


def _walk(top: Path, closed: list[OSError]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder once, with the names of its files; see `find_files`."""
    seen: set[tuple[int, int]] = set()
    links = deque([top])
    while links:
        start = links.popleft()
        if not _is_new(start, seen):
            continue
        for folder, below, names in os.walk(start, onerror=closed.append):
            paths = [Path(folder, name) for name in sorted(below)]
            links.extend(path for path in paths if path.is_symlink())
            real = [path for path in paths if not path.is_symlink()]
            below[:] = [path.name for path in real if _is_new(path, seen)]
            yield Path(folder), names


def _matches(pattern: Path) -> Iterator[Path]:
    """Yield the matches of a pattern; `**` matches subfolders, also with loops of links."""
    if "**" not in pattern.parts:
        yield from map(Path, glob.glob(str(pattern)))  # noqa: PTH207
        return
    place = pattern.parts.index("**")
    rest = tuple(dropwhile("**".__eq__, pattern.parts[place:])) or ("*",)
    for top in _matches(Path(*pattern.parts[:place])) if place else [Path()]:
        for folder, _ in _walk(top, []):
            hidden = any(part.startswith(".") for part in folder.relative_to(top).parts)
            if not hidden:  # as for * in patterns
                yield from _matches(Path(glob.escape(str(folder)), *rest))


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Return whether a folder was not seen before, and record it."""
    try:
        status = folder.stat()
    except OSError:  # walking into it will raise the error
        return True
    identity = status.st_dev, status.st_ino
    if identity in seen:
        return False
    seen.add(identity)
    return True
