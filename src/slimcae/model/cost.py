"""The cost of decoding a picture: multiply-accumulates, memory and time. No torch."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from slimcae.errors import ConfigError
from slimcae.files import write_bytes
from slimcae.model.architecture import Architecture
from slimcae.user_folders import cache_folder

WINDOW = 1024
"""Largest side in pixels that the network computes at once, without its halo."""

# Peak resident MB of computing pixels from symbols, beyond the program and its model (ONNX Runtime
# 1.32 on x86-64, one thread); in parentheses, the estimate of `decoder_memory` for all of decoding.
# torch needs a third to a half of that with AVX2.
#
#   picture       48          192
#   512x768       24  (48)    84 (128)
#   1024x1024     -  (102)   245 (305)
#   2048x2048    83  (141)   330 (372)
#   4000x6000   241  (327)   543 (580)
#
_FIXED_BYTES = 16 * 2**20
_BYTES_PER_PIXEL = 8
_BYTES_PER_VALUE = 10
_BYTES_PER_TILE_SYMBOL = 22  # of kind `factorized`; 19 of `context`, 7 of `tables`


class Coded(Protocol):
    """The fields of a `.scae` header that the cost depends on."""

    @property
    def image_height(self) -> int:
        """Rows of pixels."""

    @property
    def image_width(self) -> int:
        """Columns of pixels."""

    @property
    def num_filters(self) -> int:
        """Width of the network."""

    @property
    def tile_side(self) -> int:
        """Side of the tiles in pixels."""


def padded_pixels(architecture: Architecture, coded: Coded) -> int:
    """Return the number of pixels that the decoder computes, padded to whole latents."""
    rows, columns = padded_size(architecture, (coded.image_height, coded.image_width))
    return rows * columns


def padded_size(architecture: Architecture, size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` (H, W) rounded up to whole latents."""
    scale = architecture.downsampling
    return -(-size[0] // scale) * scale, -(-size[1] // scale) * scale


def decoder_memory(architecture: Architecture, coded: Coded) -> int:
    """Estimate the decoder's peak memory in bytes, without the program and the model.

    It is the sum of the largest layer for one window, 2 bytes per symbol (more for the symbols of
    one tile), and three 8-bit copies of the picture.
    """
    width, scale = coded.num_filters, architecture.downsampling
    padded = padded_size(architecture, (coded.image_height, coded.image_width))
    around = 2 * scale * architecture.synthesis_halo
    window = math.prod(min(side, WINDOW + around) for side in padded)
    per_pixel = _BYTES_PER_PIXEL + _BYTES_PER_VALUE * architecture.decoder_values(width)
    network = _FIXED_BYTES + math.ceil(per_pixel * window)
    channels = architecture.latent_channels(width)
    symbols = 2 * channels * math.prod(padded) // scale**2
    tile = math.prod(min(side, coded.tile_side) for side in padded)
    ordering = _BYTES_PER_TILE_SYMBOL * channels * tile // scale**2
    return network + symbols + ordering + 3 * 3 * coded.image_height * coded.image_width


@dataclass(frozen=True)
class Times:
    """Milliseconds per picture: a constant, and a time per million pixels."""

    fixed: float
    per_megapixel: float

    def of(self, pixels: int) -> float:
        """Return the milliseconds for a picture with a number of pixels."""
        return self.fixed + self.per_megapixel * pixels / 1e6


@dataclass(frozen=True)
class Profile:
    """Times of one model on one machine, as measured by `slimcae profile`.

    model: NAME@VERSION. runtime: name and version of the library that ran the transforms. machine:
        description of the processor and number of cores. date: ISO 8601.
    encode, decode: times for each width and kind of entropy model, without starting the program
        and loading the model.
    """

    model: str
    runtime: str
    device: str
    precision: str
    threads: int
    machine: str
    date: str
    encode: Mapping[int, Mapping[str, Times]]
    decode: Mapping[int, Mapping[str, Times]]

    def decode_ms(self, width: int, kind: str, pixels: int) -> float:
        """Estimate the milliseconds to decode a picture with a number of pixels.

        Raises:
            ConfigError: The width was not measured, or not with this kind of entropy model.
        """
        if width not in self.decode:
            raise ConfigError(
                f"the profile has no width {width}, only {', '.join(map(str, self.decode))}",
                field="profile",
            )
        if kind not in self.decode[width]:
            raise ConfigError(
                f"the profile has no times of entropy model {kind} at width {width}, only of "
                f"{', '.join(self.decode[width])}",
                field="profile",
            )
        return self.decode[width][kind].of(pixels)

    def to_json(self) -> str:
        """Return the content of a profile file."""
        facts = {name: getattr(self, name) for name in (*_TEXTS, "threads")}
        for way in _WAYS:
            facts[way] = {
                str(width): {kind: vars(times) for kind, times in kinds.items()}
                for width, kinds in getattr(self, way).items()
            }
        return json.dumps({"format": PROFILE_FORMAT, **facts}, indent=2) + "\n"


PROFILE_FORMAT = 3
_TEXTS = ("model", "runtime", "device", "precision", "machine", "date")
_WAYS = ("encode", "decode")
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def default_profile() -> Path:
    """Return the path of this machine's profile.

    Raises:
        ConfigError: The user has no home folder.
    """
    return cache_folder() / "profile.json"


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile file, and create its folder if needed.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, profile.to_json().encode())


def read_profile(path: Path | None = None) -> Profile:
    """Read a profile file; None reads the profile of this machine.

    Raises:
        ConfigError: The file is missing, damaged, or not a profile.
    """
    path = default_profile() if path is None else path
    try:
        return _profile(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise ConfigError(f"no profile at {path}", field="profile") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise ConfigError(f"{path} is damaged or not a profile", field="profile") from error


def _profile(facts: Any) -> Profile:
    texts = {name: facts[name] for name in _TEXTS}
    threads = facts["threads"]
    if not all(isinstance(text, str) and text.isprintable() for text in texts.values()):
        raise ValueError("a description must be text")
    if facts["format"] != PROFILE_FORMAT or type(threads) is not int or threads < 1:
        raise ValueError("the format or the number of threads is invalid")
    encode, decode = (
        {int(w): {kind: _times(t) for kind, t in kinds.items()} for w, kinds in facts[way].items()}
        for way in _WAYS
    )
    if not decode or min(decode) < 1 or not all(decode.values()):
        raise ValueError("widths must be positive integers, at least one")
    if {w: kinds.keys() for w, kinds in encode.items()} != {
        w: kinds.keys() for w, kinds in decode.items()
    }:
        raise ValueError("encoding and decoding must have the same widths and kinds")
    return Profile(**texts, threads=threads, encode=encode, decode=decode)


def _times(value: Any) -> Times:
    fixed, per_megapixel = value["fixed"], value["per_megapixel"]
    for number in (fixed, per_megapixel):
        if type(number) not in (int, float) or not 0 <= number < math.inf:
            raise ValueError("times must be numbers of milliseconds")
    return Times(float(fixed), float(per_megapixel))
