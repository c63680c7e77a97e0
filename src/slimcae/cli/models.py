"""`slimcae models`: list the installed models, or install one."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import add_option
from slimcae.model.registry import (
    InstalledModel,
    add_model,
    find_model,
    installed_models,
    models_folder,
)

log = logging.getLogger("slimcae")

_EPILOG = """\
A .scae file can be decoded only with the model that made it; `slimcae decompress` finds an
installed model by its fingerprint. The folder is $SLIMCAE_MODELS, or slimcae/models in your data
folder. Several versions of a model may be installed; NAME alone means the newest.

examples:
  slimcae models
  slimcae models --add runs/first
  slimcae models --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "List the installed models, or install one."
    parser.epilog = _EPILOG
    add_option(
        parser,
        "--add",
        metavar="FILE",
        help="install a model file, or the model of a run folder",
    )
    add_option(
        parser,
        "-y",
        "--overwrite",
        action="store_true",
        help="replace an installed model of the same version",
    )
    add_option(parser, "--json", action="store_true", help="print one JSON object")
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """List the models, or install one."""
    if args.add is not None:
        added = add_model(find_model(Path(args.add)), overwrite=args.overwrite)
        log.info("%s installed: %s", added.label, added.path)
        return 0
    rows = [_facts(model) for model in installed_models()]
    if args.json:
        print(json.dumps({"folder": str(models_folder()), "models": rows}))
        return 0
    head = {name: name for name in ("name", "version", "widths", "steps", "fingerprint", "file")}
    table = [head, *({name: _text(row[name]) for name in head} for row in rows)]
    sizes = {name: max(len(row[name]) for row in table) for name in head}
    for row in table:
        print("  ".join(f"{text:{sizes[name]}}" for name, text in row.items()).rstrip())
    return 0


def _facts(model: InstalledModel) -> dict[str, Any]:
    header = model.header
    return {
        "name": header.name,
        "version": header.version,
        "widths": list(header.widths),
        "steps": len(header.steps),
        "fingerprint": header.fingerprints[str(header.points[0])],
        "file": str(model.path),
    }


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
