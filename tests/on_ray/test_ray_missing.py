"""Test that without Ray an error says what is missing and how to install it."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
from command_line import error_line

from slimcae.errors import MissingPackageError


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("slimcae.ray")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("ray", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises, as if it were missing


def test_the_import_says_which_pythons_have_ray() -> None:
    with pytest.raises(MissingPackageError, match=r"builds for 3\.11 to 3\.14"):
        import_module("slimcae.ray")


def test_the_command_names_the_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(capsys, ["ray", tmp_path, "-o", tmp_path / "out"])
    assert "not installed" in line and "pip install 'slimcae[ray]'" in line
