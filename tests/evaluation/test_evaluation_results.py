import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from fake_codec import make_points

from slimcae.errors import ConfigError
from slimcae.evaluation.results import read_json, write_csv, write_json

PUBLISHED = Path(__file__).parents[1] / "data" / "rd"

HEADER = (
    "model,width,lambda,bpp,bpp_estimated,mse,psnr,ms_ssim,ms_ssim_db,encode_seconds,decode_seconds,"
    "encoder_macs_per_pixel,decoder_macs_per_pixel"
)


def test_csv_has_one_row_per_point(tmp_path: Path) -> None:
    points = [*make_points("a, quoted"), *make_points("b", rate=2)]
    write_csv(tmp_path / "x.csv", points)
    text = (tmp_path / "x.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["model"], row["width"]) for row in rows] == [
        (p.codec, str(p.setting)) for p in points
    ]
    assert [row["lambda"] for row in rows[:5]] == ["1920.0", "1440.0", "960.0", "720.0", ""]
    for row, point in zip(rows, points, strict=True):
        for column in HEADER.split(",")[3:]:
            name = column.removesuffix("_per_pixel")
            assert float(row[column]) == getattr(point, name), column


def test_csv_leaves_cells_empty_that_are_not_available(tmp_path: Path) -> None:
    point = replace(make_points("m")[0], lmbda=None, ms_ssim=None, ms_ssim_db=None, psnr=math.inf)
    write_csv(tmp_path / "x.csv", [point])
    (row,) = csv.DictReader((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines())
    assert (row["lambda"], row["ms_ssim"], row["ms_ssim_db"]) == ("", "", "")
    assert row["psnr"] == "inf"


def test_json_follows_compressai_and_is_sorted_by_rate(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", "text", make_points("näme"))
    document = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert list(document) == ["name", "description", "results"]
    assert document["name"] == "näme"
    published = json.loads((PUBLISHED / "jpeg.json").read_text(encoding="utf-8"))
    results = document["results"]
    assert set(published["results"]) <= set(results)
    assert results["bpp"] == [0.125, 0.25, 0.4, 0.7, 1.0]
    assert results["width"] == [48, 72, 96, 144, 192]
    assert results["lambda"] == [None, 720, 960, 1440, 1920]
    assert results["psnr-rgb"] == [28, 30, 32, 34.5, 36.5]
    assert results["ms-ssim-rgb"] == [0.9, 0.94, 0.96, 0.98, 0.99]
    assert results["encoding_time"] == [0.0125] * 5
    assert results["decoding_time"] == [0.025] * 5
    assert results["bpp-estimated"] == [0.99 * bpp for bpp in results["bpp"]]
    assert results["mse"] == pytest.approx([10 ** (-x / 10) for x in results["psnr-rgb"]])


def test_json_is_strict_where_a_value_is_infinite(tmp_path: Path) -> None:
    points = [replace(point, psnr=math.inf, ms_ssim_db=None) for point in make_points("m")]
    write_json(tmp_path / "x.json", "", points)

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    results = json.loads(text, parse_constant=refuse)["results"]
    assert results["psnr-rgb"] == results["ms-ssim-db-rgb"] == [None] * 5
    assert read_json(tmp_path / "x.json").curve() == []


def test_reading_back(tmp_path: Path) -> None:
    points = make_points("m")
    write_json(tmp_path / "x.json", "text", points)
    results = read_json(tmp_path / "x.json")
    assert (results.name, results.description) == ("m", "text")
    assert results.curve() == sorted((p.bpp, p.psnr) for p in points)
    assert results.curve("ms-ssim-db-rgb") == sorted((p.bpp, p.ms_ssim_db) for p in points)
    assert results.curve("unheard-of") == []


@pytest.mark.parametrize(
    ("file", "name", "count"),
    [
        ("jpeg", "JPEG", 19),
        ("vtm", "VTM", 8),
        ("compressai-bmshj2018-factorized_mse_cpu", "bmshj2018-factorized", 8),
    ],
)
def test_published_results_are_read(file: str, name: str, count: int) -> None:
    results = read_json(PUBLISHED / f"{file}.json")
    assert results.name == name
    assert len(results.curve()) == len(results.curve("ms-ssim-rgb")) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("[]", 'no object "results"'),
        ('{"name": "x"}', 'no object "results"'),
        ('{"results": {"psnr-rgb": [1]}}', 'no list "bpp"'),
        ('{"results": {"bpp": 1}}', '"bpp" is not a list of numbers'),
        ('{"results": {"bpp": ["1"]}}', '"bpp" is not a list of numbers'),
        ('{"results": {"bpp": [true]}}', '"bpp" is not a list of numbers'),
        ('{"results": {"bpp": [1, 2], "psnr-rgb": [30]}}', '"psnr-rgb" has 1 values, "bpp" 2'),
    ],
)
def test_foreign_json_is_a_config_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_json_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read results from .*missing\.json"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not a JSON file"):
        read_json(tmp_path / "binary.json")
