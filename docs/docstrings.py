"""Sphinx extension: parameters as the docstrings of this package describe them.

They stand in paragraphs of "name: text", or several of these after each other:

    Return the bytes of a picture.

    width: one of the model's. quality: 0 to 100; None: not chosen.
    closest: take the nearest point if the target is out of range.

Such a paragraph becomes a section "Args:", which napoleon makes a list of. Only names of parameters
(of the function, or of what makes the class) and of fields count, so that prose stays prose.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sphinx.application import Sphinx

_NAMES = r"\*{0,2}[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*"


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen before napoleon does, whose priority is the default of 500."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}


def process(
    app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    """Change the lines of a docstring in place."""
    lines[:] = [re.sub(r"(?<=[A-Z])@(?=[A-Z])", r"\\@", line) for line in lines]  # no address
    lines[:] = with_sections(lines, names_of(found))


def names_of(found: object) -> set[str]:
    """Return the names of parameters and fields of a function or class."""
    names = set(getattr(found, "__annotations__", ()))
    with suppress(TypeError, ValueError):  # no function or class
        names |= set(inspect.signature(found).parameters)  # type: ignore[arg-type]
    return names


def with_sections(lines: Sequence[str], names: set[str]) -> list[str]:
    """Return the lines with each paragraph of parameters as a section."""
    made: list[str] = []
    for paragraph in paragraphs(lines):
        items = parameters(paragraph, names)
        if not items:
            made += paragraph
            continue
        if made and not made[-1].strip() and _is_item(made):
            made.pop()  # goes on with the section before
        else:
            made.append("Args:")
        made += [f"    {item}" for item in items]
    return made


def _is_item(made: Sequence[str]) -> bool:
    """Tell whether the lines end in a section of parameters."""
    ends = [line for line in made if line.strip() and not line.startswith(" ")]
    return bool(ends) and ends[-1] == "Args:"


def paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield paragraphs, and the empty lines between them, which are paragraphs of their own."""
    current: list[str] = []
    for line in lines:
        if line.strip():
            current.append(line)
            continue
        if current:
            yield current
        yield [line]
        current = []
    if current:
        yield current


def parameters(paragraph: Sequence[str], names: set[str]) -> list[str]:
    """Return the "name: text" of a paragraph that is nothing else, each on one line; else none."""
    start = re.match(rf"({_NAMES}): ", paragraph[0])
    if start is None or not _known(start[1], names):
        return []
    text = " ".join(line.strip() for line in paragraph)
    pieces = re.split(rf"(?:^|(?<=[.)]) )({_NAMES}): ", text)[1:]
    items: list[str] = []
    for name, words in zip(pieces[::2], pieces[1::2], strict=True):
        if _known(name, names):
            items.append(f"{name}: {words}")
        else:
            items[-1] += f" {name}: {words}"
    return items


def _known(listed: str, names: set[str]) -> bool:
    return all(name.lstrip("*") in names for name in listed.split(", "))
