"""Test Pillow's codecs: the reported settings are those of the files; missing codecs are named."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import AvifImagePlugin, Image, JpegImagePlugin, features

from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.container import read_header
from slimcae.evaluation import contenders, metrics
from slimcae.evaluation.contenders import OurQualities, OurWidths, PillowCodec, pillow_codecs
from slimcae.images import Picture
from slimcae.model.file import read_model
from slimcae.model.model import Model

NAMES = [
    *("JPEG", "WebP", "JPEG 2000", "AVIF speed 6", "AVIF speed 8"),
    *("AVIF speed 9", "AVIF speed 10"),
    *("JPEG XL effort 1", "JPEG XL effort 3", "JPEG XL effort 7"),
]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, PillowCodec]:
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)  # restored at the end
    codecs_found, missing = pillow_codecs(1)
    assert not missing
    return {codec.name: codec for codec in codecs_found}


def test_all_are_here_with_their_settings_in_words(found: dict[str, PillowCodec]) -> None:
    assert list(found) == NAMES
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1
    for name, words in {
        "JPEG": ("4:2:0", "optimised", "1 thread"),
        "WebP": ("method 4", str(features.version("webp"))),
        "JPEG 2000": ("colour transform", "9/7"),
        "AVIF speed 8": ("4:2:0", "speed 8", "threads: 1"),
        "JPEG XL effort 3": ("effort 3", "threads: 1", "1.3"),
    }.items():
        for word in words:
            assert word in found[name].settings, name


@pytest.mark.parametrize("name", NAMES)
def test_better_points_take_more_bits_and_give_more_quality(
    found: dict[str, PillowCodec], name: str
) -> None:
    codec = found[name]
    pixels = smooth_pixels(96, 128, 3)
    files = [codec.encode(Picture(pixels), point) for point in codec.points[::3]]
    restored = [codec.decode(data) for data in files]
    assert all(image.shape == pixels.shape and image.dtype == np.uint8 for image in restored)
    sizes = [len(data) for data in files]
    quality = [metrics.psnr(pixels, image) for image in restored]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert quality == sorted(quality) and quality[0] > 18


def test_files_are_what_the_settings_say(found: dict[str, PillowCodec]) -> None:
    pixels = smooth_pixels(64, 64, 4)
    data = found["JPEG"].encode(Picture(pixels), 50)
    with Image.open(io.BytesIO(data)) as image:
        assert JpegImagePlugin.get_sampling(image) == 2  # 4:2:0
    plain = io.BytesIO()
    Image.fromarray(pixels).save(plain, "JPEG", quality=50, subsampling="4:2:0")
    assert len(data) < len(plain.getvalue())  # optimised tables
    wavelet = found["JPEG 2000"].encode(Picture(pixels), 32)
    assert abs(metrics.psnr(pixels, found["JPEG 2000"].decode(wavelet)) - 32) < 3
    # COD marker segment (ISO/IEC 15444-1, A.6.1): component transform 1, wavelet 0 (9/7)
    cod = wavelet[wavelet.index(b"\xff\x52") :]
    assert (cod[8], cod[13]) == (1, 0)


@pytest.mark.parametrize("feature", ["webp", "avif", "jpg_2000"])
def test_what_this_pillow_lacks_is_left_out_with_a_sentence(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[str], bool | None] = features.check
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)
    monkeypatch.setattr(features, "check", lambda name: name != feature and real(name))
    codecs_found, (sentence,) = pillow_codecs(1)
    name = {"webp": "WebP", "avif": "AVIF", "jpg_2000": "JPEG 2000"}[feature]
    assert not [codec for codec in codecs_found if codec.name.startswith(name)]
    assert sentence == f"{name} left out: this Pillow was built without it"


def test_without_the_plugin_jpeg_xl_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)
    monkeypatch.setattr(contenders, "find_spec", lambda name: None)
    codecs_found, (sentence,) = pillow_codecs(1)
    assert [codec.name for codec in codecs_found] == NAMES[:-3]
    assert "[bench]" in sentence


def test_ours_makes_whole_files_at_widths_and_qualities(tiny_model: Model) -> None:
    codec = Codec(tiny_model)
    pixels = smooth_pixels(40, 56, 5)
    ours = OurWidths(codec)
    assert list(ours.points) == [4, 8, 12]
    assert codec.transforms.precision in ours.settings and "threads: 1" in ours.settings
    data = ours.encode(Picture(pixels), 8)
    assert read_header(data).num_filters == 8
    np.testing.assert_array_equal(ours.decode(data), np.asarray(codec.decompress(data)))
    scale = OurQualities(codec, [80, 20])
    assert list(scale.points) == [20, 80] and scale.label(20) == "-q 20"


def test_ours_may_be_fast() -> None:
    model = read_model(Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors")
    picture = Picture(smooth_pixels(40, 56, 5))
    for effort, name, kind in (
        (2, "SlimCAE", "context"),
        (1, "SlimCAE effort 1", "tables"),
    ):
        ours = OurWidths(Codec(model), effort)
        assert ours.name == name
        assert f"entropy model {kind} and factorized" in ours.settings
        assert read_header(ours.encode(picture, 12)).entropy_model == kind
