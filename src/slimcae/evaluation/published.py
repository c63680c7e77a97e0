"""Published rate-distortion curves on Kodak, which are part of the package."""

import re
from collections.abc import Sequence
from pathlib import Path

from slimcae.evaluation.measure import Seen
from slimcae.evaluation.results import Results, read_json

FOLDER = Path(__file__).parent / "published_curves" / "kodak"
NAMES = {
    "vtm": "VVC (VTM)",
    "bpg_444_x265_ycbcr": "BPG",
    "av1": "AV1",
    "paper-bmshj2018-factorized": "Factorized prior",
    "webp": "WebP",
    "jpeg2000": "JPEG 2000",
    "jpeg": "JPEG",
}
"""Codec name of each file; "Factorized prior" has one network per point with our topology."""


def published() -> dict[str, Results]:
    """Return the published curves by name."""
    return {name: read_json(FOLDER / f"{stem}.json") for stem, name in NAMES.items()}


_LOSSLESS = {".png", ".bmp", ".ppm", ".tif", ".tiff"}


def why_not_kodak(pictures: Sequence[Seen]) -> str:
    """Return why pictures are not the 24 Kodak images, or "" if they are.

    They are if there are 24 files with suffixes of lossless formats, each with 768×512 or 512×768
    pixels, and their names without suffix end in kodim01 … kodim24, each once, in any case. Pixels
    are not compared.
    """
    if len(pictures) != 24:
        return f"not 24, but {len(pictures)}"
    names = [re.search(r"kodim\d\d$", seen.path.stem.lower()) for seen in pictures]
    if {name and name.group() for name in names} != {f"kodim{k:02}" for k in range(1, 25)}:
        return "their names do not end in kodim01 … kodim24"
    for path, width, height in pictures:
        if {width, height} != {768, 512}:
            return f"{path.name} has {width}×{height} pixels"
        if path.suffix.lower() not in _LOSSLESS:
            return f"{path.name} may have lost something: no {' '.join(sorted(_LOSSLESS))}"
    return ""
