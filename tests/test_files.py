"""Atomic writes: nothing half-written, nothing lost, nothing left behind."""

import logging
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import HANG, wait_until
from slimcae.files import _copy_permissions, atomic_path, write_bytes


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new.bin"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"content")
        assert not target.exists()
    assert target.read_bytes() == b"content"
    assert listing(tmp_path) == ["new.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "old.bin"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_bytes(b"half of the n")
        raise error
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["old.bin"]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "old.bin"
    target.write_bytes(b"a longer old content")
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert listing(tmp_path) == ["old.bin"]


def test_permissions_are_those_of_a_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_link_keeps_pointing_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_and_not_replaced() -> None:
    write_bytes(Path("/dev/null"), b"away with it")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_name_of_full_length_works(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    write_bytes(target, b"content")
    assert target.read_bytes() == b"content"


def test_places_that_cannot_be_written_are_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "missing" / "file", b"")
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path, b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        write_bytes(tmp_path / "file" / "below", b"")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o777])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(mode)
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
        assert mode_of(temporary) & 0o077 == 0  # nobody else may look meanwhile
    assert target.read_bytes() == b"new"
    assert mode_of(target) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_replaced_file_keeps_owner_and_group_where_that_is_allowed(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    os.chown(target, 12345, 23456)
    target.chmod(0o640)
    write_bytes(target, b"new")
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 23456)
    assert mode_of(target) == 0o640


def test_rights_of_a_group_are_not_given_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(0o664)
    own = target.stat()
    monkeypatch.setattr(os, "chown", refuse)
    write_bytes(target, b"new")
    assert mode_of(target) == 0o664  # it is the same group
    foreign = os.stat_result((*own[:5], own.st_gid + 1, *own[6:]))
    target.chmod(0o600)
    _copy_permissions(target, target, foreign)
    assert mode_of(target) == 0o644


def test_a_link_that_leads_to_itself_is_a_plain_error(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(OSError, match="first"):
        write_bytes(first, b"new")
    assert first.is_symlink() and listing(tmp_path) == ["first", "second"]


def test_a_link_to_nothing_creates_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new")
    write_bytes(tmp_path / "link", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"


@pytest.mark.parametrize("moment", ["created", "entered", "written", "synced"])
def test_an_interruption_at_any_moment_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Signals raise exceptions between any two instructions."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    close = os.close

    def close_and_interrupt(number: int) -> None:
        close(number)
        raise KeyboardInterrupt

    if moment == "created":
        monkeypatch.setattr(os, "close", close_and_interrupt)
    if moment == "synced":
        monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "file") as temporary:
        if moment == "entered":
            raise KeyboardInterrupt
        temporary.write_bytes(b"new")
        if moment == "written":
            raise KeyboardInterrupt
    assert listing(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name of Linux")
def test_a_program_that_is_killed_leaves_no_temporary_file(tmp_path: Path) -> None:
    """No handler runs, as with SIGKILL or a lack of memory."""
    script = """
import os, pathlib, signal
from slimcae.files import write_bytes
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(pathlib.Path("file"), b"new")
"""
    (tmp_path / "file").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=HANG)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name of Linux")
@pytest.mark.parametrize("missing", ["open", "link"])
def test_systems_without_nameless_files_get_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = getattr(os, missing)

    def refuse(*args: object, **settings: object) -> object:
        if missing == "link" or (isinstance(args[1], int) and args[1] & os.O_DIRECTORY):
            raise OSError(95, "Operation not supported")
        return real(*args, **settings)

    monkeypatch.setattr(os, missing, refuse)
    write_bytes(tmp_path / "file", b"new")
    write_bytes(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"newer"
    assert listing(tmp_path) == ["file"]


def test_a_full_disk_is_reported_with_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write_bytes(tmp_path / "file", b"new")
    assert caught.value.filename == str(tmp_path / "file")
    assert listing(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
@pytest.mark.parametrize("reader_first", [True, False])
def test_a_named_pipe_waits_for_its_reader_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reader_first: bool
) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    number = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if reader_first else None
    writer = threading.Thread(target=write_bytes, args=(pipe, b"content"), daemon=True)
    with caplog.at_level(logging.WARNING, "slimcae"):
        writer.start()
        if number is None:
            wait_until(lambda: bool(caplog.messages))
            read.append(pipe.read_bytes())
        writer.join(HANG)
    if number is not None:
        read.append(os.read(number, 100))
        os.close(number)
    notice = f"{pipe} is a named pipe that no program reads yet: waiting for one"
    assert caplog.messages == ([] if reader_first else [notice])
    assert read == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list as Linux stores it: tag, permissions and number of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="lists of Linux")
def test_a_replaced_file_keeps_its_access_control_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one, the group's bits of the mode are those of everybody named in the list."""
    nobody, name = 2**32 - 1, "system.posix_acl_access"
    # the owner, user 12345, the group (nothing), the most that all may do, others
    wanted = acl((1, 6, nobody), (2, 6, 12345), (4, 0, nobody), (16, 6, nobody), (32, 0, nobody))
    target = tmp_path / "file"
    target.write_bytes(b"old")
    try:
        os.setxattr(target, name, wanted)
    except OSError:
        pytest.skip("this file system has no access control lists")
    assert mode_of(target) == 0o660
    write_bytes(target, b"new")
    assert os.getxattr(target, name) == wanted
    assert mode_of(target) == 0o660

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    write_bytes(target, b"newer")
    assert mode_of(target) == 0o600  # the group gets nothing that only user 12345 had
