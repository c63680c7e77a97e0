import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import slimcae
from conftest import HANG, wait_until
from slimcae.errors import ConfigError, ModelError, TrainingError
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.file import read_model
from slimcae.model.header import read_model_header
from slimcae.networks.conversion import load_network, save_network
from slimcae.networks.slimcae import SlimCAE
from slimcae.training import loss, run, warm_start
from slimcae.training.interrupt import StopRequest
from slimcae.training.run import Start, default_lmbda, train
from slimcae.training.run_folder import RunLog, load_state
from slimcae.training.settings import TrainSettings
from slimcae.training.stats import StepLog

SETTINGS = TrainSettings(
    patchsize=32, batchsize=2, last_step=6, warmup_steps=2, log_every=1, cache_gb=1.0
)
START = Start(widths=(8, 4), lmbda=(100.0, 50.0), warm_start=False)
SOURCE = Path(slimcae.__file__).parents[1]


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Send this process a real signal when a step is logged; it is handled after the next step."""
    write = RunLog.step

    def interrupting(self: RunLog, line: StepLog) -> None:
        write(self, line)
        if line.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(RunLog, "step", interrupting)


@pytest.mark.usefixtures("emulated_bfloat16")
@pytest.mark.parametrize(
    ("settings", "start"),
    [
        (SETTINGS, START),
        (replace(SETTINGS, cache_gb=0.0, num_workers=1), START),
        (replace(SETTINGS, sandwich=True, precision="bfloat16"),
         Start((9, 7, 5, 3), "slim+", None, (100.1, 80.2, 60.3, 40.4))),
        (replace(SETTINGS, entropy_model="context", quantization="mixed", at_one=0.3), START),
        (replace(SETTINGS, entropy_model="hyperprior"), START),
        (replace(SETTINGS, quantization="mixed"),
         Start((12, 8, 4), None, "light", (100.0, 50.0, 25.0))),
    ],
    ids=["cached", "workers", "warm sandwich bf16 slim+", "context", "hyperprior", "light"],
)  # fmt: skip
def test_resuming_is_exact(
    tmp_path: Path,
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: TrainSettings,
    start: Start,
) -> None:
    monkeypatch.setattr(run, "WARM_START_CROPS", 1)
    monkeypatch.setattr(warm_start, "FIT_STEPS", 20)
    paths = sorted(picture_folder.iterdir())
    whole, halves = tmp_path / "whole" / "run", tmp_path / "halves" / "run"
    assert train(whole, paths, start, settings, "cpu") is None
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, signal.SIGTERM)
        assert train(halves, paths, start, settings, "cpu") == signal.SIGTERM
    assert load_state(halves / "state.pt")["trainer"]["step"] == 3
    assert read_model_header(halves / "model.safetensors").version == "3"
    assert train(halves, paths, start, settings, "cpu") is None
    assert losses(halves) == losses(whole)
    assert [step for step, _ in losses(whole)] == [1, 2, 3, 4, 5, 6]
    model, same = "model.safetensors", (whole / "model.safetensors").read_bytes()
    assert (halves / model).read_bytes() == same
    ours, theirs = (load_state(folder / "state.pt") for folder in (halves, whole))
    for name, tensor in theirs["trainer"]["model"].items():
        assert torch.equal(ours["trainer"]["model"][name], tensor), name


def scalars(folder: Path) -> list[tuple[int, float]]:
    board = EventAccumulator(str(folder))
    board.Reload()
    return [(event.step, round(event.value, 5)) for event in board.Scalars("loss")]


def test_after_a_crash_no_step_is_logged_twice(tmp_path: Path, picture_folder: Path) -> None:
    """The process logs steps, and dies before they are saved."""
    paths = sorted(picture_folder.iterdir())
    whole, crashed = tmp_path / "whole" / "run", tmp_path / "crashed" / "run"
    assert train(whole, paths, START, SETTINGS, "cpu") is None
    train(crashed, paths, START, replace(SETTINGS, last_step=3, decay="none"), "cpu")
    saved = {name: (crashed / name).read_bytes() for name in ("state.pt", "model.safetensors")}
    train(crashed, paths, Start(), replace(SETTINGS, last_step=5, decay="none"), "cpu")
    for name, content in saved.items():
        (crashed / name).write_bytes(content)
    with (crashed / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "lo')  # the last thing that it did
    train(crashed, paths, Start(), replace(SETTINGS, decay="none"), "cpu")
    assert [step for step, _ in losses(crashed)] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in scalars(crashed / "tensorboard")] == [1, 2, 3, 4, 5, 6]
    assert [pair[0] for pair in losses(whole)] == [1, 2, 3, 4, 5, 6]
    shown = [value for _, value in scalars(crashed / "tensorboard")]
    assert shown == pytest.approx([value for _, value in losses(crashed)], abs=1e-3)
    lines = [json.loads(line) for line in (crashed / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line.get("event") == "start"] == [0, 3, 3]


def test_a_run_that_crashed_before_it_saved_begins_its_logs_anew(
    tmp_path: Path, picture_folder: Path
) -> None:
    paths, folder = sorted(picture_folder.iterdir()), tmp_path / "run"
    train(folder, paths, START, replace(SETTINGS, last_step=3), "cpu")
    for name in ("state.pt", "model.safetensors"):
        (folder / name).unlink()
    train(folder, paths, START, replace(SETTINGS, last_step=2), "cpu")
    assert [step for step, _ in losses(folder)] == [1, 2]
    assert [step for step, _ in scalars(folder / "tensorboard")] == [1, 2]


def test_a_run_folder_holds_a_usable_model_and_its_story(
    tmp_path: Path, picture_folder: Path
) -> None:
    folder = tmp_path / "new" / "My Run"
    train(folder, sorted(picture_folder.iterdir()), START, SETTINGS, "cpu")
    model = read_model(folder / "model.safetensors")
    assert model.config == SlimCAEConfig((8, 4))
    assert model.info.name == "my-run"
    assert model.info.lmbda == (100.0, 50.0)
    assert model.info.training["batchsize"] == 2
    assert set(model.entropy_models) == {8, 4}
    averaged = load_state(folder / "state.pt")["trainer"]["average"]
    for name, p in load_network(folder).named_parameters():
        assert torch.equal(p, averaged[name]), "the file holds the moving average"
    first = json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    assert first["event"] == "start"
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    rates = events.Scalars("bpp/8")
    assert [event.step for event in rates] == [step for step, _ in losses(folder)]
    tags = set(events.Tags()["scalars"])
    assert tags >= {f"{name}/{width}" for name in ("bpp", "mse") for width in (8, 4)}
    assert not list(folder.glob("*.tmp"))


def test_the_defaults_are_the_authors(tmp_path: Path, picture_folder: Path) -> None:
    assert default_lmbda((192, 144, 96, 72, 48)) == (2048, 1024, 512, 256, 128)
    start = replace(START, lmbda=None)
    train(tmp_path / "run", sorted(picture_folder.iterdir()), start,
          replace(SETTINGS, last_step=1), "cpu")  # fmt: skip
    assert read_model_header(tmp_path / "run" / "model.safetensors").lmbda == (2048.0, 1024.0)


@pytest.fixture
def trained(tmp_path: Path, picture_folder: Path) -> Callable[[Start], int | None]:
    """Return a folder with one step of training; the result continues it with another start."""
    folder, paths = tmp_path / "run", sorted(picture_folder.iterdir())
    train(folder, paths, START, replace(SETTINGS, last_step=1), "cpu")
    return lambda start: train(folder, paths, start, replace(SETTINGS, last_step=2), "cpu")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Start(widths=(8, 2)), ("widths 8 2", "8 4", "state.pt")),
        (Start(widths=(8,)), ("widths 8 ", "8 4")),
        (Start(gdn="slim"), ("gdn slim", "switchable", "state.pt")),
        (Start(architecture="light"), ("architecture light", "slimcae", "state.pt")),
        (Start(lmbda=(100.0, 51.0)), ("lmbda 100 51", "100 50", "state.pt")),
    ],
)
def test_contradicting_a_run_names_both_sides(
    trained: Callable[[Start], int | None], tmp_path: Path, start: Start, words: tuple[str, ...]
) -> None:
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.is_file()}
    with pytest.raises(ModelError) as caught:
        trained(start)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert all((tmp_path / "run" / name).read_bytes() == data for name, data in before.items())


@pytest.mark.parametrize("start", [Start(), START])
def test_saying_nothing_or_the_same_continues(
    trained: Callable[[Start], int | None], tmp_path: Path, start: Start
) -> None:
    assert trained(start) is None
    assert [step for step, _ in losses(tmp_path / "run")] == [1, 2]


def test_a_lmbda_that_binary_fractions_only_approach_is_no_contradiction(
    tmp_path: Path, picture_folder: Path
) -> None:
    start, paths = replace(START, lmbda=(819.2, 0.1)), sorted(picture_folder.iterdir())
    train(tmp_path / "run", paths, start, replace(SETTINGS, last_step=1), "cpu")
    assert read_model_header(tmp_path / "run" / "model.safetensors").lmbda == (819.2, 0.1)
    assert train(tmp_path / "run", paths, start, replace(SETTINGS, last_step=2), "cpu") is None


def test_lists_of_unequal_length_are_refused(tmp_path: Path, picture_folder: Path) -> None:
    start = Start(widths=(8, 4), lmbda=(1.0,))
    with pytest.raises(ConfigError, match="one λ for each of the 2 widths"):
        train(tmp_path / "run", sorted(picture_folder.iterdir()), start, SETTINGS, "cpu")
    assert not (tmp_path / "run").exists()


def given_network(path: Path) -> SlimCAE:
    """Return a network whose model file lies at `path`."""
    torch.manual_seed(5)
    network = SlimCAE(SlimCAEConfig((8, 4), "slim"))
    save_network(path, network, ModelInfo(lmbda=(70.0, 30.0)))
    return network


def test_init_from_takes_weights_configuration_and_lmbda(
    tmp_path: Path, picture_folder: Path
) -> None:
    network = given_network(tmp_path / "given")
    settings = replace(SETTINGS, last_step=1, learning_rate=1e-9, entropy_learning_rate=1e-9)
    train(tmp_path / "run", sorted(picture_folder.iterdir()),
          Start(init_from=tmp_path / "given"), settings, "cpu")  # fmt: skip
    model = read_model(tmp_path / "run" / "model.safetensors")
    assert model.config == network.config
    assert model.info.lmbda == (70.0, 30.0)
    for name, p in network.named_parameters():
        np.testing.assert_allclose(model.tensors[name], p.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Start(widths=(8, 2)), ("widths 8 2", "8 4", "given")),
        (Start(gdn="switchable"), ("gdn switchable", "slim", "given")),
    ],
)
def test_contradicting_the_given_model_names_both_sides(
    tmp_path: Path, picture_folder: Path, start: Start, words: tuple[str, ...]
) -> None:
    given_network(tmp_path / "given")
    with pytest.raises(ModelError) as caught:
        train(tmp_path / "run", sorted(picture_folder.iterdir()),
              replace(start, init_from=tmp_path / "given"), SETTINGS, "cpu")  # fmt: skip
    assert all(word in str(caught.value) for word in words)


def test_a_model_without_its_state_is_not_overwritten(tmp_path: Path, picture_folder: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    given_network(folder / "model.safetensors")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match=r"no state\.pt to continue from"):
        train(folder, sorted(picture_folder.iterdir()), START, SETTINGS, "cpu")
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"foreign",
        {"epoch": 3},
        {"trainer": 3, "config": {"widths": [8, 4], "gdn": "switchable"}},
        {"trainer": {"lmbda": [1.0, 1.0]}, "config": {"widths": [8, 4], "gdn": "switchable"}},
        {"trainer": {}},
    ],
)
def test_a_foreign_state_is_named(tmp_path: Path, picture_folder: Path, state: Any) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if isinstance(state, bytes):
        (folder / "state.pt").write_bytes(state)
    else:
        torch.save(state, folder / "state.pt")
    with pytest.raises(ModelError, match=r"state\.pt") as caught:
        train(folder, sorted(picture_folder.iterdir()), Start(), SETTINGS, "cpu")
    assert "\n" not in str(caught.value)


def test_no_usable_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(TrainingError, match="none of the 1"):
        train(tmp_path / "run", [tmp_path / "bad.png"], START, SETTINGS, "cpu")


def test_the_decoder_s_stage_begins_with_a_trained_model(
    tmp_path: Path, picture_folder: Path
) -> None:
    settings, paths = replace(SETTINGS, stage="decoder"), sorted(picture_folder.iterdir())
    with pytest.raises(ConfigError, match="stage decoder needs a trained model"):
        train(tmp_path / "run", paths, START, settings, "cpu")
    assert not (tmp_path / "run").exists()
    train(tmp_path / "first", paths, START, SETTINGS, "cpu")
    first = tmp_path / "first" / "model.safetensors"
    train(tmp_path / "run", paths, Start(init_from=first), settings, "cpu")
    assert train(tmp_path / "run", paths, Start(), replace(settings, last_step=7), "cpu") is None
    before, after = read_model(first), read_model(tmp_path / "run")
    assert before.info.lmbda == after.info.lmbda
    assert before.tensors.keys() == after.tensors.keys()
    for name, old in before.tensors.items():
        assert np.array_equal(old, after.tensors[name]) == (not name.startswith("g_s.")), name
    for width in before.widths:  # the same bits
        arrays = after.entropy_model(width).to_arrays()
        for name, array in before.entropy_model(width).to_arrays().items():
            assert np.array_equal(array, arrays[name])


def test_an_absent_device_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "tpu"):
        with pytest.raises(ConfigError, match=name):
            train(tmp_path / "run", [], START, SETTINGS, name)


def test_a_bad_step_keeps_the_last_good_checkpoint(
    trained: Callable[[Start], int | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("model.safetensors", "state.pt")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    monkeypatch.setattr(
        loss, "bits_per_pixel", lambda likelihoods, _: likelihoods.sum() * torch.nan
    )
    with pytest.raises(TrainingError, match="not finite near step 2"):
        trained(START)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in names} == before
    monkeypatch.undo()
    assert trained(START) is None


def test_checkpoints_are_written_now_and_then(
    tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    monkeypatch.setattr(run, "save_run", lambda _, trainer: steps.append(trainer.step))
    clock = iter(range(0, 10_000, 50))  # every read of the clock adds 50 seconds
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    settings = replace(SETTINGS, save_minutes=1.5)
    train(tmp_path / "run", sorted(picture_folder.iterdir()), START, settings, "cpu")
    assert steps[0] < 6
    assert steps[-1] == 6
    assert len(steps) >= 3


def test_a_signal_within_the_last_step_does_not_lose_the_run(
    tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 6, signal.SIGTERM)
    train(tmp_path / "run", sorted(picture_folder.iterdir()), START, SETTINGS, "cpu")
    assert load_state(tmp_path / "run" / "state.pt")["trainer"]["step"] == 6


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """The parent process may ignore it, as shells do for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_ctrl_c_after_it_acts(
    ctrl_c_interrupts: None, number: signal.Signals
) -> None:
    with StopRequest() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.signal == number
        # torchrun sends it to processes that have already got it as members of their group
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has none")
def test_a_hang_up_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.modules["tensorboard"] = None  # slow to import, not the subject here
from slimcae.training import run
from slimcae.training.settings import TrainSettings
from slimcae.training.trainer import Trainer

