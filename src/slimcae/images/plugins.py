"""Formats that Pillow reads with plugins of other packages, if these are installed.

A plugin is imported when the first file of its format is read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from slimcae.errors import MissingPluginError

_HEAD_BYTES = 16
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_JXL_STARTS = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")


@dataclass(frozen=True)
class Plugin:
    """A format, and the package whose `module` registers it with Pillow.

    kinds: suffixes of its files, without dot. accepts: recognises a file by its first bytes.
    """

    format: str
    package: str
    module: str
    kinds: tuple[str, ...]
    accepts: Callable[[bytes], bool]

    @property
    def installed(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.module) is not None


PLUGINS = (
    Plugin(
        "HEIC",
        "pillow-heif",
        "pillow_heif",
        ("heic", "heif", "hif"),
        lambda start: start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS,
    ),
    Plugin(
        "JPEG XL",
        "pillow-jxl-plugin",
        "pillow_jxl",
        ("jxl",),
        lambda start: start.startswith(_JXL_STARTS),
    ),
)


def plugin_kinds() -> tuple[str, ...]:
    """Return the suffixes of the files that the installed plugins read."""
    return tuple(kind for plugin in PLUGINS if plugin.installed for kind in plugin.kinds)


def open_image(source: str | Path | BinaryIO, name: str) -> Image.Image:
    """Open a picture with Pillow, and with a plugin if it needs one.

    Raises:
        MissingPluginError: The plugin is not installed.
        UnidentifiedImageError: Neither Pillow nor a plugin reads the format.
    """
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        start = _start(source)
        plugin = next((plugin for plugin in PLUGINS if plugin.accepts(start)), None)
        if plugin is None:
            raise
        if not plugin.installed:
            raise MissingPluginError(name, plugin.format, plugin.package) from None
        _register(plugin.module)
        return Image.open(source)


@cache
def _register(module: str) -> None:
    imported: Any = import_module(module)
    if hasattr(imported, "register_heif_opener"):  # the other one registers itself
        imported.register_heif_opener()


def _start(source: str | Path | BinaryIO) -> bytes:
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return file.read(_HEAD_BYTES)
    try:
        source.seek(0)
        return source.read(_HEAD_BYTES)
    except (OSError, ValueError):  # not seekable
        return b""
