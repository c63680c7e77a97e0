"""Files written whole or not at all, and streams read whole."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

MAX_STREAM_BYTES = 2**30
"""More than any picture of the sizes that are read takes as a file."""
_PIECE = 2**20

_ACL = "system.posix_acl_access"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` if the block succeeds.

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
            _take_over(temporary, target, old)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_stream(file: BinaryIO) -> BytesIO:
    """Return what a pipe holds, up to its end.

    Raises:
        OSError: EFBIG beyond `MAX_STREAM_BYTES`: it may have no end. What reading raises.
    """
    content = BytesIO()
    while part := file.read(_PIECE):
        content.write(part)
        if content.tell() > MAX_STREAM_BYTES:
            raise OSError(errno.EFBIG, f"more than {MAX_STREAM_BYTES >> 20} MiB come from it")
    content.seek(0)
    return content


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


def _take_over(new: Path, replaced: Path, old: os.stat_result) -> None:
    """Give a file the mode of another, and its owner, group and ACL where the system allows it."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    for_others = (mode & 0o707) | (mode & 0o070 & (mode & 0o007) << 3)
    if hasattr(os, "chown"):  # not on Windows
        have = new.stat()
        with suppress(OSError):
            if have.st_uid != old.st_uid:
                os.chown(new, old.st_uid, -1)
        try:
            if have.st_gid != old.st_gid:
                os.chown(new, -1, old.st_gid)
        except OSError:  # what its group may do is not for another group
            mode = for_others
    if not _take_over_acl(new, replaced):
        mode = for_others
    if stat.S_IMODE(new.stat().st_mode) != mode:
        new.chmod(mode)


def _take_over_acl(new: Path, replaced: Path) -> bool:
    """Give a file the access control list of another.

    Returns False if that cannot be: with a list, the mode tells for the group what the list allows
    to anybody in it.
    """
    if not hasattr(os, "getxattr"):  # Linux alone has it
        return True
    wanted, present = _acl(replaced), _acl(new)
    try:
        if wanted is not None:
            os.setxattr(new, _ACL, wanted)
        elif present is not None:  # the default of the folder
            os.removexattr(new, _ACL)
    except OSError:
        return False
    return True


def _acl(path: Path) -> bytes | None:
    try:
        return os.getxattr(path, _ACL)
    except OSError:  # there is none, or none is known here
        return None
