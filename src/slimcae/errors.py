"""The exceptions that SlimCAE raises for bad input: one class tree, one-line messages.

Every message says what went wrong, with which value, and what is allowed. Messages use the Python
names of settings; the command line substitutes its options and adds what to do next
(`slimcae.cli.failure`).
"""

from pathlib import Path
from typing import Any


class SlimCAEError(Exception):
    """Base class of all errors that bad input can cause.

    field: the Python name of the setting that is wrong or that would help, or None.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        """Make every subclass picklable; a process pool hangs on errors that it cannot unpickle."""
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(
    kind: type[SlimCAEError], args: tuple[Any, ...], facts: dict[str, Any]
) -> SlimCAEError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class ImageError(SlimCAEError):
    """A picture cannot be read or written, or has a size or mode that is not supported."""


class PictureTooLargeError(ImageError):
    """A picture has more pixels than the caller's limit."""


class MissingPluginError(ImageError):
    """A picture's format needs a package that is not installed.

    package: name of the package.
    """

    def __init__(self, name: str, format: str, package: str) -> None:
        super().__init__(
            f"{name} is a {format} picture: reading it needs {package}, which is not installed"
        )
        self.package = package


class ModelError(SlimCAEError):
    """A model file is missing, damaged, not a SlimCAE model, or contradicts the settings."""


class ContradictionError(ModelError):
    """A setting contradicts the model file that training continues from.

    value: the requested value. have: the value in the file `origin`.
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
    """Settings are invalid, alone or in combination (for example lists of unequal length)."""


class MissingPackageError(ConfigError):
    """A feature needs a package that is not installed.

    package: name of the package. purpose: what it does, for example "computes pictures".
    """

    def __init__(self, package: str, purpose: str) -> None:
        super().__init__(f"{package}, which {purpose}, is not installed")
        self.package = package


class SettingError(ConfigError):
    """A setting has a value that is not allowed.

    allowed: description of the allowed values, for example "at least 1".
    """

    field: str

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} {value}: must be {allowed}", field=field)
        self.value = value
        self.allowed = allowed


class TrainingError(SlimCAEError):
    """Training cannot start or continue (no usable images, a loss that is not finite)."""


def checked_bool(field: str, value: object) -> bool:
    """Return a setting that must be True or False; NumPy's count, too.

    Raises:
        SettingError: It is anything else: "no", for example, would count as true.
    """
    if isinstance(value, bool) or _is_numpy_bool(value):
        return bool(value)
    raise SettingError(field, repr(value), "True or False")


def _is_numpy_bool(value: object) -> bool:
    return getattr(value, "dtype", None) == "bool" and getattr(value, "shape", None) == ()
