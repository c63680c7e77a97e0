"""Test slimcae info: the contents of a file, and the cost of decoding it."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ARCHITECTURE, LMBDA, WIDTHS, call, error_line, process, save_tiny_model
from PIL import Image

from model_files import save_forged
from optional_torch import SlimCAE, load_network, to_model
from slimcae import container
from slimcae.codec import Codec
from slimcae.container import Contents, Header
from slimcae.model import registry
from slimcae.model.architecture import light
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.cost import decoder_memory
from slimcae.model.file import read_model, write_model
from slimcae.model.registry import add_model


def header(**changes: Any) -> Header:
    facts: dict[str, Any] = {
        "image_height": 40,
        "image_width": 56,
        "grey": False,
        "srgb": False,
        "num_filters": 8,
        "step": 1,
        "entropy_model": "tables",
        "tile_side": 32,
        "model_name": "tiny",
        "model_fingerprint": bytes.fromhex("8899aabbccddeeff"),
    }
    return Header(**facts | changes)


def save_scae(path: Path, head: Header, **kept: Any) -> Path:
    """Return a file with meaningless tiles, which `info` does not decode."""
    tiles = [bytes([k]) * 4 * k for k in range(head.num_tiles)]
    path.write_bytes(container.write(Contents(head, tiles, **kept)))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty models folder; the packaged model does not matter."""
    monkeypatch.setenv("SLIMCAE_MODELS", str(tmp_path / "models"))
    shipped = save_forged(
        tmp_path / "main", name="main", fingerprints={"12": "aa" * 8, "8": "bb" * 8}
    )
    monkeypatch.setattr(registry, "shipped_model", lambda: shipped)
    (tmp_path / "models").mkdir()
    return tmp_path


