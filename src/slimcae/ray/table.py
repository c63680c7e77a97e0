"""The Parquet table with the result of each picture, which a later run continues.

A run collects rows in small files in `TABLE.parts/`, each written atomically. A finished run merges
them and the existing table into TABLE. So a stopped run loses the rows of a few seconds at most,
and their pictures are repeated.
"""

import json
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq

from slimcae.errors import ConfigError
from slimcae.ray.folders import Folder

log = logging.getLogger("slimcae")

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # relative to the folder of pictures
        ("bytes", pa.int64()),  # of the .scae file
        ("bpp", pa.float64()),
        ("width", pa.int32()),
        ("step", pa.int32()),
        ("image_width", pa.int32()),
        ("image_height", pa.int32()),
        ("psnr", pa.float64()),  # dB; null if not measured
        ("seconds", pa.float64()),  # of one thread, from pixels to bytes
        ("error", pa.string()),  # null if a .scae file was written
    ]
)
Row = dict[str, Any]
"""By the names of `SCHEMA`."""
SETTINGS = b"slimcae"
"""Key of the table's metadata with the common settings of its pictures, as JSON."""

PART_SECONDS = 10.0
"""Longest time in seconds before rows are written."""


def failed(path: str, error: str) -> Row:
    """Return the row of a picture that cannot be compressed."""
    return dict.fromkeys(SCHEMA.names) | {"path": path, "error": error}


class Table:
    """A table of rows as in `SCHEMA`, with the key `path`.

    folder, name: location of the finished table. settings: values for JSON; a table with other
    settings is not continued.
    """

    def __init__(self, folder: Folder, name: str, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._name = name
        self._parts = f"{name}.parts"
        text = json.dumps(settings, sort_keys=True)
        self._schema = SCHEMA.with_metadata({SETTINGS: text.encode()})
        self._waiting: list[Any] = []
        self._written = time.monotonic()

    @property
    def path(self) -> str:
        """Path of the finished table in its filesystem."""
        return self._folder.join(self._name)

    def rows(self) -> Any:
        """Return all rows so far, as a `pyarrow.Table`, with the last row of each path.

        Truncated parts, for example of a killed run, are left out with a warning, and their
        pictures must be repeated.

        Raises:
            ConfigError: The table has other settings, or is not a table of SlimCAE.
        """
        found = []
        if self._type(self.path) == fs.FileType.File:
            found.append(self._read(self.path))
        for part in self._part_paths():
            try:
                found.append(self._read(part))
            except (pa.ArrowInvalid, EOFError) as error:
                log.warning("%s is truncated (%s): its pictures are done again", part, error)
        rows = pa.concat_tables([self._schema.empty_table(), *found])
        last = {path: row for row, path in enumerate(rows["path"].to_pylist())}
        return rows if len(last) == len(rows) else rows.take(list(last.values()))

    def add(self, rows: Any) -> None:
        """Add rows, a `pyarrow.Table` as in `SCHEMA`; they are written every few seconds.

        Raises:
            OSError: They cannot be written.
        """
        self._waiting.append(rows.select(SCHEMA.names).cast(SCHEMA))
        if time.monotonic() - self._written >= PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows.

        Raises:
            OSError: They cannot be written.
        """
        if self._waiting:
            rows = pa.concat_tables(self._waiting)
            # names of parts are in order of time
            name = f"{time.time_ns():020}-{secrets.token_hex(4)}.parquet"
            self._write(f"{self._parts}/{name}", rows)
        self._waiting = []
        self._written = time.monotonic()

    def finish(self) -> Any:
        """Merge all rows into the table, sorted by path, and return them.

        Raises:
            OSError: The table cannot be written.
        """
        self.flush()
        parts = self._part_paths()
        rows = self.rows().sort_by("path")
        if parts or self._type(self.path) == fs.FileType.NotFound:
            self._write(self._name, rows)
        if parts:
            self._folder.filesystem.delete_dir(self._folder.join(self._parts))
        return rows

    def _write(self, name: str, rows: Any) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(rows.replace_schema_metadata(self._schema.metadata), sink)
        self._folder.write(name, sink.getvalue().to_pybytes())

    def _read(self, path: str) -> Any:
        rows = pq.read_table(path, filesystem=self._folder.filesystem, partitioning=None)
        have = (rows.schema.metadata or {}).get(SETTINGS)
        if have is None or not rows.schema.equals(SCHEMA):
            raise ConfigError(f"{path} is not a table of slimcae: name another one")
        wanted = self._schema.metadata[SETTINGS]
        if have != wanted:
            before, now = json.loads(have), json.loads(wanted)
            changes = [
                f"{key} {before.get(key)}, not {now.get(key)}"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key)
            ]
            raise ConfigError(
                f"{path} was made with {', '.join(changes)}: give the same, or name another table"
            )
        return rows

    def _part_paths(self) -> list[str]:
        folder = self._folder.join(self._parts)
        if self._type(folder) != fs.FileType.Directory:
            return []
        found = self._folder.filesystem.get_file_info(fs.FileSelector(folder))
        return sorted(info.path for info in found if info.path.endswith(".parquet"))

    def _type(self, path: str) -> Any:
        return self._folder.filesystem.get_file_info(path).type