class Kept(Trainer):
    def __init__(self, *args):
        super().__init__(*args)
        kept.append(self)
    def run(self, last_step, **callbacks):
        # in two goes, as λ-scheduling does
        super().run(last_step // 2, **callbacks)
        super().run(last_step, **callbacks)

if __name__ == "__main__":
    kept = []
    run.Trainer = Kept
    if os.environ.get("SAME_NOISE"):
        torch.rand_like = lambda x: torch.full_like(x, 0.75)
    folder, pictures, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    start = json.loads(sys.argv[4])
    start = run.Start(**start | {"widths": tuple(start["widths"]), "lmbda": tuple(start["lmbda"])})
    paths = sorted(pictures.iterdir())
    stopped = run.train(folder, paths, start, TrainSettings(**settings), "cpu")
    torch.save(kept[0].state_dict(), folder / f"rank{os.environ.get('RANK', 'none')}.pt")
    sys.exit(stopped or 0)
"""
FOUR = Start((16, 12, 8, 4), lmbda=(100.0, 50.0, 25.0, 12.5), warm_start=False)


def script(tmp_path: Path, settings: TrainSettings, start: Start = FOUR) -> tuple[list[str], Path]:
    """Return arguments that make Python run the script, and the run folder."""
    (tmp_path / "script.py").write_text(SCRIPT)
    folder, pictures = tmp_path / "run", tmp_path / "pictures"
    values = (json.dumps(settings.as_dict()), json.dumps(asdict(start)))
    return [*map(str, (tmp_path / "script.py", folder, pictures)), *values], folder


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return kept | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"} | more


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("name", "whole_group"),
    [("SIGTERM", False), ("SIGTERM", True), ("SIGINT", True), ("SIGHUP", True)],
)
@pytest.mark.usefixtures("picture_folder")
def test_signals_save_and_end_a_process_with_workers(
    tmp_path: Path, name: str, whole_group: bool
) -> None:
    """A terminal, systemd and Slurm also send them to the workers."""
    number = getattr(signal, name)
    settings = replace(SETTINGS, last_step=1_000_000, cache_gb=0.0, num_workers=1, compile="off")
    arguments, folder = script(tmp_path, settings)
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            log = folder / "log.jsonl"
            wait_until(
                lambda: (
                    process.poll() is not None
                    or (log.exists() and log.read_text().count("loss") > 2)
                )
            )
            (os.killpg if whole_group else os.kill)(process.pid, number)
            _, stderr = process.communicate(timeout=HANG)
        finally:
            process.kill()
    assert process.returncode == number, stderr
    assert "Traceback" not in stderr
    assert stderr.count("stopping after this step") == 1  # not by each worker
    step = load_state(folder / "state.pt")["trainer"]["step"]
    assert step >= 3
    assert read_model_header(folder / "model.safetensors").version == str(step)
    assert losses(folder)[-1][0] == step
    with pytest.raises(ProcessLookupError):  # no worker is left behind
        os.killpg(process.pid, 0)


@pytest.mark.parametrize(("optimizer", "architecture"), [("adam", "light"), ("soap", "slimcae")])
def test_two_processes_train_as_one(
    tmp_path: Path,
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: Any,
    architecture: str,
) -> None:
    """With the same noise everywhere, sharing a batch changes only the last digits."""
    settings = replace(SETTINGS, last_step=4, batchsize=4, precision="float32", optimizer=optimizer)
    start = replace(FOUR, architecture=architecture)
    arguments, folder = script(tmp_path, settings, start)
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [sys.executable, *torchrun, *arguments],
        env=environment(SAME_NOISE="1"),
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()  # of kernels whose gradients have other strides
    monkeypatch.setattr(torch, "rand_like", lambda x: torch.full_like(x, 0.75))
    train(tmp_path / "one", sorted(picture_folder.iterdir()), start, settings, "cpu")
    one = load_state(tmp_path / "one" / "state.pt")["trainer"]
    first, second = (torch.load(folder / f"rank{k}.pt", weights_only=True) for k in (0, 1))
    for part in ("model", "average"):
        for name, tensor in one[part].items():
            if "medians" in name:  # brought up to date where the model is saved
                continue
            assert torch.equal(first[part][name], second[part][name]), name
            # four steps of Adam at 3e-4 and 1e-3 move each weight by up to 4e-3; SOAP scales up
            # what is nearly nothing, also last digits, in directions that the loss does not see
            atol = 2e-4 if optimizer == "adam" or tensor.ndim != 4 else 2e-3
            torch.testing.assert_close(first[part][name], tensor, rtol=1e-4, atol=atol)
    assert read_model_header(folder / "model.safetensors").version == "4"
    for (step, shared), (same_step, alone) in zip(
        losses(folder), losses(tmp_path / "one"), strict=True
    ):
        assert step == same_step
        # the main process logs its own share of the batch
        assert shared == pytest.approx(alone, rel=0.25)
