"""Published rate-distortion curves on Kodak, which travel with the package."""

from pathlib import Path

from slimcae.evaluation.results import Results, read_json

FOLDER = Path(__file__).parent / "published" / "kodak"
NAMES = {
    "vtm": "VVC (VTM)",
    "bpg_444_x265_ycbcr": "BPG",
    "av1": "AV1",
    "paper-bmshj2018-factorized": "Factorized prior",
    "webp": "WebP",
    "jpeg2000": "JPEG 2000",
    "jpeg": "JPEG",
}
"""What each file holds; "Factorized prior" is one network per point, of our topology."""


def published() -> dict[str, Results]:
    """The curves by name."""
    return {name: read_json(FOLDER / f"{stem}.json") for stem, name in NAMES.items()}
