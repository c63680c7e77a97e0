"""The pages of the documentation and their examples."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
STARTS = ("slimcae ", "python SlimCAE_PyTorch.py ", "torchrun --nproc-per-node 2 -m slimcae ")


class Block(NamedTuple):
    """A fenced block of a page, and the number of its first line."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """Return README.md, the other pages at the root, and those of the site."""
    parts = {DOCS / "results" / "ideas.md"}  # part of results.md
    return sorted(ROOT.glob("*.md")) + sorted(set(DOCS.rglob("*.md")) - parts)


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    for found in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
        indent, language, body = found.groups()
        unindented = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        yield Block(language, unindented, text[: found.start(3)].count("\n") + 1)


def shell_lines(text: str) -> list[str]:
    """Return the lines of a shell text, each whole and without its comment."""
    lines = (line.strip() for line in re.sub(r" *\\\n *", " ", text).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each of our commands in a text of shell lines."""
    found = []
    for line in shell_lines(text):
        for start in STARTS:
            if line.startswith(start):
                words = shlex.split(line.removeprefix(start), comments=True)
                # the rest belongs to the shell
                end = next((k for k, word in enumerate(words) if word in "<>|"), len(words))
                found.append(words[:end])
    return found


def links(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures in a page's prose."""
    prose = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)
    yield from re.findall(r'src="([^"]+)"', prose)
