"""Which files of folders a command leaves out, and what would read them."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

log = logging.getLogger("slimcae")

_NO_CONTENT = ("thumbs.db", "desktop.ini")
_MOST_KINDS = 6


def report_left_out(inputs: Sequence[str], kinds: Collection[str], output: str) -> None:
    """Say for each folder what its name alone keeps from being compressed.

    kinds: suffixes, without their dot, of the files that are taken. output: the suffix of outputs.
    """
    for name in inputs:
        found = _left_out(Path(name), {f".{kind}" for kind in kinds} | {output})
        if found:
            log.warning("%s: left out %s%s", name, _listed(found), _remedy(found))


def _left_out(folder: Path, suffixes: Collection[str]) -> Counter[str]:
    """How many files have each suffix that is not taken; hidden files do not count."""
    names = [name for _, _, names in os.walk(folder) for name in names]
    found = (
        Path(name).suffix.lower()
        for name in names
        if not name.startswith(".") and name.lower() not in _NO_CONTENT
    )
    return Counter(suffix for suffix in found if suffix not in suffixes)


def _listed(found: Counter[str]) -> str:
    parts = [f"{number:,} {suffix or 'without suffix'}" for suffix, number in found.most_common()]
    if len(parts) > _MOST_KINDS:
        rest = sum(number for _, number in found.most_common()[_MOST_KINDS - 1 :])
        parts[_MOST_KINDS - 1 :] = [f"{rest:,} others"]
    return ", ".join(parts)


def _remedy(found: Counter[str]) -> str:
    from slimcae.images.plugins import PLUGINS

    packages = [
        plugin.package for plugin in PLUGINS if any(f".{kind}" in found for kind in plugin.kinds)
    ]
    if packages:
        return f": to read them, pip install {' '.join(packages)}"
    return ": name a picture among them as an INPUT" if "" in found else ""
