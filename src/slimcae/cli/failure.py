"""What a failure is called: one line for people, a traceback for those who ask.

The library names settings as Python does; here they become flags, and the next step is added.
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
"""Settings whose flag is not called like them."""

_NEXT_STEPS = {
    "init_from": "give it with --init_from",
    "last_step": "give a later --last_step",
    "lmbda": "give --lmbda",
    "model": "give the right --model, or install it with `slimcae models --add`",
    "optimizer": "leave --optimizer and --stage out to continue, or take another --checkpoint_dir, "
    "with --init_from to begin with this run's weights",
    "profile": "run `slimcae profile` with this model on the machine that will decode",
    "quality": "run `slimcae fit` on it, or choose a width, a size or a PSNR instead",
}
"""What to do about a setting that a message is about."""

_AFTER_CONTRADICTION = {
    "lmbda": "leave it out to continue, or take another --checkpoint_dir",
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
"""Packages that only some commands need, and the extra that installs them."""

_LEAVE_IT_OUT = "leave it out, or take another model"


def describe(error: Exception) -> str:
    """The text of an error's line; with SLIMCAE_DEBUG set, its traceback goes to stderr first."""
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
        return f"{error.name}, which this needs, is not installed: {_installing(error.name)}"
    if isinstance(error, SlimCAEError):
        return with_next_step(str(error), error.field)
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "not enough memory: take a smaller picture or a narrower width"
    return (
        f"{type(error).__name__}: {error} (this should not happen: "
        "run again with SLIMCAE_DEBUG=1 and report what it prints)"
    )


def with_next_step(message: str, field: str | None) -> str:
    """A message, and what can be done about the setting that it is about."""
    if field not in _NEXT_STEPS:
        return message
    return f"{message}{'; ' if ': ' in message else ': '}{_NEXT_STEPS[field]}"


def _installing(package: str) -> str:
    extra = _EXTRAS.get(package)
    if extra == "train":  # alone, pip would bring gigabytes of CUDA on Linux
        return "install everything as README.md says (Install), or the extra [train]"
    wanted = f"'slimcae[{extra}]'" if extra else package
    return f"pip install {wanted}"


def _flag(field: str) -> str:
    return _FLAGS.get(field, f"--{field}")
