"""Options that limit the cost of decoding a picture, in multiply-accumulates or time."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimcae.cli.options import Options, add_option
from slimcae.cli.quantities import count, positive
from slimcae.errors import ConfigError

if TYPE_CHECKING:
    from slimcae.codec import Codec
    from slimcae.model.cost import Profile
    from slimcae.model.model import Model

log = logging.getLogger("slimcae")


@dataclass(frozen=True)
class Cost:
    """Cost of decoding one picture at a width.

    macs: multiply-accumulates per pixel. ms: milliseconds for the picture, None without a profile.
    """

    width: int
    macs: float
    ms: float | None

    def __str__(self) -> str:
        time = "" if self.ms is None else f", about {self.ms:,.{0 if self.ms >= 10 else 1}f} ms"
        return f"{self.macs / 1000:.3g} kMAC per pixel{time}"


@dataclass(frozen=True)
class DecoderLimit:
    """Limits of a decoder: `macs` per pixel and `ms` per picture; None: no limit.

    effort: effort of the encoder, which affects the time to decode.
    """

    macs: int | None
    ms: float | None
    profile: "Profile | None"
    model: "Model"
    effort: int

    def cost(self, width: int, size: tuple[int, int]) -> Cost:
        """Return the cost of a width for a picture of `size` (height, width)."""
        from slimcae.model.cost import padded_size

        rows, columns = padded_size(self.model.architecture, size)
        ms = None
        if self.profile is not None:
            kind = self.model.kind(width, self.effort)
            ms = self.profile.decode_ms(width, kind, rows * columns)
        return Cost(width, self.model.architecture.decoder_macs(self.model.filters(width)), ms)

    def within(self, widths: Sequence[int], size: tuple[int, int]) -> tuple[int, ...]:
        """Return those of `widths` that meet the limits for a picture of `size`.

        Raises:
            ConfigError: There is none; the message names the cost of the cheapest.
        """
        costs = [self.cost(width, size) for width in widths]
        cheap = tuple(cost.width for cost in costs if self._allows(cost))
        if not cheap:
            cheapest = min(costs, key=lambda cost: cost.macs)
            raise ConfigError(
                f"no width decodes within {self}: the cheapest, {cheapest.width}, takes {cheapest}"
            )
        return cheap

    def choose(
        self, width: int | None, widths: Sequence[int], size: tuple[int, int]
    ) -> dict[str, object]:
        """Return the arguments for `Codec.compress` that meet the limits; none if `width` does.

        Raises:
            ConfigError: `width` (None: not chosen yet), or all `widths`, exceed the limits.
        """
        if self.macs is None and self.ms is None:
            return {}  # the call only checked the cost
        cheap = self.within(widths, size)
        if width is None:
            return {"widths": cheap}
        if width not in cheap:
            raise ConfigError(
                f"{self.model.label(width)} takes {self.cost(width, size)} to decode, more than "
                f"{self}: choose from {', '.join(map(str, cheap))}"
            )
        return {}

    def __str__(self) -> str:
        macs = None if self.macs is None else f"{self.macs / 1000:.3g} kMAC per pixel"
        ms = None if self.ms is None else f"{self.ms:g} ms"
        return " and ".join(limit for limit in (macs, ms) if limit is not None)

    def _allows(self, cost: Cost) -> bool:
        return not (
            (self.macs is not None and cost.macs > self.macs)
            or (self.ms is not None and cost.ms is not None and cost.ms > self.ms)
        )


def add_decoder_limit_options(options: Options) -> None:
    """Add the options that limit the cost of decoding."""
    add_option(
        options,
        "--max_decode_macs",
        type=count,
        metavar="M",
        help="at most M multiply-accumulates per pixel; accepts 7k",
    )
    add_option(
        options,
        "--max_decode_ms",
        type=positive,
        metavar="T",
        help="at most T milliseconds for the whole picture",
    )
    add_option(
        options,
        "--profile",
        type=Path,
        metavar="FILE",
        help="profile that `slimcae profile` wrote on the decoding machine (default: of this one)",
    )


def decoder_limit(args: argparse.Namespace, codec: "Codec") -> DecoderLimit | None:
    """Return the limits from the options, or None without any.

    Times come from --profile or from the profile of this machine, which is measured if it is needed
    and does not exist for this model.

    Raises:
        ConfigError: The profile cannot be read.
    """
    if args.profile is None and args.max_decode_macs is None and args.max_decode_ms is None:
        return None
    from slimcae.model import cost

    if args.profile is not None:
        profile: Profile | None = cost.read_profile(args.profile)
    else:
        profile = cost.read_profile() if cost.default_profile().exists() else None
        if profile is not None and profile.model != f"{codec.info.name}@{codec.info.version}":
            profile = None
        if profile is None and args.max_decode_ms is not None:
            profile = _measured(codec)
    return DecoderLimit(args.max_decode_macs, args.max_decode_ms, profile, codec.model, args.effort)


def _measured(codec: "Codec") -> "Profile":
    from slimcae import profiling
    from slimcae.model import cost

    place = cost.default_profile()
    log.warning("no profile of this machine and model yet: measuring decoding times for %s", place)
    profile = profiling.measure(codec)
    try:
        cost.write_profile(profile, place)
    except OSError as error:
        log.warning("the profile was not saved in %s: %s", place, error.strerror or error)
    return profile
