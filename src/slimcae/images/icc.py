"""ICC profiles: creation for colours that a file describes otherwise, and use with littlecms.

Pillow's littlecms interprets profiles; without it, all functions return "unknown".
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Chromaticities = tuple[
    tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]
]
"""x and y of white, red, green and blue (CIE 1931)."""

Matrix = NDArray[np.float64]

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""IEC 61966-2-1: gamma, a, b, c, d of a parametric curve of type 3."""

MAX_LEVEL_DIFFERENCE = 1
"""Largest difference in 8-bit levels between colours that count as equal."""


def rgb_profile(colours: Chromaticities, gamma: float | None) -> bytes:
    """Return an RGB profile (ICC.1:2022) for primaries and a gamma; None: the curve of sRGB.

    Raises:
        ValueError: The primaries are invalid.
    """
    primaries, adaptation = _to_d50(colours)
    if not (np.abs(primaries) < 4).all():
        raise ValueError("the primaries are invalid")
    curve = _curve(gamma)
    tags = {
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(adaptation.ravel()),
        **{tag: _xyz(column) for tag, column in zip(_COLORANTS, primaries.T, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float | None) -> bytes:
    """Return a profile (ICC.1:2022) for greys with a gamma; None: the curve of sRGB."""
    return _profile(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": _curve(gamma)})


_COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")


def _to_d50(colours: Chromaticities) -> tuple[Matrix, Matrix]:
    """Return the D50-adapted XYZ of red, green and blue in columns, and the adaptation matrix.

    Source: SMPTE RP 177 for the first, ICC.1:2022, annex E, for the second.
    """
    if any(not (y > 0 and 0 <= x <= 1 and y <= 1) for x, y in colours):
        raise ValueError("the chromaticities are invalid")
    white, *others = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in colours)
    columns = np.stack(others, axis=1)
    try:
        columns = columns * np.linalg.solve(columns, white)
    except np.linalg.LinAlgError as error:
        raise ValueError("the primaries are on one line") from error
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return adaptation @ columns, adaptation


def _curve(gamma: float | None) -> bytes:
    kind, parameters = (3, _SRGB_CURVE) if gamma is None else (0, (gamma,))
    return struct.pack(">4s4xHH", b"para", kind, 0) + _fixed(parameters)


def _xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: "Matrix | tuple[float, ...]") -> bytes:
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return struct.pack(">4s4xII2s2sII", b"mluc", 1, 12, b"en", b"US", len(content), 28) + content


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text("SlimCAE"), b"cprt": _text("CC0"), **tags}
    start = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    for tag, data in tags.items():
        if data not in places:  # equal tags are stored once
            places[data] = start + len(content)
            content += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", tag, places[data], len(data))
    header = struct.pack(
        ">I4xI4s4s4s6H4s28x", start + len(content), 0x04400000, b"mntr", space, b"XYZ ",
        2000, 1, 1, 0, 0, 0, b"acsp",
    ) + _fixed(_D50)  # fmt: skip
    return header + bytes(128 - len(header)) + table + content


Convert = Callable[[Image.Image], Image.Image]


def to_srgb(profile: bytes, mode: str) -> Convert | None:
    """Return a conversion of images of a mode from a profile to sRGB; None: unknown.

    The conversion is relative colorimetric with black point compensation, as in image editors.
    """
    try:
        from PIL import ImageCms

        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:  # an arbitrary profile, or no littlecms
        return None
    return transform.apply


@lru_cache(maxsize=16)
def greys_in_srgb(profile: bytes) -> bytes | None:
    """Return a table with the sRGB level of each of the 256 greys of an RGB profile.

    None: unknown, or equal red, green and blue are not grey in the profile.
    """
    levels = np.arange(256, dtype=np.uint8)
    convert = to_srgb(profile, "RGB")
    if convert is None:
        return None
    ramp = Image.fromarray(np.repeat(levels[None, :, None], 3, axis=2))
    seen = np.asarray(convert(ramp))[0].astype(np.int16)
    if np.ptp(seen, axis=1).max() > MAX_LEVEL_DIFFERENCE:
        return None
    greys = seen[:, 1]
    same = np.abs(greys - levels).max() <= MAX_LEVEL_DIFFERENCE
    return (levels if same else greys.astype(np.uint8)).tobytes()
