"""Folders on any filesystem: a local path, or a URI of object storage such as `s3://bucket/photos`.

Filesystems are PyArrow's, as in Ray Data. PyArrow's adapter supports filesystems of fsspec, and
URIs that PyArrow does not know.
"""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import fs

from slimcae.errors import ConfigError
from slimcae.files import write_bytes
from slimcae.images.finding import find_files

_SCHEME = "://"


@dataclass(frozen=True)
class Folder:
    """A folder and its filesystem; can be pickled.

    filesystem: a `pyarrow.fs.FileSystem`. path: path in that filesystem, without a scheme. Names of
    files are relative to the folder, with slashes.
    """

    filesystem: Any
    path: str

    @classmethod
    def at(cls, where: str | os.PathLike[str], filesystem: Any = None) -> "Folder":
        """Return the folder of a path or URI.

        where: local paths may be relative. filesystem: a filesystem of PyArrow or fsspec, for
            options that a URI cannot contain (credentials, an endpoint); None: that of the URI.

        Raises:
            ConfigError: The kind of URI is unknown, or a package for it is missing.
        """
        name = os.fspath(where)
        if filesystem is not None:
            return cls(_of_pyarrow(filesystem), name.partition(_SCHEME)[2] or name)
        if _SCHEME not in name:
            return cls(fs.LocalFileSystem(), str(Path(name).resolve()))
        try:
            try:
                return cls(*fs.FileSystem.from_uri(name))
            except pa.ArrowInvalid:  # a scheme that fsspec may know
                from fsspec.core import url_to_fs

                found, path = url_to_fs(name)
                return cls(_of_pyarrow(found), path)
        except (ImportError, OSError, ValueError) as error:
            raise ConfigError(f"{name} cannot be opened: {error}") from error

    @property
    def is_local(self) -> bool:
        """Whether the folder is on the filesystem of this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def __str__(self) -> str:
        return self.path if self.is_local else f"{self.filesystem.type_name}:{self.path}"

    def join(self, name: str) -> str:
        """Return the path of a file of this folder in its filesystem."""
        return f"{self.path.rstrip('/')}/{name}"

    def find(self, kinds: Collection[str]) -> "Found":
        """Return the files in this folder and its subfolders with one of the suffixes `kinds`.

        kinds: suffixes without dot.

        Raises:
            ConfigError: The folder does not exist, or cannot be read.
        """
        try:
            if self.filesystem.get_file_info(self.path).type != fs.FileType.Directory:
                raise ConfigError(f"no folder {self}: check the path")
            return self._find_local(kinds) if self.is_local else self._find(kinds)
        except OSError as error:
            raise ConfigError(f"{self} cannot be read: {error}") from error

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: The file is missing, or cannot be read.
        """
        with self.filesystem.open_input_stream(self.join(name), compression=None) as file:
            content: bytes = file.read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file atomically, and create its parent folders.

        Object storage also shows a file only when it is complete.

        Raises:
            OSError: The file cannot be written.
        """
        path = self.join(name)
        if self.is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(Path(path), content)
            return
        try:
            self._write(path, content)
        except FileNotFoundError:  # unlike object storage, this filesystem needs the folders first
            self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(path, compression=None) as file:
            file.write(content)

    def _find_local(self, kinds: Collection[str]) -> "Found":
        top = Path(self.path)
        found = find_files(top, kinds)
        names = [file.relative_to(top).as_posix() for file in found.files]
        return Found(names, found.left_out, [str(error) for error in found.closed])

    def _find(self, kinds: Collection[str]) -> "Found":
        suffixes = {f".{kind}" for kind in kinds}
        names, left_out = [], Counter[str]()
        top = self.path.strip("/")  # some filesystems begin paths with a slash, some do not
        for info in self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True)):
            if info.type != fs.FileType.File:
                continue
            path = PurePosixPath(info.path.strip("/"))
            suffix = path.suffix.lower()
            if suffix in suffixes and not path.name.startswith("._"):
                names.append(path.relative_to(top).as_posix())
            elif suffix not in suffixes:
                left_out[suffix] += 1
        return Found(sorted(names), left_out, [])


@dataclass(frozen=True)
class Found:
    """Result of a search in a folder.

    names: sorted names of the files. left_out: number of other files by suffix. closed: a line of
    text for each folder that cannot be read.
    """

    names: list[str]
    left_out: Counter[str]
    closed: list[str]


def _of_pyarrow(filesystem: Any) -> Any:
    if isinstance(filesystem, fs.FileSystem):
        return filesystem
    return fs.PyFileSystem(fs.FSSpecHandler(filesystem))
