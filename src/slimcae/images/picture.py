"""A picture in memory: 8-bit pixels, and what its file said about them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slimcae.errors import ConfigError
from slimcae.images.filling import fill_hidden
from slimcae.images.metadata import METADATA, srgb_profile
from slimcae.images.pixels import image_of


@dataclass(frozen=True, repr=False)
class Picture:
    """An 8-bit picture and what its file says about it.

    pixels: (H, W, 3), uint8, RGB; three equal channels if the picture is grey.
    grey: the picture has no colour.
    alpha: (H, W), uint8, or None if it is opaque.
    icc_profile: what the colours mean, or None for sRGB.
    srgb: the file said so with a profile, or its colours were turned into sRGB; then `icc_profile`
        is None.
    exif: EXIF data with the usual prefix, orientation 1 or none. xmp: an XMP packet in UTF-8.
    """

    pixels: NDArray[np.uint8]
    grey: bool = False
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    srgb: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None

    def __repr__(self) -> str:
        mode = ("L" if self.grey else "RGB") + ("" if self.alpha is None else "A")
        names = ("icc_profile", "srgb", "exif", "xmp")
        kept = "".join(f", {name}" for name in names if getattr(self, name))
        return f"<Picture {self.pixels.shape[1]}x{self.pixels.shape[0]} {mode}{kept}>"

    @cached_property
    def visible(self) -> NDArray[np.bool_] | None:
        """Where the picture can be seen, alpha > 0 (H, W); None if that is everywhere."""
        if self.alpha is None or self.alpha.all():
            return None
        return self.alpha > 0

    def filled(self) -> "Picture":
        """Return the picture with smooth colours under alpha 0; alpha is unchanged."""
        if self.visible is None:
            return self
        return replace(self, pixels=fill_hidden(self.pixels, self.visible))

    def keeping(self, metadata: str) -> "Picture":
        """Return the picture with `all` metadata, with its `icc` profile only, or with `none`.

        Raises:
            ConfigError: another word.
        """
        if metadata not in METADATA:
            raise ConfigError(f"metadata {metadata!r}: choose {', '.join(METADATA)}")
        if metadata == "all":
            return self
        without = replace(self, exif=None, xmp=None)
        return without if metadata == "icc" else replace(without, icc_profile=None, srgb=False)

    def to_image(self) -> Image.Image:
        """Return a Pillow image of mode L, LA, RGB or RGBA, with profile, EXIF and XMP in its info.

        A grey picture cannot have the profile of sRGB, which is for colours; none says the same.
        """
        image = image_of(self.pixels, self.alpha, self.grey)
        found = {
            "icc_profile": srgb_profile() if self.srgb and not self.grey else self.icc_profile,
            "exif": self.exif,
            "xmp": self.xmp,
        }
        image.info |= {name: value for name, value in found.items() if value is not None}
        return image
