"""Encode pictures to `.scae` files and decode them: `Codec`, and functions that load one.

`codec` has the public interface; it uses `encoding` and `decoding`, which use `tiled` and `tiles`.
"""

from slimcae.codec.codec import TILE_SIDE, Codec
from slimcae.codec.draft import Compressed, Draft
from slimcae.codec.installed import codec_for, codec_of, compress, decompress, load
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
