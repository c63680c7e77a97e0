"""What the README and the help texts tell people to type."""

import re
import shlex
from pathlib import Path

import pytest
from command_line import ROOT, call, save_photo

from slimcae.cli.parser import COMMANDS, build_parser, parse
from slimcae.model.registry import shipped_model

README = (ROOT / "README.md").read_text(encoding="utf-8")
STARTS = ("slimcae ", "python SlimCAE_PyTorch.py ", "torchrun --nproc-per-node 2 -m slimcae ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The arguments of each of our commands in a text of shell lines."""
    lines = (line.strip() for line in re.sub(r" *\\\n *", " ", text).splitlines())
    found = []
    for line in lines:
        for start in STARTS:
            if line.startswith(start):
                words = shlex.split(line.removeprefix(start), comments=True)
                # what follows goes to the shell
                end = next((k for k, word in enumerate(words) if word in "<>|"), len(words))
                found.append(words[:end])
    return found


def help_examples(command: str) -> str:
    parser = build_parser(command)
    actions = [a for a in parser._actions if a.dest == "==SUPPRESS=="]
    choices = actions[-1].choices
    assert isinstance(choices, dict)
    return str(choices[command].epilog)


def test_readme_commands_parse() -> None:
    found = commands("\n".join(blocks("bash")))
    assert {words[0] for words in found} == set(COMMANDS)
    for words in found:
        parse(words)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_examples_parse(command: str) -> None:
    found = commands(help_examples(command))
    assert len(found) >= 2
    for words in found:
        _, run = parse(words)
        assert run.__module__ == f"slimcae.cli.{command}"


def test_python_blocks_are_python() -> None:
    assert len(blocks("python")) == 3
    for block in blocks("python"):
        compile(block, "README.md", "exec")


def test_first_screen_runs_with_the_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shipped_model().is_file(), "the weights are not in the package yet"
    save_photo(tmp_path / "photo.png", (96, 128))
    monkeypatch.chdir(tmp_path)
    shell = next(block for block in blocks("bash") if "slimcae compress" in block)
    for words in commands(shell):
        assert call(words) == 0
    (tmp_path / "back.png").rename(tmp_path / "from_shell.png")
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert (tmp_path / "back.png").read_bytes() == (tmp_path / "from_shell.png").read_bytes()


def test_readme_has_no_machine_paths() -> None:
    assert not re.search(r"/(work|root|home|opt|tmp)/", README)
