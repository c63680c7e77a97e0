"""What defines a SlimCAE beside its weights, and what it can run on. Never imports torch."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import eq, ge, gt
from pathlib import Path
from typing import Any, Literal, SupportsIndex, get_args

from slimcae.errors import ConfigError, ContradictionError

GDNVariant = Literal["switchable", "slim", "slim+"]
GDN_VARIANTS: tuple[GDNVariant, ...] = get_args(GDNVariant)
Method = Literal["slimcae", "independent", "bottleneck_scaling", "modulated"]
METHODS: tuple[Method, ...] = get_args(Method)
"""What operating points have in common; see `SlimCAEConfig`."""
ArchitectureName = Literal["slimcae", "light"]
ARCHITECTURES: tuple[ArchitectureName, ...] = get_args(ArchitectureName)
LIGHT_MULTIPLE = 4
"""Widths of the architecture `light` are multiples of this: its finest layers have a quarter."""
DEVICES = ("cpu", "cuda", "auto")
PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_WIDTHS = (192, 144, 96, 72, 48)
DEFAULT_STEPS = (
    1.0,
    *(round(1.07**-j, 4) for j in range(1, 12)),
    *(round(1.05**j, 4) for j in range(1, 20)),
)
"""Quantisation steps Δ that a model can code with: Δ = 1, which training sees, then finer ones
down to 0.48, then coarser ones up to 2.5. From one to the next, bytes change by 4 to 6 %."""


@dataclass(frozen=True)
class SlimCAEConfig:
    """The operating points of a model, and the transforms that they compute with.

    widths: filters per layer of each point, best point (of most bits) first.
    gdn: variant of the normalization; only the architecture `slimcae` has one.
    method: what the points have in common.

        - `slimcae`: the kernels, of which each uses the first channels (Yang et al. 2021). Their
          widths differ.
        - `independent`: nothing (Ballé et al. 2017, a network per λ).
        - `bottleneck_scaling`: everything but a factor for each latent channel (Theis et al. 2017,
          section 3.3).
        - `modulated`: everything but a factor for each channel beside the normalizations (Yang et
          al. 2020, the modulated autoencoder).

    Raises:
        ConfigError: widths that are not positive integers, best first, as the method has them
            (strictly decreasing; not increasing; all alike), or that the architecture cannot have;
            an unknown GDN, architecture or method; a method that the architecture cannot have.
    """

    widths: tuple[int, ...] = DEFAULT_WIDTHS
    gdn: GDNVariant = "switchable"
    architecture: ArchitectureName = "slimcae"
    method: Method = "slimcae"

    def __post_init__(self) -> None:
        widths = self.widths
        if self.method not in METHODS:
            raise ConfigError(f"unknown method {self.method!r}: choose from {', '.join(METHODS)}")
        whole = all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths)
        in_order, allowed = _ORDERS[self.method]
        if not (widths and whole and all(in_order(a, b) for a, b in pairwise(widths))):
            raise ConfigError(f"widths {list(widths)} do not work: give {allowed}")
        if self.gdn not in GDN_VARIANTS:
            raise ConfigError(
                f"unknown GDN variant {self.gdn!r}: choose from {', '.join(GDN_VARIANTS)}"
            )
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"unknown architecture {self.architecture!r}: choose from "
                f"{', '.join(ARCHITECTURES)}"
            )
        if self.architecture == "light":
            if any(width % LIGHT_MULTIPLE for width in widths):
                raise ConfigError(
                    f"widths {' '.join(map(str, widths))}: architecture light takes multiples of "
                    f"{LIGHT_MULTIPLE}"
                )
            if self.gdn != "switchable":
                raise ConfigError(f"gdn {self.gdn}: architecture light has no GDN")
            if self.method == "modulated":
                raise ConfigError("method modulated: architecture light has no GDN to modulate")

    @property
    def num_filters(self) -> int:
        """The widest width; of the shared kernels, where they are shared."""
        return self.widths[0]

    @property
    def has_own_widths(self) -> bool:
        """Whether the widths tell the operating points apart."""
        return all(a > b for a, b in pairwise(self.widths))

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point, best (of most bits) first.

        It is the point's width where these differ, else the number of points from it on: n … 1. In
        either case a better point has a larger number.
        """
        if self.has_own_widths and self.method in _OF_WIDTHS:
            return self.widths
        return tuple(range(len(self.widths), 0, -1))

    def filters(self, point: int) -> int:
        """Return the width that an operating point computes with."""
        return self.widths[self.points.index(point)]

    def label(self, point: int, lmbda: Sequence[float] | None) -> str:
        """Return what people call a point: `width 96`, or `point 3 (λ 512)`.

        lmbda: of all points, if known.
        """
        if self.points == self.widths:
            return f"width {point}"
        known = dict(zip(self.points, lmbda or (), strict=False)).get(point)
        return f"point {point}" + ("" if known is None else f" (λ {known:g})")

    def transforms_of(self, point: int) -> "SlimCAEConfig":
        """Return the configuration of the transforms that an operating point computes with."""
        if self.method == "slimcae":
            return self
        return SlimCAEConfig((self.filters(point),), self.gdn, self.architecture)

    def check_point(self, point: object) -> int:
        """Return the number of an operating point that a model of this configuration has.

        Raises:
            ConfigError: another one.
        """
        number = whole_number(point)
        if number is None or number not in self.points:
            have = ", ".join(map(str, self.points))
            what = "width" if self.points == self.widths else "operating point"
            raise ConfigError(f"this model has no {what} {point!r}: choose from {have}")
        return number

    def check_width(self, width: object) -> int:
        """Return a width that tells an operating point of a model of this configuration.

        Raises:
            ConfigError: another one, or the widths of the points do not tell them apart.
        """
        if self.points != self.widths:
            raise ConfigError(
                f"width {width!r} cannot be chosen: the operating points of this model, of method "
                f"{self.method}, differ in λ and not in width; choose a point by its number, "
                f"{', '.join(map(str, self.points))}",
                field="point",
            )
        return self.check_point(width)


