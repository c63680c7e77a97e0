"""Test the report of `Codec.encode`: sizes against the slow reader, computation by counting."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from tiny_codec import LMBDA, make_model

from conftest import smooth_pixels
from reference_decoder import decode_file
from slimcae import container
from slimcae.codec import Codec, Target
from slimcae.errors import ConfigError
from slimcae.images import Picture
from slimcae.model.config import ModelInfo
from slimcae.model.quality import Point
from slimcae.transforms import Pixels, Residuals, Symbols
from slimcae.transforms.onnx_ import OnnxTransforms

FRAME = 12
"""Bytes of a chunk in addition to its payload; docs/format.md, "Chunks"."""


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(make_model(0, ModelInfo("tiny", "1", LMBDA)))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[tuple[str, int]]]:
    """Count the calls of the transforms, by direction and width."""
    counted: Counter[tuple[str, int]] = Counter()
    residuals, pixels = OnnxTransforms.residuals, OnnxTransforms.pixels

    def counting_residuals(self: OnnxTransforms, image: Pixels, width: int) -> Residuals:
        counted["analysis", width] += 1
        return residuals(self, image, width)

    def counting_pixels(self: OnnxTransforms, symbols: Symbols, width: int, delta: float) -> Pixels:
        counted["synthesis", width] += 1
        return pixels(self, symbols, width, delta)

    monkeypatch.setattr(OnnxTransforms, "residuals", counting_residuals)
    monkeypatch.setattr(OnnxTransforms, "pixels", counting_pixels)
    yield counted


def picture(*, grey: bool = False, everything: bool = True) -> Picture:
    rgb = smooth_pixels(70, 90, 1)
    if grey:
        rgb = np.repeat(rgb[:, :, :1], 3, axis=2)
    if not everything:
        return Picture(rgb, grey=grey)
    alpha = np.random.default_rng(0).integers(0, 256, (70, 90), dtype=np.uint8)
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0"
    return Picture(rgb, grey, alpha, b"a profile" * 20, False, exif, b"<x:xmpmeta/>" * 9)


@pytest.mark.parametrize("tile_side", [16, 64, 1024])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("metadata", ["all", "icc", "none"])
def test_the_parts_add_up_to_the_file(
    codec: Codec, tile_side: int, grey: bool, everything: bool, metadata: str
) -> None:
    tiled = Codec(codec.model, codec.transforms, tile_side=tile_side)
    found = tiled.encode(picture(grey=grey, everything=everything), Target(8, 3), metadata=metadata)
    file = decode_file(found.data)
    sizes = {tag: FRAME + len(payload) for tag, payload in file.chunks.items()}
    kept = {"all": {"iccp", "exif", "xmpp"}, "icc": {"iccp"}, "none": set()}[metadata]
    assert sizes.keys() == ((kept | {"ALPH"}) if everything else set())
    assert found.stream_bytes == sum(map(len, file.tiles))
    assert found.alpha_bytes == sizes.pop("ALPH", 0)
    assert found.metadata_bytes == sum(sizes.values())
    head = 29 + len("tiny") + 8 * len(file.tiles) + 4
    parts = head + found.stream_bytes + found.alpha_bytes + found.metadata_bytes
    assert parts == len(found.data)


def test_the_header_is_the_files(codec: Codec) -> None:
    for target in (Target(), Target(4, 7), Target(target_size=200), Target(target_psnr=33.0)):
        found = codec.encode(picture(grey=True, everything=False), target)
        assert found.header == container.read_header(found.data)
        assert found.point == Point(found.header.num_filters, found.header.step)
    assert found.header.model_name == "tiny"
    assert (found.header.image_height, found.header.image_width) == (70, 90)
    assert found.num_pixels == 70 * 90
    assert found.bpp == 8 * len(found.data) / (70 * 90)


TARGETS = [
    Target(),
    Target(8),
    Target(4, 12),
    Target(bpp=0.25),
    Target(target_size=220),
    Target(target_psnr=32.0),
    Target(widths=(4, 8)),
]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_compress_gives_the_bytes_of_encode(codec: Codec, target: Target) -> None:
    image = picture(everything=False)
    data = codec.encode(image, target, verify=True).data
    assert codec.compress(image, **vars(target)) == data


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_width_is_analysed_once(
    codec: Codec, target: Target, work: Counter[tuple[str, int]]
) -> None:
    found = codec.encode(picture(everything=False), target)
    analyses = {width: n for (kind, width), n in work.items() if kind == "analysis"}
    assert set(analyses.values()) == {1}
    assert found.point.width in analyses
    syntheses = sum(n for (kind, _), n in work.items() if kind == "synthesis")
    if target.target_psnr is None:
        assert syntheses == 0
    if target.target_psnr is None and target.target_size is None and target.bpp is None:
        assert analyses.keys() == {found.point.width}


def test_verifying_computes_the_picture_once(codec: Codec, work: Counter[tuple[str, int]]) -> None:
    codec.encode(picture(), Target(8), verify=True)
    assert work == {("analysis", 8): 1, ("synthesis", 8): 1}


@pytest.mark.parametrize(
    "target", [Target(5), Target(8, 99), Target(8, -1), Target(widths=(5,)), Target(8, widths=(4,))]
)
def test_what_the_model_lacks_is_refused_before_any_work(
    codec: Codec, target: Target, work: Counter[tuple[str, int]]
) -> None:
    with pytest.raises(ConfigError):
        codec.encode(picture(), target)
    assert not work
