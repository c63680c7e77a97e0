"""docs/results.md and README's table are what `make results` makes of the committed files."""

from pathlib import Path

import pytest
from command_line import ROOT
from make_results import draw, page, readme_block
from PIL import Image
from report.files import Sources
from report.markdown import MARKS, with_block
from report.speed import ratios


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources()


def test_the_page_is_up_to_date(sources: Sources) -> None:
    committed = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert committed == page(sources), "run `make results`"


def test_the_readme_is_up_to_date(sources: Sources) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == with_block(text, readme_block(sources)), "run `make results`"


def test_all_plots_are_drawn(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimcae.plots.style.DOTS_PER_INCH", 60)
    draw(sources, tmp_path)
    text = page(sources) + readme_block(sources)
    for path in tmp_path.iterdir():
        assert f"figures/{path.name}" in text
        assert (ROOT / "docs" / "figures" / path.name).is_file()
        with Image.open(path) as image:
            assert image.format == "PNG"
    assert len(list(tmp_path.iterdir())) == 5


def test_ratios_are_taken_picture_by_picture() -> None:
    def times(each: list[float]) -> dict[str, dict[str, list[float]]]:
        return {"encode": {"each": each}}

    codecs = {"other": times([1.0, 4.0, 9.0]), "48": times([1.0, 2.0, 3.0])}
    assert ratios({"codecs": codecs}, "encode", "other", 48) == (1.5, 2.0, 2.5)


def test_only_the_marked_part_is_replaced() -> None:
    begin, end = MARKS
    assert with_block(f"a\n{begin}\nold\n{end}\nb", r"\1 new") == (
        f"a\n{begin}\n\n\\1 new\n\n{end}\nb"
    )
    with pytest.raises(SystemExit, match="once"):
        with_block("nothing", "new")


def test_no_result_names_a_machines_paths() -> None:
    for path in (ROOT / "docs" / "results").rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        for folder in ("/work/", "/root/", "/home/", "/tmp/"):
            assert folder not in text, path
