"""What somebody wants of a compressed picture: at most one of width, quality, size and PSNR."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Real
from typing import Any

from slimcae.codec.encoding import Encoding
from slimcae.errors import ConfigError
from slimcae.quality import MAX_QUALITY, Point, QualityScale
from slimcae.rate_control import for_psnr, for_size


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

    def __post_init__(self) -> None:
        choices = ("width", "quality", "bpp", "target_size", "target_psnr")
        given = [name for name in choices if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} contradict each other: give one of them")
        if self.step is not None and self.width is None:
            raise ConfigError("step goes with a width: give both, or neither")
        for name in choices[1:]:
            value: Any = getattr(self, name)
            is_number = isinstance(value, Real)
            if value is not None and not is_number:
                raise ConfigError(f"{name} {value!r}: must be a number")
            if value is not None and name != "quality" and not 0 < value < math.inf:
                raise ConfigError(f"{name} {value}: must be a positive number")

    def choose(self, scale: QualityScale, encoding: Encoding, steps: int) -> Point:
        """The operating point of a picture that is being compressed.

        scale: of the model, which has `steps` quantisation steps.

        Raises:
            ConfigError: a width or step that the model lacks or that is not allowed, or a target
                out of range.
        """
        widths = self.widths
        if self.quality is not None:
            return scale.point(self.quality, widths)
        if self.target_psnr is not None:
            return for_psnr(encoding, scale, self.target_psnr, widths=widths, closest=self.closest)
        size = self.target_size
        if self.bpp is not None:
            size = math.floor(self.bpp * encoding.num_pixels / 8)
        if size is not None:
            return for_size(
                encoding,
                scale,
                size,
                widths=widths,
                overhead=encoding.overhead,
                closest=self.closest,
            )
        if self.width is None and widths is not None:
            # the best within what the decoder can afford
            return scale.ladder(widths)[-1] if scale.nominal else scale.point(MAX_QUALITY, widths)
        return self._fixed(scale.widths, steps)

    def _fixed(self, have: tuple[int, ...], steps: int) -> Point:
        width = have[0] if self.width is None else self.width
        if type(width) is not int or width not in have:
            names = ", ".join(map(str, have))
            raise ConfigError(f"this model has no width {width!r}: choose from {names}")
        if self.widths is not None and width not in self.widths:
            raise ConfigError(f"width {width} is more than the decoder can afford")
        step = self.step or 0
        if not (isinstance(step, int) and 0 <= step < steps):
            raise ConfigError(
                f"this model has no quantisation step {step!r}: give 0 to {steps - 1}"
            )
        return Point(width, step)
