"""Writing of pictures to files, with the metadata that the format supports."""

import logging
import os
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from slimcae.errors import ConfigError, ImageError, SettingError
from slimcae.files import atomic_path
from slimcae.images.metadata import descriptive
from slimcae.images.pillow_warnings import pillow_warnings

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

log = logging.getLogger("slimcae")

_NAMES = {"icc_profile": "ICC profile", "exif": "EXIF data", "xmp": "XMP data"}
_XMP_TAG = 700
_ALPHA_LOSS = 8
"""Largest change of alpha levels in a lossy format."""
_GIF_COLOURS = 256

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # high quality, because the picture has already been compressed
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},  # keeps invisible colours, too
    "AVIF": {"quality": 95},
}


QUALITY_KINDS = ("jpg", "jpeg", "webp", "avif")
"""Suffixes of the formats for which `write_image` accepts a quality."""


def write_image(
    image: Image.Image,
    output: Path | BytesIO,
    suffix: str | None = None,
    quality: int | None = None,
) -> None:
    """Write a picture, a file atomically, in the format of the path's suffix.

    suffix: suffix for an output without one, such as a device or a stream, for example `.png`.
    quality: 1 to 100 for JPEG, WebP and AVIF; None is 95, and lossless for WebP.

    ICC profile, EXIF and XMP come from the image's `info`; those that the format does not support
    are left out with a notice.

    Raises:
        ImageError: Pillow cannot write the suffix, or the format does not support the mode.
        ConfigError: The format has no quality, or the quality is out of range.
        OSError: The folder is missing or cannot be written.
    """
    if isinstance(output, BytesIO):
        name, kind = "the picture", suffix or ""
    else:
        name, kind = str(output), output.suffix.lower() or suffix or ""
    with pillow_warnings(name):
        _write(image, output, name, kind, quality)


def _write(
    image: Image.Image, output: Path | BytesIO, name: str, suffix: str, quality: int | None
) -> None:
    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind.upper() not in Image.SAVE:
        shown = repr(suffix or Path(name).name)
        raise ImageError(f"cannot write pictures with suffix {shown}: use .png, say")
    if "A" in image.getbands() and not _holds_alpha(kind):
        image = _opaque(image, name, kind)
    if kind == "GIF" and image.mode == "RGB" and image.getcolors(_GIF_COLOURS) is None:
        log.warning("%s: GIF cannot hold more than %d colours: reduced", name, _GIF_COLOURS)
    metadata = _metadata(image)
    kept = _what_fits(kind, metadata)
    if kept.keys() != metadata.keys():
        missing = [_NAMES[title] for title in metadata if title not in kept]
        log.warning("%s: %s cannot hold the %s: left out", name, kind, " and ".join(missing))
    options = _SAVE_OPTIONS.get(kind, {}) | _options(kind, kept)
    if quality is not None:
        options |= _quality_options(kind, quality)
    if suffix in (".j2k", ".j2c", ".jpc"):
        options["no_jp2"] = True
    try:
        if isinstance(output, BytesIO):
            image.save(output, kind, **options)
            return
        with atomic_path(output) as place:
            if place == output:  # a device or pipe, in which Pillow cannot seek
                content = BytesIO()
                image.save(content, kind, **options)
                place.write_bytes(content.getbuffer())
            else:
                with place.open("w+b") as file:
                    whole = _WholeFile(file)
                    try:
                        image.save(cast(Any, whole), kind, **options)
                    finally:
                        whole.check()  # an encoder's own error would hide the reason
    except Exception as error:  # encoders raise many kinds of errors for modes and sizes
        if isinstance(error, OSError) and error.errno is not None:
            raise  # for example a full disk
        raise ImageError(f"{name} cannot be written as {kind} ({error}): use .png") from error


