"""Limits of requests, and allowed formats of uploads."""

from dataclasses import dataclass
from io import BytesIO

from PIL import UnidentifiedImageError

from slimcae.container import MAGIC
from slimcae.errors import ImageError, PictureTooLargeError
from slimcae.images import Picture, read_picture
from slimcae.studio.failures import Refused


@dataclass(frozen=True)
class Limits:
    """Bounds of one server.

    max_bytes: bytes of one upload. max_pixels: pixels of one picture.
    held_photos, held_pixels: total of the page's photos; the oldest are removed first.
    workers: number of computing threads. waiting: requests that may wait for one.
    body_bytes: bytes of all uploads that are being received or processed.
    stall_seconds: time after which a stalled client is disconnected. stall_bytes: bytes that an
    upload must send in that time. connections: number of parallel connections.
    """

    max_bytes: int = 64_000_000
    max_pixels: int = 40_000_000
    held_photos: int = 8
    held_pixels: int = 80_000_000
    workers: int = 2
    waiting: int = 32
    body_bytes: int = 256_000_000
    stall_seconds: float = 10.0
    stall_bytes: int = 16_384
    connections: int = 512


_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"BM",
    b"II*\0",  # TIFF, both byte orders
    b"MM\0*",
    b"\0\0\0\x0cjP  ",  # JPEG 2000, file and bare codestream
    b"\xff\x4f\xff\x51",
    *(b"P%d" % kind for kind in range(1, 7)),  # PBM, PGM, PPM
)


def is_scae(data: bytes) -> bool:
    """Return whether an upload has the signature of a `.scae` file."""
    return data.startswith(MAGIC[:2])


def check_picture_format(data: bytes) -> None:
    """Check that a picture has a well-known format; Pillow supports many more.

    Some of them start other programs (PostScript), and none is needed here.

    Raises:
        Refused: 415.
    """
    iso = data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1", b"miaf")
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if not (iso or webp or data.startswith(_SIGNATURES)):
        raise Refused(
            415,
            "the studio does not support this format: "
            "give PNG, JPEG, WebP, AVIF, TIFF, GIF, BMP, JPEG 2000 or PPM",
        )


def read_upload(data: bytes, limits: Limits) -> Picture:
    """Read a picture whose format was checked by `check_picture_format`.

    Raises:
        Refused: 400, if it is damaged.
        PictureTooLargeError: The picture has too many pixels.
    """
    try:
        return read_picture(BytesIO(data), limits.max_pixels)
    except PictureTooLargeError:
        raise
    except ImageError as error:  # its advice is for files of unknown format
        cause = error.__cause__
        if cause is None:
            raise
        reason = str(cause).partition("\n")[0]
        if isinstance(cause, UnidentifiedImageError) or not reason:
            reason = "it is damaged, or its first bytes are those of another format"
        raise Refused(400, f"the picture cannot be read: {reason}") from error
