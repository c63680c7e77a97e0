"""Detect forks, after which the threads of the parent's runtimes are missing."""

import os

_forks = 0


def forks() -> int:
    """Return the number of forks since this module was first imported in an ancestor process.

    Objects that were created at another count have lost their threads.
    """
    return _forks


def _count() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_count)
