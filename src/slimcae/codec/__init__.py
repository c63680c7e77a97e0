"""Pictures to `.scae` files and back, at any rate and size: `Codec`, and how to get one.

encoding → transforms → tiles; decoding → transforms → tiles; codec.py has the public face.
"""

from slimcae.codec.codec import TILE_SIDE, Codec
from slimcae.codec.draft import Draft
from slimcae.codec.shipped import codec_for, codec_of, compress, decompress, load

__all__ = ["TILE_SIDE", "Codec", "Draft", "codec_for", "codec_of", "compress", "decompress", "load"]
