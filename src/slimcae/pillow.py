"""`.scae` files in Pillow: `import slimcae.pillow`, then `Image.open` and `save` know them.

>>> import slimcae.pillow
>>> from PIL import Image
>>> Image.open("photo.png").save("photo.scae", width=96)  # doctest: +SKIP
>>> Image.open("photo.scae").show()  # doctest: +SKIP

Opening reads the head of the file; torch is imported, and the model that made the file loaded, when
pixels are needed. `save` takes the options of `slimcae.Codec.compress` (width, quality, bpp,
target_size, target_psnr, closest, effort), `model` (a name or file) and, as other formats do,
`icc_profile`, `exif` and `xmp`. As with other formats EXIF and XMP are kept only if they are given,
and pixels are taken as they are; an orientation in the `exif` given is applied to them.

Pillow opens a file for writing, which empties it, before it asks any format. Importing this module
makes `Image.save` write `.scae` files whole or not at all: a save that fails, for a target that
cannot be met say, leaves the file that was there. Other formats are saved as before.
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
            raise SyntaxError(str(error)) from error  # what Pillow expects of a foreign file
        header = reader.header
        self._size = (header.image_width, header.image_height)
        self._mode = ("L" if header.grey else "RGB") + ("A" if reader.has_alpha else "")
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self._size))]

    def verify(self) -> None:
        """Verify the file's length and all checksums; reopen it to load it, as Pillow requires.

        Raises:
            OSError: a damaged file.
        """
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        try:
            Reader(self.fp).verify()
        except BitstreamError as error:
            raise OSError(str(error)) from error
        super().verify()

    def load_seek(self, position: int) -> None:
        """Tells Pillow's `Parser`, which asks whether it exists, to wait for the whole file."""


class ScaeDecoder(ImageFile.PyDecoder):
    """Fills Pillow's pixels from a whole file."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        """Decode the file that Pillow has open; returns Pillow's "done"."""
        from slimcae.codec import decompress

        assert self.fd is not None
        assert self.im is not None
        try:
            # Pillow has checked the number of pixels against its own limit
            image = decompress(self.fd, max_pixels=self.state.xsize * self.state.ysize)
        except SlimCAEError as error:
            raise OSError(str(error)) from error  # as Pillow's own formats do
        self.im.paste(image.im, (0, 0, *image.size))
        return -1, 0


def accept(prefix: bytes) -> bool:
    """Tell whether the first bytes of a file are those of a `.scae` file."""
    return prefix.startswith(MAGIC)


def save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write a picture for `Image.save`.

    Raises:
        ValueError: options that contradict each other or cannot be met.
        OSError: a picture that cannot be written.
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
    """Whether `Image.save` with these is asked for a `.scae` file by its path."""
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
    """A shallow copy that carries just the metadata that are to be written."""
    source = Image.Image._new(image, image.im)
    exif = asked.get("exif")
    wanted = {
        "icc_profile": asked.get("icc_profile", image.info.get("icc_profile")),
        "exif": exif.tobytes() if isinstance(exif, Image.Exif) else exif,
        "xmp": asked.get("xmp"),
    }
    source.info = {name: value for name, value in wanted.items() if value}
    told = ("transparency", "gamma", "chromaticity", "srgb")  # of PNG: they say what pixels mean
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
