"""Test the files of the runtime: from npm's package only, complete, or an error with a reason."""

import base64
import hashlib
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from slimcae.cli import main
from slimcae.errors import ConfigError
from slimcae.studio import runtime


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty folder for the files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path / "slimcae" / f"onnxruntime-web-{runtime.VERSION}"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a package that is accepted as the pinned one."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in (*runtime.FILES.values(), "ort.all.js"):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(name)
            archive.addfile(member, BytesIO(name.encode()))
    data = packed.getvalue()
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    monkeypatch.setattr(runtime, "_SHA512", digest)
    return data


def _npm(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[list[str]]:
    """Replace npm by a fake answer; return the commands that it gets."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> None:
        asked.append(command)
        if isinstance(answer, Exception):
            raise answer
        (Path(command[-1]) / f"onnxruntime-web-{runtime.VERSION}.tgz").write_bytes(answer)

    monkeypatch.setattr("shutil.which", lambda _: "npm")
    monkeypatch.setattr("subprocess.run", run)
    return asked


def test_npm_gets_the_files_once(
    folder: Path,
    package: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = _npm(monkeypatch, package)
    assert runtime.runtime_folder() is None
    assert main(["studio", "--get_runtime"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert {path.name for path in folder.iterdir()} == {"NOTICE.txt", "ort.js", "ort.wasm"}
    assert (folder / "ort.wasm").read_text() == runtime.FILES["ort.wasm"]
    assert "MIT License" in (folder / "NOTICE.txt").read_text()
    assert runtime.runtime_folder() == runtime.get_runtime() == folder
    assert len(asked) == 1 and f"onnxruntime-web@{runtime.VERSION}" in asked[0]


def test_another_package_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(monkeypatch, b"another package")
    with pytest.raises(ConfigError, match="its SHA-512 differs"):
        runtime.get_runtime()
    assert runtime.runtime_folder() is None


def test_without_npm_or_network_a_file_can_be_given(
    folder: Path, package: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CalledProcessError(1, "npm", stderr="\nnpm error network\nmore")
    _npm(monkeypatch, failed)
    with pytest.raises(ConfigError, match=r"offline\?\): npm error network; or put onnxruntime"):
        runtime.get_runtime()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(ConfigError, match=r"npm, which gets .* is not installed: install Node.js"):
        runtime.get_runtime()
    folder.mkdir(parents=True)
    (folder / f"onnxruntime-web-{runtime.VERSION}.tgz").write_bytes(package)
    assert runtime.get_runtime() == folder