def facts_of(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert call(["info", "--json", path]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert isinstance(facts, dict)
    return facts


def test_everything_that_a_file_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_forged(folder / "models" / "tiny.safetensors")
    head = header(srgb=True)
    path = save_scae(folder / "a.scae", head, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    size = path.stat().st_size
    facts = facts_of(path, capsys)
    parts = facts.pop("parts")
    assert sum(parts.values()) == size
    assert facts == {
        "file": str(path),
        "kind": "picture",
        "format": 4,
        "image_width": 56,
        "image_height": 40,
        "mode": "RGB",
        "srgb": True,
        "icc_bytes": 0,
        "exif_bytes": 20,
        "xmp_bytes": 0,
        "width": 8,
        "step": 1,
        "entropy_model": "tables",
        "delta": 0.5,
        "model": "tiny",
        "model_version": "7",
        "fingerprint": "8899aabbccddeeff",
        "installed": True,
        "tiles": 4,
        "tile_side": 32,
        "bytes": size,
        "bpp": 8 * size / (56 * 40),
        "backend": "onnx",
        "decoder_macs_per_pixel": ARCHITECTURE.decoder_macs(8),
        "decoder_macs": ARCHITECTURE.decoder_macs(8) * 48 * 64,
        "decoder_memory_bytes": decoder_memory(ARCHITECTURE, head),
    }


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_mode_and_what_is_kept(folder: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"icc_profile": bytes(300), "xmp": b"<x/>"}
    if "A" in mode:
        kept["alpha"] = b"\x89PNG not looked into"
    path = save_scae(folder / "a.scae", header(grey="L" in mode, step=0), **kept)
    facts = facts_of(path, capsys)
    assert facts["mode"] == mode
    assert (facts["icc_bytes"], facts["exif_bytes"], facts["xmp_bytes"]) == (300, 0, 4)
    assert sum(facts["parts"].values()) == path.stat().st_size
    assert ("ALPH" in facts["parts"]) == ("A" in mode)
    assert call(["info", path]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{path}\n")
    assert re.search(rf"mode +{mode}\n", text)
    assert f"{path.stat().st_size:,}" in text


def test_a_file_whose_model_is_not_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_scae(folder / "a.scae", header())
    facts = facts_of(path, capsys)
    assert (facts["installed"], facts["delta"], facts["model_version"]) == (False, None, None)
    # only the model knows the transforms
    assert {facts[key] for key in facts if key.startswith("decoder_")} == {None}
    assert call(["info", path]) == 0
    text = capsys.readouterr().out
    assert re.search(r"installed +no\n", text)
    assert re.search(r"delta +not known\n", text)


def test_a_step_that_the_model_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_forged(folder / "models" / "tiny.safetensors")
    facts = facts_of(save_scae(folder / "a.scae", header(step=200)), capsys)
    assert (facts["step"], facts["delta"], facts["installed"]) == (200, None, True)


def test_damage_is_found_whatever_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_scae(folder / "a.scae", header(), alpha=b"\x89PNG")
    data = path.read_bytes()
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert error_line(capsys, ["info", path]).startswith(str(path))
    path.write_bytes(data[:-1])
    assert "truncated" in error_line(capsys, ["info", path])


def test_standard_input(folder: Path) -> None:
    path = save_scae(folder / "a.scae", header())
    done = process(["info", "--json", "-"], input=path.read_bytes())
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["file"], facts["bytes"]) == ("-", path.stat().st_size)


def test_several_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = save_scae(folder / "a.scae", header())
    model = save_forged(folder / "b.safetensors")
    broken = folder / "c.scae"
    broken.write_bytes(b"no picture")
    assert call(["info", "--json", first, broken, model]) == 1
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["file"] for one in found] == [str(first), str(model)]
    assert [one["kind"] for one in found] == ["picture", "model"]
    assert err.count("\n") == 1
    assert err.startswith(f"slimcae: error: {broken}: ")
    assert call(["info", first, model]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [str(first), str(model)]


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no paths of open files")
def test_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named pipe, like <(command) in a shell."""
    path = save_scae(folder / "a.scae", header())
    reading, writing = os.pipe()
    os.write(writing, path.read_bytes())
    os.close(writing)
    try:
        facts = facts_of(Path(f"/dev/fd/{reading}"), capsys)
    finally:
        os.close(reading)
    assert facts["bytes"] == path.stat().st_size
    assert facts["image_width"] == 56


def test_a_model_that_says_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = facts_of(save_forged(folder / "weights.pth"), capsys)
    assert facts["steps"] == [1, 0.5, 2]
    assert facts["quality_scale"] is True
    assert facts_of(save_forged(folder / "b", quality=None), capsys)["quality_scale"] is False
    assert call(["info", folder / "b"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"steps +1 0\.5 2\n", text)
    assert re.search(r"quality scale +no\n", text)


def test_a_model_that_was_saved_whatever_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny_model(tmp_path / "model.safetensors")
    renamed = tmp_path / "weights.pth"
    renamed.write_bytes(model.read_bytes())
    facts = facts_of(renamed, capsys)
    loaded = read_model(model)
    assert facts["widths"] == list(WIDTHS)
    assert facts["lambda"] == list(LMBDA)
    assert (facts["name"], facts["version"]) == ("tiny", "1")
    assert (facts["architecture"], facts["gdn"]) == ("slimcae", "switchable")
    assert facts["parameters"] == sum(p.numel() for p in load_network(model).parameters())
    assert facts["fingerprints"] == {
        str(width): loaded.fingerprint(width).hex() for width in WIDTHS
    }
    assert call(["info", tmp_path]) == 0  # a run folder, as text
    assert "12 8" in capsys.readouterr().out


def test_a_model_of_another_architecture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SlimCAEConfig((12, 8), architecture="light")
    model = to_model(SlimCAE(config), ModelInfo("tiny", "1"))
    write_model(tmp_path / "model.safetensors", model)
    facts = facts_of(tmp_path / "model.safetensors", capsys)
    assert facts["architecture"] == "light"
    assert "gdn" not in facts
    add_model(tmp_path / "model.safetensors")
    image = Image.fromarray(np.zeros((40, 56, 3), np.uint8))
    (tmp_path / "a.scae").write_bytes(Codec(model).compress(image, 8))
    picture = facts_of(tmp_path / "a.scae", capsys)
    assert picture["decoder_macs_per_pixel"] == light(config).decoder_macs(8)
    assert picture["decoder_macs"] == light(config).decoder_macs(8) * 48 * 64


def test_a_model_that_does_not_know_its_lambda(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny_model(tmp_path / "model.safetensors")
    anonymous = replace(read_model(model), info=ModelInfo("anon", "1"))
    write_model(tmp_path / "a.safetensors", anonymous)
    assert call(["info", tmp_path / "a.safetensors"]) == 0
    assert re.search(r"lambda +not known\n", capsys.readouterr().out)
