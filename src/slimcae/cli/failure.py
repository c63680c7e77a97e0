"""What a failure is called: one line for people, a traceback for those who ask."""

import os
import traceback

from slimcae.errors import SlimCAEError


def describe(error: Exception) -> str:
    """The text of an error's line; with SLIMCAE_DEBUG set, its traceback goes to stderr first."""
    if os.environ.get("SLIMCAE_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, SlimCAEError):
        return str(error)
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "not enough memory: take a smaller picture or a narrower width"
    return (
        f"{type(error).__name__}: {error} (this should not happen: "
        "run again with SLIMCAE_DEBUG=1 and report what it prints)"
    )
