"""The argument parser, of which only the command in use is built and its module imported."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module, metadata
from typing import Any, NoReturn

from slimcae.container import FORMAT_VERSION
from slimcae.version import __version__

Run = Callable[[argparse.Namespace], int]

COMMANDS = {
    "compress": "compress pictures to .scae files",
    "decompress": "restore the pictures of .scae files",
    "info": "show what a .scae or model file holds, and what decoding costs",
    "studio": "open a local page to compare a photo at each width and rate",
    "models": "list the installed models, or install one",
    "profile": "measure what each width of a model costs on this machine",
    "train": "train a model",
    "train_lambda_schedule": "tune the rate-distortion tradeoff of each width of a trained model",
    "fit": "fit coding tables and the quality scale of a model to images",
    "ray": "compress a folder of many pictures on a Ray cluster",
    "bench": "compare rate, quality and speed with other codecs on your images",
    "evaluate": "measure rate, quality and time of one model or several",
}
ALIASES = {"train_lambda_schedule": ["schedule"]}

_EPILOG = """\
examples:
  slimcae compress photo.png -o photo.scae --width 96
  slimcae decompress photo.scae -o back.png
  slimcae info photo.scae

`slimcae COMMAND --help` shows the options. SLIMCAE_DEBUG=1 adds a traceback to errors.
"""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wide enough that most options take one line."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{"max_help_position": 34, "width": 100, **settings})


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Run]:
    """The options of a command line, and what runs them.

    Raises:
        SystemExit: after --help, --version (code 0) or a usage error (code 2).
    """
    # options before the command take no values
    command = next((word for word in argv if not word.startswith("-")), None)
    parser = build_parser(command)
    names = [*COMMANDS, *(alias for aliases in ALIASES.values() for alias in aliases)]
    if command is not None and command not in names:
        parser.error(f"no command {command!r}{_meant([command], names)}")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(args.parser, unknown)
    return args, args.run


def _refuse(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    """Report words that a command does not know, with its usage and the flags that come close."""
    flags = [name for action in parser._actions for name in action.option_strings]
    wrong = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    spelt = [word.replace("-", "_").replace("__", "--", 1) for word in wrong]
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(spelt, flags)}")


def _meant(words: Iterable[str], known: Sequence[str]) -> str:
    """Return a question after those of the `known` names that are close to `words`."""
    close = [name for word in words for name in get_close_matches(word, known, n=1)]
    return f": did you mean {' and '.join(dict.fromkeys(close))}?" if close else ""


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser, which knows all commands by name but only one with its options."""
    parser = argparse.ArgumentParser(
        prog="slimcae",
        description="Learned image compression: one slimmable network, several widths.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action=_Version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        aliases = ALIASES.get(name, [])
        subparser = commands.add_parser(
            name, aliases=aliases, help=summary, formatter_class=HelpFormatter, allow_abbrev=False
        )
        if command in (name, *aliases):
            module = import_module(f"slimcae.cli.{name}")
            module.configure(subparser)
            subparser.set_defaults(run=module.run, parser=subparser)
    return parser


_BASES = ("onnxruntime", "torch", "numpy", "constriction")


class _Version(argparse.Action):
    """Prints what decides about the bits and pixels that come out."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        help_text = "show the version of slimcae and what it builds on"
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help_text)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        parts = [f"{name} {_installed(name)}" for name in _BASES]
        print(f"slimcae {__version__} (.scae format {FORMAT_VERSION}; {', '.join(parts)})")
        parser.exit()


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
