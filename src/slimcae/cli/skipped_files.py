"""Report the files of folders that a command leaves out, and how to read them."""

import logging
from collections import Counter
from collections.abc import Mapping

log = logging.getLogger("slimcae")

_MOST_KINDS = 6


def report_left_out(left_out: Mapping[str, Counter[str]], output: str) -> None:
    """Report for each folder the files that are left out because of their suffix.

    left_out: number of files by suffix, for each folder. output: the suffix of outputs, which are
        not counted.
    """
    for folder, numbers in left_out.items():
        found = Counter({suffix: n for suffix, n in numbers.items() if suffix != output})
        if found:
            log.warning("%s: left out %s%s", folder, _listed(found), _remedy(found))


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
    return ": give pictures without suffix as INPUT" if "" in found else ""
