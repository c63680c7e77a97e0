"""The exceptions that SlimCAE raises for bad input: one tree, one line of text each.

Every message says what went wrong, with which value, and what is allowed. Settings are named as in
Python; the command line puts its flags there and adds what to do next (`slimcae.cli.failure`).
"""

from pathlib import Path
from typing import Any


class SlimCAEError(Exception):
    """Base of all errors that bad input can cause; catch this one to catch them all.

    field: the setting that is wrong or would help, as Python names it; None if there is none.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle any error of the tree; a process pool hangs on one that it cannot unpickle."""
        return _restored, (type(self), self.args, self.__dict__.copy())


def _restored(
    kind: type[SlimCAEError], args: tuple[Any, ...], facts: dict[str, Any]
) -> SlimCAEError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class ImageError(SlimCAEError):
    """A picture cannot be read or written, or has a size or mode that is not supported."""


class PictureTooLargeError(ImageError):
    """A picture has more pixels than whoever reads it allows."""


class MissingPluginError(ImageError):
    """A picture has a format that needs a package that is not installed.

    package: its name.
    """

    def __init__(self, name: str, format: str, package: str) -> None:
        super().__init__(f"{name} is a {format} picture, for which {package} is not installed")
        self.package = package


class ModelError(SlimCAEError):
    """A model file is missing, damaged or foreign, or contradicts what was asked for."""


class ContradictionError(ModelError):
    """A setting contradicts the file that is to be continued.

    value, have: what was asked for, and what the file `origin` has.
    """

    field: str

    def __init__(self, field: str, value: str, origin: Path, have: str) -> None:
        super().__init__(
            f"{field} {value} contradicts {origin}, which has {field} {have}", field=field
        )
        self.value = value
        self.origin = origin
        self.have = have


class BitstreamError(SlimCAEError):
    """A `.scae` file is damaged, foreign, of an unknown version, or needs another model."""


class ConfigError(SlimCAEError):
    """Settings cannot work, alone or together (lists of unequal length, for example)."""


class MissingPackageError(ConfigError):
    """A feature needs a package that is not installed.

    package: its name. purpose: what it is used for, as in "computes pictures".
    """

    def __init__(self, package: str, purpose: str) -> None:
        super().__init__(f"{package}, which {purpose}, is not installed")
        self.package = package


class SettingError(ConfigError):
    """A setting has a value that is not allowed.

    allowed: the allowed values, in words, as in "at least 1".
    """

    field: str

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} {value}: must be {allowed}", field=field)
        self.value = value
        self.allowed = allowed


class TrainingError(SlimCAEError):
    """Training cannot start or continue (no usable images, a loss that is not finite)."""
