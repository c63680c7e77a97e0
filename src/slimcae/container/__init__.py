"""The `.scae` file: header, chunks and checksums (docs/format.md). Never imports torch."""

from slimcae.container.file import ALPHA, ICC_PROFILE, LATENTS, ScaeFile, read, read_header, write
from slimcae.container.header import MAGIC, MAX_HEADER_BYTES, VERSION, Header

__all__ = [
    "ALPHA",
    "ICC_PROFILE",
    "LATENTS",
    "MAGIC",
    "MAX_HEADER_BYTES",
    "VERSION",
    "Header",
    "ScaeFile",
    "read",
    "read_header",
    "write",
]
