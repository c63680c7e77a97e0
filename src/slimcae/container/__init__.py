"""The `.scae` file: head, chunks, tiles and checksums (docs/format.md). Never imports torch.

The interface is `Contents` (a `Header`, the tiles' streams, alpha and metadata), `read` and
`write`; `pack_chunks`, `overhead` and `assemble` for a file that is made in steps; `Reader` for
parts of a file; `read_header` for its first bytes.
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
