"""Test that drafts give the files of `compress`, and that watchers see every tile and can stop."""

import numpy as np
import pytest
from tiny_codec import make_model

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.images import Picture
from slimcae.model.quality import Point


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(make_model(3), tile_side=64)


def test_a_draft_makes_the_files_of_compress(codec: Codec) -> None:
    alpha = np.tile(np.arange(150, dtype=np.uint8), (100, 1))
    picture = Picture(smooth_pixels(100, 150, 1), alpha=alpha)
    draft = codec.draft(picture)
    for point in (Point(12, 0), Point(4, 5), Point(12, 5), Point(8, 1), Point(12, 0)):
        draft.analyse(point.width)
        assert point.width in draft.analysed
        assert draft.file(point).data == codec.compress(picture, point.width, step=point.step)


def test_what_is_analysed_is_not_analysed_again(codec: Codec) -> None:
    seen = []
    watched = codec.watched(lambda: seen.append(1))
    draft = watched.draft(Picture(smooth_pixels(100, 150, 1)))
    draft.analyse(8)
    assert len(seen) == 2 * 3  # tiles
    for step in (0, 4, 2):
        draft.analyse(8)
        draft.file(Point(8, step))
    assert len(seen) == 2 * 3
    draft.analyse(4)
    draft.analyse(12)
    assert set(draft.analysed) == {4, 12}  # for pictures of several tiles, two widths are cached


def test_a_watcher_sees_every_tile_and_changes_nothing(codec: Codec) -> None:
    picture = Picture(smooth_pixels(100, 150, 2))
    seen = []
    watched = codec.watched(lambda: seen.append(1))
    data = watched.compress(picture, 8)
    assert data == codec.compress(picture, 8)
    assert len(seen) == 6
    assert np.array_equal(np.asarray(watched.decompress(data)), np.asarray(codec.decompress(data)))
    assert len(seen) == 12
    assert watched.model is codec.model


def test_a_watcher_stops_the_work(codec: Codec) -> None:
    class Stop(Exception):
        pass

    seen = []

    def stop() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise Stop

    picture = Picture(smooth_pixels(100, 150, 2))
    with pytest.raises(Stop):
        codec.watched(stop).compress(picture, 8)
    assert len(seen) == 3
    data = codec.compress(picture, 8)
    seen.clear()
    with pytest.raises(Stop):
        codec.watched(stop).decompress(data)
    assert np.array_equal(np.asarray(codec.decompress(data)), np.asarray(codec.decompress(data)))
