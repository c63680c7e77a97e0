"""Parts of the time of a picture: by a clock that the test drives, and with a real codec."""

from typing import Any

import numpy as np
import pytest

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.coding.coder import SymbolCoder
from slimcae.model.slimcae import SlimCAE
from slimcae.profiling import Stages, stage_seconds

COST = {
    "compress": 100.0,
    "decompress": 200.0,
    "residuals": 7.0,
    "pixels": 11.0,
    "encode": 3.0,
    "decode": 5.0,
}
"""Seconds that each call takes."""


@pytest.fixture
def codec(tiny_model: SlimCAE) -> Codec:
    tiny_model.update()
    return Codec(tiny_model, tile_side=64)


def driven(monkeypatch: pytest.MonkeyPatch, codec: Codec, coder: SymbolCoder) -> list[str]:
    """All calls take known times, by a clock of their own; the names of the calls."""
    clock, calls = [0.0], []
    monkeypatch.setattr("slimcae.profiling.stages.time.perf_counter", lambda: clock[0])

    def slow(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            inner = clock[0]
            result = real(*args, **options)
            calls.append(name)
            clock[0] = inner + COST[name]  # what was called inside is part of it
            return result

        monkeypatch.setattr(owner, name, call)

    for name in ("compress", "decompress"):
        slow(codec, name)
    for name in ("residuals", "pixels"):
        slow(codec.transforms, name)
    for name in ("encode", "decode"):
        slow(coder, name)
    return calls


def test_each_part_is_timed_by_itself_tile_by_tile(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = SymbolCoder(codec.model.tables[8][0])
    driven(monkeypatch, codec, coder)
    pixels = smooth_pixels(96, 128, 0)  # two tiles by two
    encode, decode = stage_seconds(codec, pixels, 8, coder)
    assert encode == Stages(100.0, 4 * 7.0, 4 * 3.0)
    assert decode == Stages(200.0, 4 * 11.0, 4 * 5.0)
    assert encode.rest == 60.0
    assert decode.rest == 136.0


def test_a_real_picture_goes_through_the_same_parts(codec: Codec) -> None:
    """What is timed apart is what the codec does as a whole: the symbols are those of the file."""
    pixels = smooth_pixels(70, 90, 1)
    seen: list[np.ndarray] = []

    class Listening(SymbolCoder):
        def encode(self, symbols: Any) -> bytes:
            seen.append(symbols)
            return super().encode(symbols)

    encode, decode = stage_seconds(codec, pixels, 12, Listening(codec.model.tables[12][0]))
    symbols = codec.analyse(pixels, 12)
    assert len(seen) == 4
    np.testing.assert_array_equal(seen[0], symbols[:, :4, :4])
    np.testing.assert_array_equal(seen[3], symbols[:, 4:, 4:])
    for stages in (encode, decode):
        assert 0 < stages.network < 10 and 0 < stages.coder < 10 and 0 < stages.whole < 10
