"""Test `.scae` in Pillow: the expected behaviour of a format plugin."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from made_files import png
from PIL import Image, ImageFile, UnidentifiedImageError
from profiles import DISPLAY_P3, matrix_profile
from tiny_codec import make_model

import slimcae.pillow
from conftest import smooth_pixels
from cpu_time import start_up
from slimcae.images import srgb_profile
from slimcae.model.config import ModelInfo
from slimcae.model.file import write_model


@pytest.fixture(autouse=True)
def model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a tiny model, so that nobody waits for the packaged one."""
    monkeypatch.setenv("SLIMCAE_MODELS", str(_installed(tmp_path_factory)))


_folder: list[Path] = []


def _installed(factory: pytest.TempPathFactory) -> Path:
    if not _folder:
        _folder.append(factory.mktemp("models"))
        write_model(_folder[0] / "tiny.safetensors", make_model(0, ModelInfo("tiny", "1")))
    return _folder[0]


def photo(mode: str = "RGB", size: tuple[int, int] = (40, 56)) -> Image.Image:
    rgb = Image.fromarray(smooth_pixels(*size, seed=1))
    if mode in ("LA", "RGBA"):
        rgb.putalpha(Image.fromarray(smooth_pixels(*size, seed=2)[:, :, 0]))
    return rgb.convert(mode)


def saved(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "SCAE", model="tiny", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pictures_come_back_in_their_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.scae"
    image = photo(mode)
    image.save(path, model="tiny")
    with Image.open(path) as restored:
        assert (restored.mode, restored.size, restored.format) == (mode, image.size, "SCAE")
        assert restored.get_format_mimetype() == "image/x-scae"
        error = np.abs(np.asarray(restored).astype(int) - np.asarray(image))
        assert error.mean() < 12
        if "A" in mode:
            assert restored.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "I;16", "F"])
def test_other_modes_are_converted(mode: str) -> None:
    image = Image.new(mode, (20, 30))
    restored = Image.open(BytesIO(saved(image)))
    restored.load()
    assert restored.mode in ("L", "RGB")
    assert restored.size == (20, 30)


def test_options_reach_the_codec() -> None:
    image = photo(size=(96, 96))
    widest, narrow = saved(image), saved(image, width=4)
    assert len(narrow) < len(widest)
    assert len(saved(image, target_size=len(widest) - 50)) <= len(widest) - 50
    with pytest.raises(ValueError, match="contradict"):
        saved(image, width=4, bpp=1)
    with pytest.raises(ValueError, match="no width 5"):
        saved(image, width=5)
    with pytest.raises(ValueError, match="quality 'web_low': must be a number"):
        saved(image, quality="web_low")  # what JPEG takes, say
    with pytest.raises(ValueError, match="no quality scale"):
        saved(image, quality=50)
    with pytest.raises(OSError, match="no model nobody"):
        image.save(BytesIO(), "SCAE", model="nobody")


def test_metadata_are_kept_as_other_formats_keep_them() -> None:
    image = photo()
    image.info["icc_profile"] = profile = matrix_profile(DISPLAY_P3)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    with_exif = Image.open(BytesIO(saved(image, exif=exif, xmp=b"<x/>")))
    assert with_exif.info["icc_profile"] == profile
    assert with_exif.getexif()[0x010E] == "a description"
    assert with_exif.info["xmp"] == b"<x/>"
    image.info["exif"] = exif.tobytes()
    plain = Image.open(BytesIO(saved(image, icc_profile=None)))
    assert set(plain.info) == set()


def test_an_srgb_profile_is_there_again() -> None:
    image = photo()
    image.info["icc_profile"] = srgb_profile()
    data = saved(image)
    assert len(data) < len(saved(photo())) + 10  # stored as a flag
    assert Image.open(BytesIO(data)).info["icc_profile"] == srgb_profile()


def test_an_orientation_that_is_given_is_applied_one_that_is_not_is_ignored() -> None:
    image = photo(size=(40, 56))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(BytesIO(saved(image, exif=exif)))
    assert turned.size == (40, 56)
    assert turned.getexif().get(0x0112, 1) == 1
    image.info["exif"] = exif.tobytes()
    assert Image.open(BytesIO(saved(image))).size == image.size


class CountingFile(BytesIO):
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.bytes_read += len(found)
        return found


def test_opening_reads_the_head_alone() -> None:
    file = CountingFile(saved(photo(size=(300, 300))))
    image = Image.open(file, formats=["SCAE"])  # others read a little to know their own
    assert image.size == (300, 300)
    assert file.bytes_read < 400 < len(file.getvalue())
    image.load()
    assert file.bytes_read > len(file.getvalue())


def test_foreign_and_truncated_files_fail_as_with_any_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(photo())
    for foreign in (b"", b"\x89S\r\n", b"\x89S\r\n" + bytes(100), data[:20], b"GIF89a"):
        with pytest.raises(UnidentifiedImageError):
            Image.open(BytesIO(foreign))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    path = tmp_path / "cut.scae"
    path.write_bytes(data[:-1])
    with Image.open(path) as cut:
        assert cut.size == (56, 40)
        with pytest.raises(OSError, match="truncated"):
            cut.load()
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(OSError, match="checksum"):
        Image.open(BytesIO(damaged)).load()


