"""The files of onnxruntime-web, with which the page computes, downloaded with npm into a cache.

They have fourteen megabytes and are not ours, so they are not part of this package. npm downloads
them with the user's configuration, and the archive is compared with the digest below.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from slimcae.errors import ConfigError
from slimcae.files import write_bytes
from slimcae.user_folders import cache_folder

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
FILES = {
    "ort.js": "ort.wasm.bundle.min.mjs",
    "ort.wasm": "ort-wasm-simd-threaded.wasm",
}
"""Files that the page loads, a module and its WebAssembly, and their names in the package.

More hosts know the MIME type of `.js` than that of `.mjs`, which browsers require for modules.
"""
NOTICE = "NOTICE.txt"
_NOTICE = "".join(f"{ours}: {theirs} of {PACKAGE} {VERSION}\n" for ours, theirs in FILES.items())
_NOTICE += "Copyright (c) Microsoft Corporation. Licensed under the MIT License.\n"
_ARCHIVE = f"{PACKAGE}-{VERSION}.tgz"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_SECONDS = 300


def runtime_folder() -> Path | None:
    """Return the folder with `FILES`; None if they were not downloaded yet."""
    folder = _folder()
    # the notice is written last
    return folder if (folder / NOTICE).is_file() else None


def get_runtime() -> Path:
    """Return the folder with `FILES`, after downloading them if they are missing.

    Raises:
        ConfigError: npm is not installed, cannot download the package, or its digest differs.
    """
    found = runtime_folder()
    if found is not None:
        return found
    folder = _folder()
    given = folder / _ARCHIVE
    data = given.read_bytes() if given.is_file() else _packed()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != _SHA512:
        raise ConfigError(f"{_ARCHIVE} is not the expected package: its SHA-512 differs")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            for ours, theirs in FILES.items():
                member = archive.extractfile(f"package/dist/{theirs}")
                assert member is not None  # the digest is the package's
                write_bytes(folder / ours, member.read())
        write_bytes(folder / NOTICE, _NOTICE.encode())
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder


def _folder() -> Path:
    return cache_folder() / f"{PACKAGE}-{VERSION}"


def _packed() -> bytes:
    """Return the archive of the package, downloaded by npm."""
    npm = shutil.which("npm")
    otherwise = f"; or put {_ARCHIVE} into {_folder()}"
    if npm is None:
        raise ConfigError(
            f"npm, which gets {PACKAGE} {VERSION}, is not installed: install Node.js{otherwise}"
        )
    with TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--loglevel", "error"]
        command += ["--pack-destination", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS, text=True)
            return (Path(folder) / _ARCHIVE).read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigError(
                f"npm cannot get {PACKAGE} {VERSION} (offline?): {_reason(error)}{otherwise}"
            ) from error


def _reason(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else None
    lines = [line for line in (said or "").splitlines() if line.strip()]
    return lines[0] if lines else str(error)
