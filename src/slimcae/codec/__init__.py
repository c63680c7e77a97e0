"""Pictures to `.scae` files and back, at any rate and size: `Codec`, and how to get one.

encoding → tiled → tiles; decoding → tiled → tiles; codec.py has the public face.
"""

from slimcae.codec.codec import TILE_SIDE, Codec
from slimcae.codec.draft import Compressed, Draft
from slimcae.codec.shipped import codec_for, codec_of, compress, decompress, load
from slimcae.codec.target import Target

__all__ = [
    "TILE_SIDE",
    "Codec",
    "Compressed",
    "Draft",
    "Target",
    "codec_for",
    "codec_of",
    "compress",
    "decompress",
    "load",
]
