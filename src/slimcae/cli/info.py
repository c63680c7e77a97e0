"""`slimcae info`: describe `.scae` and model files, without importing torch."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any, BinaryIO

from slimcae import container
from slimcae.backend import choose_backend
from slimcae.cli.failure import describe
from slimcae.cli.messages import add_talk_options, print_error, printable
from slimcae.cli.options import add_option
from slimcae.cli.streams import STREAM, naming, read_bitstream
from slimcae.container import Header
from slimcae.errors import BitstreamError, MissingPackageError, SlimCAEError
from slimcae.files import read_stream
from slimcae.model.architecture import architecture_of
from slimcae.model.config import SlimCAEConfig
from slimcae.model.cost import decoder_memory, padded_pixels
from slimcae.model.header import config_to_json, looks_like_safetensors, read_model_header
from slimcae.model.registry import find_model, matching_model

_EPILOG = """\
The command verifies the checksums of .scae files, but decodes nothing. The cost is that of decoding
the whole picture: multiply-accumulates, and the estimated memory without the program and the model.

examples:
  slimcae info photo.scae
  slimcae info --json small/*.scae                      # one JSON object per line
  slimcae info runs/first/model.safetensors
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Show the contents of a .scae file or a model file."
    parser.epilog = _EPILOG
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help=".scae files, model files or run folders; - is a .scae file on standard input",
    )
    add_option(parser, "--json", action="store_true", help="print one JSON object per file")
    add_talk_options(parser, logging.WARNING)


def run(args: argparse.Namespace) -> int:
    """Describe the files; one that cannot be read does not stop the others."""
    code = 0
    for name in args.inputs:
        try:
            facts = _facts(name)
        except SlimCAEError as error:
            print_error(describe(error))
            code = 1
        else:
            _print(facts, as_json=args.json)
    return code


def _facts(name: str) -> dict[str, Any]:
    if name == STREAM:
        return _picture_facts(name, read_bitstream(name))
    if Path(name).is_dir():
        return _model_facts(find_model(Path(name)))
    return _file_facts(Path(name))


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts), flush=True)
        return
    print(printable(facts.pop("file")))
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"  {name.replace('_', ' '):{width}}  {printable(_text(value))}", flush=True)


def _file_facts(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if not file.seekable():  # a pipe
                return _picture_facts(str(path), read_stream(file).getvalue())
            if not looks_like_safetensors(file.read(16)):
                file.seek(0)
                return _picture_facts(str(path), file)
    except OSError as error:
        raise BitstreamError(f"{path} cannot be read: {error.strerror or error}") from error
    return _model_facts(path)


def _picture_facts(name: str, source: BinaryIO | bytes) -> dict[str, Any]:
    with naming(name):
        reader = container.Reader(source)
        reader.verify()
        header, parts = reader.header, reader.sizes()
        kept = {
            "icc_bytes": len(reader.icc_profile or b""),
            "exif_bytes": len(reader.exif or b""),
            "xmp_bytes": len(reader.xmp or b""),
        }
    size = sum(parts.values())
    model = matching_model(header)
    needed = header.num_filters, header.model_fingerprint.hex()
    point = None if model is None else model.header.point_of(*needed)
    return {
        "file": name,
        "kind": "picture",
        "format": container.FORMAT_VERSION,
        "image_width": header.image_width,
        "image_height": header.image_height,
        "mode": ("L" if header.grey else "RGB") + ("A" if reader.has_alpha else ""),
        "srgb": header.srgb,
        **kept,
        "width": header.num_filters,
        **({} if point in (None, header.num_filters) else {"point": point}),
        "step": header.step,
        "entropy_model": header.entropy_model,
        "delta": None if model is None else dict(enumerate(model.header.steps)).get(header.step),
        "model": header.model_name,
        "model_version": None if model is None else model.header.version,
        "fingerprint": header.model_fingerprint.hex(),
        "installed": model is not None,
        "tiles": header.num_tiles,
        "tile_side": header.tile_side,
        "bytes": size,
        "bpp": 8 * size / (header.image_width * header.image_height),
        "parts": parts,
        "backend": _backend(header, None if model is None else model.header.config),
        **_decoding(header, None if model is None else model.header.config),
    }


def _decoding(header: Header, config: SlimCAEConfig | None) -> dict[str, Any]:
    """Return the cost of decoding a file, as far as its model is known."""
    facts: list[float | None] = [None] * 3
    if config is not None:
        architecture = architecture_of(config)
        macs = architecture.decoder_macs(header.num_filters)
        pixels = padded_pixels(architecture, header)
        facts = [macs, round(macs * pixels), decoder_memory(architecture, header)]
    names = ("decoder_macs_per_pixel", "decoder_macs", "decoder_memory_bytes")
    return dict(zip(names, facts, strict=True))


def _backend(header: Header, config: SlimCAEConfig | None) -> str | None:
    """Return the backend that `slimcae decompress` would use; None if none is installed."""
    try:
        return choose_backend(
            megapixels=header.image_width * header.image_height / 1e6,
            architecture="slimcae" if config is None else config.architecture,
        )
    except MissingPackageError:
        return None


def _model_facts(path: Path) -> dict[str, Any]:
    header = read_model_header(path)
    return {
        "file": str(path),
        "kind": "model",
        "name": header.name,
        "version": header.version,
        "architecture": header.config.architecture,
        **config_to_json(header.config),
        **({} if header.points == header.widths else {"points": list(header.points)}),
        "lambda": None if header.lmbda is None else list(header.lmbda),
        "steps": list(header.steps),
        "entropy_models": {str(w): list(kinds) for w, kinds in header.entropy_models.items()},
        "quality_scale": header.quality is not None,
        "parameters": header.parameters,
        "fingerprints": header.fingerprints,
        "bytes": header.bytes,
    }


def _text(value: Any) -> str:
    """Return a value as text."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(item if isinstance(item, str) else f"{item:g}" for item in value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"
    return str(value)
