"""`slimcae info`: what a `.scae` or model file holds, without importing torch."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from slimcae import container
from slimcae.cli.model_header import looks_like_safetensors, read_model_header
from slimcae.cli.options import add_option, model_file
from slimcae.cli.streams import STREAM, naming, read_bitstream
from slimcae.cli.talk import add_talk_options
from slimcae.container.chunks import pack_chunk, unpack_chunks
from slimcae.errors import BitstreamError

_EPILOG = """\
A .scae file's checksums are verified. Files are recognised by their content.

examples:
  slimcae info photo.scae
  slimcae info --json photo.scae
  slimcae info runs/first/model.safetensors
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Show what a .scae file or a model file holds."
    parser.epilog = _EPILOG
    parser.add_argument(
        "input", help=".scae file, model file or run folder; - is a .scae file on standard input"
    )
    add_option(parser, "--json", action="store_true", help="print one JSON object")
    add_talk_options(parser, logging.WARNING)


def run(args: argparse.Namespace) -> int:
    """Describe the file."""
    if args.input != STREAM and (Path(args.input).is_dir() or _is_model(Path(args.input))):
        facts = _model_facts(model_file(Path(args.input)))
    else:
        data = read_bitstream(args.input)
        with naming(args.input):
            facts = _picture_facts(args.input, data)
    if args.json:
        print(json.dumps(facts))
        return 0
    print(facts.pop("file"))
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"  {name.replace('_', ' '):{width}}  {_text(value)}")
    return 0


def _is_model(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_safetensors(file.read(16))
    except OSError as error:
        raise BitstreamError(f"{path} cannot be read: {error.strerror or error}") from error


def _picture_facts(name: str, data: bytes) -> dict[str, Any]:
    contents = container.read(data)
    header = contents.header
    start = len(bytes(header))
    chunks = {"header": start}
    for tag, payload in unpack_chunks(data, start):
        # with what surrounds the payload, so that the parts add up to the file
        chunks[tag.decode()] = len(pack_chunk(tag, payload))
    mode = ("L" if header.grey else "RGB") + ("" if contents.alpha is None else "A")
    return {
        "file": name,
        "kind": "picture",
        "format": container.FORMAT_VERSION,
        "image_width": header.image_width,
        "image_height": header.image_height,
        "mode": mode,
        "icc_profile": contents.icc_profile is not None,
        "width": header.num_filters,
        "model": header.model_name,
        "fingerprint": header.model_fingerprint.hex(),
        "bytes": len(data),
        "bpp": 8 * len(data) / (header.image_width * header.image_height),
        "chunks": chunks,
    }


def _model_facts(path: Path) -> dict[str, Any]:
    header = read_model_header(path)
    return {
        "file": str(path),
        "kind": "model",
        "name": header.name,
        "version": header.version,
        "widths": list(header.widths),
        "gdn": header.gdn,
        "lambda": None if header.lmbda is None else list(header.lmbda),
        "parameters": header.parameters,
        "fingerprints": header.fingerprints,
        "bytes": header.bytes,
    }


def _text(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(f"{item:g}" for item in value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
