"""RD points in files: CSV for spreadsheets, JSON in the schema of CompressAI's results.

The JSON holds {"name", "description", "results"}, and in results one list per quantity, with one
entry per point. In addition to CompressAI's lists (psnr-rgb, ms-ssim-rgb, bpp, encoding_time and
decoding_time in seconds) there are width, lambda, bpp-estimated, mse, ms-ssim-db-rgb and the
multiply-accumulates of the transforms. A value is null if it is not available, or infinite (in
psnr-rgb), which JSON cannot represent.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slimcae.errors import ConfigError
from slimcae.evaluation.measure import RDPoint
from slimcae.files import atomic_path

COLUMNS = {
    "model": "codec",
    "width": "setting",
    "lambda": "lmbda",
    "bpp": "bpp",
    "bpp_estimated": "bpp_estimated",
    "mse": "mse",
    "psnr": "psnr",
    "ms_ssim": "ms_ssim",
    "ms_ssim_db": "ms_ssim_db",
    "encode_seconds": "encode_seconds",
    "decode_seconds": "decode_seconds",
    "encoder_macs_per_pixel": "encoder_macs",
    "decoder_macs_per_pixel": "decoder_macs",
}
"""Columns of the CSV of our models, and the fields of `RDPoint` in them."""

COMMON_LISTS = {
    "psnr-rgb": "psnr",
    "ms-ssim-rgb": "ms_ssim",
    "ms-ssim-db-rgb": "ms_ssim_db",
    "bpp": "bpp",
    "encoding_time": "encode_seconds",
    "decoding_time": "decode_seconds",
    "mse": "mse",
}
"""Lists in the JSON of any codec, and the fields of `RDPoint` in them."""

MODEL_LISTS = COMMON_LISTS | {
    "width": "setting",
    "lambda": "lmbda",
    "bpp-estimated": "bpp_estimated",
    "encoder-macs-per-pixel": "encoder_macs",
    "decoder-macs-per-pixel": "decoder_macs",
}
"""Lists in the JSON of our models."""


@dataclass(frozen=True)
class Results:
    """The results of one codec in the structure of the JSON.

    Attributes:
        name: Name of the codec or model.
        description: Free text.
        lists: For each quantity, one value per RD point; None is not available.
    """

    name: str
    description: str
    lists: Mapping[str, tuple[float | None, ...]]

    def curve(self, quality: str = "psnr-rgb") -> list[tuple[float, float]]:
        """Return (bpp, quality) pairs for `bd_rate`, for points that have both."""
        pairs = zip(self.lists["bpp"], self.lists.get(quality, ()), strict=False)
        return [(rate, value) for rate, value in pairs if rate is not None and value is not None]


def to_results(
    points: Sequence[RDPoint], description: str, lists: Mapping[str, str] = MODEL_LISTS
) -> Results:
    """Convert the points of one codec to `Results`, sorted by bpp; `lists`: see `MODEL_LISTS`."""
    ordered = sorted(points, key=lambda point: point.bpp)
    values = {key: tuple(getattr(p, field) for p in ordered) for key, field in lists.items()}
    return Results(points[0].codec, description, values)


def write_csv(path: Path, points: Sequence[RDPoint], columns: Mapping[str, str] = COLUMNS) -> None:
    """Write one row per point, in the given order; missing values are empty cells.

    columns: the headings in order, and the field of `RDPoint` for each.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(point, field) for field in columns.values()] for point in points)


def write_json(path: Path, description: str, points: Sequence[RDPoint]) -> None:
    """Write one model's points, sorted by bpp.

    Raises:
        OSError: the file cannot be written.
    """
    write_results(path, to_results(points, description))


def write_results(path: Path, results: Results) -> None:
    """Write the results of any codec; values that are not finite become null.

    Raises:
        OSError: the file cannot be written.
    """
    document = {
        "name": results.name,
        "description": results.description,
        "results": {
            key: [_finite(value) for value in values] for key, values in results.lists.items()
        },
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Results:
    """Read results in this schema: ours, CompressAI's, and its published ones of other codecs.

    Raises:
        ConfigError: The file cannot be read or does not follow the schema.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read results from {path}: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise ConfigError(f"{path} is not a JSON file: {error}") from error
    if not (isinstance(document, dict) and isinstance(document.get("results"), dict)):
        raise _foreign(path, 'there is no object "results"')

    lists: dict[str, tuple[float | None, ...]] = {}
    for key, values in document["results"].items():
        if not (isinstance(values, list) and all(map(_is_number_or_none, values))):
            raise _foreign(path, f'"{key}" is not a list of numbers')
        lists[key] = tuple(values)
    if "bpp" not in lists:
        raise _foreign(path, 'there is no list "bpp"')
    for key, column in lists.items():
        if len(column) != len(lists["bpp"]):
            raise _foreign(path, f'"{key}" has {len(column)} values, "bpp" {len(lists["bpp"])}')
    name, description = document.get("name", path.stem), document.get("description", "")
    return Results(str(name), str(description), lists)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _is_number_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _foreign(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} does not hold results in CompressAI's schema: {why}; expected "
        '{"name", "description", "results": {"bpp": [...], "psnr-rgb": [...], ...}}'
    )
