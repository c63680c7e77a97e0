"""Target of a compression: at most one of operating point, quality, size and PSNR."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Real
from typing import Any

from slimcae.codec.effort import checked_effort
from slimcae.codec.encoding import Encoding
from slimcae.codec.rate_control import best_within, for_psnr, for_size
from slimcae.errors import ConfigError, checked_bool
from slimcae.model.config import whole_number
from slimcae.model.model import DEFAULT_EFFORT, Model
from slimcae.model.quality import MAX_QUALITY, Point


@dataclass(frozen=True)
class Target:
    """A target rate or quality; see `Codec.compress` for the fields.

    Raises:
        ConfigError: There is more than one target, or a value is invalid.
    """

    width: int | None = None
    step: int | None = None
    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    target_psnr: float | None = None
    widths: Collection[int] | None = None
    closest: bool = False
    effort: int = DEFAULT_EFFORT
    point: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "effort", checked_effort(self.effort))
        object.__setattr__(self, "closest", checked_bool("closest", self.closest))
        listed: Any = self.widths
        if listed is not None and (isinstance(listed, str) or not isinstance(listed, Collection)):
            raise ConfigError(f"widths {listed!r}: must be a list, as in [96, 72, 48]")
        if listed is not None and not len(listed):
            raise ConfigError("widths: must name one width at least")
        choices = ("width", "point", "quality", "bpp", "target_size", "target_psnr")
        given = [name for name in choices if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} contradict each other: give one of them")
        if self.step is not None and self.width is None and self.point is None:
            raise ConfigError("step needs a width: give both, or neither")
        for name in choices[2:]:
            value: Any = getattr(self, name)
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not is_number:
                raise ConfigError(f"{name} {value!r}: must be a number")
            if value is not None and name != "quality" and not 0 < value < math.inf:
                raise ConfigError(f"{name} {value}: must be a positive number")
            if is_number:  # numpy scalars would compute in low precision
                number = whole_number(value)
                object.__setattr__(self, name, float(value) if number is None else number)
        if self.widths is not None:
            widths = [(whole_number(width), width) for width in self.widths]
            kept = tuple(width if number is None else number for number, width in widths)
            object.__setattr__(self, "widths", kept)

    def check(self, model: Model) -> None:
        """Check, before any work, that the model has the point and step.

        Raises:
            ConfigError: The model does not have the point or step, or `widths` excludes the point.
        """
        for width in self.widths or ():
            model.check_point(width)
        if self._chooses or self.widths is None:
            self._fixed(model)

    @property
    def _chooses(self) -> bool:
        """Return whether the target names an operating point."""
        return self.width is not None or self.point is not None

    def choose(self, model: Model, encoding: Encoding) -> Point:
        """Return the operating point for a picture that is being compressed.

        Raises:
            ConfigError: The model does not have the width or step, `widths` excludes it, or the
                target is out of range.
        """
        scale = model.scale
        widths = self._allowed(model)
        if self.quality is not None:
            return scale.point(self.quality, widths)
        plain = encoding.plain  # search with plain rounding first, then correct for the effort
        if self.target_psnr is not None:
            wanted = self.target_psnr
            point = for_psnr(plain, scale, wanted, widths=widths, closest=self.closest)
            if plain is encoding or plain.psnr(point) < wanted:  # the nearest end
                return point
            cheaper = scale.points(point.width)[::-1]

            def reached(other: Point) -> bool:
                return encoding.psnr(other) >= wanted

            def reachable(other: Point) -> bool:
                gained = encoding.psnr(point) - plain.psnr(point)
                return plain.psnr(other) + gained >= wanted

            found = best_within(encoding, cheaper, point, reached, reachable)
            if encoding.size(found) > plain.size(point):  # the search raised the PSNR instead
                encoding.refuse(point)
                return point
            return found
        size, rate = self.target_size, None
        if self.bpp is not None:
            rate = self.bpp, encoding.num_pixels
            size = math.floor(self.bpp * encoding.num_pixels / 8)
        if size is not None:
            room = size
            point = for_size(
                plain,
                scale,
                room,
                widths=widths,
                overhead=encoding.overhead,
                closest=self.closest,
                rate=rate,
            )
            if plain is encoding or plain.size(point) > room:  # the nearest end
                return point
            better = scale.points(point.width)

            def fits(other: Point) -> bool:
                return encoding.size(other) <= room

            def may_fit(other: Point) -> bool:
                return plain.size(other) * encoding.size(point) <= room * plain.size(point)

            found = best_within(encoding, better, point, fits, may_fit)
            if encoding.psnr(found) < plain.psnr(point):  # the search saved bytes instead
                encoding.refuse(point)
                return point
            return found
        if not self._chooses and widths is not None:
            # the best point that the decoder can afford
            return scale.ladder(widths)[-1] if scale.nominal else scale.point(MAX_QUALITY, widths)
        return self._fixed(model)

    def _allowed(self, model: Model) -> tuple[int, ...] | None:
        if self.widths is None:
            return None
        return tuple(width for width in model.points if width in self.widths)

    def _fixed(self, model: Model) -> Point:
        width = model.points[0]
        if self.width is not None:
            width = model.check_width(self.width)
        elif self.point is not None:
            width = model.check_point(self.point)
        steps = len(model.steps)
        if self.widths is not None and width not in self.widths:
            allowed = ", ".join(map(str, self.widths))
            raise ConfigError(
                f"{model.label(width)} is not among those that the decoder can afford ({allowed})"
            )
        step = 0 if self.step is None else whole_number(self.step)
        if step is None or not 0 <= step < steps:
            raise ConfigError(
                f"this model has no quantisation step {self.step!r}: must be 0 to {steps - 1}"
            )
        return Point(width, step)
