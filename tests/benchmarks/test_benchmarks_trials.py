"""docs/results/trials/README.md is what `make results` makes of the committed files."""

from pathlib import Path

import pytest
from PIL import Image
from report.markdown import with_block
from training_trials import PAGE, block, draw, points_table

from slimcae.evaluation.results import Results


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_block(text, block()), "run `make results`"


def test_its_plot_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimcae.plots.style.DOTS_PER_INCH", 60)
    draw(tmp_path)
    (path,) = tmp_path.iterdir()
    assert f"(../../figures/{path.name})" in block()
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_a_model_of_half_the_bits_has_a_bd_rate_of_minus_half() -> None:
    def model(factor: float) -> Results:
        lists = {
            "width": (48.0, 96.0),
            "lambda": (128.0, 512.0),
            "bpp": (0.2 * factor, 0.4 * factor),
            "psnr-rgb": (27.0, 30.0),
        }
        return Results("m", "", lists)

    lines = points_table({"a": model(1), "b": model(0.5)}).splitlines()
    assert lines[0] == "|  | 48 | 96 | BD-rate |"
    assert lines[2] == "| a | 128: 0.200 / 27.00 | 512: 0.400 / 30.00 | +0.0 % |"
    assert lines[3] == "| b | 128: 0.100 / 27.00 | 512: 0.200 / 30.00 | −50.0 % |"
