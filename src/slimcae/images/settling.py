"""What becomes of a picture's colours: whether it is grey, and which profile it has afterwards."""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimcae.images.colours import Colours
from slimcae.images.icc import greys_in_srgb
from slimcae.images.metadata import is_srgb
from slimcae.images.pixels import apply_table, is_grey
from slimcae.images.stated import Stated, exif_colours

log = logging.getLogger("slimcae")

Pixels = NDArray[np.uint8]


class Settled(NamedTuple):
    """As the fields of `Picture`."""

    grey: bool
    icc_profile: bytes | None = None
    srgb: bool = False


def settle(
    pixels: Pixels,
    alpha: NDArray[np.uint8] | None,
    stored_grey: bool,
    profile: bytes | None,
    stated: Stated,
    exif: bytes | None,
    encoded: bool,
    name: str,
) -> Settled:
    """Decide what the colours of a picture are, and change its pixels where they must be.

    pixels: (H, W, 3), changed in place. encoded: they have sRGB's curve by now, where the curve
    stated must not stay. A picture of three equal channels is grey however it was stored, if its
    profile lets it.
    """
    grey = stored_grey or is_grey(pixels, alpha)
    if stated.first is None and profile:
        return _of_profile(pixels, grey, stored_grey, profile, name)
    colours, unknown = stated.beside(profile), stated.unknown
    if colours is None and not unknown:
        colours, unknown = exif_colours(exif)
    if unknown:
        log.warning("%s: %s: sRGB is taken for that", name, unknown)
    return Settled(grey) if colours is None else _of_statement(pixels, grey, colours, encoded, name)


def _of_profile(
    pixels: Pixels, grey: bool, stored_grey: bool, profile: bytes, name: str
) -> Settled:
    if is_srgb(profile):
        return Settled(grey, srgb=True)
    space = profile[16:20]  # ICC.1:2022, 7.2.6
    if space == (b"GRAY" if grey else b"RGB "):
        return Settled(grey, profile)
    if space == b"RGB " and grey:  # a grey picture cannot have it
        table = greys_in_srgb(profile)
        if table is not None:
            apply_table(pixels, np.frombuffer(table, np.uint8))
            return Settled(True)
        if not stored_grey:
            return Settled(False, profile)
    log.warning("%s has an ICC profile for other colours (%r), which is dropped", name, space)
    return Settled(grey)


def _of_statement(
    pixels: Pixels, grey: bool, colours: Colours, encoded: bool, name: str
) -> Settled:
    if colours.are_srgb:
        return Settled(grey)
    table = colours.table()
    try:
        profile = colours.profile(grey)
    except ValueError:
        log.warning("%s says that it has primaries that cannot be: taken as sRGB", name)
        profile = None
    if table is not None and not encoded:
        apply_table(pixels, table)
    if colours.is_hdr:
        log.warning(
            "%s is HDR (%s): turned into sRGB, and what is brighter than white is white",
            name,
            colours.transfer,
        )
    return Settled(grey, profile, srgb=profile is None)
