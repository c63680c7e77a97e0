"""Files written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well.

    The temporary file lies in the same folder, with the permissions that a new file gets there,
    and is gone after any exception; whatever stood at `path` stays untouched until then.
    Symbolic links are followed. Devices and pipes are written directly: they have no earlier
    content to lose, and must not be replaced by a file.

    Raises:
        OSError: the folder is missing, or cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if path.exists() and not path.is_file():
        yield path
        return
    target = path.resolve()
    temporary = target.with_name(f".slimcae-{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:  # named after the file that somebody asked for
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with empty content
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of these bytes, whole or not at all.

    Raises:
        OSError: the folder is missing, or cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
