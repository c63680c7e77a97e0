"""Export of the page as a folder of static files, which decode `.scae` files on any web host."""

import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from slimcae.codec import Codec
from slimcae.errors import ConfigError
from slimcae.files import write_bytes
from slimcae.model.file import read_model
from slimcae.model.header import read_model_header
from slimcae.model.registry import find_model
from slimcae.studio.page_models import ENTROPY, GRAPH, INDEX, folder_names, index_file, width_file
from slimcae.studio.runtime import get_runtime

STATIC = Path(__file__).parent / "static"
_MODULES = (
    "file.js",
    "drop.js",
    "opened.js",
    "viewer.js",
    "format.js",
    "png.js",
    "save.js",
    "studio.css",
    "icon.svg",
)
_SAMPLE_SIDE = 336
"""Of the small pictures that stand for the samples: twice as many pixels as the page gives them."""


def export_page(
    folder: Path, models: Sequence[str | Path] = (), *, overwrite: bool = False
) -> None:
    """Write the page, its modules, models and the runtime's files into a folder.

    models: see `slimcae.load`; empty: the shipped one.

    Raises:
        ConfigError: The folder has files and `overwrite` is False, or cannot be written, or the
            runtime cannot be downloaded.
        ModelError: A model is missing or damaged.
    """
    paths = [find_model(model) for model in models or (None,)]
    headers = [read_model_header(path) for path in paths]
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: add -y to write into it")
    runtime = get_runtime()
    try:
        for source, target in ((STATIC / "scae", "scae"), (runtime, "runtime")):
            shutil.copytree(source, folder / target, dirs_exist_ok=True)
        names = list(folder_names(headers))
        codecs = [Codec(read_model(path)) for path in paths]
        for name, codec in zip(names, codecs, strict=True):
            _write_model(folder / "models" / name, codec)
        index = index_file(zip(names, headers, strict=True))
        write_bytes(folder / "models" / INDEX, index)
        _write_samples(folder / "samples", codecs[0])
        for module in _MODULES:
            shutil.copyfile(STATIC / module, folder / module)
        shutil.copyfile(STATIC / "file.html", folder / "index.html")
    except shutil.Error as error:  # of several files
        raise ConfigError(f"{folder} cannot be written: {error.args[0][0][2]}") from error
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}") from error


def _write_model(folder: Path, codec: Codec) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for width in codec.points:
        for kind in (ENTROPY, GRAPH):
            data = width_file(codec.model, width, kind)
            write_bytes(folder / f"{width}.{kind}", data)


def _write_samples(folder: Path, codec: Codec) -> None:
    """Write each sample as a `.scae` file of a middle width, with a thumbnail."""
    folder.mkdir(exist_ok=True)
    width = codec.points[len(codec.points) // 2]
    for path in sorted((STATIC / "samples").glob("*.webp")):
        with Image.open(path) as image:
            data = codec.compress(image.convert("RGB"), point=width)
            image.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE))
            small = BytesIO()
            image.save(small, "WEBP", quality=80)
        write_bytes(folder / f"{path.stem}.scae", data)
        write_bytes(folder / path.name, small.getvalue())
