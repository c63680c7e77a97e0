"""Parsers of numbers on the command line, such as 7k, 200kB and 37.5."""

import argparse
import math
from decimal import Decimal, InvalidOperation

_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_BYTES = {
    **{f"{prefix}{unit}": factor for prefix, factor in _THOUSANDS.items() for unit in ("", "b")},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30},
}


def count(text: str) -> int:
    """Parse a whole number, at least 1, optionally with the suffix k, M or G."""
    return _scaled(text, _THOUSANDS, "a number like 7000, 7k or 100M")


def size(text: str) -> int:
    """Parse a number of bytes, at least 1, optionally with kB (1000), KiB (1024), MB or MiB."""
    return _scaled(text, _BYTES, "bytes like 200000, 200kB or 1.5MiB")


def whole(text: str) -> int:
    """Parse a whole number, at least 1."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1")
    return int(text)


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")
    return value


def quality(text: str) -> int:
    """Parse a whole number from 1 to 100."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 to 100")
    return int(text)


def percentage(text: str) -> float:
    """Parse a number from 0 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to 100")
    return value


def _scaled(text: str, units: dict[str, int], wanted: str) -> int:
    number = text.rstrip("BbGgIiKkMm")
    factor = units.get(text[len(number) :].lower())
    try:
        value = Decimal(number)  # exact: 0.1MB are 100,000 bytes
    except InvalidOperation:
        value = Decimal(0)
    if factor is None or not value.is_finite() or int(value * factor) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give {wanted}")
    return int(value * factor)
