"""The configuration of a SlimCAE, its checks, and the names of devices. No torch."""

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
"""How operating points share parameters; see `SlimCAEConfig`."""
ArchitectureName = Literal["slimcae", "light", "lighter", "broad", "broader"]
ARCHITECTURES: tuple[ArchitectureName, ...] = get_args(ArchitectureName)
LIGHT_MULTIPLE = 4
"""Widths of the light architectures are multiples of this; their finest layers have width / 4."""
DEVICES = ("cpu", "cuda", "auto")
PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_WIDTHS = (192, 144, 96, 72, 48)
DEFAULT_STEPS = (
    1.0,
    *(round(1.07**-j, 4) for j in range(1, 12)),
    *(round(1.05**j, 4) for j in range(1, 20)),
)
"""Quantisation steps Δ that a model can code with: Δ = 1, as in training, then finer ones down to
0.48, then coarser ones up to 2.5. Neighbouring steps differ by 4 to 6 % in bytes."""


def has_gdn(architecture: str) -> bool:
    """Return whether an architecture has normalizations; the light ones do not."""
    return architecture == "slimcae"


@dataclass(frozen=True)
class SlimCAEConfig:
    """The operating points of a model, and the transforms that they use.

    widths: filters per layer of each point, best point (most bits) first.
    gdn: variant of the normalization; only the architecture `slimcae` has one.
    method: what the points share.

        - `slimcae`: the kernels; each point uses their first channels (Yang et al. 2021). Widths
          differ.
        - `independent`: nothing (Ballé et al. 2017, one network per λ).
        - `bottleneck_scaling`: everything except one factor per latent channel (Theis et al. 2017,
          section 3.3).
        - `modulated`: everything except one factor per channel next to the normalizations (Yang
          et al. 2020, the modulated autoencoder).

    Raises:
        ConfigError: Widths are not positive integers in the order that the method needs (strictly
            decreasing, not increasing, or all equal), or the architecture does not allow them; the
            GDN, architecture or method is unknown; the architecture does not allow the method.
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
            raise ConfigError(f"widths {list(widths)}: must be {allowed}")
        if self.gdn not in GDN_VARIANTS:
            raise ConfigError(
                f"unknown GDN variant {self.gdn!r}: choose from {', '.join(GDN_VARIANTS)}"
            )
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"unknown architecture {self.architecture!r}: choose from "
                f"{', '.join(ARCHITECTURES)}"
            )
        if not self.has_gdn:
            if any(width % LIGHT_MULTIPLE for width in widths):
                raise ConfigError(
                    f"widths {' '.join(map(str, widths))}: architecture {self.architecture} takes "
                    f"multiples of {LIGHT_MULTIPLE}"
                )
            if self.gdn != "switchable":
                raise ConfigError(f"gdn {self.gdn}: architecture {self.architecture} has no GDN")
            if self.method == "modulated":
                raise ConfigError(
                    f"method modulated: architecture {self.architecture} has no GDN to modulate"
                )

    @property
    def has_gdn(self) -> bool:
        """Whether the transforms have normalizations; those of the light architectures do not."""
        return has_gdn(self.architecture)

    @property
    def num_filters(self) -> int:
        """The largest width, which is the width of the shared kernels."""
        return self.widths[0]

    @property
    def has_own_widths(self) -> bool:
        """Whether the operating points are identified by their widths."""
        return all(a > b for a, b in pairwise(self.widths))

    @property
    def points(self) -> tuple[int, ...]:
        """The number of each operating point, best (most bits) first.

        The number is the width of the point if widths differ, otherwise n … 1. In both cases a
        better point has a larger number.
        """
        if self.has_own_widths and self.method in _OF_WIDTHS:
            return self.widths
        return tuple(range(len(self.widths), 0, -1))

    def filters(self, point: int) -> int:
        """Return the width of an operating point."""
        return self.widths[self.points.index(point)]

    def label(self, point: int, lmbda: Sequence[float] | None) -> str:
        """Return the display name of a point: `width 96`, or `point 3 (λ 512)`.

        lmbda: of all points, if known.
        """
        if self.points == self.widths:
            return f"width {point}"
        known = dict(zip(self.points, lmbda or (), strict=False)).get(point)
        return f"point {point}" + ("" if known is None else f" (λ {known:g})")

    def transforms_of(self, point: int) -> "SlimCAEConfig":
        """Return the configuration of the transforms of an operating point."""
        if self.method == "slimcae":
            return self
        return SlimCAEConfig((self.filters(point),), self.gdn, self.architecture)

    def check_point(self, point: object) -> int:
        """Return the number of an operating point as an int.

        Raises:
            ConfigError: The configuration has no such point.
        """
        number = whole_number(point)
        if number is None or number not in self.points:
            have = ", ".join(map(str, self.points))
            what = "width" if self.points == self.widths else "operating point"
            raise ConfigError(f"this model has no {what} {point!r}: choose from {have}")
        return number

    def check_width(self, width: object) -> int:
        """Return a width that identifies an operating point as an int.

        Raises:
            ConfigError: There is no such width, or several points have it.
        """
        if self.points != self.widths:
            raise ConfigError(
                f"width {width!r} cannot be chosen: the operating points of this model, of method "
                f"{self.method}, differ in λ, not in width; choose a point by its number, "
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
"""By method, the relation between the widths of consecutive points, and its description."""


def whole_number(value: object) -> int | None:
    """Return an integer of any type (numpy's too) as an int; None for anything else, bool too."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    try:
        return operator.index(value)
    except TypeError:  # an array with several elements
        return None


@dataclass(frozen=True)
class ModelInfo:
    """Name, version and training of a model.

    Raises:
        ConfigError: The header of a `.scae` file cannot hold the name, or the version is invalid.
    """

    name: str = "unnamed"
    """1 to 24 printable ASCII characters, stored in every `.scae` file that the model encodes."""
    version: str = "0"
    lmbda: tuple[float, ...] | None = None
    """λ of each operating point at the end of training, best first."""
    training: dict[str, Any] = field(default_factory=dict)
    """Description of the training, for people."""
    quality: dict[int, tuple[tuple[float, float], ...]] | None = None
    """Mean bits per pixel and PSNR in dB at every quantisation step of each operating point,
    measured
    by `slimcae fit`; None before that."""

    def __post_init__(self) -> None:
        for what, text, longest in (("name", self.name, 24), ("version", self.version, 32)):
            if not (1 <= len(text) <= longest and text.isascii() and text.isprintable()):
                raise ConfigError(
                    f"model {what} {text!r}: must be 1 to {longest} printable ASCII characters"
                )


def check_same_config(
    origin: Path,
    have: SlimCAEConfig,
    widths: tuple[int, ...] | None,
    gdn: str | None,
    architecture: str | None = None,
    method: str | None = None,
) -> None:
    """Check that settings agree with those of a file.

    widths: a single width stands for several operating points with that width.

    Raises:
        ContradictionError: They differ; the message names both sides.
    """
    if method is not None and method != have.method:
        raise ContradictionError("method", method, origin, have.method)
    if widths is not None and widths not in (have.widths, _all_alike(have.widths)):
        raise ContradictionError("widths", _joined(widths), origin, _joined(have.widths))
    if architecture is not None and architecture != have.architecture:
        raise ContradictionError("architecture", architecture, origin, have.architecture)
    if gdn is not None and not have.has_gdn:
        raise ConfigError(
            f"gdn {gdn}: {origin} has the architecture {have.architecture}, which has no GDN"
        )
    if gdn is not None and gdn != have.gdn:
        raise ContradictionError("gdn", gdn, origin, have.gdn)


def _all_alike(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Return a single width if all are equal, otherwise all."""
    return widths[:1] if len(set(widths)) == 1 else widths


def _joined(widths: tuple[int, ...]) -> str:
    return " ".join(map(str, widths))