_OF_WIDTHS = ("slimcae", "independent")
"""Methods whose widths may differ."""
_ORDERS: dict[str, tuple[Callable[[int, int], bool], str]] = {
    "slimcae": (gt, "strictly decreasing positive integers, as in 192 144 96 72 48"),
    "independent": (ge, "positive integers that do not increase, as in 192 192 144"),
    "bottleneck_scaling": (eq, "one positive integer for all operating points"),
    "modulated": (eq, "one positive integer for all operating points"),
}
"""How the width of a point and that of the next compare, by method, and what that means."""


def whole_number(value: object) -> int | None:
    """Return an integer of any kind, as numpy has several, as Python's; None: it is something else.

    Truth values are no numbers here.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    try:
        return operator.index(value)
    except TypeError:  # an array of several
        return None


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about its weights.

    Raises:
        ConfigError: a name that the header of a `.scae` file cannot hold, or a version like it.
    """

    name: str = "unnamed"
    """1 to 24 printable ASCII characters; every file that the model codes carries it."""
    version: str = "0"
    lmbda: tuple[float, ...] | None = None
    """λ of each operating point, best first, as last trained."""
    training: dict[str, Any] = field(default_factory=dict)
    """How it was trained, for people."""
    quality: dict[int, tuple[tuple[float, float], ...]] | None = None
    """Mean bits per pixel and PSNR in dB of every quantisation step, for each operating point, on
    the images of `slimcae fit`; None before."""

    def __post_init__(self) -> None:
        for what, text, longest in (("name", self.name, 24), ("version", self.version, 32)):
            if not (1 <= len(text) <= longest and text.isascii() and text.isprintable()):
                raise ConfigError(
                    f"model {what} {text!r}: give 1 to {longest} printable ASCII characters"
                )


def check_same_config(
    origin: Path,
    have: SlimCAEConfig,
    widths: tuple[int, ...] | None,
    gdn: str | None,
    architecture: str | None = None,
    method: str | None = None,
) -> None:
    """Compare what was asked for with what a file holds.

    widths: one alone stands for all operating points that have it.

    Raises:
        ContradictionError: they differ; both sides are named.
    """
    if method is not None and method != have.method:
        raise ContradictionError("method", method, origin, have.method)
    if widths is not None and widths not in (have.widths, _all_alike(have.widths)):
        raise ContradictionError("widths", _words(widths), origin, _words(have.widths))
    if architecture is not None and architecture != have.architecture:
        raise ContradictionError("architecture", architecture, origin, have.architecture)
    if gdn is not None and have.architecture == "light":
        raise ConfigError(f"gdn {gdn}: {origin} has the architecture light, which has no GDN")
    if gdn is not None and gdn != have.gdn:
        raise ContradictionError("gdn", gdn, origin, have.gdn)


def _all_alike(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Return one width if there is no other, else all."""
    return widths[:1] if len(set(widths)) == 1 else widths


def _words(widths: tuple[int, ...]) -> str:
    return " ".join(map(str, widths))
