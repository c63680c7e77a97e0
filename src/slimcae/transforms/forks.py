"""Processes that are made by fork: the threads of the parent's runtimes are not there."""

import os

_forks = 0


def forks() -> int:
    """How many forks lie between this process and the first that imported this module.

    What was prepared at another number has lost its threads.
    """
    return _forks


def _count() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_count)
