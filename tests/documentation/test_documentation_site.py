"""Test the site: links, the diagram of packages, the Sphinx extensions, and the search."""

import inspect
import re
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("grimp")
import draw_house
from chromium import BrowserPage, browser, needs_chromium
from command_reference import parser_of, reference
from docstrings import names_of, with_sections
from pages import DOCS, ROOT, links, pages
from selenium import webdriver

from slimcae.cli.parser import COMMANDS

BUILT = ROOT / "build" / "docs"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if ":" in path:  # a web address
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"```{toctree}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names}
    assert {page for page in pages() if DOCS in page.parents} == listed


def test_the_picture_of_the_house_is_that_of_the_code() -> None:
    made = draw_house.picture(draw_house.layers(), draw_house.imports())
    committed = draw_house.PICTURE.read_text(encoding="utf-8")
    assert committed == made, "run `python tools/draw_house.py`"


def test_the_house_has_no_way_that_another_implies() -> None:
    graph = draw_house.imports()
    assert "transforms" in graph["codec"] and "model" in graph["transforms"]
    assert "coding" not in graph["codec"]  # implied by transforms and model
    assert "torch" not in graph  # packages of slimcae only


def test_the_command_line_reference_has_every_command() -> None:
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^\.\. command:: (\w+)$", text, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_of_a_command_has_what_its_help_has(command: str) -> None:
    lines = list(reference(command))
    listed = " ".join(line for line in lines if line.startswith(".. option::"))
    flags = set(re.findall(r"(?<=[ ,])-{1,2}[a-zA-Z]\w*", listed))
    help_text = re.sub(r"(?s)examples:.*", "", parser_of(command).format_help())
    assert flags >= set(re.findall(r"^  (-{1,2}\w+)", help_text, re.MULTILINE)) != set()
    examples = [line.strip() for line in lines if line.strip().startswith("slimcae ")]
    assert len(examples) >= 2


def test_paragraphs_of_parameters_become_sections() -> None:
    def example(width: int, quality: float, *, closest: bool) -> None:
        """Return nothing.

        width: one of the model's. quality: 0 to 100; None: not chosen,
        as `width` is.

        closest: take the nearest point.

        Prose: this stays as it is.
        """

    lines = with_sections(inspect.cleandoc(example.__doc__ or "").splitlines(), names_of(example))
    assert [line for line in lines if line] == [
        "Return nothing.",
        "Args:",
        "    width: one of the model's.",
        "    quality: 0 to 100; None: not chosen, as `width` is.",
        "    closest: take the nearest point.",
        "Prose: this stays as it is.",
    ]


@needs_chromium
@pytest.mark.skipif(not BUILT.exists(), reason="the site is not built: make docs")
def test_the_built_site_is_searched_without_a_server(browser: webdriver.Chrome) -> None:
    page = BrowserPage(browser)
    browser.get(f"{BUILT.as_uri()}/search.html?q=quantisation")
    found = page.until(lambda: page.script(
        "return [...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    ))  # fmt: skip
    assert any("reference/codec" in address or "format" in address for address in found)
    asked = [str(entry["message"]) for entry in page.log("performance")]
    loaded = {
        address
        for message in asked
        if "Network.requestWillBeSent" in message
        for address in re.findall(r'"url":"([^"]+)"', message)
    }
    assert any(address.startswith("file:") for address in loaded)
    assert not [address for address in loaded if address.startswith(("http:", "https:"))]


__all__ = ["browser"]
