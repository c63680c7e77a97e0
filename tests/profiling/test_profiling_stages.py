"""Test the parts of the time of a picture: with a simulated clock, and with a real codec."""

from typing import Any

import numpy as np
import pytest

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.coding.entropy import EntropyModel
from slimcae.model.model import Model
from slimcae.profiling import Stages, stage_seconds

COST = {"residuals": 7.0, "pixels": 11.0, "encode": 3.0, "decode": 5.0, "check": 2.0}
"""Seconds of each call; the last belongs to neither network nor coder."""


@pytest.fixture
def codec(tiny_model: Model) -> Codec:
    return Codec(tiny_model, tile_side=64)


def drive(monkeypatch: pytest.MonkeyPatch, codec: Codec) -> None:
    """Calls with known times, by their own clock."""
    clock = [0.0]
    monkeypatch.setattr("slimcae.profiling.stages.time.perf_counter", lambda: clock[0])

    def slow(owner: Any, name: str, cost: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            clock[0] += COST[cost]
            return real(*args, **options)

        monkeypatch.setattr(owner, name, call)

    for name in ("residuals", "pixels"):
        slow(type(codec.transforms), name, name)
    for name in ("encode", "decode"):
        slow(EntropyModel, name, name)
    slow(codec.__class__, "_check_model", "check")  # once, when decompressing


def test_parts_are_clocked_within_the_calls(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, codec)
    encode, decode = stage_seconds(codec, smooth_pixels(48, 64, 0), 8)  # one tile
    assert encode == Stages(10.0, 7.0, 3.0)
    assert decode == Stages(18.0, 11.0, 5.0)
    assert (encode.rest, decode.rest) == (0.0, 2.0)


def test_every_tile_counts(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    original = EntropyModel.encode

    def listening(model: EntropyModel, symbols: np.ndarray, step: int) -> bytes:
        seen.append(symbols.shape)
        return original(model, symbols, step)

    monkeypatch.setattr(EntropyModel, "encode", listening)
    encode, decode = stage_seconds(codec, smooth_pixels(70, 90, 1), 12)
    assert seen == [(12, 4, 4), (12, 4, 2), (12, 1, 4), (12, 1, 2)]
    for stages in (encode, decode):
        assert 0 < stages.network < stages.whole < 10
        assert 0 < stages.coder < 10


def test_the_codec_stays_as_it_was(codec: Codec) -> None:
    transforms, model = codec.transforms, codec.model
    stage_seconds(codec, smooth_pixels(32, 32, 2), 4)
    assert codec.transforms is transforms
    assert codec.model is model
