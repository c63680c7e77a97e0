"""Test the complete path: pictures to `.scae` bytes and back, at every width of a tiny model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from tiny_codec import LMBDA, WIDTHS, make_model, make_network

import slimcae
from conftest import smooth_pixels
from optional_torch import TorchTransforms, to_model, to_network, torch
from slimcae import container
from slimcae.codec import Codec, Target
from slimcae.errors import BitstreamError, ConfigError, ImageError, ModelError
from slimcae.images import Picture
from slimcae.images.alpha import pack_alpha
from slimcae.model.config import ModelInfo
from slimcae.model.file import halved, read_model, write_model

SIZES = [(1, 1), (1, 40), (33, 1), (16, 16), (15, 17), (64, 50)]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    write_model(path, make_model(0, ModelInfo("tiny", "1", LMBDA)))
    return slimcae.load(path)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((a.astype(float) - b.astype(float)) ** 2).mean()))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_comes_back(codec: Codec, width: int, size: tuple[int, int]) -> None:
    image = Image.fromarray(smooth_pixels(*size, seed=1))
    restored = codec.decompress(codec.compress(image, width))
    assert restored.size == image.size
    assert restored.mode == "RGB"
    # far above the PSNR of a flat or shuffled picture
    assert psnr(np.asarray(image), np.asarray(restored)) > 24


@pytest.mark.parametrize("width", WIDTHS)
def test_decoder_gets_the_encoders_own_reconstruction(codec: Codec, width: int) -> None:
    pixels = smooth_pixels(50, 70, seed=2)
    symbols = codec.analyse(pixels, width)
    expected = codec.synthesise(symbols, (50, 70), width)
    restored = codec.decompress(codec.compress(Image.fromarray(pixels), width))
    np.testing.assert_array_equal(np.asarray(restored), expected)


@pytest.mark.parametrize("width", WIDTHS)
def test_pixels_equal_those_of_the_network(codec: Codec, width: int) -> None:
    exact = Codec(codec.model, precision="float32")
    pixels = smooth_pixels(48, 64, seed=3)  # multiples of 16: no padding
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        out = to_network(codec.model)(x, width)
    levels = torch.round(out["x_hat"].clamp(0, 1) * 255)[0].permute(1, 2, 0).numpy()
    restored = np.asarray(exact.decompress(exact.compress(Image.fromarray(pixels), width)))
    difference = np.abs(restored - levels)
    assert difference.max() <= 1  # ties may be rounded to either side ...
    assert np.count_nonzero(difference) < 0.001 * difference.size  # ... but are rare


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [(16, 16), (64, 50), (200, 300)], ids=str)
def test_file_size_keeps_the_estimates_promise(
    codec: Codec, width: int, size: tuple[int, int]
) -> None:
    """Return two estimates: of the entropy model, and of the density from which it was made."""
    pixels = smooth_pixels(*size, seed=4)
    padding = ((0, -size[0] % 16), (0, -size[1] % 16), (0, 0))
    x = torch.from_numpy(np.pad(pixels, padding, mode="edge")).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        likelihoods = to_network(codec.model)(x, width)["likelihoods"]
    density_bytes = float(-torch.log2(likelihoods).sum()) / 8
    compressed = codec.encode(Picture(pixels), Target(width))
    # tables code the tails with the escape
    assert abs(len(compressed.data) - density_bytes) <= 0.03 * density_bytes + 64
    # the coder adds almost nothing, and ends the stream with a word
    assert 0 < 8 * compressed.stream_bytes - codec.ideal_bits(pixels, width) < 34


def test_wider_is_better_and_larger(codec: Codec) -> None:
    image = Image.fromarray(smooth_pixels(200, 300, seed=5))
    files = [codec.compress(image, width) for width in WIDTHS]
    quality = [psnr(np.asarray(image), np.asarray(codec.decompress(file))) for file in files]
    assert len(files[0]) > len(files[1]) > len(files[2])
    assert quality[0] > quality[1] > quality[2]


def test_no_width_means_the_widest(codec: Codec) -> None:
    image = Image.fromarray(smooth_pixels(32, 32, seed=6))
    assert codec.compress(image) == codec.compress(image, WIDTHS[0])


def test_grey_stays_grey_and_alpha_is_exact(codec: Codec) -> None:
    rgb = smooth_pixels(40, 56, seed=7)
    alpha = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
    for image in (
        Image.fromarray(rgb[:, :, 0]),
        Image.merge("LA", [Image.fromarray(rgb[:, :, 0]), Image.fromarray(alpha)]),
        Image.fromarray(np.dstack([rgb, alpha])),
    ):
        restored = codec.decompress(codec.compress(image))
        assert restored.mode == image.mode
        if "A" in image.mode:
            np.testing.assert_array_equal(np.asarray(restored.getchannel("A")), alpha)
        assert psnr(np.asarray(image.convert("RGB")), np.asarray(restored.convert("RGB"))) > 24


def test_a_forged_alpha_channel_is_refused(codec: Codec) -> None:
    alpha = np.arange(64, dtype=np.uint8).reshape(8, 8)
    rgba = np.dstack([smooth_pixels(8, 8, seed=7), alpha])
    contents = container.read(codec.compress(Image.fromarray(rgba)))
    larger = pack_alpha(np.zeros((8, 9), np.uint8))
    huge = bytearray(pack_alpha(np.zeros((8, 8), np.uint8)))
    huge[16:24] = b"\x00\x0f\xff\xff" * 2  # the size in its header is a million squared
    assert contents.alpha is not None
    for png in (larger, bytes(huge), contents.alpha[:30], b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"):
        forged = container.write(replace(contents, alpha=png))
        with pytest.raises(BitstreamError, match="alpha"):
            codec.decompress(forged)


def test_paths_images_and_pictures_give_the_same_bytes(codec: Codec, tmp_path: Path) -> None:
    pixels = smooth_pixels(40, 40, seed=8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    expected = codec.compress(Picture(pixels))
    assert codec.compress(path) == codec.compress(str(path)) == expected
    assert codec.compress(Image.open(path)) == expected


@pytest.mark.usefixtures("emulated_bfloat16")
def test_symbols_do_not_depend_on_threads_or_precision(codec: Codec) -> None:
    data = codec.compress(Image.fromarray(smooth_pixels(100, 90, seed=9)), 8)
    file = container.read(data)
    shape = (8, 7, 6)
    expected = codec.analyse(smooth_pixels(100, 90, seed=9), 8)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            for precision in ("float32", "bfloat16"):
                other = Codec(codec.model, precision=precision)
                decoded = other.model.entropy_model(8).decode(file.tiles[0], shape, 0)
                np.testing.assert_array_equal(decoded, expected)
        finally:
            torch.set_num_threads(1)


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(WIDTHS), st.integers(0, 99))
def test_noise_of_any_size_round_trips(
    codec: Codec, height: int, columns: int, width: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, columns, 3), dtype=np.uint8)
    symbols = codec.analyse(pixels, width)
    restored = codec.decompress(codec.compress(Image.fromarray(pixels), width))
    np.testing.assert_array_equal(
        np.asarray(restored), codec.synthesise(symbols, (height, columns), width)
    )


@settings(max_examples=60)
@given(
    height=st.integers(1, 90),
    columns=st.integers(1, 90),
    mode=st.sampled_from(["L", "LA", "RGB", "RGBA"]),
    width=st.sampled_from(WIDTHS),
    step=st.integers(0, 30),
    side=st.sampled_from([16, 64, 1024]),
    seed=st.integers(0, 99),
)
def test_any_picture_comes_back_at_any_point(
    codec: Codec,
    height: int,
    columns: int,
    mode: str,
    width: int,
    step: int,
    side: int,
    seed: int,
) -> None:
    used = Codec(codec.model, tile_side=side)
    rgba = np.dstack([smooth_pixels(height, columns, seed), smooth_pixels(height, columns, 7)])
    image = Image.fromarray(rgba[..., :4]).convert(mode)
    data = used.compress(image, width, step=step, verify=True)
    restored = codec.decompress(data)
    assert (restored.mode, restored.size) == (image.mode, image.size)
    if "A" in mode:
        assert restored.getchannel("A").tobytes() == image.getchannel("A").tobytes()
    pixels = np.asarray(image.convert("RGB"))
    symbols = used.analyse(pixels, width, step)
    np.testing.assert_array_equal(codec.read_symbols(data), symbols)
    expected = codec.synthesise(symbols, (height, columns), width, step).astype(int)
    if mode in ("L", "LA"):
        expected = np.rint(expected.mean(axis=2, keepdims=True)).repeat(3, axis=2)
    assert np.abs(np.asarray(restored.convert("RGB")) - expected).max() <= 1


def test_symbols_beyond_the_limit_are_clipped_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = make_network(0)
    with torch.no_grad():
        network.g_a.conv3.weight.mul_(1e5)
        for name, parameter in network.g_a.gdn3.named_parameters():
            if name.endswith("gamma"):  # otherwise it would bound the latents
                parameter.zero_()
    wild = Codec(to_model(network))
    caplog.set_level("INFO", "slimcae")
    data = wild.compress(Image.fromarray(smooth_pixels(32, 32, seed=10)), 12)
    assert "clipped" in caplog.text
    symbols = wild.read_symbols(data)
    assert np.abs(symbols).max() == 2**15 - 1


LATENTS = st.floats(-(2.0**100), 2.0**100, width=32) | st.floats(-300, 300, width=32)


@settings(max_examples=150)
@given(
    arrays(np.float32, (4, 2, 3), elements=LATENTS),
    st.none() | st.sampled_from([np.nan, np.inf, -np.inf]),
    st.integers(0, 23),
    st.integers(0, 30),
)
def test_any_latents_come_back_as_symbols_or_are_refused(
    codec: Codec, latents: np.ndarray, wild: float | None, place: int, step: int
) -> None:
    transforms = TorchTransforms(codec.model)
    if wild is not None:
        latents.flat[place] = wild
    transforms._analysis = lambda _: lambda _: torch.tensor(latents)  # type: ignore[assignment]
    used = Codec(codec.model, transforms)
    image = Image.new("RGB", (48, 32))
    if wild is not None:
        with pytest.raises(ModelError, match="not finite"):
            used.compress(image, 4, step=step)
        return
    medians = codec.model.medians(4)
    exact = (latents.astype(float) - medians[:, None, None]) / codec.model.steps[step]
    symbols = used.read_symbols(used.compress(image, 4, step=step))
    inside = np.clip(exact, -32767, 32767)
    assert np.abs(symbols - inside).max() <= 0.5 + 1e-3  # float32 decides at ties


def test_latents_that_are_not_finite_are_refused() -> None:
    network = make_network(0)
    with torch.no_grad():
        network.g_a.conv3.weight.fill_(float("inf"))
    with pytest.raises(ModelError, match="not finite"):
        Codec(to_model(network)).compress(Image.fromarray(smooth_pixels(32, 32, seed=10)))


def test_unknown_width_precision_and_device(codec: Codec) -> None:
    image = Image.fromarray(smooth_pixels(16, 16, seed=0))
    with pytest.raises(ConfigError, match=r"no width 5: choose from 12, 8, 4"):
        codec.compress(image, 5)
    with pytest.raises(ConfigError, match="float16"):
        Codec(codec.model, precision="float16")
    with pytest.raises(ConfigError, match="tpu"):
        Codec(codec.model, device="tpu")


def test_missing_picture_and_missing_model(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.png"):
        codec.compress(tmp_path / "nothing.png")
    with pytest.raises(ModelError, match=r"nothing\.safetensors"):
        slimcae.load(tmp_path / "nothing.safetensors")


def test_a_file_of_another_model_is_refused_by_name(codec: Codec, tmp_path: Path) -> None:
    write_model(tmp_path / "other.safetensors", make_model(1, ModelInfo("other", "2")))
    other = slimcae.load(tmp_path / "other.safetensors")
    data = other.compress(Image.fromarray(smooth_pixels(20, 20, seed=0)), 8)
    with pytest.raises(BitstreamError, match=r"needs model other width 8.*tiny"):
        codec.decompress(data)


def test_too_many_pixels_are_refused_before_decoding(codec: Codec) -> None:
    data = codec.compress(Image.fromarray(smooth_pixels(20, 30, seed=0)))
    with pytest.raises(BitstreamError, match="30x20"):
        codec.decompress(data, max_pixels=599)
    assert codec.decompress(data, max_pixels=600).size == (30, 20)


def test_every_flipped_byte_is_noticed(codec: Codec) -> None:
    data = codec.compress(Image.fromarray(smooth_pixels(20, 30, seed=0)), 4)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(BitstreamError):
            codec.decompress(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            codec.decompress(data[:length])


def test_a_half_precision_model_file_codes_the_same(tmp_path: Path) -> None:
    model = halved(make_model(0, ModelInfo("half")))
    write_model(tmp_path / "half.safetensors", model, half=True)
    first, second = Codec(model), Codec(read_model(tmp_path / "half.safetensors"))
    image = Image.fromarray(smooth_pixels(40, 40, seed=3))
    for width in WIDTHS:
        data = first.compress(image, width)
        restored = np.asarray(second.decompress(data))
        np.testing.assert_array_equal(restored, np.asarray(first.decompress(data)))