class _WholeFile:
    """A file for Pillow that does not lose the error of a full disk.

    Pillow's encoders write directly to the descriptor of a file, and take a part for the whole:
    JPEG files end early, and JPEG 2000 tries again forever. So this file has no descriptor, and
    accepts everything after an error, which `check` raises.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: "Buffer") -> int:
        self._try(lambda: self._file.write(data))
        return memoryview(data).nbytes

    def read(self, size: int = -1) -> bytes:
        found = self._try(lambda: self._file.read(size))
        return found if isinstance(found, bytes) else b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._try(lambda: self._file.seek(offset, whence)) or 0)

    def tell(self) -> int:
        return int(self._try(self._file.tell) or 0)

    def flush(self) -> None:
        self._try(self._file.flush)

    def check(self) -> None:
        """Flush, and raise the first error.

        Raises:
            OSError: The file could not be written.
        """
        self.flush()
        if self._error is not None:
            raise self._error

    def _try(self, work: Callable[[], Any]) -> Any:
        if self._error is None:
            try:
                return work()
            except OSError as error:
                self._error = error
        return None


def _quality_options(kind: str, quality: int) -> dict[str, Any]:
    """Return Pillow's options for a quality.

    Raises:
        ConfigError: The format has no quality, or the value is out of range.
    """
    if kind not in ("JPEG", "WEBP", "AVIF"):
        raise ConfigError(
            f"output_quality {quality}: {kind} has no quality; use .jpg, .webp or .avif"
        )
    if not 1 <= quality <= 100:
        raise SettingError("output_quality", quality, "1 to 100")
    return {"quality": quality} | ({"lossless": False} if kind == "WEBP" else {})


def png_bytes(image: Image.Image) -> bytes:
    """Return a PNG file of a picture, with fast instead of strong compression.

    ICC profile, EXIF and XMP come from the image's `info`, as far as Pillow can write them.
    """
    file = BytesIO()
    with pillow_warnings("the picture"):
        kept = _what_fits("PNG", _metadata(image))
        image.save(file, "PNG", compress_level=1, **_options("PNG", kept))
    return file.getvalue()


def _metadata(image: Image.Image) -> dict[str, bytes]:
    found = {name: image.info.get(name) for name in _NAMES}
    return {name: value for name, value in found.items() if isinstance(value, bytes) and value}


def _what_fits(kind: str, metadata: dict[str, bytes]) -> dict[str, bytes]:
    if _fits(kind, metadata):
        return metadata
    kept: dict[str, bytes] = {}
    for name, value in metadata.items():
        if _fits(kind, kept | {name: value}):
            kept[name] = value
    return kept


def _fits(kind: str, metadata: dict[str, bytes]) -> bool:
    """Return whether a one-pixel picture keeps these metadata when written and read.

    Formats limit metadata in many ways, and support differs between releases of Pillow.
    """
    if not metadata:
        return True
    sample = BytesIO()
    try:
        Image.new("RGB", (1, 1)).save(sample, kind, **_options(kind, metadata))
        with Image.open(sample) as written:
            written.load()
            return (
                written.info.get("icc_profile") == metadata.get("icc_profile")
                and written.info.get("xmp") == metadata.get("xmp")
                and ("exif" not in metadata or len(written.getexif()) > 0)
            )
    except Exception:  # arbitrary metadata
        return False


def _opaque(image: Image.Image, name: str, kind: str) -> Image.Image:
    """Return a picture without its alpha, which must be opaque."""
    if image.getchannel("A").getextrema() != (255, 255):
        raise ImageError(f"{name} cannot be written as {kind}, which cannot hold alpha: use .png")
    return image.convert(image.mode.removesuffix("A"))


@cache
def _holds_alpha(kind: str) -> bool:
    """Return whether a format approximately keeps all levels of alpha."""
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([alpha] * 4, axis=2))
    sample = BytesIO()
    try:
        image.save(sample, kind, **_SAVE_OPTIONS.get(kind, {}))
        with Image.open(sample) as written:
            found = np.asarray(written.convert("RGBA"))[:, :, 3].astype(int)
            return bool(np.abs(found - alpha).max() <= _ALPHA_LOSS)
    except Exception:  # formats reject modes with many kinds of errors
        return False


def _options(kind: str, metadata: dict[str, bytes]) -> dict[str, Any]:
    """Return Pillow's options, including empty metadata, so that Pillow does not use `info`."""
    exif, xmp = metadata.get("exif", b""), metadata.get("xmp", b"")
    options: dict[str, Any] = {
        "icc_profile": metadata.get("icc_profile"),
        "exif": exif,
        "xmp": xmp,
    }
    if kind == "PNG" and xmp:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    if kind == "TIFF":
        tags = _loaded(descriptive(_loaded(exif)).tobytes() if exif else b"")
        if xmp:
            tags[_XMP_TAG] = xmp
        options["exif"] = tags
    return options


def _loaded(exif: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load(exif)
    return tags
