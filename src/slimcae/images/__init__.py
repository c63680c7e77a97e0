"""Pictures: conversion between files or Pillow images and 8-bit arrays, and finding image files.

Grey pictures stay grey in any mode. Alpha, an ICC profile that matches the colours, EXIF and XMP
are kept. An orientation is applied to the pixels, so width and height are those that people see,
and is reset in the kept metadata. Palettes and other colour models become RGB, CMYK with its
profile; colours that a file describes without a profile get one, or become sRGB. More than 8 bits
per channel are reduced, and only the first frame of an animation is used, both with a notice.
"""

from slimcae.images.finding import KINDS, find_images
from slimcae.images.metadata import METADATA, srgb_profile
from slimcae.images.picture import Picture
from slimcae.images.plugins import plugin_kinds
from slimcae.images.reading import MAX_PIXELS, picture_pixels, read_picture
from slimcae.images.sources import Source
from slimcae.images.writing import QUALITY_KINDS, png_bytes, write_image

__all__ = [
    "KINDS",
    "MAX_PIXELS",
    "METADATA",
    "QUALITY_KINDS",
    "Picture",
    "Source",
    "find_images",
    "picture_pixels",
    "plugin_kinds",
    "png_bytes",
    "read_picture",
    "srgb_profile",
    "write_image",
]
