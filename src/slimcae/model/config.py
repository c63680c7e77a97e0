"""What defines a SlimCAE beside its weights, and what it can run on. Never imports torch."""

import operator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, SupportsIndex, get_args

from slimcae.errors import ConfigError, ContradictionError

GDNVariant = Literal["switchable", "slim", "slim+"]
GDN_VARIANTS: tuple[GDNVariant, ...] = get_args(GDNVariant)
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
    """Widths (filters per layer, widest first), variant of the normalization, and architecture.

    gdn: only the architecture `slimcae` has one.

    Raises:
        ConfigError: widths that are not strictly decreasing positive integers, or that the
            architecture cannot have; an unknown GDN or architecture.
    """

    widths: tuple[int, ...] = DEFAULT_WIDTHS
    gdn: GDNVariant = "switchable"
    architecture: ArchitectureName = "slimcae"

    def __post_init__(self) -> None:
        widths = self.widths
        whole = all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths)
        falling = all(a > b for a, b in pairwise(widths)) if whole else False
        if not (widths and whole and falling):
            raise ConfigError(
                f"widths {list(widths)} do not work: give strictly decreasing positive integers, "
                "as in 192 144 96 72 48"
            )
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

    @property
    def num_filters(self) -> int:
        """Filters of the shared kernels: the widest width."""
        return self.widths[0]

    def check_width(self, width: object) -> int:
        """Return a width that a model of this configuration has.

        Raises:
            ConfigError: another one.
        """
        number = whole_number(width)
        if number is None or number not in self.widths:
            have = ", ".join(map(str, self.widths))
            raise ConfigError(f"this model has no width {width!r}: choose from {have}")
        return number


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
    """λ of each width, widest first, as last trained."""
    training: dict[str, Any] = field(default_factory=dict)
    """How it was trained, for people."""
    quality: dict[int, tuple[tuple[float, float], ...]] | None = None
    """Mean bits per pixel and PSNR in dB of every quantisation step, for each width, on the images
    of `slimcae fit`; None before."""

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
) -> None:
    """Compare what was asked for with what a file holds.

    Raises:
        ContradictionError: they differ; both sides are named.
    """
    if widths is not None and widths != have.widths:
        raise ContradictionError("widths", _words(widths), origin, _words(have.widths))
    if architecture is not None and architecture != have.architecture:
        raise ContradictionError("architecture", architecture, origin, have.architecture)
    if gdn is not None and have.architecture == "light":
        raise ConfigError(f"gdn {gdn}: {origin} has the architecture light, which has no GDN")
    if gdn is not None and gdn != have.gdn:
        raise ContradictionError("gdn", gdn, origin, have.gdn)


def _words(widths: tuple[int, ...]) -> str:
    return " ".join(map(str, widths))
