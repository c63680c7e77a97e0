"""Test the cost of decoding: against measurements of processes; profiles as files."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import HANG
from slimcae import user_folders
from slimcae.container import Header
from slimcae.errors import ConfigError
from slimcae.model.architecture import slimcae
from slimcae.model.config import SlimCAEConfig
from slimcae.model.cost import (
    Profile,
    Times,
    decoder_memory,
    default_profile,
    padded_pixels,
    padded_size,
    read_profile,
    write_profile,
)

ARCHITECTURE = slimcae(SlimCAEConfig())
PROFILE = Profile(
    model="tiny@7",
    runtime="onnxruntime 1.32.0",
    device="cpu",
    precision="float32",
    threads=2,
    machine="a processor, 2 cores",
    date="2025-01-02T03:04:05+00:00",
    encode={
        12: {"context": Times(4.5, 250.0), "tables": Times(3.5, 200.0)},
        8: {"tables": Times(2.0, 100.0)},
    },
    decode={
        12: {"context": Times(2.5, 300.0), "tables": Times(1.5, 300.0)},
        8: {"tables": Times(1.0, 0.0)},
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def header(height: int, columns: int, width: int) -> Header:
    return Header(
        image_height=height,
        image_width=columns,
        grey=False,
        srgb=False,
        num_filters=width,
        step=0,
        entropy_model="context",
        tile_side=1024,
        model_name="tiny",
        model_fingerprint=bytes(8),
    )


def test_the_decoder_computes_whole_latents() -> None:
    assert padded_pixels(ARCHITECTURE, header(1, 5000, 8)) == 16 * 5008
    assert padded_size(ARCHITECTURE, (33, 16)) == (48, 16)
    assert padded_pixels(ARCHITECTURE, header(32, 16, 8)) == 32 * 16


MEASURE = """
import re, sys
from pathlib import Path
import numpy as np
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.transforms import open_transforms
def peak():  # of this program; ru_maxrss remembers the one that started it
    return 1024 * int(re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1])
