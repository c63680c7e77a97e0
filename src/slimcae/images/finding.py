"""Finding image files."""

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
"""Suffixes of the files that are taken for images in a folder: all that Pillow knows for PNG, JPEG,
MPO, WebP, AVIF, TIFF, GIF, BMP, PPM and JPEG 2000."""

NO_FILES = "links to nothing or pipes"
"""What stands in the place of a suffix for names of pictures behind which there is no file."""
_NO_CONTENT = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Search:
    """What a folder and all below hold.

    files: those with one of the wanted suffixes, sorted. left_out: number of files of each other
    suffix, in lower case, with its dot, and of `NO_FILES`; hidden files and those of systems do not
    count. closed: one error for each folder that cannot be read.
    """

    files: list[Path]
    left_out: Counter[str]
    closed: list[OSError]


def find_images(path_or_glob: str) -> list[Path]:
    """Return the image files of a folder (searched recursively), a pattern or a path, sorted.

    A folder that cannot be read is left out with a warning.

    Raises:
        ImageError: nothing found.
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
                f"no images in {path}: looked in it and its folders for {' '.join(KINDS)}"
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

    kinds: suffixes without their dot. Linked folders are searched like others; one that several
    paths lead to, as where links form a loop, is searched once, by a path without links if there is
    one. Files called `._*` are what macOS stores beside a picture, and left out.
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
    real = [file for file in files if file.is_file()]
    if len(real) < len(files):
        left_out[NO_FILES] = len(files) - len(real)
    return Search(sorted(real), left_out, closed)


def _walk(top: Path, closed: list[OSError]) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with the names of its files, once; see `find_files`."""
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
    """What a pattern stands for; `**` are any folders below, where links to folders may loop."""
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
    """Whether no path led to a folder before; it is noted."""
    try:
        status = folder.stat()
    except OSError:  # walking there will say so
        return True
    identity = status.st_dev, status.st_ino
    if identity in seen:
        return False
    seen.add(identity)
    return True