def test_a_file_of_an_unknown_model_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo())
    monkeypatch.setenv("SLIMCAE_MODELS", "/nowhere")
    with pytest.raises(OSError, match="needs model tiny"):
        Image.open(BytesIO(data)).load()


def test_pillows_own_limit_on_pixels_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(BytesIO(data))


def test_files_are_closed_after_loading(tmp_path: Path) -> None:
    path = tmp_path / "a.scae"
    photo().save(path, model="tiny")
    image = Image.open(path)
    image.load()
    assert image.fp is None or image.fp.closed  # ResourceWarning would fail the test as well
    copy = image.copy()
    assert copy.format is None
    assert copy.tobytes() == image.tobytes()


def test_verify_finds_damage_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo())
    image = Image.open(BytesIO(data))
    image.load()
    with pytest.raises(RuntimeError):  # as Pillow's PNG plugin says it
        image.verify()
    monkeypatch.setenv("SLIMCAE_MODELS", "/nowhere")  # no model is needed
    Image.open(BytesIO(data)).verify()
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), data + b"more"):
        image = Image.open(BytesIO(damaged))
        with pytest.raises(OSError, match=r"truncated|checksum|follow"):
            image.verify()


def test_pillows_parser_takes_a_file_piece_by_piece() -> None:
    data = saved(photo())
    whole = Image.open(BytesIO(data))
    parser = ImageFile.Parser()
    for start in range(0, len(data), 50):
        parser.feed(data[start : start + 50])
    assert parser.close().tobytes() == whole.tobytes()
    parser = ImageFile.Parser()
    parser.feed(data[:-10])
    with pytest.raises(OSError, match="truncated"):
        parser.close()


def test_importing_needs_no_other_library_and_little_more_work_than_pillow() -> None:
    alone = "import sys, PIL.Image; before = set(sys.modules)"
    libraries = (
        "{n.partition('.')[0] for n in sys.modules.keys() - before} - sys.stdlib_module_names"
    )
    ours = f"{alone}; import slimcae.pillow; assert {libraries} == {{'PIL', 'slimcae'}}"
    took = start_up({"PIL": [alone], "ours": [ours]})
    assert took["ours"] < 5 * took["PIL"]  # about 2 times measured


def test_the_format_is_registered() -> None:
    assert Image.registered_extensions()[".scae"] == "SCAE"
    assert Image.MIME["SCAE"] == "image/x-scae"
    assert slimcae.pillow.accept(b"\x89S\r\n\x03")
    assert not slimcae.pillow.accept(b"\x89PNG")


def test_transparent_and_linear_png_files_are_saved_as_they_are_meant(tmp_path: Path) -> None:
    samples = np.arange(256).reshape(16, 16, 1) % 4
    keyed, linear = tmp_path / "keyed.png", tmp_path / "linear.png"
    keyed.write_bytes(png(samples, 2, 0, (b"tRNS", bytes([0, 1]))))
    linear.write_bytes(png(photo_samples(), 8, 2, (b"gAMA", (100_000).to_bytes(4, "big"))))
    for path in (keyed, linear):
        with Image.open(path) as image:
            image.save(path.with_suffix(".scae"), model="tiny")
    with Image.open(keyed.with_suffix(".scae")) as restored:
        alpha = np.asarray(restored.getchannel("A"))
        np.testing.assert_array_equal(alpha, np.where(samples[:, :, 0] == 1, 0, 255))
    with Image.open(linear.with_suffix(".scae")) as restored:
        assert np.asarray(restored).mean() > photo_samples().mean() + 40


def photo_samples() -> np.ndarray:
    return np.asarray(photo()).astype(int)


def test_a_save_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    image, path = photo(), tmp_path / "x.scae"
    image.save(path, width=8, model="tiny")
    before = path.read_bytes()
    for place in (path, str(path), os.fsencode(path)):
        with pytest.raises(ValueError, match="out of range"):
            image.save(place, target_size=1, model="tiny")
        with pytest.raises(OSError, match="no model"):
            image.save(place, format="scae", model="missing")
        assert path.read_bytes() == before
    with pytest.raises(ValueError, match="out of range"):
        image.save(tmp_path / "new.scae", target_size=1, model="tiny")
    with pytest.raises(FileNotFoundError):
        image.save(tmp_path / "missing" / "x.scae", width=8, model="tiny")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.scae"]


def test_a_file_can_be_saved_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.scae"
    photo().save(path, width=8, model="tiny")
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
        image.save(path, width=8, model="tiny")
    with Image.open(path) as image:
        assert image.size == pixels.shape[1::-1]


def test_other_formats_and_streams_are_saved_as_before(tmp_path: Path) -> None:
    image = photo()
    image.save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as same:
        assert same.tobytes() == image.tobytes()
    for_stream, for_path = BytesIO(), tmp_path / "name.of.any.kind"
    image.save(for_stream, "SCAE", width=8, model="tiny")
    image.save(for_path, "SCAE", width=8, model="tiny")
    assert for_path.read_bytes() == for_stream.getvalue()
    with pytest.raises(ValueError, match="unknown file extension"):
        image.save(tmp_path / "x.unknown")
