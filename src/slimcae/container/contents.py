"""Whole `.scae` files: a header and the known chunks to bytes, and back."""

import logging
import zlib
from dataclasses import dataclass

from slimcae.container.chunks import is_mandatory, pack_chunk, unpack_chunks
from slimcae.container.header import FORMAT_VERSION, Header, read_header
from slimcae.errors import BitstreamError

log = logging.getLogger("slimcae")

LATENTS = b"LATN"
ALPHA = b"ALPH"
ICC_PROFILE = b"iccp"
MAX_ICC_BYTES = 2**24
"""No profile in use comes near; a forged one must not inflate without bound."""


@dataclass(frozen=True)
class Contents:
    """Everything that a `.scae` file holds.

    latents: the coded symbols.
    alpha: a PNG file of mode L and of the picture's size, or None for an opaque picture.
    icc_profile: as in other image files (not compressed), or None.
    """

    header: Header
    latents: bytes
    alpha: bytes | None = None
    icc_profile: bytes | None = None


def write(contents: Contents) -> bytes:
    """The bytes of a `.scae` file. An ICC profile beyond 16 MiB is left out with a notice.

    The latents come last: so a truncated file always lacks some of them, and the beginning of a
    file tells everything but the pixels.

    Raises:
        BitstreamError: latents or alpha of 4 GiB or more.
    """
    parts = [bytes(contents.header)]
    profile = contents.icc_profile
    if profile and len(profile) <= MAX_ICC_BYTES:
        parts.append(pack_chunk(ICC_PROFILE, zlib.compress(profile, 9)))
    elif profile:
        log.warning("the ICC profile of %d bytes is too large and was left out", len(profile))
    if contents.alpha is not None:
        parts.append(pack_chunk(ALPHA, contents.alpha))
    parts.append(pack_chunk(LATENTS, contents.latents))
    return b"".join(parts)


def read(data: bytes) -> Contents:
    """The contents of a `.scae` file, all checksums verified.

    Unknown chunks that may be ignored are skipped. An ICC profile that does not inflate is left
    out with a notice.

    Raises:
        BitstreamError: damaged or foreign data, a format version or a mandatory chunk that is
            not known, chunks that are repeated, missing or behind the latents.
    """
    header = read_header(data)
    chunks: dict[bytes, bytes] = {}
    for tag, payload in unpack_chunks(data, len(bytes(header))):
        if LATENTS in chunks:
            raise BitstreamError(f"chunk {tag.decode()} follows the latents, which must come last")
        if tag in chunks:
            raise BitstreamError(f"chunk {tag.decode()} appears twice")
        if is_mandatory(tag) and tag not in (LATENTS, ALPHA):
            raise BitstreamError(
                f"the file needs chunk {tag.decode()}, which this slimcae (format version "
                f"{FORMAT_VERSION}) does not know: install a newer one"
            )
        chunks[tag] = payload
    if LATENTS not in chunks:
        raise BitstreamError("the file is truncated (copy it again): the latents are missing")
    profile = _inflate_profile(chunks[ICC_PROFILE]) if ICC_PROFILE in chunks else None
    return Contents(header, chunks[LATENTS], chunks.get(ALPHA), profile)


def _inflate_profile(payload: bytes) -> bytes | None:
    """The ICC profile, or None with a notice: the picture is worth more than its profile."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(payload, MAX_ICC_BYTES)
    except zlib.error:
        profile = b""
    if not inflater.eof or inflater.unused_data or not profile:
        log.warning("the file's ICC profile is damaged and was left out")
        return None
    return profile
