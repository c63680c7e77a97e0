"""The same photo as JPEG, WebP and AVIF, at the size nearest to that of another file."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image

from slimcae.images import Picture
from slimcae.studio.work import tick

QUICK_PIXELS = 2_000_000
"""Largest picture that AVIF encodes at the slower speed."""
USUAL_STRENGTH = 100
STRENGTHS = (50, 150)
"""AVIF has 64 quantisers, whose files differ by 3 to 7 %. libaom's `deltaq-strength`, how much the
quantiser varies from block to block, gives sizes between them. Over this range the PSNR stays
within 0.2 dB of the curve through the usual files (docs/studio.md)."""
_CLOSE = 0.01
_TRIES = 6


class Setting(NamedTuple):
    """Parameters of an encoder.

    quality: on the format's own scale. strength: AVIF's `deltaq-strength`, in percent.
    """

    quality: int
    strength: int = USUAL_STRENGTH


@dataclass(frozen=True)
class Rival:
    """A format that Pillow writes.

    qualities: the lowest and the highest of its scale. options: further options of its encoder.
    shown: qualities for a curve, from coarse to fine. settings: description of the options.
    """

    title: str
    format: str
    media_type: str
    qualities: tuple[int, int]
    options: dict[str, Any]
    shown: tuple[int, ...]
    settings: str


RIVALS = {
    "jpeg": Rival(
        "JPEG",
        "JPEG",
        "image/jpeg",
        (1, 95),
        {"optimize": True, "progressive": True},
        (50, 10, 90, 30, 75, 5, 20, 40, 60, 85, 15, 68, 80, 95),
        "libjpeg-turbo, progressive, optimised tables, 4:2:0",
    ),
    "webp": Rival(
        "WebP",
        "WEBP",
        "image/webp",
        (0, 100),
        {"method": 4},
        (50, 0, 90, 25, 75, 10, 95, 35, 65, 82),
        "libwebp, method 4",
    ),
    "avif": Rival(
        "AVIF",
        "AVIF",
        "image/avif",
        (0, 98),
        {"speed": 6},
        (50, 10, 85, 30, 70, 20, 40, 60, 78),
        "libaom, speed 6 (8 above 2 megapixels), 4:2:0",
    ),
}


def opaque_image(picture: Picture) -> Image.Image:
    """Return the colours of a picture, with its profile but without alpha, which JPEG lacks.

    Transparent pixels have the same smooth colours as in our codec.
    """
    image = picture.filled().to_image()
    if "A" in image.getbands():
        profile = image.info.get("icc_profile")
        image = image.convert("L" if image.mode == "LA" else "RGB")
        image.info = {} if profile is None else {"icc_profile": profile}
    return image


def encode(image: Image.Image, kind: str, setting: Setting) -> bytes:
    """Return the file of an image in one of `RIVALS`.

    Raises:
        ValueError: this Pillow's AVIF encoder knows no `deltaq-strength`.
    """
    tick()
    rival = RIVALS[kind]
    options = dict(rival.options)
    if kind == "avif" and image.width * image.height > QUICK_PIXELS:
        options["speed"] = 8
    if setting.strength != USUAL_STRENGTH:
        options["advanced"] = {"deltaq-strength": str(setting.strength)}
    file = BytesIO()
    image.save(
        file,
        rival.format,
        quality=setting.quality,
        icc_profile=image.info.get("icc_profile") or b"",
        exif=b"",
        **options,
    )
    return file.getvalue()


def nearest_setting(size: Callable[[Setting], int], kind: str, wanted: int) -> Setting:
    """Return the setting whose file is nearest to `wanted` bytes, for AVIF within 1 %.

    AVIF stays at the nearest quality if the encoder has no `deltaq-strength`, or its range ends.
    size: function from setting to file size.
    """

    def of_quality(quality: int) -> int:
        return size(Setting(quality))

    quality = nearest_quality(of_quality, *RIVALS[kind].qualities, wanted)
    if kind != "avif":
        return Setting(quality)
    try:
        return Setting(quality, _nearest_strength(lambda s: size(Setting(quality, s)), wanted))
    except ValueError:  # another encoder than libaom
        return Setting(quality)


def _nearest_strength(size: Callable[[int], int], wanted: int) -> int:
    """Return the strength whose file is nearest to `wanted` bytes, by false position.

    size: function from strength to file size, which is assumed to increase.
    """
    away = {USUAL_STRENGTH: math.log(size(USUAL_STRENGTH) / wanted)}
    trial = STRENGTHS[away[USUAL_STRENGTH] < 0]
    for _ in range(_TRIES):
        if trial in away or min(map(abs, away.values())) <= _CLOSE:
            break
        away[trial] = math.log(size(trial) / wanted)
        if min(away.values()) >= 0 or max(away.values()) < 0:  # the range does not reach so far
            break
        below = max(strength for strength in away if away[strength] < 0)
        above = min(strength for strength in away if away[strength] >= 0)
        part = away[below] / (away[below] - away[above])
        trial = round(below + (above - below) * part)
    return min(away, key=lambda strength: abs(away[strength]))


def nearest_quality(size: Callable[[int], int], lowest: int, highest: int, wanted: int) -> int:
    """Return the quality whose file is nearest to `wanted` bytes, by the ratio.

    size: function from quality to file size, which is assumed to increase.
    """
    low, high = lowest, highest
    while low < high:  # the first that has `wanted` bytes or more, or the highest
        middle = (low + high) // 2
        if size(middle) >= wanted:
            high = middle
        else:
            low = middle + 1
    around = [quality for quality in (low - 1, low) if quality >= lowest]
    return min(around, key=lambda quality: abs(math.log(size(quality) / wanted)))
