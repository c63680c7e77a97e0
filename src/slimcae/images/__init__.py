"""Pictures: files and Pillow images to 8-bit arrays and back, and finding image files.

What a picture keeps: grey stays grey however it is stored, alpha, an ICC profile that fits the
colours, EXIF and XMP are kept. An orientation is applied to the pixels (so that width and height
are what people see), and those that are kept ask for no turn. Palettes and other colour models
become RGB, inks by their profile; colours that a file describes without a profile get one, or
become sRGB. More than 8 bits per channel are reduced and only the first frame of an animation is
taken, both with a notice.
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
