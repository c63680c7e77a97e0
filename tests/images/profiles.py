"""ICC profiles with any primaries and tone curve, written by hand."""

import struct

import numpy as np

# D50 XYZ of red, green and blue, from the published profiles
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)


def srgb_curve(points: int = 1024) -> np.ndarray:
    """Return linear light for evenly spaced values (IEC 61966-2-1)."""
    values = np.linspace(0, 1, points)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def matrix_profile(
    primaries: tuple[tuple[float, float, float], ...] = SRGB,
    curve: np.ndarray | float | None = None,
    name: str = "by hand",
) -> bytes:
    """Return an RGB display profile, version 2.1 (ICC.1:1998-09); curve: a table or a gamma."""
    if curve is None:
        curve = srgb_curve()
    if isinstance(curve, float):
        tone = struct.pack(">4sIIH", b"curv", 0, 1, round(curve * 256))
    else:
        levels = np.rint(curve * 65535).astype(">u2")
        tone = struct.pack(">4sII", b"curv", 0, len(levels)) + levels.tobytes()
    text = name.encode() + b"\0"
    tags = {
        b"desc": struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78),
        b"cprt": struct.pack(">4sI", b"text", 0) + b"none\0",
        b"wtpt": _xyz(0.9642, 1, 0.8249),
        b"rXYZ": _xyz(*primaries[0]),
        b"gXYZ": _xyz(*primaries[1]),
        b"bXYZ": _xyz(*primaries[2]),
        b"rTRC": tone,
        b"gTRC": tone,
        b"bTRC": tone,
    }
    position = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, position + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s28x", position + len(content), bytes(4), 0x02100000, b"mntr", b"RGB ",
        b"XYZ ", bytes(12), b"acsp",
    ) + struct.pack(">3i", 63190, 65536, 54061)  # fmt: skip
    return head + bytes(128 - len(head)) + table + content


def _xyz(*values: float) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in values))


def cmyk_profile() -> bytes:
    """Return a printer profile (ICC.1:1998-09) with the 16 mixtures of full inks as `ink_lab`."""
    ramp = np.arange(256, dtype=np.uint8).tobytes()
    corners = [
        (c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    ]  # the last ink changes first
    table = b"".join(
        bytes([round(lightness * 2.55), round(a) + 128, round(b) + 128])
        for lightness, a, b in (ink_lab(*corner) for corner in corners)
    )
    head = struct.pack(
        ">4s4x4B9i", b"mft1", 4, 3, 2, 0, *(65536 * n for n in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    )
    a2b = head + 4 * ramp + table + 3 * ramp
    text = b"by hand\0"
    tags = {
        b"desc": struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78),
        b"cprt": struct.pack(">4sI", b"text", 0) + b"none\0",
        b"wtpt": _xyz(0.9642, 1, 0.8249),
        b"A2B0": a2b,
        b"A2B1": a2b,
        b"A2B2": a2b,
    }
    position = 128 + 4 + 12 * len(tags)
    contents, content = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        contents += struct.pack(">4sII", tag, position + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s28x", position + len(content), bytes(4), 0x02100000, b"prtr", b"CMYK",
        b"Lab ", bytes(12), b"acsp",
    ) + struct.pack(">3i", 63190, 65536, 54061)  # fmt: skip
    return head + bytes(128 - len(head)) + contents + content


def ink_lab(c: float, m: float, y: float, k: float) -> tuple[float, float, float]:
    """Return the Lab values of full inks on paper, all dull, so that no formula gives them."""
    lightness = (100 - 40 * c - 45 * m - 8 * y) * (1 - 0.8 * k)
    return lightness, (60 * m - 30 * c) * (1 - k), (70 * y - 40 * c) * (1 - k)
