import logging
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_codec import STEP, QuantisingCodec, make_image

from slimcae.errors import ImageError
from slimcae.evaluation.metrics import ms_ssim
from slimcae.evaluation.rd import evaluate_codec
from slimcae.images import read_picture


def squared_error(pixels: np.ndarray, step: int) -> float:
    """Return the MSE on [0, 1] of the fake codec's quantiser, by its definition."""
    levels = pixels.astype(float)
    return float(np.mean(((np.floor(levels / step) * step + step // 2 - levels) / 255) ** 2))


def test_rate_is_that_of_the_whole_file_and_quality_that_of_the_pixels(tmp_path: Path) -> None:
    pixels = make_image(tmp_path / "a.png", 40, 50)
    codec, picture = QuantisingCodec(), read_picture(tmp_path / "a.png")
    _, result = evaluate_codec(codec, [tmp_path / "a.png"], name="fake")
    assert result.bpp == 8 * len(codec.compress(picture, point=4)) / (40 * 50)
    assert result.bpp_estimated == 1000 * 4 / (40 * 50)
    assert result.mse == pytest.approx(squared_error(pixels, STEP[4]))
    assert result.psnr == pytest.approx(-10 * math.log10(squared_error(pixels, STEP[4])))
    assert result.ms_ssim is None
    assert result.encode_seconds > 0
    assert result.decode_seconds > 0


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_grey_and_alpha_compare_colour_only(tmp_path: Path, mode: str) -> None:
    pixels = make_image(tmp_path / "a.png", 30, 20, mode)
    colour = pixels if mode == "L" else pixels[..., :-1]
    if mode != "L":
        assert not pixels[..., -1].all()
        colour = colour[pixels[..., -1] > 0]
    codec, picture = QuantisingCodec(), read_picture(tmp_path / "a.png").filled()
    result, _ = evaluate_codec(codec, [tmp_path / "a.png"], name="fake")
    assert result.bpp == 8 * len(codec.compress(picture, point=8)) / (30 * 20)  # with its alpha
    assert result.mse == pytest.approx(squared_error(colour, STEP[8]))


def test_points_are_means_over_the_images(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    sizes = [(170, 180), (165, 161), (30, 200)]
    for seed, (path, (height, width)) in enumerate(zip(paths, sizes, strict=True)):
        make_image(path, height, width, seed=seed)
    codec = QuantisingCodec()
    points = evaluate_codec(codec, paths, name="fake")
    assert [(p.codec, p.setting, p.lmbda) for p in points] == [("fake", 8, 200), ("fake", 4, 50)]
    alone = [evaluate_codec(codec, [path], name="fake") for path in paths]
    for point, *each in zip(points, *alone, strict=True):
        for field in ("bpp", "bpp_estimated", "mse", "psnr"):
            mean = sum(getattr(image, field) for image in each) / 3
            assert getattr(point, field) == pytest.approx(mean), field
        pictures = [read_picture(path) for path in paths[:2]]
        large = [ms_ssim(p.pixels, codec.quantise(p, int(point.setting))) for p in pictures]
        assert None not in large
        mean = sum(value for value in large if value) / 2  # the third image is too small
        assert point.ms_ssim == pytest.approx(mean)
        assert point.ms_ssim_db == pytest.approx(-10 * math.log10(1 - mean))
    assert points[0].psnr > points[1].psnr + 6


def test_small_images_have_no_ms_ssim(tmp_path: Path) -> None:
    make_image(tmp_path / "a.png", 20, 20)
    (point, _) = evaluate_codec(QuantisingCodec(), [tmp_path / "a.png"], name="fake")
    assert point.ms_ssim is None
    assert point.ms_ssim_db is None


def test_one_exact_image_makes_the_mean_psnr_infinite(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9), (4, 12, 20)).save(tmp_path / "exact.png")  # middles of step 8
    make_image(tmp_path / "other.png", 9, 9)
    paths = [tmp_path / "exact.png", tmp_path / "other.png"]
    point, _ = evaluate_codec(QuantisingCodec(), paths, name="fake")
    assert point.psnr == math.inf
    assert 0 < point.mse < 1


def test_a_model_that_does_not_know_its_lmbda(tmp_path: Path) -> None:
    make_image(tmp_path / "a.png", 20, 20)
    unknown = QuantisingCodec(lmbda=None)
    points = evaluate_codec(unknown, [tmp_path / "a.png"], name="fake")
    assert [p.lmbda for p in points] == [None, None]


def test_unreadable_images_are_named_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_image(tmp_path / "good.png", 20, 20)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    with caplog.at_level(logging.WARNING, "slimcae"):
        points = evaluate_codec(QuantisingCodec(), [broken, good], name="fake")
    assert points[0].mse == evaluate_codec(QuantisingCodec(), [good], name="fake")[0].mse
    assert [str(broken) in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("names", [[], ["broken.png", "missing.png"]])
def test_no_readable_image_is_an_error(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=f"none of the {len(names)} images"):
        evaluate_codec(QuantisingCodec(), [tmp_path / name for name in names], name="fake")


def test_progress_sees_every_image_and_the_name(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        make_image(path, 20, 20)
    seen: list[object] = []

    def progress(images: Sequence[Path], name: str) -> Iterable[Path]:
        seen.append(name)
        for image in images:
            seen.append(image)
            yield image

    evaluate_codec(QuantisingCodec(), paths, name="fake", progress=progress)
    assert seen == ["fake", *paths]


def test_the_first_picture_of_each_size_warms_every_width_up(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"]
    for path, height in zip(paths, (100, 100, 90), strict=True):
        make_image(path, height, 90)
    codec = QuantisingCodec()
    evaluate_codec(codec, paths, name="fake")
    heights = [height for _, height in codec.calls]
    assert heights == [100] * 2 + [100] * 4 + [90] * 2 + [90] * 2


def test_importing_evaluation_loads_nothing_heavy() -> None:
    code = (
        "import sys, slimcae.evaluation;"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'pytorch_msssim') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
