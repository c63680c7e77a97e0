"""`slimcae studio`: a local page to explore the codec, with an HTTP interface.

It also exports the page as static files for any web host.
"""

import argparse
import logging
import os
import socket
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import add_option
from slimcae.cli.quantities import count, size
from slimcae.cli.stopping import Stopped
from slimcae.errors import ConfigError

_EPILOG = """\
The page works offline and sends no data. Programs can use the same server: POST /compress,
POST /decompress, GET /models; GET /openapi.json describes the interface.

examples:
  slimcae studio
  slimcae studio --port 0 --no_browser                  # any free port, which is printed
  slimcae studio -m runs/first -m runs/first/model_scheduled.safetensors   # to compare the two
  slimcae studio --export site                # a static page that opens .scae files
  curl --data-binary @photo.png "http://127.0.0.1:8750/compress?quality=40" -o photo.scae
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Open a local page to compare a photo at each width and rate."
    parser.epilog = _EPILOG
    add_option(
        parser,
        "-m",
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="also offer this file, run folder or name; may be repeated, the first is the default",
    )
    add_option(
        parser,
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, this machine only)",
    )
    add_option(
        parser,
        "--port",
        type=_port,
        default=8750,
        help="port to listen on; 0 takes a free one (default: 8750)",
    )
    add_option(
        parser, "--max_bytes", type=size, metavar="BYTES", help="largest upload (default: 64MB)"
    )
    add_option(
        parser,
        "--max_pixels",
        type=count,
        metavar="N",
        help="largest picture, in pixels (default: 40M)",
    )
    add_option(parser, "--no_browser", action="store_true", help="only print the address")
    files = parser.add_argument_group(
        "a page without a server",
        "decodes .scae files with onnxruntime-web, which npm downloads once",
    )
    add_option(
        files,
        "--export",
        type=Path,
        metavar="FOLDER",
        help="write the page and the models (default: the one in the package) as files, and exit",
    )
    add_option(
        files,
        "-y",
        "--overwrite",
        action="store_true",
        help="write into a folder that is not empty",
    )
    add_option(
        files,
        "--get_runtime",
        action="store_true",
        help="download onnxruntime-web, with which the page decodes .scae files itself, and exit",
    )
    add_talk_options(parser, logging.WARNING)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or write files."""
    try:
        from slimcae.studio import Limits, create_app
        from slimcae.studio.connections import server
        from slimcae.studio.export import export_page
        from slimcae.studio.runtime import get_runtime
    except ImportError as error:
        if error.name and error.name.startswith("slimcae"):
            raise
        raise ConfigError(
            f"the studio needs {error.name}, which is not installed: pip install 'slimcae[studio]'"
        ) from error
    if args.get_runtime:
        print(get_runtime())
    if args.export is not None:
        export_page(args.export, args.model, overwrite=args.overwrite)
        print(args.export / "index.html")
    if args.get_runtime or args.export is not None:
        return 0
    given = {"max_bytes": args.max_bytes, "max_pixels": args.max_pixels}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    app = create_app(args.model, limits=limits, host=args.host)
    listener = _listen(args.host, args.port)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    print(address, flush=True)
    if not args.no_browser and _has_screen():
        webbrowser.open(address)
    with suppress(KeyboardInterrupt, Stopped), listener:  # the normal ways to end it
        server(app, limits).run(sockets=[listener])
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to 65535")
    return int(text)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: The address is in use, or does not belong to this machine.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; "
            "choose others with --host and --port"
        ) from error


def _has_screen() -> bool:
    """Return whether a browser would open in a window, not in this terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
