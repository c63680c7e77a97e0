"""Test the page about the reference systems, with made-up result files and without files."""

import json
from pathlib import Path

import pytest
import reference_systems as page

from slimcae.coding.hyperprior_arrays import LAYERS
from slimcae.evaluation.results import COMMON_LISTS, MODEL_LISTS, Results, write_results


def save(folder: Path, name: str, scale: float) -> None:
    bpp = [0.2 * scale, 0.5 * scale, 1.0 * scale]
    lists = {key: tuple(bpp) for key in MODEL_LISTS} | {"psnr-rgb": (28.0, 31.0, 34.0)}
    write_results(folder / f"{name}.json", Results(name, "", lists))
    facts = {"parameters": 4_230_000, "bytes": 17_000_000}
    (folder / f"{name}.info.json").write_text(json.dumps(facts), encoding="utf-8")
    rows = [
        {
            "effort": 2,
            "entropy_model": "tables" if k > 1 else "factorized",
            "decoder_macs_per_pixel": 1000.0 * k,
            "encode_ms": 10.0 * k,
            "decode_ms": 20.0 * k,
            "encode_peak_bytes": None,
            "decode_peak_bytes": 5_000_000 * k,
        }
        for k in (3, 2, 1)
    ]
    (folder / f"{name}.profile.json").write_text(json.dumps({"widths": rows}), encoding="utf-8")


def test_without_a_run_the_page_says_so() -> None:
    assert page.block({}) == page.NOT_RUN
    assert "has not been run" in page.NOT_RUN


def test_tables_hold_what_the_files_do(tmp_path: Path) -> None:
    save(tmp_path, "full", 1.0)
    save(tmp_path, "naive", 1.2)
    save(tmp_path, "scheduled", 1.08)
    columns = "width,try,slope,slope_target\n"
    for name, change in (("noise", 0.25), ("schedule", 2.0)):
        rows = f"12,0,9,9\n12,1,{9 + change},9\n"
        (tmp_path / f"{name}.csv").write_text(columns + rows, encoding="utf-8")
    systems = page.read(tmp_path)
    assert list(systems) == ["full", "naive", "scheduled"]
    text = page.block(systems, tmp_path)
    assert (
        "| independent, widest width | 0.200 / 28.00 | 0.500 / 31.00 | 1.000 / 34.00 | +0.0 % |"
        in text
    )
    assert "| SlimCAE, λ equal | 0.240 / 28.00 | 0.600 / 31.00 | 1.200 / 34.00 | +20.0 % |" in text
    assert "| λ-scheduling | 0.216 / 28.00 | 0.540 / 31.00 | 1.080 / 34.00 | −10.0 % |" in text
    costs = "| 4.23 | 17.0 | 1.0 … 3.0 | 10 … 30 | 20 … 60 | – | 5 … 15 | factorized, tables |"
    assert text.count(costs) == 2
    assert page.OF_HYPERPRIORS not in text
    assert "ended with λ 1, 1, 0." in text  # those of `save`
    assert "changes by 2.00 dB per bpp" in text
    assert "by 0.25 where they stay as they are" in text


def test_the_page_tells_what_a_hyperprior_costs_beside_the_transforms(tmp_path: Path) -> None:
    save(tmp_path, "full", 1.0)
    save(tmp_path, "hyperprior", 0.9)
    text = page.block(page.read(tmp_path), tmp_path)
    assert page.OF_HYPERPRIORS in text
    assert "| SlimCAE, hyperprior | 0.180 / 28.00 |" in text
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from slimcae.networks.hyperprior import Hyperprior

    network = Hyperprior({192: 192})
    weights = sum(network.layer(name).weight.numel() for name in LAYERS)
    assert f"{weights / 1e6:.2f} million weights" in text
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.log_scales(torch.zeros(1, 192, 4, 4), 192, torch.tensor(1.0))
    assert f"{counter.get_total_flops() / 2 / 256**2 / 1e3:.1f} kMAC per pixel" in text


def test_plots_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimcae.plots.style.DOTS_PER_INCH", 40)
    save(tmp_path, "full", 1.0)
    save(tmp_path, "naive", 1.1)
    page.draw(page.read(tmp_path), tmp_path)
    made = {path.name for path in tmp_path.glob("*.png")}
    plots = (*page.PLOTS, "lambda_rd_psnr")
    assert made == {f"{page.STEM}_{plot}.png" for plot in plots}
    assert set(COMMON_LISTS) < set(MODEL_LISTS)


def test_the_committed_page_is_what_the_files_make() -> None:
    if not page.FOLDER.exists():
        assert page.NOT_RUN in page.PAGE.read_text(encoding="utf-8")
        return
    pytest.importorskip("scipy")
    assert page.block(page.read(page.FOLDER)) in page.PAGE.read_text(encoding="utf-8")
