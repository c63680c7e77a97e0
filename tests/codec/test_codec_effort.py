"""Effort: which entropy model codes a file, and what both ways have in common."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import slimcae.pillow  # noqa: F401  # registers the format
from conftest import smooth_pixels
from slimcae import container
from slimcae.codec import Codec, Target
from slimcae.errors import ConfigError
from slimcae.images import Picture
from slimcae.model.file import read_model

MODEL = Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors"
PICTURE = Picture(smooth_pixels(70, 90, 3))


@pytest.fixture(scope="module", params=[1024, 32])
def codec(request: pytest.FixtureRequest) -> Codec:
    """Return a codec of one tile or several, whose model has two kinds at widths 12 and 8."""
    return Codec(read_model(MODEL), tile_side=request.param)


def kind_of(data: bytes) -> str:
    return container.read_header(data).entropy_model


def test_effort_chooses_the_kind_and_not_the_pixels(codec: Codec) -> None:
    for width, kinds in ((12, ("context", "tables")), (4, ("factorized",) * 2)):
        files = [codec.compress(PICTURE, width, effort=effort) for effort in ("normal", "fast")]
        assert tuple(map(kind_of, files)) == kinds
        assert (files[0] == files[1]) == (width == 4)
        pictures = [np.asarray(codec.decompress(data)) for data in files]
        np.testing.assert_array_equal(pictures[0], pictures[1])
        first, second = map(codec.read_symbols, files)
        np.testing.assert_array_equal(first, second)
    assert codec.compress(PICTURE, 12) == codec.compress(PICTURE, 12, effort="normal")


@pytest.mark.parametrize("effort", ["normal", "fast"])
def test_sizes_are_those_of_the_kind(codec: Codec, effort: str) -> None:
    draft = codec.draft(PICTURE, effort)
    for width in codec.widths:
        size = len(codec.compress(PICTURE, width, step=1, effort=effort))
        for_this = codec.encode(PICTURE, Target(target_size=size, effort=effort), verify=True)
        assert len(for_this.data) <= size
        assert for_this.header.entropy_model == codec.model.kind(for_this.point.width, effort)
        compressed = draft.file(codec.encode(PICTURE, Target(width, 1)).point)
        assert len(compressed.data) == size
        assert size <= draft.encoding.size(compressed.point)


def test_other_efforts_are_refused(codec: Codec) -> None:
    with pytest.raises(ConfigError, match="effort slow: must be normal or fast") as caught:
        codec.compress(PICTURE, effort="slow")
    assert caught.value.field == "effort"


def test_pillow_takes_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    image, file = Image.fromarray(PICTURE.pixels), BytesIO()
    image.save(file, "SCAE", model=MODEL, width=12, effort="fast")
    assert kind_of(file.getvalue()) == "tables"
    image.save(BytesIO(), "SCAE", model=MODEL, width=12)
    with pytest.raises(ValueError, match="effort slow"):
        image.save(BytesIO(), "SCAE", model=MODEL, effort="slow")
