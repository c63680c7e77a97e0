"""Text of failures: one line, and a traceback on request.

The library uses the Python names of settings; this module replaces them by options of the command
line, and adds the next step.
"""

import os
import traceback

from slimcae.errors import (
    ContradictionError,
    MissingPackageError,
    MissingPluginError,
    SettingError,
    SlimCAEError,
)

_FLAGS = {"widths": "--switch_list"}
"""Settings whose option has another name."""

_NEXT_STEPS = {
    "init_from": "give it with --init_from",
    "last_step": "give a later --last_step",
    "lmbda": "give --lmbda",
    "model": "give the right --model, or install it with `slimcae models --add`",
    "optimizer": "leave --optimizer and --stage out to continue, or use another --checkpoint_dir, "
    "with --init_from to start from this run's weights",
    "profile": "run `slimcae profile` with this model on the machine that will decode",
    "quality": "run `slimcae fit` on it, or choose a width (or a point), a size or a PSNR instead",
}
"""Next steps for messages about a setting."""

_AFTER_CONTRADICTION = {
    "lmbda": "leave it out to continue, or use another --checkpoint_dir",
}
_EXTRAS = {
    "matplotlib": "train",
    "pytorch_msssim": "train",
    "scipy": "train",
    "tensorboard": "train",
    "torch": "train",
    "fastapi": "studio",
    "uvicorn": "studio",
    "fsspec": "ray",
    "pyarrow": "ray",
    "ray": "ray",
}
"""Packages that only some commands need, and the extras that install them."""

_LEAVE_IT_OUT = "leave it out, or use another model"


def describe(error: Exception) -> str:
    """Return the line for an error; with SLIMCAE_DEBUG, first print its traceback to stderr."""
    if os.environ.get("SLIMCAE_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, SettingError):
        return f"{_flag(error.field)} {error.value}: give {error.allowed}"
    if isinstance(error, ContradictionError):
        return (
            f"{_flag(error.field)} {error.value} contradicts {error.origin}, which has "
            f"{error.field} {error.have}: {_AFTER_CONTRADICTION.get(error.field, _LEAVE_IT_OUT)}"
        )
    if isinstance(error, MissingPackageError | MissingPluginError):
        return f"{error}: {_installing(error.package)}"
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return f"this needs {error.name}, which is not installed: {_installing(error.name)}"
    if isinstance(error, SlimCAEError):
        return with_next_step(str(error), error.field)
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "not enough memory: use a smaller picture or a smaller width"
    return (
        f"{type(error).__name__}: {error} (this should not happen: "
        "run again with SLIMCAE_DEBUG=1 and report the output)"
    )


def with_next_step(message: str, field: str | None) -> str:
    """Return a message with the next step for its setting."""
    if field not in _NEXT_STEPS:
        return message
    return f"{message}{'; ' if ': ' in message else ': '}{_NEXT_STEPS[field]}"


def _installing(package: str) -> str:
    extra = _EXTRAS.get(package)
    if extra == "train":  # the extra alone would install gigabytes of CUDA on Linux
        return "install everything as described in README.md (Install), or the extra [train]"
    wanted = f"'slimcae[{extra}]'" if extra else package
    return f"pip install {wanted}"


def _flag(field: str) -> str:
    return _FLAGS.get(field, f"--{field}")
