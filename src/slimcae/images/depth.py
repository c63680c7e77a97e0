"""Detection of files with more than 8 bits per channel, which Pillow reduces silently."""

from collections.abc import Iterable

from PIL import ExifTags, Image

from slimcae.images.file_headers import avif_properties, head

_HEAD_BYTES = 2**16
_HIGH_BIT_DEPTH, _TWELVE_BIT = 0x40, 0x20
_SOC_SIZ = b"\xff\x4f\xff\x51"


def is_deep(image: Image.Image) -> bool:
    """Return whether pixels have more than 8 bits per channel, if this can be determined.

    image: an opened image; after loading, only its mode and tags are available.
    """
    if image.mode.startswith(("I", "F")):
        return True
    for tile in getattr(image, "tile", ()):
        # the raw mode that Pillow unpacks; BGR;16 has 5, 6 and 5 bits
        if ";16" in str(tile).replace("BGR;16", ""):
            return True
        codec, arguments = tile[0], tile[3]
        if codec in ("ppm", "ppm_plain") and isinstance(arguments, tuple) and arguments[1] > 255:
            return True
    return _most_bits(image) > 8


def _most_bits(image: Image.Image) -> int:
    """Return the bits of the deepest channel according to the file, or 0 if unknown."""
    try:
        if hasattr(image, "tag_v2"):
            bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, 0)
            return max(bits) if isinstance(bits, Iterable) else int(bits)
        if image.format == "JPEG2000":
            return _jpeg_2000_bits(head(image, _HEAD_BYTES))
        if image.format == "HEIF":
            return int(image.info["bit_depth"])
        if image.format == "AVIF":
            return max(map(_av1_bits, avif_properties(image)))
    except Exception:  # arbitrary or closed files
        pass
    return 0


def _av1_bits(property_: bytes) -> int:
    """Return the bits in a box av1C (AV1 Codec ISO Media File Format Binding, 2.3.3), else 0."""
    if property_[:4] != b"av1C":
        return 0
    if not property_[6] & _HIGH_BIT_DEPTH:
        return 8
    return 12 if property_[6] & _TWELVE_BIT else 10


def _jpeg_2000_bits(start_of_file: bytes) -> int:
    """Return the bits in the marker SIZ of the codestream (ITU-T T.800, A.5.1)."""
    data = start_of_file[start_of_file.index(_SOC_SIZ) + 40 :]
    channels = int.from_bytes(data[:2], "big")
    depths = data[2 : 2 + 3 * channels : 3]
    return max((depth & 0x7F) + 1 for depth in depths)
