"""compress and decompress: a picture goes to a file and comes back."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import WIDTHS, call, error_line, process, save_photo, save_tiny_model
from PIL import Image

import slimcae
from slimcae.codec import Codec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return slimcae.load(model)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "photo.png")


@pytest.mark.parametrize("width", WIDTHS)
def test_there_and_back_is_what_python_gives(
    tmp_path: Path, photo: Path, model: Path, codec: Codec, width: int
) -> None:
    small, back = tmp_path / "a.scae", tmp_path / "b.png"
    assert call(["compress", photo, "-o", small, "--width", str(width), "--model", model]) == 0
    assert call(["decompress", small, "-o", back, "--model", model]) == 0
    assert small.read_bytes() == codec.compress(photo, width)
    expected = codec.decompress(small.read_bytes())
    with Image.open(back) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_default_names_lie_beside_the_input(photo: Path, model: Path, codec: Codec) -> None:
    before = photo.read_bytes()
    assert call(["compress", photo, "-m", model]) == 0
    small = photo.with_suffix(".scae")
    assert small.read_bytes() == codec.compress(photo, WIDTHS[0])  # the widest
    # the original itself is what the default name of the way back would hit
    assert call(["decompress", small, "-m", model]) == 1
    assert photo.read_bytes() == before
    photo.unlink()
    assert call(["decompress", small, "-m", model]) == 0
    with Image.open(photo) as image:
        assert image.size == (56, 40)


def test_one_line_tells_what_was_done(
    photo: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = photo.with_suffix(".scae")
    assert call(["compress", photo, "-m", model, "-w", "8"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    size = small.stat().st_size
    assert re.fullmatch(
        rf"{photo} -> {small}  56x40  width 8  {size:,} B  {8 * size / 2240:.3f} bpp  "
        r"\d+\.\d\d s\n",
        err,
    )
    assert call(["decompress", small, "-m", model, "-o", photo.with_suffix(".webp")]) == 0
    assert "  56x40  " in capsys.readouterr().err


def test_quiet_says_nothing(photo: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["compress", photo, "-m", model, "--quiet"]) == 0
    small = photo.with_suffix(".scae")
    assert call(["decompress", small, "-y", "-m", model, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_overwrite_replaces(photo: Path, model: Path) -> None:
    small = photo.with_suffix(".scae")
    small.write_bytes(b"old")
    for spelling in ("-y", "--overwrite"):
        assert call(["compress", photo, "-m", model, spelling]) == 0
    assert small.read_bytes() != b"old"


def test_a_run_folder_stands_for_its_model(photo: Path, model: Path) -> None:
    assert call(["compress", photo, "-m", model.parent]) == 0


def test_streams_carry_the_bytes_and_nothing_else(photo: Path, model: Path, codec: Codec) -> None:
    compressed = process(["compress", "-", "-m", model], input=photo.read_bytes())
    assert compressed.returncode == 0, compressed.stderr
    assert compressed.stdout == codec.compress(photo)
    assert compressed.stderr.startswith(b"- -> -  56x40")
    restored = process(["decompress", "-", "-m", model], input=compressed.stdout)
    assert restored.returncode == 0, restored.stderr
    expected = codec.decompress(compressed.stdout)
    with Image.open(io.BytesIO(restored.stdout)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_binary_is_not_written_to_a_terminal(
    photo: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "terminal" in error_line(capsys, ["compress", photo, "-o", "-", "-m", model])
