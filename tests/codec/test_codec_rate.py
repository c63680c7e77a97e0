"""Test rate control through the codec: targets hold for the file and its picture."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_codec import WIDTHS, fitted_model, make_model, save_pictures

from conftest import smooth_pixels
from slimcae import container
from slimcae.codec import Codec
from slimcae.errors import ConfigError
from slimcae.images import Picture
from slimcae.transforms import Pixels, Residuals
from slimcae.transforms.onnx_ import OnnxTransforms


def measured(pixels: np.ndarray, codec: Codec, data: bytes) -> float:
    decoded = np.asarray(codec.decompress(data).convert("RGB")).astype(float)
    return float(10 * np.log10(255**2 / ((decoded - pixels) ** 2).mean()))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(fitted_model())


@pytest.fixture(scope="module")
def unfitted() -> Codec:
    return Codec(make_model(0))


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[int]]:
    """Count the analyses of tiles, by width."""
    counted: Counter[int] = Counter()
    residuals = OnnxTransforms.residuals

    def counting(self: OnnxTransforms, pixels: Pixels, width: int) -> Residuals:
        counted[width] += 1
        return residuals(self, pixels, width)

    monkeypatch.setattr(OnnxTransforms, "residuals", counting)
    yield counted


def sizes_of(codec: Codec, pixels: np.ndarray) -> list[int]:
    """Return all operating points of the model."""
    image = Picture(pixels)
    return [
        len(codec.compress(image, width, step=step))
        for width in WIDTHS
        for step in range(len(codec.model.steps))
    ]


@pytest.mark.parametrize("fitted", [True, False])
@settings(max_examples=25)
@given(seed=st.integers(0, 50), place=st.floats(0, 1))
def test_a_size_is_never_exceeded_and_nearly_used(
    codec: Codec, unfitted: Codec, fitted: bool, seed: int, place: float
) -> None:
    used = codec if fitted else unfitted
    pixels = smooth_pixels(160, 200, seed)
    low = len(used.compress(Picture(pixels), target_size=1, closest=True))
    high = len(used.compress(Picture(pixels), target_size=10**9, closest=True))
    target = math.ceil(low + place * (high - low))
    size = len(used.compress(Picture(pixels), target_size=target))
    assert size <= target
    assert size >= 0.5 * target  # photos are closer: this model and its pictures are tiny
    assert len(used.compress(Picture(pixels), bpp=8 * target / pixels[..., 0].size)) <= target


@settings(max_examples=25)
@given(seed=st.integers(0, 50), place=st.floats(0, 1))
def test_a_psnr_is_reached(codec: Codec, seed: int, place: float) -> None:
    pixels = smooth_pixels(160, 200, seed)
    image = Picture(pixels)
    ends = [
        measured(pixels, codec, codec.compress(image, target_psnr=target, closest=True))
        for target in (1, 99)
    ]
    # the codec's own value of the lowest point may be higher by a rounding error
    target = ends[0] + 1e-9 + place * (ends[1] - ends[0]) * 0.999
    found = measured(pixels, codec, codec.compress(image, target_psnr=target))
    assert found >= target - 1e-9


def test_grey_pictures_reach_their_psnr_as_they_are_decoded(codec: Codec) -> None:
    grey = np.repeat(smooth_pixels(100, 100, 1)[:, :, :1], 3, axis=2)
    image = Picture(grey, grey=True)
    data = codec.compress(image, target_psnr=33)
    assert 33 <= measured(grey, codec, data) <= 34


def test_quality_rises_with_rate(codec: Codec) -> None:
    pixels = smooth_pixels(160, 200, 3)
    files = [codec.compress(Picture(pixels), quality=q) for q in (0, 20, 40, 60, 80, 100)]
    assert [len(file) for file in files] == sorted(len(file) for file in files)
    found = [measured(pixels, codec, file) for file in files]
    assert found == sorted(found)
    assert found[-1] > found[0] + 2


def test_quality_needs_a_fitted_model(unfitted: Codec) -> None:
    with pytest.raises(ConfigError, match=r"no quality scale.*not fitted"):
        unfitted.compress(Picture(smooth_pixels(20, 20, 0)), quality=50)


@pytest.mark.parametrize("fitted", [True, False])
def test_widths_restrict_every_choice(codec: Codec, unfitted: Codec, fitted: bool) -> None:
    used = codec if fitted else unfitted
    image = Picture(smooth_pixels(160, 200, 4))

    def width_of(**choice: object) -> int:
        data = used.compress(image, widths=[4, 8], **choice)  # type: ignore[arg-type]
        return container.read_header(data).num_filters

    assert width_of() == 8  # the best of them
    assert width_of(target_size=10**6, closest=True) == 8
    assert width_of(target_psnr=90, closest=True) == 8
    assert width_of(width=4) == 4
    if fitted:
        assert width_of(quality=100) == 8
        assert used.compress(image, widths=[4, 8]) == used.compress(
            image, widths=[4, 8], quality=100
        )
    with pytest.raises(ConfigError, match="afford"):
        width_of(width=12)
    with pytest.raises(ConfigError, match="no width 5"):
        used.compress(image, widths=[5])


def test_the_network_runs_once_per_width(codec: Codec, analyses: Counter[int]) -> None:
    image = Picture(smooth_pixels(160, 200, 5))
    for choice in ({"target_size": 900}, {"target_psnr": 33.0}, {"width": 8}):
        analyses.clear()
        codec.compress(image, **choice)
        assert analyses
        assert max(analyses.values()) == 1


@pytest.mark.parametrize("choice", [{"target_size": 1000}, {"bpp": 0.3}, {"target_psnr": 33.0}])
def test_of_a_tiled_picture_the_chosen_width_may_be_analysed_again(
    codec: Codec, analyses: Counter[int], choice: dict[str, float]
) -> None:
    tiled = Codec(codec.model, tile_side=64)
    image = Picture(smooth_pixels(160, 200, 6))  # 3 x 4 tiles
    data = tiled.compress(image, **choice)  # type: ignore[arg-type]
    chosen = container.read_header(data).num_filters
    for width, tiles in analyses.items():
        assert tiles % 12 == 0
        assert tiles <= (24 if width == chosen else 12)


@settings(max_examples=10)
@given(target=st.integers(900, 2500))
def test_a_tiled_picture_keeps_its_size_too(codec: Codec, target: int) -> None:
    tiled = Codec(codec.model, tile_side=64)
    image = Picture(smooth_pixels(160, 200, 6))
    size = len(tiled.compress(image, target_size=target, closest=True))
    low, high = (len(tiled.compress(image, target_size=t, closest=True)) for t in (1, 10**9))
    assert size <= max(target, low)
    assert size >= min(0.5 * target, high)


def test_tiled_and_whole_pictures_come_to_the_same_point(codec: Codec) -> None:
    image = Picture(smooth_pixels(160, 200, 7))
    tiled = Codec(codec.model, tile_side=64)
    headers = [
        container.read_header(each.compress(image, target_psnr=32.0)) for each in (codec, tiled)
    ]
    assert headers[0].num_filters == headers[1].num_filters
    assert headers[0].step == headers[1].step


def test_targets_out_of_range_say_the_range(codec: Codec) -> None:
    image = Picture(smooth_pixels(100, 100, 8))
    with pytest.raises(ConfigError, match=r"10 bytes is out of range.* takes \d+ to [\d,]+ bytes"):
        codec.compress(image, target_size=10)
    with pytest.raises(ConfigError, match=r"60 dB is out of range.* has [\d.]+ to [\d.]+ dB"):
        codec.compress(image, target_psnr=60)
    with pytest.raises(ConfigError, match=r"a rate of 100 bpp is out of range") as caught:
        codec.compress(image, bpp=100)
    ends = re.search(
        r"takes ([\d.]+) to ([\d.]+) bpp, ([\d.]+) of them for header", str(caught.value)
    )
    assert ends is not None
    for end in map(float, ends.groups()[:2]):  # the error names a range that can be reached
        assert 8 * len(codec.compress(image, bpp=end)) <= end * image.pixels[:, :, 0].size


def test_alpha_in_the_way_of_a_target_is_named_in_bytes(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    image = Picture(smooth_pixels(100, 100, 8), alpha=noise)
    with pytest.raises(ConfigError, match=r"10,[0-9]{3} of them for header, alpha and metadata"):
        codec.compress(image, target_size=9000)
    assert len(codec.compress(image, target_size=10_500)) <= 10_500


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"width": 4, "quality": 5}, "width and quality contradict"),
        ({"bpp": 1, "target_size": 5}, "bpp and target_size contradict"),
        ({"step": 1}, "step needs a width"),
        ({"width": 4, "step": 31}, "no quantisation step 31: must be 0 to 30"),
        ({"width": 4, "step": -1}, "no quantisation step -1"),
        ({"width": 5}, "no width 5: choose from 12, 8, 4"),
        ({"width": True}, "no width True"),
        ({"quality": 101}, "quality 101: must be a number from 0 to 100"),
        ({"quality": math.nan}, "quality nan"),
        ({"bpp": 0}, "bpp 0: must be a positive number"),
        ({"bpp": math.nan}, "bpp nan"),
        ({"target_size": -5}, "target_size -5"),
        ({"target_psnr": math.inf}, "target_psnr inf"),
        ({"bpp": "0.5"}, "bpp '0.5': must be a number"),
        ({"quality": "50"}, "quality '50': must be a number"),
        ({"target_size": b"9"}, "target_size b'9': must be a number"),
        ({"width": 4, "step": "1"}, "no quantisation step '1'"),
        ({"metadata": "some"}, "some"),
    ],
)
def test_impossible_choices_are_refused(
    codec: Codec, choice: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        codec.compress(Picture(smooth_pixels(20, 20, 0)), **choice)  # type: ignore[arg-type]
