"""Test the examples of the help texts and of README's first screen; see tests/documentation."""

import re
from pathlib import Path

import pytest
from command_line import ROOT, call, save_photo
from pages import blocks, commands

from slimcae.cli.parser import COMMANDS, build_parser, parse
from slimcae.model.registry import shipped_model

README = (ROOT / "README.md").read_text(encoding="utf-8")


def readme_blocks(language: str) -> list[str]:
    return [block.text for block in blocks(README) if block.language == language]


def help_examples(command: str) -> str:
    parser = build_parser(command)
    actions = [a for a in parser._actions if a.dest == "==SUPPRESS=="]
    choices = actions[-1].choices
    assert isinstance(choices, dict)
    return str(choices[command].epilog)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_examples_parse(command: str) -> None:
    found = commands(help_examples(command))
    assert len(found) >= 2
    for words in found:
        _, run = parse(words)
        assert run.__module__ == f"slimcae.cli.{command}"


def test_first_screen_runs_with_the_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shipped_model().is_file(), "the weights are not in the package yet"
    save_photo(tmp_path / "photo.png", (96, 128))
    monkeypatch.chdir(tmp_path)
    shell = next(block for block in readme_blocks("bash") if "slimcae compress" in block)
    for words in commands(shell):
        assert call(words) == 0
    (tmp_path / "back.png").rename(tmp_path / "from_shell.png")
    exec(compile(readme_blocks("python")[0], "README.md", "exec"), {})
    assert (tmp_path / "back.png").read_bytes() == (tmp_path / "from_shell.png").read_bytes()


def test_readme_has_no_machine_paths() -> None:
    assert not re.search(r"/(work|root|home|opt|tmp)/", README)
