"""Test that library errors become command-line errors, with flags and the next step."""

import ast
import re
from pathlib import Path

import pytest

import slimcae
from slimcae.cli.failure import _NEXT_STEPS, describe
from slimcae.errors import (
    BitstreamError,
    ConfigError,
    ContradictionError,
    MissingPackageError,
    SettingError,
)

SOURCE = Path(slimcae.__file__).parent
FACES = ("cli", "studio", "compressai.py")


def test_settings_are_flags_here_and_names_in_python() -> None:
    error = SettingError("learning_rate", -1.0, "a positive number")
    assert str(error) == "learning_rate -1.0: must be a positive number"
    assert describe(error) == "--learning_rate -1.0: give a positive number"
    assert (error.field, error.value, error.allowed) == ("learning_rate", -1.0, "a positive number")


def test_both_sides_of_a_contradiction_are_named() -> None:
    error = ContradictionError("widths", "16 8", Path("a"), "12 8")
    assert str(error) == "widths 16 8 contradicts a, which has widths 12 8"
    assert describe(error) == (
        "--switch_list 16 8 contradicts a, which has widths 12 8: "
        "leave it out, or use another model"
    )
    assert describe(ContradictionError("lmbda", "2 1", Path("a"), "4 2")).endswith(
        "which has lmbda 4 2: leave it out to continue, or use another --checkpoint_dir"
    )


def test_the_next_step_follows_what_is_wrong() -> None:
    assert describe(ConfigError("no profile at x", field="profile")).startswith(
        "no profile at x: run `slimcae profile` "
    )
    assert describe(BitstreamError("x: it needs y", field="model")).startswith(
        "x: it needs y; give the right --model, or "
    )
    assert describe(ConfigError("too bad")) == "too bad"


def test_a_missing_package_is_named_with_what_installs_it() -> None:
    error = MissingPackageError("torch", "computes pictures")
    assert str(error) == "torch, which computes pictures, is not installed"
    everything = "install everything as described in README.md (Install), or the extra [train]"
    assert describe(error) == f"{error}: {everything}"
    assert describe(MissingPackageError("onnxruntime", "computes pictures")).endswith(
        "is not installed: pip install onnxruntime"
    )
    assert describe(ModuleNotFoundError("No module named 'scipy'", name="scipy")) == (
        f"this needs scipy, which is not installed: {everything}"
    )
    assert "should not happen" in describe(ModuleNotFoundError("No module named 'x'", name="x"))


def texts(path: Path) -> list[str]:
    """Return all texts of a module except its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in statements
    ]


def test_outside_the_faces_no_text_speaks_of_the_command_line() -> None:
    found = [
        (path.name, text)
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] not in FACES
        for text in texts(path)
        if re.search(r"--\w|`slimcae ", text)
    ]
    assert not found


@pytest.mark.parametrize("field", _NEXT_STEPS)
def test_every_next_step_is_that_of_some_message(field: str) -> None:
    written = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    assert re.search(rf'field="{field}"|"field": "{field}"', written)
