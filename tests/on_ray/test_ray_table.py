"""Test the table of a run: no rows are lost, and a later run continues it."""

import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-ray installs it")

import pyarrow as pa
from pyarrow import parquet as pq

from slimcae.errors import ConfigError
from slimcae.ray.folders import Folder
from slimcae.ray.table import SCHEMA, Table

SETTINGS = {"width": 48, "psnr": False}


def rows_of(**errors: str | None) -> Any:
    empty = dict.fromkeys(SCHEMA.names)
    rows = [empty | {"path": path, "error": error} for path, error in errors.items()]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def errors_of(rows: Any) -> dict[str, str | None]:
    return dict(zip(rows["path"].to_pylist(), rows["error"].to_pylist(), strict=True))


def table(folder: Path, **settings: Any) -> Table:
    return Table(Folder.at(folder), "table.parquet", SETTINGS | settings)


def test_a_finished_table_is_one_sorted_file(tmp_path: Path) -> None:
    first = table(tmp_path)
    first.add(rows_of(b=None))
    first.add(rows_of(a="damaged"))
    first.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]
    found = pq.read_table(tmp_path / "table.parquet")
    assert found["path"].to_pylist() == ["a", "b"]
    assert found.schema.equals(SCHEMA)


def test_a_table_without_rows_is_one_too(tmp_path: Path) -> None:
    table(tmp_path).finish()
    assert pq.read_table(tmp_path / "table.parquet").num_rows == 0


def test_rows_of_a_run_that_was_stopped_are_gone_on_with(tmp_path: Path) -> None:
    stopped = table(tmp_path)
    stopped.add(rows_of(a=None, b=None))
    stopped.flush()
    stopped.add(rows_of(c=None))  # these are never written to disk
    assert not (tmp_path / "table.parquet").exists()
    again = table(tmp_path)
    assert errors_of(again.rows()) == {"a": None, "b": None}
    again.add(rows_of(c=None))
    assert errors_of(again.finish()) == {"a": None, "b": None, "c": None}


def test_a_part_that_ends_in_the_middle_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = table(tmp_path)
    for name in ("a", "b"):
        stopped.add(rows_of(**{name: None}))
        stopped.flush()
    _, last = sorted((tmp_path / "table.parquet.parts").iterdir())
    whole = last.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        last.write_bytes(whole[:size])
        caplog.clear()
        with caplog.at_level(logging.WARNING, "slimcae"):
            assert errors_of(table(tmp_path).rows()) == {"a": None}
        assert last.name in caplog.text
    again = table(tmp_path)
    again.add(rows_of(b="damaged"))
    assert errors_of(again.finish()) == {"a": None, "b": "damaged"}


def test_of_several_rows_of_a_picture_the_last_one_counts(tmp_path: Path) -> None:
    first = table(tmp_path)
    first.add(rows_of(a="not enough memory", b=None))
    first.finish()
    second = table(tmp_path)
    second.add(rows_of(a="still not"))
    second.flush()
    second.add(rows_of(a=None))
    assert errors_of(second.finish()) == {"a": None, "b": None}


def test_a_table_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    first = table(tmp_path)
    first.add(rows_of(a=None))
    first.flush()
    for _ in range(2):  # its parts, and then itself
        with pytest.raises(ConfigError, match=r"width 48, not 96"):
            table(tmp_path, width=96).rows()
        first.finish()
    assert errors_of(table(tmp_path).rows()) == {"a": None}


def test_a_foreign_table_is_left_alone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "table.parquet")
    before = (tmp_path / "table.parquet").read_bytes()
    with pytest.raises(ConfigError, match=r"table\.parquet is not a table of slimcae"):
        table(tmp_path).rows()
    assert (tmp_path / "table.parquet").read_bytes() == before
