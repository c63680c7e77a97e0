"""Where this user's data and caches live: the XDG folders, or on Windows the local app data."""

import os
from pathlib import Path

from slimcae.errors import ConfigError

_WINDOWS = os.name == "nt"


def data_folder() -> Path:
    """Return the folder for what the user installs, such as models.

    Raises:
        ConfigError: the user has no home folder.
    """
    return _folder("XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """Return the folder for what can be made or downloaded again.

    Raises:
        ConfigError: the user has no home folder.
    """
    return _folder("XDG_CACHE_HOME", ".cache")


def _folder(variable: str, below_home: str) -> Path:
    variable = "LOCALAPPDATA" if _WINDOWS else variable
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen) / "slimcae"
    try:
        return Path.home() / below_home / "slimcae"
    except RuntimeError as error:  # a container, say, that runs under a number without a name
        raise ConfigError(f"this user has no home folder: set HOME, or {variable}") from error
