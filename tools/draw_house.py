"""Draw docs/figures/house.svg: the rooms of the package and who imports whom, from the code itself.

    python tools/draw_house.py

The rows are the layers that pyproject.toml declares ("Data walks one way"), the lines are imports
that grimp finds. An import that a longer way implies is left out: cli imports codec, for example,
and codec imports images, so no line goes from cli to images. The two lowest layers, which anyone
may import, are drawn as the floor.
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
    "evaluation": "metrics, BD-rate, rivals",
    "profiling": "time and memory",
    "pillow": "the format in Pillow",
    "ray": "many machines",
    "compressai": "models in CompressAI",
    "training": "loss, loop, λ, fitting",
    "networks": "torch modules",
    "codec": "where everything meets",
    "transforms": "pixels ↔ latents",
    "model": "what a model is, as data",
    "coding": "integers ↔ bytes",
    "container": "bytes ↔ file",
    "images": "picture files ↔ pixels",
    "plots": "every figure",
}
STAIRS = {"images": 1, "transforms": 2, "coding": 3, "container": 4}
"""The order in which a photo passes through when it is compressed; `codec` leads it."""
TORCH = ("networks", "training", "compressai")
COLUMNS = {
    "studio": 1.0, "compressai": -2.15, "pillow": -1.25, "profiling": -0.35, "ray": 0.57,
    "evaluation": 2.05, "training": 1.35, "networks": -1.3, "codec": -0.1,
    "transforms": -0.95, "model": -1.25,
    "coding": -1.4, "container": -0.25, "images": 0.9, "plots": 2.05,
}  # fmt: skip
"""Where a room stands, from the middle, so that few lines run behind rooms."""
FLOORS = 2

COLUMN, ROW, BOX = 186, 92, (164, 54)
MARGIN = 24
WIDTH = 1000
STYLE = """
text { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif; }
.room { fill: #ffffff; stroke: #9aa5b1; }
.torch { fill: #fff1e0; stroke: #d9822b; }
.stair { fill: #e5f0fd; stroke: #1261c4; stroke-width: 2; }
.name { font-size: 15px; font-weight: 600; fill: #161616; }
.job { font-size: 11.5px; fill: #4a4a4a; }
.way { fill: none; stroke: #8793a0; stroke-width: 1.3; opacity: 0.75; }
.number { fill: #1261c4; } .digit { font-size: 12px; font-weight: 600; fill: #ffffff; }
"""

Graph = Mapping[str, frozenset[str]]


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(picture(layers(), imports()), encoding="utf-8")


def layers() -> list[list[str]]:
    """Return the rooms of each layer, the uppermost first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (declared,) = (c["layers"] for c in contracts if c["name"] == "Data walks one way")
    rows = [[room.strip().partition(".")[2] for room in row.split("|")] for row in declared]
    return [row for row in rows if row != ["__main__"]]


def imports() -> Graph:
    """Return the rooms that each room imports, without those that a longer way implies."""
    rooms = [room for row in layers() for room in row]
    graph = grimp.build_graph("slimcae", exclude_type_checking_imports=True, cache_dir=None)
    names = {room: f"slimcae.{room}" for room in rooms}
    direct = {
        a: frozenset(
            b
            for b in rooms
            if a != b
            and graph.direct_import_exists(importer=names[a], imported=names[b], as_packages=True)
        )
        for a in rooms
    }
    return {a: direct[a] - {c for b in direct[a] for c in _reached(direct, b)} for a in rooms}


def _reached(graph: Graph, start: str) -> set[str]:
    """Return all rooms that a way of one import or more leads to."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def picture(rows: Sequence[Sequence[str]], graph: Graph) -> str:
    """Return the picture as SVG."""
    upper, floor = rows[:-FLOORS], [room for row in rows[-FLOORS:] for room in row]
    height = 2 * MARGIN + ROW * len(upper) + BOX[1]
    places = {
        room: (WIDTH / 2 + COLUMN * COLUMNS.get(room, k), MARGIN + ROW * level)
        for level, row in enumerate(upper)
        for k, room in enumerate(row)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The packages of slimcae, and which imports which</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_ways(places, graph),
        *(line for room in places for line in _room(room, places[room])),
        *_floor(floor, MARGIN + ROW * len(upper)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _ways(places: Mapping[str, tuple[float, float]], graph: Graph) -> Iterator[str]:
    """Yield a line from the lower side of a room to the upper side of each that it imports."""
    for above, below in ((a, b) for a in places for b in sorted(graph[a]) if b in places):
        (x, y), (to_x, to_y) = places[above], places[below]
        y += BOX[1]
        bend = max(0.5 * (to_y - y), 18)
        curve = f"M{x:g},{y:g} C{x:g},{y + bend:g} {to_x:g},{to_y - bend:g} {to_x:g},{to_y:g}"
        yield f'<path class="way" d="{curve}"/>'


def _room(room: str, place: tuple[float, float]) -> Iterator[str]:
    x, y = place
    left, middle = x - BOX[0] / 2, f'x="{x:g}" text-anchor="middle"'
    kind = "torch" if room in TORCH else "stair" if room in {*STAIRS, "codec"} else "room"
    yield (
        f'<rect class="{kind}" x="{left:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="9"/>'
    )
    yield f'<text class="name" {middle} y="{y + 23:g}">{escape(room)}</text>'
    yield f'<text class="job" {middle} y="{y + 41:g}">{escape(JOBS.get(room, ""))}</text>'
    if room in STAIRS:
        yield f'<circle class="number" cx="{left:g}" cy="{y:g}" r="11"/>'
        yield (
            f'<text class="digit" x="{left:g}" y="{y + 4.3:g}" text-anchor="middle">'
            f"{STAIRS[room]}</text>"
        )


def _floor(rooms: Sequence[str], y: float) -> Iterator[str]:
    middle = f'x="{WIDTH / 2:g}" text-anchor="middle"'
    yield (
        f'<rect class="room" x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" height="{BOX[1]}" '
        'rx="9"/>'
    )
    yield f'<text class="name" {middle} y="{y + 23}">{escape(" · ".join(rooms))}</text>'
    yield f'<text class="job" {middle} y="{y + 41}">the floor: anyone may import these</text>'


if __name__ == "__main__":
    main()
