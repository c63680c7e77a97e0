"""Sphinx directive `command`: the reference of one command, made from its argument parser.

Options become Sphinx's own `option` directives, so that each has an anchor and pages can link to
it, as in {option}`slimcae decompress --crop`.
"""

import argparse
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from slimcae.cli.parser import build_parser

_TITLES = {"positional arguments": "Input", "options": "General"}


class CommandDirective(SphinxDirective):
    """Show usage, options and examples of the command that the argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parsed reference."""
        return self.parse_text_to_nodes("\n".join(reference(self.arguments[0])))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command", CommandDirective)
    return {"parallel_read_safe": True}


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    actions = build_parser(command)._actions
    commands = next(each for each in actions if isinstance(each, argparse._SubParsersAction))
    parser: argparse.ArgumentParser = commands.choices[command]
    return parser


def reference(command: str) -> Iterator[str]:
    """Yield the lines of a command's reference, in reStructuredText."""
    parser = parser_of(command)
    prose, _, examples = (parser.epilog or "").partition("examples:\n")
    yield from _code("text", parser.format_usage().removeprefix("usage: "))
    yield from (parser.description or "", "")
    for paragraph in prose.strip().split("\n\n"):
        # lines that are indented are a table
        yield from _code("text", paragraph) if "\n  " in paragraph else (_escaped(paragraph), "")
    yield from (f".. program:: slimcae {command}", "")
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if each.help != argparse.SUPPRESS]
        if actions:
            title = group.title or ""
            yield from (f".. rubric:: {_capital(_TITLES.get(title, title))}", "")
            yield from (_escaped(group.description or ""), "")
        for action in actions:
            yield from (f".. option:: {_spelling(action)}", "")
            text = (action.help or "") % {"default": action.default}
            yield from (f"   {_capital(_escaped(text))}.", "")
    yield from (".. rubric:: Examples", "")
    yield from _code("bash", re.sub("^  ", "", examples, flags=re.MULTILINE))


def _spelling(action: argparse.Action) -> str:
    """Return an option's names and value."""
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    choices = "{" + ",".join(map(str, action.choices or ())) + "}"
    value = str(action.metavar or (choices if action.choices else action.dest.upper()))
    value += {"+": "...", "*": "..."}.get(str(action.nargs), "")
    return ", ".join(f"{name} {value}" for name in action.option_strings) or value


def _code(language: str, text: str) -> Iterator[str]:
    yield from (f".. code-block:: {language}", "")
    yield from (f"   {line}" for line in text.rstrip().splitlines())
    yield ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _escaped(text: str) -> str:
    """Return a text in which only `…` is markup: code."""
    parts = re.split(r"`([^`]*)`", text)
    parts[::2] = [re.sub(r"([*|\\_@])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part}``" for part in parts[1::2]]
    return "".join(parts)
