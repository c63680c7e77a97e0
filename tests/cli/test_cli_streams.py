"""Test standard streams that are closed, broken or full; named pipes; signals during writes."""

import importlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from command_line import call, environment, error_line, save_photo, save_tiny_model, tree
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import slimcae
from conftest import HANG
from slimcae.cli.messages import put_line
from slimcae.codec import Codec
from slimcae.images import read_picture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams of POSIX")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two pictures and a model."""
    monkeypatch.chdir(tmp_path)
    save_photo(tmp_path / "p.png")
    save_photo(tmp_path / "q.png", seed=1)
    save_tiny_model(tmp_path / "m.safetensors")
    return tmp_path


@pytest.fixture
def codec(place: Path) -> Codec:
    return slimcae.load(place / "m.safetensors")


def shell(redirection: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run the command with redirections of a shell."""
    command = [sys.executable, "-m", "slimcae", *words]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        env=environment(),
        capture_output=True,
        timeout=HANG,
    )


MODEL = ("-m", "m.safetensors")


def test_closed_standard_output_harms_nothing(place: Path, codec: Codec) -> None:
    done = shell(">&-", "compress", "p.png", "-o", "o.scae", *MODEL)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"p.png -> o.scae")
    assert Path("o.scae").read_bytes() == codec.compress("p.png")
    for words in (["info", "o.scae"], ["--version"], ["compress", "--help"]):
        assert shell(">&-", *words).returncode == 0
    done = shell(">&-", "compress", "p.png", "-o", "-", *MODEL)
    assert done.returncode == 1
    assert done.stderr == b"slimcae: error: standard output is closed: name a file with -o\n"


def test_closed_standard_error_harms_nothing(place: Path, codec: Codec) -> None:
    done = shell("2>&-", "compress", "p.png", "-o", "o.scae", *MODEL)
    assert (done.returncode, done.stdout) == (0, b"")
    done = shell("2>&-", "compress", "p.png", "-o", "-", *MODEL)
    assert (done.returncode, done.stdout) == (0, codec.compress("p.png"))
    done = shell("2>&-", "compress", "p.png", "q.png", "-o", "both/", *MODEL)
    assert (done.returncode, done.stdout) == (0, b"")
    assert tree(Path("both")) == {
        f"{name}.scae": codec.compress(f"{name}.png") for name in ("p", "q")
    }
    done = shell("2>&-", "compress", "p.png", *MODEL, "-o", "o.scae")  # it exists
    assert (done.returncode, done.stdout) == (1, b"")


def test_all_streams_closed(place: Path, codec: Codec) -> None:
    assert shell("<&- >&- 2>&-", "compress", "p.png", "-o", "o.scae", *MODEL).returncode == 0
    assert Path("o.scae").read_bytes() == codec.compress("p.png")


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_closed_standard_input_is_a_plain_error(place: Path, command: str) -> None:
    done = shell("<&-", command, "-", "-o", "o.x", *MODEL)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"slimcae: error: standard input is closed: name a file instead of -\n"
    assert not Path("o.x").exists()


def test_a_standard_input_that_cannot_be_read_is_a_plain_error(place: Path) -> None:
    done = shell("0>other", "compress", "-", "-o", "o.scae", *MODEL)
    assert done.returncode == 1
    assert done.stderr.startswith(b"slimcae: error: standard input cannot be read: ")


def test_work_goes_on_when_nobody_reads_standard_error(place: Path, codec: Codec) -> None:
    end, begin = os.pipe()
    os.close(end)  # the reader has closed the pipe
    command = ["compress", "p.png", "q.png", "-o", "both/", *MODEL]
    with open(begin, "wb") as broken:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "slimcae", *command],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=broken,
            timeout=HANG,
        )
    assert (done.returncode, done.stdout) == (0, b"")
    assert len(tree(Path("both"))) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_a_stream(place: Path) -> None:
    done = shell("2>/dev/full", "compress", "p.png", "-o", "o.scae", *MODEL)
    assert (done.returncode, done.stdout) == (0, b"")
    done = shell(">/dev/full", "compress", "p.png", "-o", "-", *MODEL)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines == [b"slimcae: error: standard output cannot be written: No space left on device"]
    done = shell(">/dev/full", "info", "o.scae")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [b"slimcae: error: No space left on device"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_leaves_no_temporary_file(place: Path, number: int, jobs: str) -> None:
    """The signal arrives while a file is written, before it is renamed."""
    script = """
import os, signal, sys
from slimcae.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
fsync = os.fsync
def late(file):
    os.kill(os.getpid(), int(sys.argv[1]))
    fsync(file)
os.fsync = late
sys.exit(main(sys.argv[2:]))
"""
    old = b"old content"
    Path("o").mkdir()
    Path("o/p.scae").write_bytes(old)
    words = ["compress", "p.png", "q.png", "-o", "o/", "-y", *MODEL, "-j", jobs]
    done = subprocess.run(
        [sys.executable, "-c", script, str(int(number)), *words],
        env=environment(),
        capture_output=True,
        timeout=HANG,
    )
    assert done.returncode == 128 + number, done.stderr
    said = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    assert done.stderr.decode().splitlines()[-1] == f"slimcae: error: {said}"
    # with one job, the signal interrupts the writing thread
    left = tree(Path("o"))
    assert left.keys() <= {"p.scae", "q.scae"}
    assert jobs == "2" or left == {"p.scae": old}


def run_script(script: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a script that calls the command line with `words`."""
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env=environment(),
        capture_output=True,
        timeout=HANG,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("hidden", ['ImportError("initialization failed")', "None"])
@pytest.mark.parametrize("several", [True, False])
def test_a_signal_that_a_library_hides_stops_nevertheless(
    place: Path, number: int, hidden: str, several: bool
) -> None:
    """pybind11 turns it into an error without a cause; other libraries ignore it."""
    done = run_script(
        f"""
import os, signal, sys
from slimcae import images
from slimcae.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
read = images.read_picture
def hiding(*args):
    error = None
    try:
        os.kill(os.getpid(), {int(number)})
    except BaseException:
        error = {hidden}
    if error is not None:
        raise error
    return read(*args)
images.read_picture = hiding
sys.exit(main(sys.argv[1:]))
""",
        *["compress", "p.png", *(["q.png"] if several else []), *MODEL, "-j", "1"],
    )
    assert done.returncode == 128 + number, done.stderr
    said = "interrupted" if number == signal.SIGINT else "stopped by SIGTERM"
    assert done.stderr.decode().splitlines()[-1] == f"slimcae: error: {said}"
    assert b"initialization" not in done.stderr and not Path("q.scae").exists()


def test_ctrl_c_that_arrives_twice_at_once_leaves_no_temporary_file(place: Path) -> None:
    """Programs that run others may pass on what the terminal has sent to both."""
    done = run_script(
        """
import os, pathlib, signal, sys
from slimcae.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
unlink = pathlib.Path.unlink
def once(number):
    os.kill(os.getpid(), signal.SIGINT)
def again(path, missing_ok=False):
    os.kill(os.getpid(), signal.SIGINT)
    unlink(path, missing_ok)
os.fsync, pathlib.Path.unlink = once, again
sys.exit(main(sys.argv[1:]))
""",
        *["decompress", str(saved_file()), "-o", "back.png", *MODEL],
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == b"slimcae: error: interrupted\n"
    assert sorted(path.name for path in place.iterdir() if "back" in path.name) == []
    assert not list(place.glob(".slimcae*"))


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_terminal_gets_no_picture_by_any_name(place: Path, command: str) -> None:
    source = "p.png" if command == "compress" else str(saved_file())
    control, terminal = os.openpty()
    for name in ("-", "/dev/stdout", "/dev/fd/1", os.ttyname(terminal)):
        words = [sys.executable, "-m", "slimcae", command, source, "-o", name, *MODEL]
        done = subprocess.run(
            words, env=environment(), stdout=terminal, stderr=subprocess.PIPE, timeout=HANG
        )
        assert done.returncode == 1
        assert b"terminal: redirect it, or name a file with -o" in done.stderr
    os.close(terminal)
    with suppress(OSError):  # nothing was written, and nobody will
        assert os.read(control, 1) == b""
    os.close(control)


def test_streams_need_no_folder(place: Path, codec: Codec) -> None:
    """The current folder is deleted, and no file can be written, as on full disks."""
    resource = pytest.importorskip("resource")
    words = [sys.executable, "-m", "slimcae"]
    source, model = saved_file().resolve(), place / "m.safetensors"
    expected = codec.decompress(source)

    def limit() -> None:
        gone = place / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    for command, name in (("compress", place / "p.png"), ("decompress", source)):
        done = subprocess.run(
            [*words, command, name, "-o", "-", "-m", model],
            env=environment(),
            preexec_fn=limit,
            capture_output=True,
            timeout=HANG,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == 1
        if command == "compress":
            assert done.stdout == source.read_bytes()
        else:
            with Image.open(io.BytesIO(done.stdout)) as image:
                assert image.format == "PNG" and image.tobytes() == expected.tobytes()


def test_names_with_control_characters_do_not_reach_the_terminal(place: Path) -> None:
    name = "\x1b[31mred\x07.png"
    save_photo(Path(name))
    done = shell("", "compress", name, *MODEL)
    assert done.returncode == 0 and Path(name).with_suffix(".scae").is_file()
    shown = r"\x1b[31mred\x07"
    assert done.stderr.decode().startswith(f"{shown}.png -> {shown}.scae")
    done = shell("", "info", str(Path(name).with_suffix(".scae")))
    assert done.stdout.decode().splitlines()[0] == f"{shown}.scae"
    done = shell("", "info", f"{name}.missing")
    assert done.stderr.decode().startswith(f"slimcae: error: {shown}.png.missing cannot be read")


def saved_file() -> Path:
    """Return a `.scae` file of p.png."""
    Path("p.scae").write_bytes(slimcae.load("m.safetensors").compress("p.png"))
    return Path("p.scae")


def test_ctrl_c_during_imports_prints_no_traceback(place: Path) -> None:
    done = run_script(
        """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "slimcae.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
runpy.run_module("slimcae", run_name="__main__")
""",
        *["compress", "p.png", *MODEL],
    )
    assert done.returncode == -signal.SIGINT  # which a shell reports as 130
    assert done.stderr == b""


def test_a_signal_ends_the_wait_for_the_reader_of_a_pipe(place: Path) -> None:
    os.mkfifo("pipe")
    command = [sys.executable, "-m", "slimcae", "compress", "p.png", "-o", "pipe", *MODEL]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as waiting:
        assert waiting.stderr is not None
        assert b"named pipe" in waiting.stderr.readline()
        waiting.terminate()
        assert waiting.stderr.read() == b"slimcae: error: stopped by SIGTERM\n"
        assert waiting.wait(HANG) == 143


def test_several_outputs_are_no_pipes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thread that waits for a reader could not be stopped."""
    Path("o").mkdir()
    os.mkfifo("o/p.scae")
    assert call(["compress", "p.png", "q.png", "-o", "o/", *MODEL, "-j", "2"]) == 1
    assert "o/p.scae is a device or a named pipe" in capsys.readouterr().err
    assert Path("o/q.scae").is_file()


def test_a_signal_that_is_ignored_stays_so(place: Path) -> None:
    """SIGHUP is ignored, as with nohup."""
    script = """
import os, signal, sys
from slimcae.cli import main
signal.signal(signal.SIGHUP, signal.SIG_IGN)
fsync = os.fsync
def late(file):
    os.kill(os.getpid(), signal.SIGHUP)
    fsync(file)
os.fsync = late
sys.exit(main(sys.argv[1:]))
"""
    words = ["compress", "p.png", "-o", "o.scae", *MODEL]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=environment(), timeout=HANG, check=False
    )
    assert done.returncode == 0
    assert Path("o.scae").exists()


def test_handlers_are_put_back(place: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert call(["info", "m.safetensors"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


@pytest.fixture
def pipe(place: Path) -> Iterator[Path]:
    path = place / "pipe"
    os.mkfifo(path)
    yield path
    # continue whatever still waits for the other end
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def fed(pipe: Path, content: bytes) -> threading.Thread:
    """Start a thread that writes to a pipe once, as soon as a reader opens it."""

    def write() -> None:
        with suppress(BrokenPipeError):  # the reader has stopped early
            pipe.write_bytes(content)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["garbage", "truncated", "empty"])
def test_what_is_no_picture_in_a_pipe_is_a_plain_error(
    pipe: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path("p.png").read_bytes()
    content = {"garbage": b"no picture", "truncated": whole[: len(whole) // 2], "empty": b""}[kind]
    fed(pipe, content)
    argv = ["compress", "pipe", "-o", "o.scae", *MODEL]
    words = "pipe is empty" if kind == "empty" else "pipe cannot be read as a picture"
    assert words in error_line(capsys, argv)


@pytest.mark.parametrize("backend", ["onnx", "auto"])
def test_a_pipe_is_read_once(pipe: Path, codec: Codec, backend: str) -> None:
    fed(pipe, Path("p.png").read_bytes())
    argv = ["compress", "pipe", "-o", "o.scae", *MODEL, "--quiet", "--backend", backend]
    assert call(argv) == 0
    assert Path("o.scae").read_bytes() == codec.compress("p.png")


@pytest.mark.parametrize(("command", "source"), [("compress", "stdin"), ("decompress", "fd/0")])
def test_nothing_is_written_beside_devices(
    place: Path, command: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path("/dev").iterdir())
    assert error_line(capsys, [command, f"/dev/{source}"]) == (
        f"/dev/{source} has no name for an output beside it: name one with -o"
    )
    assert set(Path("/dev").iterdir()) == before


def test_a_pipe_with_metadata_that_stop_pillow_is_rescued(
    pipe: Path, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pillow refuses texts of more than a megabyte, so the bytes are read a second time."""
    with_text("huge.png")
    fed(pipe, Path("huge.png").read_bytes())
    assert call(["compress", "pipe", "-o", "o.scae", *MODEL]) == 0
    assert "pipe has metadata that cannot be read: left out" in capsys.readouterr().err
    assert Path("o.scae").read_bytes() == codec.compress("p.png")


def test_a_stream_that_cannot_go_back_is_rescued(place: Path, codec: Codec) -> None:
    with_text("huge.png")
    end, begin = os.pipe()
    with open(end, "rb") as reads, open(begin, "wb") as writes:  # noqa: PTH123
        writes.write(Path("huge.png").read_bytes())  # less than the capacity of a pipe
        writes.close()
        assert codec.compress(read_picture(reads)) == codec.compress("p.png")


def with_text(name: str) -> None:
    """Save the picture with a text that is too large for Pillow."""
    texts = PngInfo()
    texts.add_text("huge", "x" * 2_000_000, zip=True)
    with Image.open("p.png") as image:
        image.save(name, pnginfo=texts)


def test_a_pipe_among_the_models_is_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "models").mkdir()
    os.mkfifo(place / "models" / "x.safetensors")
    monkeypatch.setenv("SLIMCAE_MODELS", str(place / "models"))
    assert call(["models"]) == 0
    assert "x.safetensors" not in capsys.readouterr().out


def test_files_of_scae_in_pipes(pipe: Path, codec: Codec) -> None:
    data = codec.compress("p.png")
    for words in (["decompress", "pipe", "-o", "o.png", *MODEL, "--quiet"], ["info", "pipe"]):
        fed(pipe, data)
        assert call(words) == 0
        fed(pipe, b"no file of ours")
        assert call([*words, "-y"] if words[0] == "decompress" else words) == 1


@pytest.mark.parametrize("words", [["compress", "loop"], ["decompress", "loop"], ["info", "loop"]])
def test_a_link_that_leads_to_itself_is_a_plain_error(
    place: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "loop").symlink_to("loop")
    line = error_line(capsys, words)
    assert "loop" in line and "symbolic links" in line
    assert "should not happen" not in line
    (place / "x.scae").write_bytes(b"")
    line = error_line(capsys, ["compress", "p.png", "-o", "loop", *MODEL])
    assert line == "loop cannot be written: Too many levels of symbolic links"


class InterruptedStream(io.StringIO):
    """Ctrl-C arrives directly after its first write."""

    def write(self, text: str) -> int:
        if self.getvalue():
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.parametrize("bar", [True, False])
def test_ctrl_c_never_parts_a_line_from_its_end(bar: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message about Ctrl-C would be appended to it."""
    if bar:
        importlib.import_module("tqdm")
    else:
        monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    stream = InterruptedStream()
    with suppress(KeyboardInterrupt):
        put_line("a.jpg -> a.scae\n0.02 s", stream)
    assert stream.getvalue() == "a.jpg -> a.scae 0.02 s\n"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="an endless file")
@pytest.mark.parametrize("name", ["-", "pipe", "/dev/zero"])
@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_what_has_no_end_is_given_up(
    place: Path,
    command: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("slimcae.files.MAX_STREAM_BYTES", 3 * 2**20)
    with Path("/dev/zero").open("rb") as endless, ExitStack() as stack:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
        if name == "pipe":
            os.mkfifo("pipe")
            writer = subprocess.Popen(["sh", "-c", "exec cat /dev/zero > pipe"])
            stack.callback(writer.wait, HANG)
            stack.callback(writer.kill)
        output = [] if command == "info" else ["-o", "o.png" if command == "decompress" else "o"]
        assert call([command, name, *output, *([] if command == "info" else MODEL)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("slimcae: error: ")
    assert err.count("\n") == 1
    if name != "/dev/zero" or command == "decompress":  # rejected by their first bytes
        assert "more than 3 MiB" in err
    assert not Path("o").exists() and not Path("o.png").exists()
