"""What somebody wants of a compressed picture: at most one of point, quality, size and PSNR."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Real
from typing import Any

from slimcae.codec.encoding import Encoding
from slimcae.codec.rate_control import for_psnr, for_size
from slimcae.errors import ConfigError, SettingError
from slimcae.model.config import whole_number
from slimcae.model.model import EFFORTS, Model
from slimcae.model.quality import MAX_QUALITY, Point


@dataclass(frozen=True)
class Target:
    """A choice of rate or quality; see `Codec.compress` for the fields.

    Raises:
        ConfigError: more than one choice, or values that no picture can have.
    """

    width: int | None = None
    step: int | None = None
    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    target_psnr: float | None = None
    widths: Collection[int] | None = None
    closest: bool = False
    effort: str = "normal"
    point: int | None = None

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise SettingError("effort", self.effort, " or ".join(EFFORTS))
        if self.widths is not None and not isinstance(self.widths, Collection):
            raise ConfigError(f"widths {self.widths!r}: give several, as in [96, 72, 48]")
        choices = ("width", "point", "quality", "bpp", "target_size", "target_psnr")
        given = [name for name in choices if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} contradict each other: give one of them")
        if self.step is not None and self.width is None and self.point is None:
            raise ConfigError("step goes with a width: give both, or neither")
        for name in choices[2:]:
            value: Any = getattr(self, name)
            is_number = isinstance(value, Real)
            if value is not None and not is_number:
                raise ConfigError(f"{name} {value!r}: must be a number")
            if value is not None and name != "quality" and not 0 < value < math.inf:
                raise ConfigError(f"{name} {value}: must be a positive number")
            if is_number:  # numpy's compute with as few bits as they have
                number = whole_number(value)
                object.__setattr__(self, name, float(value) if number is None else number)
        if self.widths is not None:
            widths = [(whole_number(width), width) for width in self.widths]
            kept = tuple(width if number is None else number for number, width in widths)
            object.__setattr__(self, "widths", kept)

    def check(self, model: Model) -> None:
        """Refuse points and steps that the model lacks, before any work.

        Raises:
            ConfigError: such a point or step, or a point that `widths` does not allow.
        """
        for width in self.widths or ():
            model.check_point(width)
        if self._chooses or self.widths is None:
            self._fixed(model)

    @property
    def _chooses(self) -> bool:
        """Whether it names an operating point."""
        return self.width is not None or self.point is not None

    def choose(self, model: Model, encoding: Encoding) -> Point:
        """Return the operating point of a picture that is being compressed.

        Raises:
            ConfigError: a width or step that the model lacks or that is not allowed, or a target
                out of range.
        """
        scale = model.scale
        widths = self._allowed(model)
        if self.quality is not None:
            return scale.point(self.quality, widths)
        if self.target_psnr is not None:
            return for_psnr(encoding, scale, self.target_psnr, widths=widths, closest=self.closest)
        size, rate = self.target_size, None
        if self.bpp is not None:
            rate = self.bpp, encoding.num_pixels
            size = math.floor(self.bpp * encoding.num_pixels / 8)
        if size is not None:
            return for_size(
                encoding,
                scale,
                size,
                widths=widths,
                overhead=encoding.overhead,
                closest=self.closest,
                rate=rate,
            )
        if not self._chooses and widths is not None:
            # the best within what the decoder can afford
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
            raise ConfigError(f"{model.label(width)} is more than the decoder can afford")
        step = 0 if self.step is None else whole_number(self.step)
        if step is None or not 0 <= step < steps:
            raise ConfigError(
                f"this model has no quantisation step {self.step!r}: give 0 to {steps - 1}"
            )
        return Point(width, step)
