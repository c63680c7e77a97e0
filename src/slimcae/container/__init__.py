"""The `.scae` file: header, chunks and checksums (docs/format.md). Never imports torch.

The interface is `Contents` (a `Header`, the coded latents, alpha, ICC profile), `read`, `write`
and, for the first bytes of a file, `read_header`.
"""

from slimcae.container.contents import Contents, read, write
from slimcae.container.header import FORMAT_VERSION, MAGIC, MAX_HEADER_BYTES, Header, read_header

__all__ = [
    "FORMAT_VERSION",
    "MAGIC",
    "MAX_HEADER_BYTES",
    "Contents",
    "Header",
    "read",
    "read_header",
    "write",
]