width, height, columns = map(int, sys.argv[2:])
model = to_model(SlimCAE(SlimCAEConfig((width,))), steps=(1.0,))
transforms = open_transforms(model, backend=sys.argv[1], precision="float32")
transforms.pixels(np.zeros((width, 2, 2), np.int16), width, 1.0)
before = peak()
transforms.pixels(np.ones((width, height // 16, columns // 16), np.int16), width, 1.0)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
# the estimate is for the backend that needs more
@pytest.mark.parametrize(
    ("backend", "least"),
    [
        ("onnx", 0.4),
        pytest.param(
            "torch",
            0.1,
            marks=pytest.mark.skipif(
                torch.backends.cpu.get_cpu_capability() == "DEFAULT",
                reason="without AVX2 oneDNN unfolds convolutions, which takes twice the estimate",
            ),
        ),
    ],
)
@pytest.mark.parametrize("width", [48, 192])
def test_the_networks_memory_is_what_a_process_takes(
    width: int, backend: str, least: float
) -> None:
    size = (768, 1024)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, backend, *map(str, (width, *size))],
        capture_output=True,
        timeout=HANG,
        check=True,
    )
    pixels = size[0] * size[1]
    network = (
        decoder_memory(ARCHITECTURE, header(*size, width)) - 2 * width * pixels // 256 - 9 * pixels
    )
    assert least * network < int(done.stdout) < 1.15 * network


def test_memory_grows_only_by_picture_and_symbols_beyond_a_window() -> None:
    one = decoder_memory(ARCHITECTURE, header(1088, 1088, 192))
    large = decoder_memory(ARCHITECTURE, header(10_000, 10_000, 192))
    pixels = 10_000**2 - 1088**2
    assert large - one == pixels * 9 + 2 * 192 * pixels // 256
    assert large < 2e9
    strip = decoder_memory(ARCHITECTURE, header(1, 2**20, 192))
    assert strip < 100e6
    assert decoder_memory(ARCHITECTURE, header(1000, 1000, 48)) < decoder_memory(
        ARCHITECTURE, header(1000, 1000, 192)
    )


def test_a_profile_gives_milliseconds() -> None:
    assert PROFILE.decode_ms(12, "tables", 2_000_000) == 601.5
    assert PROFILE.decode_ms(12, "context", 2_000_000) == 602.5
    assert PROFILE.decode_ms(8, "tables", 5) == 1.0
    assert PROFILE.encode[8]["tables"].of(500_000) == 52.0
    with pytest.raises(ConfigError, match="no width 96, only 12, 8"):
        PROFILE.decode_ms(96, "tables", 5)
    with pytest.raises(ConfigError, match="entropy model context at width 8, only of tables"):
        PROFILE.decode_ms(8, "context", 5)


def test_a_profile_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profile.json"
    write_profile(PROFILE, path)
    assert read_profile(path) == PROFILE
    write_profile(replace(PROFILE, threads=3), path)
    assert read_profile(path).threads == 3
    facts = json.loads(path.read_text())
    assert facts["decode"]["12"]["tables"] == {"fixed": 1.5, "per_megapixel": 300.0}
    assert facts["machine"] == "a processor, 2 cores"


def test_where_the_profile_of_this_machine_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_profile() == tmp_path / ".cache" / "slimcae" / "profile.json"
    with pytest.raises(ConfigError, match=r"no profile at "):
        read_profile()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_profile(PROFILE, default_profile())
    assert read_profile() == PROFILE == read_profile(tmp_path / "cache/slimcae/profile.json")
    monkeypatch.setattr(user_folders, "_WINDOWS", True)
    monkeypatch.setenv("LOCALAPPDATA", "local")
    assert default_profile() == Path("local/slimcae/profile.json")


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_profile(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"format": 2},
        {"format": None},
        {"model": None},
        {"machine": "two\nlines"},
        {"threads": 0},
        {"threads": 1.5},
        {"threads": True},
        {"decode": {}},
        {"decode": []},
        {
            "decode": {"12": {"tables": {"fixed": 1, "per_megapixel": 1}}}
        },  # fewer widths than encode
        {"decode": {"12": {"tables": {"fixed": 1}}, "8": {"tables": {"fixed": 1}}}},
        {"decode": {"12": {}, "8": {}}, "encode": {"12": {}, "8": {}}},
        {"decode": {w: {"tables": {"fixed": 1, "per_megapixel": 1}} for w in ("12", "8")}},
        {"decode": {"12": [1, 2], "8": [1, 2]}},
        {"encode": {"wide": {"tables": {"fixed": 1, "per_megapixel": 1}}}},
        *(
            {
                way: {w: {"tables": {"fixed": value, "per_megapixel": 1}} for w in ("12", "8")}
                for way in ("encode", "decode")
            }
            for value in (-1, "1", None, True, float("nan"), float("inf"), 10**400)
        ),
    ],
    ids=str,
)
def test_damaged_profiles_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    facts = json.loads(PROFILE.to_json())
    message = refused(tmp_path / "p.json", json.dumps(facts | change).encode())
    assert re.search(r"p\.json is damaged or not a profile$", message)


@pytest.mark.parametrize("key", json.loads(PROFILE.to_json()))
def test_profiles_that_lack_something_are_refused(tmp_path: Path, key: str) -> None:
    facts = json.loads(PROFILE.to_json())
    del facts[key]
    refused(tmp_path / "p.json", json.dumps(facts).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"3", b"\xff\xfe", b"[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path / "p.json", data)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_profile(tmp_path)


@settings(max_examples=200)
@given(key=st.sampled_from(sorted(json.loads(PROFILE.to_json()))), value=JSON)
def test_any_value_in_a_profile(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "p.json"
    path.write_text(json.dumps(json.loads(PROFILE.to_json()) | {key: value}))
    try:
        decode = read_profile(path).decode
        assert all(t.of(1) >= 0 for kinds in decode.values() for t in kinds.values())
    except ConfigError as error:
        assert "\n" not in str(error)
