"""compress, decompress and info: a picture goes to a file and comes back."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import LMBDA, WIDTHS, call, error_line, process, save_photo, save_tiny_model
from PIL import Image

import slimcae
from conftest import smooth_pixels
from slimcae.codec import Codec
from slimcae.model.checkpoint import fingerprint, load_model, save_model
from slimcae.model.config import ModelInfo


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


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_info_of_a_picture(
    tmp_path: Path, codec: Codec, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Image.fromarray(smooth_pixels(40, 56, seed=0)).convert(mode)
    profile = b"\0" * 16 + (b"RGB " if "RGB" in mode else b"GRAY") + b"\0" * 200
    photo.info["icc_profile"] = profile
    path = tmp_path / "a.scae"
    path.write_bytes(codec.compress(photo, 8))
    assert call(["info", "--json", path]) == 0
    facts = json.loads(capsys.readouterr().out)
    chunks = facts.pop("chunks")
    assert facts == {
        "file": str(path),
        "kind": "picture",
        "format": 1,
        "image_width": 56,
        "image_height": 40,
        "mode": mode,
        "icc_profile": True,
        "width": 8,
        "model": "tiny",
        "fingerprint": fingerprint(codec.model, 8).hex(),
        "bytes": path.stat().st_size,
        "bpp": 8 * path.stat().st_size / (56 * 40),
    }
    assert sum(chunks.values()) == path.stat().st_size
    assert ("ALPH" in chunks) == ("A" in mode)
    assert call(["info", path]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{path}\n")
    assert f"{path.stat().st_size:,}" in text


def test_info_of_a_model_whatever_its_name(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = tmp_path / "weights.pth"
    renamed.write_bytes(model.read_bytes())
    assert call(["info", "--json", renamed]) == 0
    facts = json.loads(capsys.readouterr().out)
    loaded = load_model(model)
    assert facts["widths"] == list(WIDTHS)
    assert facts["lambda"] == list(LMBDA)
    assert (facts["name"], facts["version"], facts["gdn"]) == ("tiny", "1", "switchable")
    assert facts["parameters"] == sum(p.numel() for p in loaded.parameters())
    assert facts["fingerprints"] == {
        str(width): fingerprint(loaded, width).hex() for width in WIDTHS
    }
    assert call(["info", model.parent]) == 0  # a run folder, as text
    assert "12 8" in capsys.readouterr().out


def test_info_of_a_model_that_does_not_know_its_lambda(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "a.safetensors", load_model(model), ModelInfo("anon", "1"))
    assert call(["info", tmp_path / "a.safetensors"]) == 0
    assert re.search(r"lambda +not known\n", capsys.readouterr().out)
