"""The argument parser; it imports only the module of the command in use."""

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
    "decompress": "decompress .scae files to pictures",
    "info": "show the contents of a .scae or model file, and the cost of decoding",
    "studio": "open a local page to compare a photo at each width and rate",
    "models": "list the installed models, or install one",
    "profile": "measure the cost of each width of a model on this machine",
    "train": "train a model",
    "train_lambda_schedule": "tune the rate-distortion tradeoff of each width of a trained model",
    "fit": "fit coding tables and the quality scale of a model to images",
    "ray": "compress a folder of many pictures on a Ray cluster",
    "bench": "compare rate, quality and speed with other codecs on your images",
    "evaluate": "measure rate, quality and time of one or more models",
}
ALIASES = {"train_lambda_schedule": ["schedule"]}

_EPILOG = """\
examples:
  slimcae compress photo.png -o photo.scae --width 96
  slimcae decompress photo.scae -o back.png
  slimcae info photo.scae

`slimcae COMMAND --help` shows the options of a command. SLIMCAE_DEBUG=1 adds a traceback to errors.
"""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help formatter that is wide enough for most options to fit on one line."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{"max_help_position": 34, "width": 100, **settings})


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Run]:
    """Return the options of a command line, and the function that runs the command.

    Raises:
        SystemExit: After --help or --version (code 0), or after a usage error (code 2).
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
    """Report unknown arguments, with the usage of the command and similar options."""
    flags = [name for action in parser._actions for name in action.option_strings]
    wrong = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    spelt = [word.replace("-", "_").replace("__", "--", 1) for word in wrong]
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(spelt, flags)}")


def _meant(words: Iterable[str], known: Sequence[str]) -> str:
    """Return a "did you mean" question with the `known` names that are similar to `words`."""
    close = [name for word in words for name in get_close_matches(word, known, n=1)]
    return f": did you mean {' and '.join(dict.fromkeys(close))}?" if close else ""


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser, with the names of all commands and the options of one."""
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
    """Prints the versions that determine the bits and pixels of the output."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        help_text = "show the versions of slimcae and of its main libraries"
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
