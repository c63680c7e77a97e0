"""Test `slimcae studio`: its messages before it serves, and how it ends."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from command_line import environment, error_line

from conftest import HANG
from slimcae.cli.parser import parse


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    # another test may have imported it while uvicorn was installed
    monkeypatch.delitem(sys.modules, "slimcae.studio.connections", raising=False)
    message = error_line(capsys, ["studio"])
    assert message == (
        "the studio needs uvicorn, which is not installed: pip install 'slimcae[studio]'"
    )


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = error_line(capsys, ["studio", "--port", str(port), "--no_browser"])
    assert f"cannot listen at 127.0.0.1 port {port}" in message
    assert "--port" in message


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no model nobody" in error_line(capsys, ["studio", "-m", "nobody"])


def test_it_listens_to_this_machine_alone_by_default() -> None:
    args, _ = parse(["studio"])
    assert args.host == "127.0.0.1"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_well(tmp_path: Path, number: signal.Signals) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "slimcae", "studio", "--port", "0", "--no_browser"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    with urllib.request.urlopen(f"{address}models") as response:
        assert response.status == 200
    running.send_signal(number)
    out, err = running.communicate(timeout=HANG)
    assert (running.returncode, out, err) == (0, "", "")
    assert list(tmp_path.iterdir()) == []  # it writes nothing
