"""Files written whole or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well.

    The temporary file lies in the same folder and is gone after any exception; whatever stood at
    `path` stays untouched until then. A new file gets the permissions of new files there; one that
    replaces another gets that one's mode, and its owner and group where the system allows it.
    Symbolic links are followed. Devices and pipes are written directly: they have no earlier
    content to lose, and must not be replaced by a file.

    Raises:
        OSError: the folder is missing, or cannot be written; a symbolic link that leads to itself.
    """
    old = _status(path)
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if old is not None and not stat.S_ISREG(old.st_mode):
        yield path
        return
    target = path.resolve()
    temporary = target.with_name(f".slimcae-{secrets.token_hex(8)}.tmp")
    try:  # a signal may come as soon as the file is there
        _create(temporary, path, private=old is not None)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with empty content
        if old is not None:
            _take_over(temporary, old)
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


def _create(temporary: Path, path: Path, *, private: bool) -> None:
    """Create the empty file; errors name the one that somebody asked for."""
    mode = 0o600 if private else 0o666
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _status(path: Path) -> os.stat_result | None:
    """What is at a path; None: nothing, or a link to nothing.

    Raises:
        OSError: a loop of symbolic links, or a folder that may not be entered.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # creating the file will say so
            return None
        raise


def _take_over(new: Path, old: os.stat_result) -> None:
    """Give a file the mode of another, and its owner and group where the system allows it."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    if hasattr(os, "chown"):  # not on Windows
        have = new.stat()
        with suppress(OSError):
            if have.st_uid != old.st_uid:
                os.chown(new, old.st_uid, -1)
        try:
            if have.st_gid != old.st_gid:
                os.chown(new, -1, old.st_gid)
        except OSError:  # what its group may do is not for another group
            others = mode & 0o007
            mode = (mode & 0o707) | (mode & 0o070 & others << 3)
    new.chmod(mode)
