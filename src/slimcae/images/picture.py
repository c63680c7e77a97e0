"""A picture in memory: 8-bit pixels and metadata."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import ConfigError, checked_bool
from slimcae.images.filling import fill_hidden
from slimcae.images.metadata import METADATA, srgb_profile
from slimcae.images.pixels import image_of


@dataclass(frozen=True, repr=False)
class Picture:
    """An 8-bit picture with its metadata.

    pixels: (H, W, 3), uint8, RGB; three equal channels if the picture is grey.
    grey: whether the picture has no colour.
    alpha: (H, W), uint8, or None if the picture is opaque.
    icc_profile: profile of the colours, or None for sRGB.
    srgb: whether the file had an sRGB profile or its colours were converted to sRGB; `icc_profile`
        is None then.
    exif: EXIF data with the usual prefix, with orientation 1 or none. xmp: an XMP packet in UTF-8.
    """

    pixels: NDArray[np.uint8]
    grey: bool = False
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    srgb: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None

    def __post_init__(self) -> None:
        for name in ("grey", "srgb"):
            object.__setattr__(self, name, checked_bool(name, getattr(self, name)))

    def __repr__(self) -> str:
        mode = ("L" if self.grey else "RGB") + ("" if self.alpha is None else "A")
        names = ("icc_profile", "srgb", "exif", "xmp")
        kept = "".join(f", {name}" for name in names if getattr(self, name))
        return f"<Picture {self.pixels.shape[1]}x{self.pixels.shape[0]} {mode}{kept}>"

    @cached_property
    def visible(self) -> NDArray[np.bool_] | None:
        """Mask of the visible pixels, alpha > 0 (H, W); None if all are visible."""
        if self.alpha is None or self.alpha.all():
            return None
        return self.alpha > 0

    def filled(self) -> "Picture":
        """Return the picture with smooth colours where alpha is 0, and the same alpha."""
        if self.visible is None:
            return self
        return replace(self, pixels=fill_hidden(self.pixels, self.visible))

    def keeping(self, metadata: str) -> "Picture":
        """Return the picture with `all` metadata, only with its `icc` profile, or with `none`.

        Raises:
            ConfigError: `metadata` has another value.
        """
        if metadata not in METADATA:
            raise ConfigError(f"metadata {metadata!r}: must be one of {', '.join(METADATA)}")
        if metadata == "all":
            return self
        without = replace(self, exif=None, xmp=None)
        return without if metadata == "icc" else replace(without, icc_profile=None, srgb=False)

    def to_image(self) -> Image.Image:
        """Return a Pillow image of mode L, LA, RGB or RGBA, with profile, EXIF and XMP in its info.

        A grey picture gets no sRGB profile, which is for colours; no profile means the same.
        """
        image = image_of(self.pixels, self.alpha, self.grey)
        found = {
            "icc_profile": srgb_profile() if self.srgb and not self.grey else self.icc_profile,
            "exif": self.exif,
            "xmp": self.xmp,
        }
        image.info |= {name: value for name, value in found.items() if value is not None}
        return image
