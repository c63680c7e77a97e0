"""Installed models, found by name or by the fingerprint in a `.scae` file. No torch.

Several versions of a model may be installed. A `.scae` file contains the name of its model, but the
fingerprint decides.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slimcae.errors import BitstreamError, ConfigError, ModelError, checked_bool
from slimcae.files import atomic_path
from slimcae.model.header import MODEL_NAME, ModelHeader, read_model_header
from slimcae.user_folders import data_folder

log = logging.getLogger("slimcae")

FOLDER_VARIABLE = "SLIMCAE_MODELS"


@dataclass(frozen=True)
class InstalledModel:
    """An installed model; `.scae` files refer to it by fingerprint, people by name."""

    path: Path
    header: ModelHeader

    @property
    def label(self) -> str:
        """NAME@VERSION."""
        return f"{self.header.name}@{self.header.version}"


class Needed(Protocol):
    """The fields of a `.scae` header that identify the model."""

    @property
    def model_name(self) -> str:
        """For people."""

    @property
    def num_filters(self) -> int:
        """The width."""

    @property
    def model_fingerprint(self) -> bytes:
        """Fingerprint of the model at this width, 8 bytes."""


def shipped_model() -> Path:
    """Return the default model file, which is part of the package."""
    return Path(__file__).parents[1] / "weights" / "slimcae.safetensors"


def shipped_models() -> list[Path]:
    """Return all model files in the package, the default first; older ones are for decoding."""
    default = shipped_model()
    return [default, *sorted(set(default.parent.glob("*.safetensors")) - {default})]


def models_folder() -> Path:
    """Return the folder of installed models, which may not exist.

    Raises:
        ConfigError: The user has no home folder.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else data_folder() / "models"


def installed_models() -> list[InstalledModel]:
    """Return the shipped models, then those of the models folder, sorted by file name.

    Damaged models are left out with a warning.
    """
    paths = shipped_models()
    with suppress(ConfigError):  # no home folder, so no models in it
        paths += sorted(models_folder().glob("*.safetensors"))
    models = []
    for path in paths:
        if path.is_fifo():  # opening it would wait for a writer
            continue
        try:
            models.append(InstalledModel(path, read_model_header(path)))
        except ModelError as error:
            log.warning("%s (the model is left out)", error)
    return models


def find_model(name_or_path: str | Path | None) -> Path:
    """Return the model file for a name or path.

    None is the shipped model. Anything else is a file, a run folder, or NAME or NAME@VERSION of an
    installed model; NAME alone means the newest version.

    Raises:
        ModelError: There is no such model; the message lists those that exist.
    """
    if name_or_path is None:
        return shipped_model()
    if not isinstance(name_or_path, str | os.PathLike):
        raise ModelError(f"{name_or_path!r} is not a model: give a name, a file or a run folder")
    path = Path(name_or_path)
    if path.is_file():
        return path
    if (path / MODEL_NAME).is_file():
        return path / MODEL_NAME
    models = installed_models()
    named = [m for m in models if str(name_or_path) in (m.header.name, m.label)]
    if named:
        return max(named, key=_age).path
    if path.is_dir():
        raise ModelError(f"folder {path} has no {MODEL_NAME}: give a run folder or a model file")
    here = ", ".join(model.label for model in models)
    raise ModelError(
        f"no model {name_or_path}: give a file, a run folder, or the name of an installed model "
        f"({here or 'none is installed'})"
    )


def matching_model(header: Needed) -> InstalledModel | None:
    """Return the installed model with the fingerprint of a `.scae` file, or None."""
    return _matching(header, installed_models())


def model_for(header: Needed) -> Path:
    """Return the file of the installed model that decodes a `.scae` file.

    Raises:
        BitstreamError: The model is not installed; the message names it and the installed ones.
    """
    models = installed_models()
    found = _matching(header, models)
    if found is not None:
        return found.path
    width = header.num_filters
    here = (f"{m.label} {_of_width(m.header, width) or f'without width {width}'}" for m in models)
    raise BitstreamError(
        f"the file needs model {header.model_name} width {width} "
        f"({header.model_fingerprint.hex()}); the models here are "
        f"{', '.join(here) or 'none'}",
        field="model",
    )


def add_model(source: Path, *, overwrite: bool = False) -> InstalledModel:
    """Copy a model file into the models folder as NAME-VERSION.safetensors.

    Raises:
        ModelError: `source` is not a model file, or a model with that name and version exists and
            `overwrite` is False.
        ConfigError: The folder cannot be created or written.
    """
    overwrite = checked_bool("overwrite", overwrite)
    header = read_model_header(source)
    # model names may have characters that file names may not
    stem = re.sub(r"[^A-Za-z0-9._+-]", "_", f"{header.name}-{header.version}").lstrip(".")
    target = models_folder() / f"{stem}.safetensors"
    if target.exists() and not overwrite:
        raise ModelError(f"{target} exists: add -y to replace it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
            copied = read_model_header(temporary)  # of the copy, since the source may have changed
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror or error}") from error
    return InstalledModel(target, copied)


def _matching(header: Needed, models: Iterable[InstalledModel]) -> InstalledModel | None:
    needed = header.num_filters, header.model_fingerprint.hex()
    return next((m for m in models if m.header.point_of(*needed) is not None), None)


def _of_width(header: ModelHeader, width: int) -> str:
    """Return the fingerprints of the operating points of a width."""
    points = (point for point in header.points if header.config.filters(point) == width)
    return " ".join(header.fingerprints[str(point)] for point in points)


def _age(model: InstalledModel) -> list[tuple[bool, int, str]]:
    """Return a sort key for the version, in which 0.10 comes after 0.9."""
    parts = re.findall(r"\d+|\D+", model.header.version)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
