"""Test the comparison with CompressAI, with real workers and with workers of known times."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import protocol
import pytest
import run as runner
from command_line import ARCHITECTURE, save_photo, save_tiny_model
from ours import Ours

from slimcae.codec import load

SERVER = """
import sys
sys.path.insert(0, {folder!r})
import protocol
def add(a, b):
    print("noise of a library")
    return {{"sum": a + b}}
def stop():
    sys.exit(3)
protocol.serve({{"add": add, "stop": stop}})
"""


@pytest.fixture
def server(tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    path.write_text(SERVER.format(folder=str(Path(protocol.__file__).parent)))
    return path


def test_a_worker_answers_in_turns_whatever_it_prints(server: Path) -> None:
    worker = protocol.Worker(sys.executable, server, 1)
    assert worker.ask("add", a=2, b=3) == {"sum": 5}
    with pytest.raises(RuntimeError, match="TypeError"):
        worker.ask("add", a="x", b=3)
    assert worker.ask("add", a=0.5, b=0.25) == {"sum": 0.75}  # an error does not end the worker
    worker.close()


def test_a_worker_that_dies_is_noticed(server: Path) -> None:
    worker = protocol.Worker(sys.executable, server, 1)
    with pytest.raises(RuntimeError, match="ended while it was asked to stop"):
        worker.ask("stop")
    worker.close()


class FakeWorker:
    """A worker with known times; the shared `log` records the order of requests."""

    def __init__(self, python: str | Path, script: Path, threads: int) -> None:
        self.kind = script.stem
        self.calls = 0
        log.append((self.kind, f"start {threads}"))

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        log.append((self.kind, " ".join([do, *map(str, arguments.values())])))
        return getattr(self, f"do_{do}")(**arguments)  # type: ignore[no-any-return]

    def do_load(self, precision: str | None = None, backend: str = "auto") -> dict[str, Any]:
        if self.kind == "theirs":
            return {"models": ["CompressAI N=192"]}
        return {
            "model": "tiny@1",
            "widths": [12, 8],
            "macs": {
                str(width): [ARCHITECTURE.encoder_macs(width), ARCHITECTURE.decoder_macs(width)]
                for width in (12, 8)
            },
            "precision": "bfloat16",
            "classics": {"WebP, quality 50": "w"},
        }

    def do_open(self, image: str) -> dict[str, Any]:
        return {"size": [100, 200]}

    def do_code(self, name: str) -> dict[str, Any]:
        self.calls += 1
        seconds = {"12": 0.2, "8": 0.1, "WebP, quality 50": 0.4}.get(name, 5.0)
        return {"encode": seconds * self.calls, "decode": 2 * seconds, "bytes": 2500}

    def do_stages(self, width: int) -> dict[str, Any]:
        way = {"whole": 0.3, "network": 0.2, "coder": 0.05}
        return {"encode": way, "decode": way}

    def do_matrix_rate(self, precision: str) -> dict[str, Any]:
        return {"flops": 1e9 if precision == "float32" else 3e9, "side": 9}

    def do_spreads(self) -> dict[str, Any]:
        return {"spreads": [2.0, 1.0]}

    def do_fit(self, spreads: list[float]) -> dict[str, Any]:
        return {"bpp": {"CompressAI N=192": 1.0}}

    def do_layers(self, path: str, seed: int = 0) -> dict[str, Any]:
        return {"largest_difference": {"gdn": 1e-7}}

    def close(self) -> None:
        log.append((self.kind, "close"))


log: list[tuple[str, str]] = []


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    log.clear()
    monkeypatch.setattr(runner, "Worker", FakeWorker)
    python = tmp_path / "python"
    python.touch()
    images = [tmp_path / f"{name}.png" for name in "abcd"]
    return runner.measure(images, 2, None, "auto", python)


def test_every_picture_goes_through_all_before_the_next_comes(result: dict[str, Any]) -> None:
    coded = [words for _, words in log if words.startswith(("open", "code"))]
    jobs = ["code 12", "code 8", "code WebP, quality 50", "code CompressAI N=192"]
    openings = [k for k, words in enumerate(coded) if words.startswith("open")]
    # two for the fit, then two per picture; the first picture also warms up
    blocks = [coded[a:b] for a, b in zip(openings, [*openings[1:], len(coded)], strict=True)]
    blocks = [block[1:] for block in blocks if len(block) > 1]
    assert blocks == [jobs * 2, jobs, jobs, jobs]
    assert [who for who, words in log if words == "close"] == ["ours", "theirs"]
    assert ("theirs", "fit [2.0, 1.0]") in log


def test_medians_and_ratios_of_one_run(result: dict[str, Any]) -> None:
    codecs = result["codecs"]
    assert list(codecs) == ["12", "8", "WebP, quality 50", "CompressAI N=192"]
    # of ours, calls 1 to 3 warm up, the pictures take 4, 7, 10 and 13
    each = [0.2 * k for k in (4, 7, 10, 13)]
    assert codecs["12"]["encode"]["each"] == pytest.approx(each)
    assert codecs["12"]["encode"]["median"] == pytest.approx(statistics.median(each))
    assert codecs["12"]["decode"]["median"] == 0.4
    assert codecs["8"]["bpp"] == 1.0  # 2,500 bytes for 20,000 pixels
    # 0.2 s of network against what 2 operations per multiply-accumulate take at 3 GFLOP/s
    for width in (12, 8):
        found = result["over_limit"][str(width)]
        assert found["encode"] == pytest.approx(
            0.2 / (2 * ARCHITECTURE.encoder_macs(width) * 20_000 / 3e9)
        )
        assert found["decode"] == pytest.approx(
            0.2 / (2 * ARCHITECTURE.decoder_macs(width) * 20_000 / 3e9)
        )
    assert len(result["layers"]) == 3
    assert result["matrix_flops"]["bfloat16"]["median"] == 3e9
    text = runner.as_json(result)
    assert json.loads(text) == result
    assert max(map(len, text.splitlines())) < 200


def test_without_their_environment_ours_is_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.clear()
    monkeypatch.setattr(runner, "Worker", FakeWorker)
    found = runner.measure([tmp_path / "a.png"], 1, "float32", "torch", tmp_path / "absent")
    assert found["theirs"] is None and found["layers"] is None
    assert {who for who, _ in log} == {"ours"}
    assert "make_environment.py first" in capsys.readouterr().err
    runner.print_summary(found)
    assert "WebP, quality 50" in capsys.readouterr().out


def test_our_worker_times_a_real_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_tiny_model(tmp_path / "tiny.safetensors")
    monkeypatch.setattr("PIL.AvifImagePlugin.DEFAULT_MAX_THREADS", 0)  # put back at the end
    monkeypatch.setattr("slimcae.load", lambda **options: load(model, **options))
    worker = Ours()
    about = worker.load(None, "torch")
    assert about["widths"] == [12, 8] and about["threads"] == 1
    assert "AVIF speed 6, quality 45" in about["classics"]
    assert worker.open(str(save_photo(tmp_path / "a.png", (64, 80)))) == {"size": (64, 80)}
    for name in ("8", "WebP, quality 50"):
        found = worker.code(name)
        assert 0 < found["encode"] < 10 and 0 < found["decode"] < 10 and found["bytes"] > 50
    stages = worker.stages(8)
    assert 0 < stages["encode"]["coder"] < stages["encode"]["whole"]
    assert len(worker.spreads()["spreads"]) == 12
    assert worker.matrix_rate("float32")["flops"] > 1e8
    assert worker.layers(1, str(tmp_path / "layers.npz"))["channels"] == 24
