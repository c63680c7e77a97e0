"""Markdown for pages that a script writes in part."""

import re
from collections.abc import Iterable, Sequence

MARKS = "<!-- made by `make results` from here -->", "<!-- to here -->"


def signed(value: float, digits: int) -> str:
    """Format a number with its sign and a typographic minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def bullets(lines: Iterable[str]) -> str:
    """Format a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with the first column left-aligned and the others right-aligned."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_block(text: str, block: str) -> str:
    """Return a text with its marked part replaced."""
    begin, end = MARKS
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"the page needs {begin} and {end}, once")
    return pattern.sub(lambda _: f"{begin}\n\n{block}\n\n{end}", text)
