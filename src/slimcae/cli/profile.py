"""`slimcae profile`: measure the cost of each width of a model on this machine."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from slimcae.cli.messages import add_talk_options
from slimcae.cli.options import (
    add_model_option,
    add_network_options,
    add_option,
    network_options,
    require_packages,
)
from slimcae.cli.streams import cannot_write, missing_parent, refusal
from slimcae.errors import ConfigError
from slimcae.model.cost import default_profile, write_profile
from slimcae.model.registry import find_model

if TYPE_CHECKING:
    from slimcae.model.cost import Profile
    from slimcae.profiling import Complexity

log = logging.getLogger("slimcae")

T = TypeVar("T")
SECONDS_BETWEEN = 10.0
"""Smallest interval between two lines of progress."""

_EPILOG = """\
The table shows times of a picture of 768x512 pixels, split into the network, the coder, and the
rest. Memory is the peak in addition to the program itself, measured in a separate process for every
width, for encoding and for decoding; the column comp. is the computed estimate for decoding. Times
do not include start-up.

The command also measures pictures of other sizes, for `slimcae compress --max-decode-ms`, which
reads the profile. Run it on the machine that will decode.

examples:
  slimcae profile --repeats 9 --plot costs.png
  slimcae profile --model runs/first -o phone.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Measure the cost of each width of a model on this machine."
    parser.epilog = _EPILOG
    add_option(
        parser,
        "-o",
        "--output",
        metavar="FILE",
        help="profile to write (default: the profile of this machine, which `compress` uses)",
    )
    add_option(parser, "-y", "--overwrite", action="store_true", help="replace existing files")
    add_option(
        parser,
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="runs per picture, of which the median is reported (default: 3)",
    )
    add_option(parser, "--json", action="store_true", help="print one JSON object")
    add_option(parser, "--plot", metavar="FILE", help="draw the table as a PNG file")
    add_model_option(parser)
    add_network_options(parser)
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    if args.plot is not None:
        require_packages("draws plots", "matplotlib")
    path = default_profile() if args.output is None else Path(args.output)
    if args.output is not None:
        problem = refusal(args.output, overwrite=args.overwrite)
        if problem is not None:
            raise ConfigError(problem)
    if args.plot is not None:
        problem = refusal(args.plot, overwrite=args.overwrite, flag="--plot") or missing_parent(
            args.plot, "--plot"
        )
        if problem is not None:
            raise ConfigError(problem)
    model = find_model(args.model)

    from slimcae import codec, profiling

    profiling.checked_repeats(args.repeats)
    try:  # before minutes of measuring
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(str(path), error) from error
    loaded = codec.load(model, **network_options(args))
    log.info("measuring pictures of several sizes ...")
    shown = sys.stderr.isatty() and args.level < logging.ERROR
    track = _Bar() if shown else _Lines()
    profile = profiling.measure(loaded, args.repeats, track=track)
    try:
        write_profile(profile, path)
    except OSError as error:
        raise cannot_write(str(path), error) from error
    log.info("measuring parts and memory ...")
    rows = profiling.complexity(loaded, model, args.repeats, track=track)
    facts = _facts(profile, rows, profiling.PHOTO)
    if args.plot is not None:
        from slimcae.plots.profile import plot_complexity

        try:
            plot_complexity(Path(args.plot), facts["widths"], _title(facts))
        except OSError as error:
            raise cannot_write(args.plot, error) from error
        log.info("plot written: %s", args.plot)
    if args.json:
        print(json.dumps({"file": str(path), **facts}))
    else:
        print(format_table(facts))
    log.info("profile written: %s", path)
    return 0


class _Bar:
    """Progress bars on a terminal, with the remaining time."""

    def __call__(self, items: Sequence[T], what: str) -> Iterable[T]:
        from tqdm import tqdm

        return cast("Iterable[T]", tqdm(items, what, dynamic_ncols=True, leave=False))


class _Lines:
    """Progress lines without a terminal, at most one in `SECONDS_BETWEEN`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def __call__(self, items: Sequence[T], what: str) -> Iterator[T]:
        start = said = self._clock()
        for done, item in enumerate(items):
            now = self._clock()
            if done and now - said >= SECONDS_BETWEEN:
                said = now
                left = (now - start) / done * (len(items) - done)
                log.info("%s: %d of %d, about %.0f s left", what, done, len(items), left)
            yield item


def format_table(facts: dict[str, Any]) -> str:
    """Return the facts that --json prints as a text table."""
    rows = facts["widths"]
    names = "point        λ  width" if any("point" in row for row in rows) else "width  "
    space = " " * (len(names) - len("width  "))
    return "\n".join(
        [_title(facts), "", space + _OVER, names + _HEAD, *(_line(row) for row in rows)]
    )


_OVER = (
    "                   kMAC     peak, MB            encode, ms               decode, ms       MP/s"
)
_HEAD = (
    " parameters per px  enc dec comp.   all network coder rest   all network coder rest  enc  dec"
)


def _line(row: dict[str, Any]) -> str:
    memory = "".join(
        "   –" if row[name] is None else f"{row[name] / 1e6:4.0f}"
        for name in ("encode_peak_bytes", "decode_peak_bytes")
    )
    times = "".join(
        "{:6.1f}{:8.1f}{:6.1f}{:5.1f}".format(
            *(row[f"{way}_{part}"] for part in ("ms", "network_ms", "coder_ms", "rest_ms"))
        )
        for way in ("encode", "decode")
    )
    effort = "e1" if row["effort"] == 1 else ""
    name = f"{row['width']:3} {effort:4}"
    if "point" in row:
        lmbda = "–" if row["lambda"] is None else f"{row['lambda']:g}"
        name = f"{row['point']:3} {effort:3}{lmbda:>7}{row['width']:7} "
    return (
        f"{name}{row['parameters']:10,}"
        f"{row['decoder_macs_per_pixel'] / 1000:7.2f}"
        f" {memory}{row['decode_estimate_bytes'] / 1e6:6.0f}{times}"
        f"{row['encode_megapixels_per_second']:5.1f}{row['decode_megapixels_per_second']:5.1f}"
    )


def _title(facts: dict[str, Any]) -> str:
    return (
        f"{facts['model']} on {facts['machine']}; {facts['runtime']}, threads: {facts['threads']}, "
        f"{facts['precision']}; {facts['columns']}x{facts['rows']} pixels"
    )


def _facts(profile: "Profile", rows: "list[Complexity]", size: tuple[int, int]) -> dict[str, Any]:
    texts = {name: value for name, value in vars(profile).items() if not isinstance(value, dict)}
    return {
        **texts,
        "rows": size[0],
        "columns": size[1],
        "widths": [row.to_dict() for row in rows],
    }
