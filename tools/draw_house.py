"""Draw docs/figures/house.svg: the packages inside slimcae and their imports, from the code.

    python tools/draw_house.py

The rows are the layers in the contract "Data walks one way" of pyproject.toml, and the lines are
the imports that grimp finds. Imports that a longer path implies are left out: for example, cli
imports codec and codec imports images, so no line goes from cli to images. All packages may import
the two lowest layers, which are drawn as one box.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "figures" / "house.svg"

JOBS = {
    "cli": "one file per command",
    "studio": "page and HTTP server",
    "evaluation": "metrics, BD-rate, other codecs",
    "profiling": "time and memory",
    "pillow": "Pillow plugin",
    "ray": "pipeline on a cluster",
    "compressai": "models in CompressAI",
    "training": "loss, loop, λ, fitting",
    "networks": "torch modules",
    "codec": "compress and decompress",
    "transforms": "pixels ↔ latents",
    "model": "models as data",
    "coding": "integers ↔ bytes",
    "container": "bytes ↔ file",
    "images": "picture files ↔ pixels",
    "plots": "every figure",
}
STEPS = {"images": 1, "transforms": 2, "coding": 3, "container": 4}
"""The order of the steps of compression; `codec` calls them."""
TORCH = ("networks", "training", "compressai")
COLUMNS = {
    "studio": 1.0, "compressai": -2.15, "pillow": -1.25, "profiling": -0.35, "ray": 0.57,
    "evaluation": 2.05, "training": 1.35, "networks": -1.3, "codec": -0.1,
    "transforms": -0.95, "model": -1.25,
    "coding": -1.4, "container": -0.25, "images": 0.9, "plots": 2.05,
}  # fmt: skip
"""Horizontal position of a package from the middle, chosen so that few lines cross boxes."""
LOWEST = 2

COLUMN, ROW, BOX = 186, 92, (164, 54)
MARGIN = 24
WIDTH = 1000
STYLE = """
text { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif; }
.package { fill: #ffffff; stroke: #9aa5b1; }
.torch { fill: #fff1e0; stroke: #d9822b; }
.step { fill: #e5f0fd; stroke: #1261c4; stroke-width: 2; }
.name { font-size: 15px; font-weight: 600; fill: #161616; }
.job { font-size: 11.5px; fill: #4a4a4a; }
.import { fill: none; stroke: #8793a0; stroke-width: 1.3; opacity: 0.75; }
.number { fill: #1261c4; } .digit { font-size: 12px; font-weight: 600; fill: #ffffff; }
"""

Graph = Mapping[str, frozenset[str]]


def main() -> None:
    """Write the diagram."""
    PICTURE.write_text(picture(layers(), imports()), encoding="utf-8")


def layers() -> list[list[str]]:
    """Return the packages of each layer, from top to bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (declared,) = (c["layers"] for c in contracts if c["name"] == "Data walks one way")
    rows = [[package.strip().partition(".")[2] for package in row.split("|")] for row in declared]
    return [row for row in rows if row != ["__main__"]]


def imports() -> Graph:
    """Return the packages that each one imports, without those that a longer path implies."""
    packages = [package for row in layers() for package in row]
    graph = grimp.build_graph("slimcae", exclude_type_checking_imports=True, cache_dir=None)
    names = {package: f"slimcae.{package}" for package in packages}
    direct = {
        a: frozenset(
            b
            for b in packages
            if a != b
            and graph.direct_import_exists(importer=names[a], imported=names[b], as_packages=True)
        )
        for a in packages
    }
    return {a: direct[a] - {c for b in direct[a] for c in _reached(direct, b)} for a in packages}


def _reached(graph: Graph, start: str) -> set[str]:
    """Return all packages that are reachable by one or more imports."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def picture(rows: Sequence[Sequence[str]], graph: Graph) -> str:
    """Return the diagram as SVG."""
    upper, lowest = rows[:-LOWEST], [package for row in rows[-LOWEST:] for package in row]
    height = 2 * MARGIN + ROW * len(upper) + BOX[1]
    places = {
        package: (WIDTH / 2 + COLUMN * COLUMNS.get(package, k), MARGIN + ROW * level)
        for level, row in enumerate(upper)
        for k, package in enumerate(row)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The packages of slimcae, and which imports which</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_lines(places, graph),
        *(line for package in places for line in _box(package, places[package])),
        *_lowest(lowest, MARGIN + ROW * len(upper)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _lines(places: Mapping[str, tuple[float, float]], graph: Graph) -> Iterator[str]:
    """Yield lines from the bottom of each box to the top of the boxes that it imports."""
    for above, below in ((a, b) for a in places for b in sorted(graph[a]) if b in places):
        (x, y), (to_x, to_y) = places[above], places[below]
        y += BOX[1]
        bend = max(0.5 * (to_y - y), 18)
        curve = f"M{x:g},{y:g} C{x:g},{y + bend:g} {to_x:g},{to_y - bend:g} {to_x:g},{to_y:g}"
        yield f'<path class="import" d="{curve}"/>'


def _box(package: str, place: tuple[float, float]) -> Iterator[str]:
    x, y = place
    left, middle = x - BOX[0] / 2, f'x="{x:g}" text-anchor="middle"'
    kind = "torch" if package in TORCH else "step" if package in {*STEPS, "codec"} else "package"
    yield (
        f'<rect class="{kind}" x="{left:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="9"/>'
    )
    yield f'<text class="name" {middle} y="{y + 23:g}">{escape(package)}</text>'
    yield f'<text class="job" {middle} y="{y + 41:g}">{escape(JOBS.get(package, ""))}</text>'
    if package in STEPS:
        yield f'<circle class="number" cx="{left:g}" cy="{y:g}" r="11"/>'
        yield (
            f'<text class="digit" x="{left:g}" y="{y + 4.3:g}" text-anchor="middle">'
            f"{STEPS[package]}</text>"
        )


def _lowest(packages: Sequence[str], y: float) -> Iterator[str]:
    middle = f'x="{WIDTH / 2:g}" text-anchor="middle"'
    yield (
        f'<rect class="package" x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" '
        f'height="{BOX[1]}" rx="9"/>'
    )
    yield f'<text class="name" {middle} y="{y + 23}">{escape(" · ".join(packages))}</text>'
    yield f'<text class="job" {middle} y="{y + 41}">all packages may import these</text>'


if __name__ == "__main__":
    main()
