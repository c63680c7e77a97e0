"""Test effort: which entropy model codes a file, and what encoder and decoder share."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import slimcae.pillow  # noqa: F401  # registers the format
from conftest import HANG, smooth_pixels
from slimcae import container
from slimcae.codec import Codec, Target
from slimcae.codec import effort as effort_module
from slimcae.codec.rate_control import best_within
from slimcae.errors import ConfigError, MissingPackageError
from slimcae.images import Picture
from slimcae.model.file import read_model
from slimcae.model.quality import Point
from slimcae.model.registry import find_model, shipped_model

MODEL = Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors"
PHOTO = Path(__file__).parents[2] / "examples" / "images" / "parrots.png"
PICTURE = Picture(smooth_pixels(70, 90, 3))


@pytest.fixture(scope="module", params=[1024, 32])
def codec(request: pytest.FixtureRequest) -> Codec:
    """Return a codec of one tile or several, whose model has two kinds at widths 12 and 8."""
    return Codec(read_model(MODEL), tile_side=request.param)


def kind_of(data: bytes) -> str:
    return container.read_header(data).entropy_model


def test_effort_chooses_the_kind_and_not_the_pixels(codec: Codec) -> None:
    for width, kinds in ((12, ("context", "tables")), (4, ("factorized",) * 2)):
        files = [codec.compress(PICTURE, width, effort=effort) for effort in (2, 1)]
        assert tuple(map(kind_of, files)) == kinds
        assert (files[0] == files[1]) == (width == 4)
        pictures = [np.asarray(codec.decompress(data)) for data in files]
        np.testing.assert_array_equal(pictures[0], pictures[1])
        first, second = map(codec.read_symbols, files)
        np.testing.assert_array_equal(first, second)
    assert codec.compress(PICTURE, 12) == codec.compress(PICTURE, 12, effort=2)


@pytest.mark.parametrize("effort", [2, 1])
def test_sizes_are_those_of_the_kind(codec: Codec, effort: int) -> None:
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
    with pytest.raises(
        ConfigError, match="effort 10: must be a whole number from 1 to 9"
    ) as caught:
        codec.compress(PICTURE, effort=10)
    with pytest.raises(ConfigError, match="effort 'fast': must be"):
        codec.draft(PICTURE, "fast")  # type: ignore[arg-type]
    assert caught.value.field == "effort"


def test_pillow_takes_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    image, file = Image.fromarray(PICTURE.pixels), BytesIO()
    image.save(file, "SCAE", model=MODEL, width=12, effort=1)
    assert kind_of(file.getvalue()) == "tables"
    image.save(BytesIO(), "SCAE", model=MODEL, width=12)
    with pytest.raises(ValueError, match="effort 'slow'"):
        image.save(BytesIO(), "SCAE", model=MODEL, effort="slow")


# efforts that search


@pytest.fixture(scope="module", params=[1024, 64])
def searching(request: pytest.FixtureRequest) -> Codec:
    """Return a codec whose model has a measured curve, of one tile or several."""
    model = read_model(shipped_model())
    return Codec(model, tile_side=request.param, precision="float32", threads=1)


def cost(codec: Codec, picture: Picture, data: bytes) -> float:
    """Return λ · D + R of the decoded picture, with the ideal bits of its tiles."""
    header = container.read_header(data)
    point = Point(header.num_filters, header.step)
    decoded = np.asarray(codec.decompress(data)).astype(float) / 255
    error = ((decoded - picture.pixels / 255) ** 2).sum() / 3
    symbols, side = codec.read_symbols(data), header.tile_side // 16
    model = codec.model.entropy_model(point.width, header.entropy_model)
    rows, columns = symbols.shape[1:]
    bits: float = sum(
        model.ideal_bits(symbols[:, top : top + side, left : left + side], point.step)
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    )
    return float(bits + codec.model.scale.slope(point) * error)


@pytest.mark.parametrize("effort", [3, 5])
def test_a_search_costs_less_and_any_decoder_takes_it(searching: Codec, effort: int) -> None:
    for width, step in ((48, 0), (72, 20)):
        plain = searching.compress(PICTURE, width, step=step)
        data = searching.compress(PICTURE, width, step=step, effort=effort, verify=True)
        assert kind_of(data) == kind_of(plain)
        # how much less depends on the picture and the weights
        assert cost(searching, PICTURE, data) < 0.995 * cost(searching, PICTURE, plain)
        assert data == searching.compress(PICTURE, width, step=step, effort=effort)


def test_random_rounding_is_searched_besides(
    searching: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    descent = effort_module.PLANS[3].descent
    one = searching.compress(PICTURE, 48, effort=3)
    monkeypatch.setitem(effort_module.PLANS, 7, effort_module.Plan(descent, random=12))
    both = searching.compress(PICTURE, 48, effort=7)
    assert cost(searching, PICTURE, both) <= cost(searching, PICTURE, one)
    # alone, after a descent that goes nowhere, it costs less than plain rounding, too
    still = replace(descent, length=(1e-9, 1e-9))
    monkeypatch.setitem(effort_module.PLANS, 7, effort_module.Plan(still, random=30))
    found, plain = (searching.compress(PICTURE, 48, effort=effort) for effort in (7, 2))
    assert cost(searching, PICTURE, found) < 0.99 * cost(searching, PICTURE, plain)


@pytest.mark.parametrize("saved", [0.8, 0.93, 0.99, 1.02])
def test_two_searches_find_the_point_where_savings_are_even(saved: float) -> None:
    points = [Point(48, step) for step in range(8)]
    plain = {point: 100 * 1.05**point.step for point in points}
    tried, refused = [], []

    class Trial:
        def refuse(self, point: Point) -> None:
            refused.append(point)

    def meets(point: Point) -> bool:
        tried.append(point)
        return saved * plain[point] <= plain[start]

    start = points[4]
    found = best_within(Trial(), points, start, meets, lambda p: saved * plain[p] <= plain[start])
    assert found.step == {0.8: 7, 0.93: 5, 0.99: 4, 1.02: 3}[saved]
    assert len(tried) <= 2 and not refused
    assert best_within(Trial(), points[4:], start, lambda _: False, lambda _: True) == start
    assert refused == [start]


def test_targets_keep_their_promises(searching: Codec) -> None:
    size = len(searching.compress(PICTURE, 48))
    data = searching.compress(PICTURE, target_size=size, widths=[48], effort=4)
    assert len(data) <= size
    encoding = searching.draft(PICTURE).encoding
    wanted = encoding.psnr(Point(48, 0)) - 0.3
    found = searching.encode(PICTURE, Target(target_psnr=wanted, widths=[48], effort=4))
    decoded = np.asarray(searching.decompress(found.data))
    error = np.mean((decoded.astype(float) - PICTURE.pixels) ** 2)
    assert 20 * np.log10(255) - 10 * np.log10(error) >= wanted


def test_what_costs_no_less_keeps_plain_rounding(
    searching: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = searching.compress(PICTURE, 48)
    far = replace(effort_module.PLANS[3].descent, length=(5.0, 5.0))
    monkeypatch.setitem(effort_module.PLANS, 3, effort_module.Plan(far))
    assert searching.compress(PICTURE, 48, effort=3) == plain
    # the step was made: without the comparison its end is what is coded
    monkeypatch.setattr(type(searching.model.entropy_model(48)), "ideal_bits", lambda *_: -math.inf)
    assert searching.compress(PICTURE, 48, effort=3) != plain


@pytest.mark.parametrize("level", [0, 100])
def test_flat_pictures_are_no_special_case(searching: Codec, level: int) -> None:
    flat = Picture(np.full((33, 50, 3), level, np.uint8))
    plain, data = (searching.compress(flat, 48, effort=effort) for effort in (2, 4))
    assert cost(searching, flat, data) <= cost(searching, flat, plain)


def test_a_search_can_be_stopped(searching: Codec) -> None:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searching.watched(stop).compress(PICTURE, 48, effort=9)
    assert calls == 12


def text() -> Picture:
    """Return a picture at whose coarsest step a search raises PSNR and bytes."""
    image = Image.new("RGB", (150, 80), "white")
    draw = ImageDraw.Draw(image)
    for line in range(8):
        colour = "black" if line % 2 else (200, 0, 0)
        draw.text((4, 10 * line), "The quick brown fox jumps over the lazy dog", colour)
    return Picture(np.asarray(image))


def test_a_target_is_never_met_worse_than_by_plain_rounding() -> None:
    codec, picture = Codec(read_model(shipped_model()), threads=1), text()
    plain, other = (codec.compress(picture, effort=effort, target_psnr=18) for effort in (2, 4))
    assert len(other) <= len(plain)
    most = len(plain)
    plain, other = (codec.compress(picture, effort=effort, target_size=most) for effort in (2, 4))
    assert psnr_of(codec, other, picture) >= psnr_of(codec, plain, picture)


def psnr_of(codec: Codec, data: bytes, picture: Picture) -> float:
    decoded = np.asarray(codec.decompress(data)).astype(float)
    return float(-10 * np.log10(((decoded - picture.pixels) ** 2).mean()))


def test_too_long_a_step_is_shortened() -> None:
    """With the model `paper` at width 192, the first step of effort 3 is too long for this crop."""
    codec = Codec(read_model(find_model("paper")), threads=1)
    with Image.open(PHOTO) as photo:
        picture = Picture(np.asarray(photo.convert("RGB").crop((0, 0, 320, 256))))
    plain, searched = (codec.compress(picture, 192, effort=effort) for effort in (2, 3))
    assert cost(codec, picture, searched) < 0.99 * cost(codec, picture, plain)


def test_watched_codecs_share_their_gradients() -> None:
    """Servers make one for each request, and a session takes up to a tenth of a second."""
    codec = Codec(read_model(shipped_model()), threads=1)
    first = codec.watched(lambda: None).gradients
    assert codec.gradients is first
    assert codec.watched(lambda: None).gradients is first


FORK = """
import os, pickle
from PIL import Image, ImageDraw
import slimcae

