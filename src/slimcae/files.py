"""Atomic writing of files, and reading of whole streams."""

import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger("slimcae")

MAX_STREAM_BYTES = 2**30
"""Limit on bytes from a stream, larger than any file of a picture within the size limits."""
_PIECE = 2**20

_ACL = "system.posix_acl_access"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` if the block succeeds.

    The temporary file is in the same folder and is removed after any exception; an existing file
    at `path` stays unchanged until the replacement. A new file gets the default permissions; a
    replacement gets the mode of the old file, and its owner and group where the system allows it.
    Symbolic links are followed. Devices and pipes are written directly: they have no content to
    protect, and a file must not replace them. Opening a pipe waits for its reader, with a notice.

    Raises:
        OSError: The folder is missing or not writable, or a symbolic link points to itself.
    """
    with _replacing(path) as (temporary, mode):
        if mode is None:
            yield temporary
            return
        _create(temporary, path, mode)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # without it, a power cut may leave an empty file


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to a file atomically, like `atomic_path`.

    On Linux, the temporary file has no name until all its content is on the disk, so even a program
    that is killed leaves none.

    Raises:
        OSError: The folder is missing or not writable.
    """
    with _replacing(path) as (temporary, mode):
        if mode is None:
            temporary.write_bytes(data)
        elif not _write_nameless(temporary, data, mode):
            _create(temporary, path, mode)
            with temporary.open("rb+") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def read_stream(file: BinaryIO) -> BytesIO:
    """Read a pipe to its end.

    Raises:
        OSError: EFBIG after `MAX_STREAM_BYTES`, since the pipe may never end; any read error.
    """
    content = BytesIO()
    while part := file.read(_PIECE):
        content.write(part)
        if content.tell() > MAX_STREAM_BYTES:
            raise OSError(errno.EFBIG, f"it sends more than {MAX_STREAM_BYTES >> 20} MiB")
    content.seek(0)
    return content


@contextmanager
def _replacing(path: Path) -> Iterator[tuple[Path, int | None]]:
    """Yield the path and mode of a temporary file to create, which then replaces `path`.

    The mode is None for devices and pipes, which are written directly.
    """
    old = _status(path)
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if old is not None and not stat.S_ISREG(old.st_mode):
        with _with_reader(path) if stat.S_ISFIFO(old.st_mode) else nullcontext():
            yield path, None
        return
    target = path.resolve()
    temporary = target.with_name(f".slimcae-{secrets.token_hex(8)}.tmp")
    try:  # a signal may arrive as soon as the file exists
        yield temporary, 0o666 if old is None else 0o600
        if old is not None:
            _copy_permissions(temporary, target, old)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk, for example
        raise


@contextmanager
def _with_reader(pipe: Path) -> Iterator[None]:
    """Log a notice if no program reads a named pipe yet, because opening it waits for one.

    That is what users expect of pipes, since writer and reader may start in any order.
    """
    try:
        number = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        log.warning("%s is a named pipe that no program reads yet: waiting for one", pipe)
        yield
        return
    try:
        yield  # closing it before would end the reader's input
    finally:
        os.close(number)


def _create(temporary: Path, path: Path, mode: int) -> None:
    """Create the empty temporary file; errors name `path`, which the caller knows."""
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _write_nameless(temporary: Path, data: bytes, mode: int) -> bool:
    """Write a file without a name, and name it `temporary` when it is complete.

    Return False if the system or the file system has no such files.
    """
    if not hasattr(os, "O_TMPFILE"):  # only on Linux
        return False
    try:
        number = os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, mode)
    except OSError:
        return False
    with open(number, "wb") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        os.fsync(number)
        try:
            # only with a descriptor, which absolute paths ignore, does Python follow the link
            os.link(f"/proc/self/fd/{number}", temporary, src_dir_fd=number)
        except OSError:  # no /proc, for example
            return False
    return True


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a path, or None if nothing or a broken link is there.

    Raises:
        OSError: The path is a loop of symbolic links, or a folder in it is not accessible.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # creating the file will raise it again
            return None
        raise


def _copy_permissions(new: Path, replaced: Path, old: os.stat_result) -> None:
    """Copy the mode of a file, and its owner, group and ACL where the system allows it."""
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
        except OSError:  # another group must not inherit the rights of the old group
            mode = for_others
    if not _copy_acl(new, replaced):
        mode = for_others
    if stat.S_IMODE(new.stat().st_mode) != mode:
        new.chmod(mode)


def _copy_acl(new: Path, replaced: Path) -> bool:
    """Copy the access control list of a file; return False if that fails.

    Without the list, the mode alone would be too permissive: where there is an ACL, the group bits
    of the mode are the union of what the list allows.
    """
    if not hasattr(os, "getxattr"):  # only on Linux
        return True
    wanted, present = _acl(replaced), _acl(new)
    try:
        if wanted is not None:
            os.setxattr(new, _ACL, wanted)
        elif present is not None:  # inherited from the folder
            os.removexattr(new, _ACL)
    except OSError:
        return False
    return True


def _acl(path: Path) -> bytes | None:
    try:
        return os.getxattr(path, _ACL)
    except OSError:  # no ACL, or a file system without ACLs
        return None
