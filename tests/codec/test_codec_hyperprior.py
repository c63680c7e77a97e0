"""Test files of kind `hyperprior`: tiles, crops, rates, and invalid files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import call

from conftest import smooth_pixels
from slimcae import container
from slimcae.codec import Codec, Target
from slimcae.errors import BitstreamError
from slimcae.images import Picture
from slimcae.model.file import read_model
from slimcae.model.quality import Point
from slimcae.profiling.calibration import measure

MODEL = Path(__file__).parents[1] / "data" / "golden" / "tiny-hyperprior.safetensors"
PICTURE = Picture(smooth_pixels(75, 150, 3))


@pytest.fixture(scope="module", params=[1024, 32])
def codec(request: pytest.FixtureRequest) -> Codec:
    """Return a codec of one tile or several, with complete and incomplete blocks of z."""
    return Codec(read_model(MODEL), tile_side=request.param)


def test_files_hold_the_symbols_and_parts_of_pictures(codec: Codec) -> None:
    for step in range(3):
        data = codec.compress(PICTURE, 4, step=step, verify=True)
        assert container.read_header(data).entropy_model == "hyperprior"
        expected = codec.analyse(PICTURE.pixels, 4, step)
        np.testing.assert_array_equal(codec.read_symbols(data), expected)
        whole = np.asarray(codec.decompress(data)).astype(int)
        part = np.asarray(codec.decompress(data, crop=(61, 20, 70, 50))).astype(int)
        assert np.abs(part - whole[20:70, 61:131]).max() <= 1


def test_sizes_are_met(codec: Codec) -> None:
    sizes = [len(codec.compress(PICTURE, 4, step=step)) for step in range(3)]
    assert len(set(sizes)) == 3
    found = codec.encode(PICTURE, Target(target_size=max(sizes) + 20, closest=True), verify=True)
    assert len(found.data) in sizes
    bound = codec.draft(PICTURE).encoding.size(Point(4, 1))  # exact for one tile
    assert sizes[1] <= bound <= 1.01 * sizes[1] + 4 * len(container.read(found.data).tiles)
    # no kind is faster
    assert codec.compress(PICTURE, 4, effort=1) == codec.compress(PICTURE, 4)


def test_forged_streams_are_refused_or_read(codec: Codec) -> None:
    """Change bytes and correct the checksums, so that only the coder can detect the damage."""
    contents = container.read(codec.compress(PICTURE, 4))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(30):
        tiles = [bytearray(tile) for tile in contents.tiles]
        tile = tiles[rng.integers(len(tiles))]
        for place in rng.integers(0, len(tile), rng.integers(1, 6)).tolist():
            tile[place] = int(rng.integers(256))
        if rng.random() < 0.3:
            del tile[-4 * int(rng.integers(1, len(tile) // 4 + 1)) :]
        try:
            forged = replace(contents, tiles=[bytes(tile) for tile in tiles])
            image = codec.decompress(container.write(forged))
        except BitstreamError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert image.size == (150, 75)
    assert refused > 5


def test_the_programs_know_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path / "models"))
    assert call(["models", "--add", str(MODEL)]) == 0
    file = tmp_path / "photo.scae"
    file.write_bytes(Codec(read_model(MODEL)).compress(PICTURE))
    capsys.readouterr()
    assert call(["info", str(file), str(MODEL)]) == 0
    out = capsys.readouterr().out
    assert "hyperprior" in out.split("tiny-hyperprior")[0]  # of the picture ...
    assert "4 hyperprior" in out  # ... and the model
    assert call(["decompress", str(file), "-o", str(tmp_path / "back.png")]) == 0


def test_its_time_is_measured() -> None:
    profile = measure(Codec(read_model(MODEL)), 1, sizes=[(32, 32), (64, 48)])
    assert list(profile.decode[4]) == list(profile.encode[4]) == ["hyperprior"]