codec = slimcae.load(threads=2)
image = Image.effect_mandelbrot((90, 70), (-2, -1, 1, 1), 50).convert("RGB")
expected = codec.compress(image, 48, effort=4)
assert expected != codec.compress(image, 48)
assert pickle.loads(pickle.dumps(codec)).compress(image, 48, effort=4) == expected
child = os.fork()
if not child:
    os._exit(int(codec.compress(image, 48, effort=4) != expected))
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_search_survives_a_fork_and_pickling() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_onnx_runtime_the_message_says_what_is_missing(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimcae.backend.find_spec", lambda name: None)
    other = Codec(codec.model, codec.transforms)
    for effort in (1, 2):
        other.compress(PICTURE, 12, effort=effort)
    with pytest.raises(MissingPackageError, match="onnxruntime, which computes grad") as caught:
        other.compress(PICTURE, 12, effort=3)
    assert caught.value.package == "onnxruntime"


def test_random_rounding_is_relaxed_and_its_derivative_true() -> None:
    generator = np.random.default_rng(0)
    values, noise = generator.uniform(-3, 3, 1000), generator.random(1000)
    found, derivative = effort_module.random_rounding(values, 0.5, noise)
    assert (np.abs(found - values) < 1).all()
    inner = np.abs(values - np.rint(values)) > 0.01
    ends = [effort_module.random_rounding(values + by, 0.5, noise)[0] for by in (-1e-6, 1e-6)]
    np.testing.assert_allclose(
        derivative[inner], (ends[1] - ends[0])[inner] / 2e-6, rtol=1e-3, atol=1e-6
    )
    # at a low temperature it goes to the nearer side nearly always
    cold, _ = effort_module.random_rounding(values, 0.1, noise)
    assert np.mean(np.rint(cold) == np.rint(values)) > 0.9


def test_soft_rounding_has_its_limits() -> None:
    values = np.linspace(-2.4, 2.4, 49, dtype=np.float32)
    soft, derivative = effort_module.soft_rounding(values, 1e-2)
    np.testing.assert_allclose(soft, values, atol=1e-4)
    np.testing.assert_allclose(derivative, 1, atol=1e-3)
    hard, _ = effort_module.soft_rounding(values, 200.0)
    off = np.abs(values - np.floor(values) - 0.5) > 0.04
    np.testing.assert_allclose(hard[off], np.rint(values)[off], atol=1e-4)
