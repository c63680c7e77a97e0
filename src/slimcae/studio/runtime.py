"""The files of onnxruntime-web, with which the page computes: from npm, kept in a cache.

Fourteen megabytes are too many for this package, and nothing of them is ours. npm gets the package
as this user's machine is set up for it; what comes is compared with the digest that is pinned here.
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
"""What the page loads, a module and the program that it starts, and what the package calls them.

Hosts know the type of `.js` better than that of `.mjs`, without which browsers run no module.
"""
NOTICE = "NOTICE.txt"
_NOTICE = "".join(f"{ours}: {theirs} of {PACKAGE} {VERSION}\n" for ours, theirs in FILES.items())
_NOTICE += "Copyright (c) Microsoft Corporation. Licensed under the MIT License.\n"
_ARCHIVE = f"{PACKAGE}-{VERSION}.tgz"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_SECONDS = 300


def runtime_folder() -> Path | None:
    """Return the folder that holds `FILES`; None if they were not got yet."""
    folder = _folder()
    # the notice is written last
    return folder if (folder / NOTICE).is_file() else None


def get_runtime() -> Path:
    """Return the folder that holds `FILES`, which are got if they are not there.

    Raises:
        ConfigError: npm is not installed, or cannot get the package; or it is another one.
    """
    found = runtime_folder()
    if found is not None:
        return found
    folder = _folder()
    given = folder / _ARCHIVE
    data = given.read_bytes() if given.is_file() else _packed()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != _SHA512:
        raise ConfigError(f"{_ARCHIVE} is not the package that is expected: its SHA-512 differs")
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
    """The package's archive, as npm gets it."""
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
