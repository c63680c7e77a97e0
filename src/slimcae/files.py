"""Writing files so that a stop at any moment leaves the old file or the new one, never half."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` that replaces it when the block ends well.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle):
            pass  # only the name is wanted: the block opens it as it likes
        temporary.chmod(0o666 & ~_umask())  # mkstemp's files are private
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file, or leave what was there.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    umask = os.umask(0)  # there is no way to read it without setting it
    os.umask(umask)
    return umask
