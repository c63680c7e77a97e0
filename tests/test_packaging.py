"""Test the wheel, built and run outside the checkout, and the pinned versions."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import slimcae
from conftest import HANG, smooth_pixels

ROOT = Path(__file__).parents[1]
WEIGHTS = "slimcae/weights/slimcae.safetensors"


def run(*argv: str | Path, **settings: Any) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, argv)], capture_output=True, text=True, timeout=HANG, **settings
    )
    assert done.returncode == 0, done.stderr
    out: str = done.stdout
    return out


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """Return a folder with the package as installed from the wheel, and nothing else."""
    target = wheel.parent / "site"
    run("-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel)
    return target


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(n for n in names if n.endswith(".dist-info/METADATA")).partition("/")[0]
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    source = ROOT / "src"
    modules = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert modules <= names
    assert "slimcae/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    others = {n for n in names - modules if not n.startswith(f"{info}/")}
    page = source / "slimcae" / "studio" / "static"
    files = {str(path.relative_to(source)) for path in page.rglob("*") if path.is_file()}
    published = {name for name in others if name.startswith("slimcae/evaluation/published_curves/")}
    weights = {WEIGHTS, "slimcae/weights/paper.safetensors"}
    assert others - published == {"slimcae/py.typed"} | files | weights
    assert any(name.endswith("index.html") for name in files)
    assert metadata["Version"] == slimcae.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "slimcae = slimcae.__main__:entry_point" in entry_points


def test_wheel_carries_the_weights(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert WEIGHTS in archive.namelist(), "the weights are not in the package yet"


def test_installed_package_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    where = run("-c", "import slimcae; print(slimcae.__file__)", cwd=tmp_path, env=environment)
    assert Path(where.strip()).is_relative_to(installed)
    version = run("-m", "slimcae", "--version", cwd=tmp_path, env=environment)
    assert version.startswith(f"slimcae {slimcae.__version__} ")


def test_installed_package_compresses_with_its_own_weights(installed: Path, tmp_path: Path) -> None:
    assert (installed / WEIGHTS).is_file(), "the weights are not in the package yet"
    Image.fromarray(smooth_pixels(96, 128, 0)).save(tmp_path / "photo.png")
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    run("-m", "slimcae", "compress", "photo.png", "-w", "48", cwd=tmp_path, env=environment)
    words = ("decompress", "photo.scae", "-o", "back.png")
    run("-m", "slimcae", *words, cwd=tmp_path, env=environment)
    with Image.open(tmp_path / "back.png") as image:
        assert image.size == (128, 96)


def test_installed_package_has_the_published_curves(installed: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    program = "from slimcae.evaluation.published import published; print(*published(), sep=', ')"
    names = run("-c", program, cwd=tmp_path, env=environment).strip().split(", ")
    assert {"JPEG", "BPG", "Factorized prior"} <= set(names)


def pins() -> dict[str, str]:
    """Return the versions of constraints.txt by canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    requirements = [
        *project["project"]["dependencies"],
        *chain(*project["project"]["optional-dependencies"].values()),
        *chain(*project["dependency-groups"].values()),
        *project["build-system"]["requires"],
    ]
    assert len(requirements) > 15
    pinned = pins()
    for requirement in map(Requirement, requirements):
        if requirement.name == "slimcae":  # one extra may include another
            continue
        version = pinned[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, requirement


def test_requirements_use_the_same_torch() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert re.findall(r"^torch==(.+)$", text, re.MULTILINE) == [pins()["torch"]]
    assert "-c constraints.txt" in text.splitlines()
