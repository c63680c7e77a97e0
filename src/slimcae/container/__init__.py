"""The `.scae` file format: head, chunks, tiles and checksums (docs/format.md). No torch.

`read` and `write` convert between bytes and `Contents` (a `Header`, the streams of the tiles, alpha
and metadata). `pack_chunks`, `overhead` and `assemble` build a file in steps. `Reader` reads parts
of a file, and `read_header` its first bytes.
"""

from slimcae.container.contents import Contents, assemble, overhead, pack_chunks, read, write
from slimcae.container.header import FORMAT_VERSION, MAGIC, MAX_HEADER_BYTES, Header, read_header
from slimcae.container.reader import Reader

__all__ = [
    "FORMAT_VERSION",
    "MAGIC",
    "MAX_HEADER_BYTES",
    "Contents",
    "Header",
    "Reader",
    "assemble",
    "overhead",
    "pack_chunks",
    "read",
    "read_header",
    "write",
]
