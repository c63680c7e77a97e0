"""Final colour decisions for a picture: whether it is grey, and its profile."""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimcae.images.colour_tags import Stated, exif_colours
from slimcae.images.colours import Colours
from slimcae.images.icc import greys_in_srgb
from slimcae.images.metadata import is_srgb
from slimcae.images.pixels import apply_table, is_grey

log = logging.getLogger("slimcae")

Pixels = NDArray[np.uint8]


class Settled(NamedTuple):
    """See the fields of `Picture`."""

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
    """Determine the colour space of a picture, and convert its pixels if necessary.

    pixels: (H, W, 3), modified in place. encoded: whether pixels were already converted to sRGB's
    curve where the stated curve must not be kept. A picture with three equal channels is grey in
    any mode, if its profile allows it.
    """
    grey = stored_grey or is_grey(pixels, alpha)
    if stated.first is None and profile:
        return _of_profile(pixels, grey, stored_grey, profile, name)
    colours, unknown = stated.beside(profile), stated.unknown
    if colours is None and not unknown:
        colours, unknown = exif_colours(exif)
    if unknown:
        log.warning("%s: %s: treated as sRGB", name, unknown)
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
    log.warning("%s has an ICC profile for other colours (%r): left out", name, space)
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
        log.warning("%s has invalid primaries: treated as sRGB", name)
        profile = None
    if table is not None and not encoded:
        apply_table(pixels, table)
    if colours.is_hdr:
        log.warning(
            "%s is HDR (%s): converted to sRGB, values brighter than white become white",
            name,
            colours.transfer,
        )
    return Settled(grey, profile, srgb=profile is None)
