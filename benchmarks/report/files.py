"""The committed result files, as docs/results.md uses them."""

import json
from pathlib import Path
from typing import Any

from slimcae.evaluation.published import published
from slimcae.evaluation.results import Results, read_json

RESULTS = Path(__file__).parents[2] / "docs" / "results"


CODECS = ("jpeg", "webp", "jpeg-2000", "avif-speed-6", "avif-speed-8", "avif-speed-9",
          "avif-speed-10", "jpeg-xl-effort-1", "jpeg-xl-effort-3", "jpeg-xl-effort-7")  # fmt: skip


class Sources:
    """The results in a folder, as read from its files."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.ours, self.others = _bench(folder / "kodak")
        self.searched = read_json(folder / "kodak" / "bench_slimcae-effort-3.json")
        self.ours_avx2, self.others_avx2 = _bench(folder / "avx2" / "kodak")
        self.published = published()
        self.peers = _load(folder / "peers.json")
        self.peers_avx2 = _load(folder / "avx2" / "peers.json")
        self.profile = _load(folder / "profile.json")
        self.profile_avx2 = _load(folder / "avx2" / "profile.json")
        self.training = _load(folder / "training.json")
        self.start_up = _load(folder / "start_up.json")
        self.backends = _load(folder / "backends.json")
        self.backends_avx2 = _load(folder / "avx2" / "backends.json")
        self.effort = _load(folder / "effort.json")
        self.many_pictures = _load(folder / "many_pictures.json")
        self.ideas = (folder / "ideas.md").read_text(encoding="utf-8").strip()

    @property
    def widths(self) -> tuple[int, int]:
        """The narrowest and the widest width."""
        widths = self.peers["ours"]["widths"]
        return widths[-1], widths[0]


def _bench(folder: Path) -> tuple[Results, dict[str, Results]]:
    """Read the results of one run of `slimcae bench`: our curve, and those of others by name."""
    others = (read_json(folder / f"bench_{codec}.json") for codec in CODECS)
    return read_json(folder / "bench_slimcae.json"), {found.name: found for found in others}


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
