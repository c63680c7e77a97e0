"""Options generated from a dataclass of settings: names, types, defaults and help of its fields.

Options that are not given are left out, so only the dataclass defines defaults.
"""

import argparse
import ast
import inspect
import types
from dataclasses import Field, fields
from itertools import pairwise
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from slimcae.cli.options import Options, add_option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def add_settings(
    options: Options,
    settings: "type[DataclassInstance]",
    names: tuple[str, ...],
    other: "type[DataclassInstance] | None" = None,
    when: str = "",
) -> None:
    """Add an option for each of the named fields.

    other: further settings whose fields share these options, possibly with other defaults.
    when: description of when these apply.
    """
    hints, texts = get_type_hints(settings), field_docs(settings)
    found = {field.name: field for field in fields(settings)}
    others = {} if other is None else {field.name: field for field in fields(other)}
    for name in names:
        text, parsing = _help(found[name], texts[name]), _parsing(hints[name])
        if other is not None and name in others:
            if "choices" in parsing:
                more = get_args(get_type_hints(other)[name])
                parsing["choices"] += tuple(each for each in more if each not in parsing["choices"])
                text += f"; {_wording(field_docs(other)[name])}"  # the default is the first one's
            elif others[name].default != found[name].default:
                text += f" ({when}: {others[name].default})"
        add_option(options, f"--{name}", default=argparse.SUPPRESS, help=text, **parsing)


def given_settings(args: argparse.Namespace, settings: "type[DataclassInstance]") -> dict[str, Any]:
    """Return the fields whose options were given, with their values."""
    names = {field.name for field in fields(settings)}
    return {name: value for name, value in vars(args).items() if name in names}


def field_docs(settings: type) -> dict[str, str]:
    """Return the docstrings of the fields of a class, which Python does not keep."""
    tree = ast.parse(dedent(inspect.getsource(settings))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _parsing(hint: Any) -> dict[str, Any]:
    """Return the arguments with which argparse parses a value of a type."""
    if hint is bool:
        return {"action": "store_true"}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if isinstance(hint, types.UnionType):  # with None, the value if the option is not given
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    return {"type": hint, "metavar": {int: "N", float: "X"}[hint]}


def _help(field: "Field[Any]", text: str) -> str:
    """Return the help text of a field, with its default if that is informative."""
    text = _wording(text)
    if field.default not in (None, False):
        text += f" (default: {field.default})"
    return text


def _wording(text: str) -> str:
    """Convert the docstring of a field to the style of help texts."""
    if "'" not in text.partition(" ")[0]:  # "Adam's" keeps its capital
        text = text[0].lower() + text[1:]
    return text.rstrip(".").replace("; None: ", "; default: ").replace("%", "%%")
