"""The user's data and cache folders: XDG folders, or the local app data on Windows."""

import os
from pathlib import Path

from slimcae.errors import ConfigError

_WINDOWS = os.name == "nt"


def data_folder() -> Path:
    """Return the folder for installed files, such as models.

    Raises:
        ConfigError: The user has no home folder.
    """
    return _folder("XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """Return the folder for files that can be recreated.

    Raises:
        ConfigError: The user has no home folder.
    """
    return _folder("XDG_CACHE_HOME", ".cache")


def _folder(variable: str, below_home: str) -> Path:
    variable = "LOCALAPPDATA" if _WINDOWS else variable
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen) / "slimcae"
    try:
        return Path.home() / below_home / "slimcae"
    except RuntimeError as error:  # for example a container that runs under an unnamed user id
        raise ConfigError(f"this user has no home folder: set HOME, or {variable}") from error
