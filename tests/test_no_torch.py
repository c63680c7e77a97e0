"""Test that decoding works in an environment without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG

GOLDEN = Path(__file__).parent / "data" / "golden"
ROOMS = ("codec", "coding", "container", "evaluation", "images", "model", "transforms")

BLOCKED = """
import importlib, pkgutil, sys
from pathlib import Path
sys.modules["torch"] = None  # importing it raises, as where it is not installed
"""

IMPORTS = """
for room in sys.argv[1:]:
    package = importlib.import_module(f"slimcae.{room}")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name != "slimcae.transforms.torch_":
            importlib.import_module(module.name)
import slimcae.pillow
print(*sorted(name for name in sys.modules if name.startswith("slimcae")))
"""

PICTURES = """
import hashlib, json
import numpy as np
from PIL import Image
from slimcae.codec import Codec
from slimcae.errors import ConfigError
from slimcae.model.file import read_model
from slimcae.model.registry import shipped_model

golden = Path(sys.argv[1])
shipped = read_model(shipped_model())
print(shipped.widths, shipped.architecture.downsampling)
tiny = Codec(read_model(golden / "tiny.safetensors"), transforms=object())
pinned = json.loads((golden / "scae" / "pinned.json").read_text())
for path in sorted((golden / "scae").glob("*.scae")):
    symbols = tiny.read_symbols(path)
    found = hashlib.sha256(symbols.astype("<i2").tobytes()).hexdigest()
    assert found == pinned[path.stem]["symbols"], path
print("symbols are the pinned ones")

whole = Codec(read_model(golden / "tiny.safetensors"))
for path in sorted((golden / "scae").glob("*.png")):
    with Image.open(path) as image:
        expected = np.asarray(image, int)
    found = np.asarray(whole.decompress(path.with_suffix(".scae")), int)
    assert np.abs(found - expected).max() <= 1, path
print("pixels are the pinned ones within one level")

data = Codec(shipped).compress(golden / "scae" / "odd.png", 48)
print(Codec(shipped).decompress(data).size)
import slimcae
for refused in (lambda: Codec(shipped, backend="torch"), lambda: slimcae.load_model):
    try:
        refused()
    except ConfigError as error:
        print(error)
"""


def run(script: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + script, *words],
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_imported_without_torch(room: str) -> None:
    (names,) = run(IMPORTS, room)
    assert f"slimcae.{room}" in names.split()
    assert "slimcae.networks" not in names
    assert "slimcae.training" not in names
    assert "slimcae.transforms.torch_" not in names


def test_a_codec_needs_no_torch_and_says_so_where_it_is_wanted() -> None:
    widths, symbols, pixels, size, backend, network = run(PICTURES, str(GOLDEN))
    assert widths == "(192, 144, 96, 72, 48) 16"
    assert symbols == "symbols are the pinned ones"
    assert pixels == "pixels are the pinned ones within one level"
    assert size == "(33, 17)"
    assert backend == "torch, which computes pictures, is not installed"
    assert network == "torch, which load_model needs, is not installed"
