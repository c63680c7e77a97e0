"""Pillow plugin for `.scae` files: importing it registers the format for `Image.open` and `save`.

>>> import slimcae.pillow
>>> from PIL import Image
>>> Image.open("photo.png").save("photo.scae", width=96)  # doctest: +SKIP
>>> Image.open("photo.scae").show()  # doctest: +SKIP

Opening a file reads only its head; the model is loaded when pixels are needed. `save` accepts the
options of `slimcae.Codec.compress` (width, quality, bpp, target_size, target_psnr, closest,
effort), `model` (a name or file) and, like other formats, `icc_profile`, `exif` and `xmp`. As in
other formats, EXIF and XMP are written only if given, and pixels are not rotated, unless the given
`exif` has an orientation, which is then applied.

Pillow opens a file for writing, which truncates it, before it calls the plugin. So this module also
changes `Image.save` to write `.scae` files atomically: a save that fails, for example because a
target cannot be met, leaves the old file unchanged. Other formats are not affected.
"""

import os
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageFile

from slimcae.container import MAGIC, Reader
from slimcae.errors import BitstreamError, SlimCAEError
from slimcae.files import write_bytes

FORMAT = "SCAE"
MIME = "image/x-scae"
EXTENSION = ".scae"
_CHOICES = ("width", "point", "quality", "bpp", "target_size", "target_psnr", "closest", "effort")


class ScaeImageFile(ImageFile.ImageFile):
    """A `.scae` file as a Pillow image of mode L, LA, RGB or RGBA."""

    format = FORMAT
    format_description = "SlimCAE learned compression"

    def _open(self) -> None:
        assert self.fp is not None
        try:
            reader = Reader(self.fp)
            self.info.update(_metadata(reader))
        except BitstreamError as error:
            raise SyntaxError(str(error)) from error  # Pillow's convention for foreign files
        header = reader.header
        self._size = (header.image_width, header.image_height)
        self._mode = ("L" if header.grey else "RGB") + ("A" if reader.has_alpha else "")
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self._size))]

    def verify(self) -> None:
        """Verify the length and all checksums; as Pillow requires, reopen the file to load it.

        Raises:
            OSError: The file is damaged.
        """
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        try:
            Reader(self.fp).verify()
        except BitstreamError as error:
            raise OSError(str(error)) from error
        super().verify()

    def load_seek(self, position: int) -> None:
        """Do nothing; its existence tells Pillow's `Parser` to wait for the whole file."""


class ScaeDecoder(ImageFile.PyDecoder):
    """Decodes a whole file into Pillow's pixels."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        """Decode the file that Pillow has opened; return Pillow's code for "done"."""
        from slimcae.codec import decompress

        assert self.fd is not None
        assert self.im is not None
        try:
            # Pillow has already checked the number of pixels against its own limit
            image = decompress(self.fd, max_pixels=self.state.xsize * self.state.ysize)
        except SlimCAEError as error:
            raise OSError(str(error)) from error  # as Pillow's own formats do
        self.im.paste(image.im, (0, 0, *image.size))
        return -1, 0


def accept(prefix: bytes) -> bool:
    """Return whether the first bytes of a file are those of a `.scae` file."""
    return prefix.startswith(MAGIC)


def save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write a picture for `Image.save`.

    Raises:
        ValueError: Options contradict each other or cannot be met.
        OSError: The picture cannot be written.
    """
    from slimcae.codec import codec_of
    from slimcae.errors import ConfigError
    from slimcae.images import read_picture

    asked: dict[str, Any] = image.encoderinfo
    options = {name: asked[name] for name in _CHOICES if asked.get(name) is not None}
    try:
        picture = read_picture(_with_metadata(image, asked))
        data = codec_of(asked.get("model")).compress(picture, metadata="all", **options)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    except SlimCAEError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _saves_ours(fp: object, format: str | None) -> bool:
    """Return whether these arguments of `Image.save` mean a `.scae` file at a path."""
    if not isinstance(fp, str | bytes | os.PathLike):
        return False
    if format is not None:
        return format.upper() == FORMAT
    return Path(os.fsdecode(fp)).suffix.lower() == EXTENSION


_pillow_save = Image.Image.save


@wraps(_pillow_save)
def _save_whole(self: Image.Image, fp: Any, format: str | None = None, **params: Any) -> None:
    if not _saves_ours(fp, format):
        _pillow_save(self, fp, format, **params)
        return
    content = BytesIO()
    _pillow_save(self, content, FORMAT, **params)
    write_bytes(Path(os.fsdecode(fp)), content.getvalue())


def _metadata(reader: Reader) -> dict[str, bytes]:
    found = {"icc_profile": reader.icc_profile, "exif": reader.exif, "xmp": reader.xmp}
    if reader.header.srgb and not reader.header.grey:
        from slimcae.images import srgb_profile

        found["icc_profile"] = srgb_profile()
    return {name: value for name, value in found.items() if value is not None}


def _with_metadata(image: Image.Image, asked: dict[str, Any]) -> Image.Image:
    """Return a shallow copy with only the metadata to be written."""
    source = Image.Image._new(image, image.im)
    exif = asked.get("exif")
    wanted = {
        "icc_profile": asked.get("icc_profile", image.info.get("icc_profile")),
        "exif": exif.tobytes() if isinstance(exif, Image.Exif) else exif,
        "xmp": asked.get("xmp"),
    }
    source.info = {name: value for name, value in wanted.items() if value}
    told = ("transparency", "gamma", "chromaticity", "srgb")  # PNG fields that define colours
    source.info |= {name: image.info[name] for name in told if name in image.info}
    if isinstance(image, ImageFile.ImageFile):
        source.format, source.filename = image.format, image.filename  # type: ignore[attr-defined]
    return source


Image.register_open(FORMAT, ScaeImageFile, accept)
Image.register_decoder(FORMAT, ScaeDecoder)
Image.register_save(FORMAT, save)
Image.Image.save = _save_whole  # type: ignore[method-assign]
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME)
