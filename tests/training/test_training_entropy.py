"""Test the stage entropy: context networks of a frozen model, from start to end."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slimcae.codec.tiled import TiledTransforms, quantise
from slimcae.errors import ConfigError, ModelError, SettingError, TrainingError
from slimcae.images import read_picture
from slimcae.model.config import ModelInfo
from slimcae.model.file import read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.context_conversion import context_networks
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.context_trainer import ContextLog, ContextTrainer, new_network
from slimcae.training.fitting import float_bits
from slimcae.training.latents import LatentStore
from slimcae.training.run import Start, train
from slimcae.training.run_entropy import train_entropy
from slimcae.training.run_folder import RunLog, load_state
from slimcae.training.settings import EntropySettings, TrainSettings
from slimcae.transforms import open_transforms

SETTINGS = EntropySettings(last_step=6, places=32, warmup_steps=2, log_every=1)
STEPS = (1.0, 0.5, 2.0)


@pytest.fixture
def model(tiny_network: SlimCAE) -> Model:
    """Return a model with large latents."""
    with torch.no_grad():
        tiny_network.g_a.conv3.weight.mul_(40)
    info = ModelInfo("tiny", "3", (4.0, 2.0, 1.0), {"step": 7})
    return to_model(tiny_network, info, steps=STEPS)


@pytest.fixture
def origin(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "origin.safetensors"
    write_model(path, model)
    return path


@pytest.fixture
def paths(picture_folder: Path) -> list[Path]:
    return sorted(picture_folder.iterdir())


def lines_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "bpp" in line]


def losses(folder: Path) -> list[tuple[int, int, float, float | None]]:
    return [(k["width"], k["width_step"], k["bpp"], k["valid_bpp"]) for k in lines_of(folder)]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    write = RunLog.step

    def interrupting(self: RunLog, line: Any) -> None:
        write(self, line)
        if line.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunLog, "step", interrupting)


def test_a_run_leaves_a_model_with_networks_and_its_story(
    tmp_path: Path, model: Model, origin: Path, paths: list[Path]
) -> None:
    folder = tmp_path / "My Run"
    assert train_entropy(folder, paths, paths[:1], origin, (12, 4), SETTINGS, "cpu") is None
    found = read_model(folder)
    assert list(context_networks(found)) == [12, 4]
    for name, tensor in model.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)
    assert [found.fingerprint(w) for w in (12, 8, 4)] == [model.fingerprint(w) for w in (12, 8, 4)]
    assert (found.info.name, found.info.version) == ("my-run", "12")
    assert found.info.lmbda == (4.0, 2.0, 1.0)
    assert found.info.training["step"] == 7  # of the transforms
    assert found.info.training["entropy"]["step"] == 12
    assert found.info.training["entropy"]["places"] == 32
    assert [(w, k) for w, k, _, _ in losses(folder)] == [
        *((12, k) for k in range(1, 7)),
        *((4, k) for k in range(1, 7)),
    ]
    assert all(line["valid_bpp"] > 0 and line["seconds"] >= 0 for line in lines_of(folder))
    assert not list(folder.glob("*.tmp"))


def test_resuming_is_exact(
    tmp_path: Path, origin: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = tmp_path / "a" / "run", tmp_path / "b" / "run"
    arguments = (paths, paths[:1], origin, (8, 4), SETTINGS, "cpu")
    assert train_entropy(whole, *arguments) is None
    for step in (3, 8):  # in the first width, then in the second
        with monkeypatch.context() as patch:
            interrupt_at(patch, step)
            assert train_entropy(halves, *arguments) == signal.SIGTERM
        state = load_state(halves / "state.pt")["entropy"]
        assert [state[w]["step"] for w in ("8", "4")] == ([4, 0] if step == 3 else [6, 3])
    assert train_entropy(halves, *arguments) is None
    assert losses(halves) == losses(whole)
    name = "model.safetensors"
    assert (halves / name).read_bytes() == (whole / name).read_bytes()


def test_a_signal_while_latents_are_computed_keeps_them(
    tmp_path: Path, origin: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    fill = LatentStore.fill

    def interrupted(self: LatentStore, *arguments: Any) -> Any:
        for path in fill(self, *arguments):
            os.kill(os.getpid(), signal.SIGINT)
            yield path

    with monkeypatch.context() as patch:
        patch.setattr(LatentStore, "fill", interrupted)
        stopped = train_entropy(folder, paths, [], origin, None, SETTINGS, "cpu")
    assert stopped == signal.SIGINT
    index = folder / "latents" / "train" / "pictures.jsonl"
    assert len(index.read_text().splitlines()) == 2
    assert not (folder / "state.pt").exists()
    assert train_entropy(folder, paths, [], origin, None, SETTINGS, "cpu") is None
    assert list(context_networks(read_model(folder))) == [12, 8, 4]


def test_a_later_last_step_goes_on_with_all_widths(
    tmp_path: Path, origin: Path, paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    train_entropy(folder, paths, [], origin, (8, 4), SETTINGS, "cpu")
    longer = replace(SETTINGS, last_step=8)
    assert train_entropy(folder, paths, [], None, None, longer, "cpu") is None
    assert [(w, k) for w, k, _, _ in losses(folder)][12:] == [(8, 7), (8, 8), (4, 7), (4, 8)]
    assert read_model(folder).info.version == "16"
    train_entropy(folder, paths, [], None, None, SETTINGS, "cpu")
    assert "nothing left to train" in caplog.text


def test_known_networks_are_trained_on(tmp_path: Path, origin: Path, paths: list[Path]) -> None:
    train_entropy(tmp_path / "first", paths, [], origin, (8, 4), SETTINGS, "cpu")
    first = tmp_path / "first" / "model.safetensors"
    slow = replace(SETTINGS, last_step=1, learning_rate=1e-9)
    train_entropy(tmp_path / "next", paths, [], first, (4,), slow, "cpu")
    before, after = (context_networks(read_model(path)) for path in (first, tmp_path / "next"))
    assert list(after) == [8, 4]
    for width in (8, 4):
        for name, tensor in before[width].state_dict().items():
            torch.testing.assert_close(after[width].state_dict()[name], tensor, atol=1e-8, rtol=0)


def test_contradictions(tmp_path: Path, origin: Path, paths: list[Path]) -> None:
    folder = tmp_path / "run"

    def run(folder: Path, init_from: Path | None, widths: tuple[int, ...] | None) -> None:
        train_entropy(folder, paths, [], init_from, widths, SETTINGS, "cpu")

    with pytest.raises(ConfigError, match="needs a trained model"):
        run(folder, None, None)
    with pytest.raises(ConfigError, match="no width 5"):
        run(folder, origin, (5,))
    assert not folder.exists()
    run(folder, origin, (8, 4))
    with pytest.raises(ModelError, match=r"widths 8 contradicts .*state.pt, which has widths 8 4"):
        run(folder, None, (8,))
    plain = TrainSettings(patchsize=32, batchsize=2, last_step=1, cache_gb=1.0)
    with pytest.raises(ConfigError, match="begun with stage entropy"):
        train(folder, paths, Start(), plain, "cpu")
    train(tmp_path / "plain", paths, Start((8, 4), warm_start=False), plain, "cpu")
    with pytest.raises(ConfigError, match="begun with another stage"):
        run(tmp_path / "plain", None, None)


def test_several_processes_are_refused(
    tmp_path: Path, origin: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="one process"):
        train_entropy(tmp_path / "run", paths, [], origin, None, SETTINGS, "cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("last_step", 0), ("places", 0), ("learning_rate", 0.0), ("warmup_steps", -1),
        ("clip_norm", float("nan")), ("at_one", 1.1), ("at_one", -0.1), ("seed", -1),
        ("cache_gb", 0.0), ("log_every", 0), ("save_minutes", 0.0),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=name):
        EntropySettings(**{name: value})


@pytest.fixture
def store(model: Model, paths: list[Path], tmp_path: Path) -> LatentStore:
    store = LatentStore(tmp_path / "latents", {12: 12, 8: 8}, "")
    tiled = TiledTransforms(open_transforms(model, precision="float32"), model.architecture)
    list(store.fill(tiled, paths, 2.0**30))
    return store


def trainer_of(store: LatentStore, settings: EntropySettings) -> ContextTrainer:
    places = {width: store.places(width) for width in store.channels}
    networks = {width: new_network(places[width], width, 0) for width in places}
    device = torch.device("cpu")
    return ContextTrainer(networks, places, places, STEPS, 256, settings, device)


def test_training_lowers_the_bits(store: LatentStore) -> None:
    trainer = trainer_of(store, replace(SETTINGS, last_step=80, log_every=10))
    before = [trainer.measure(width, delta) for width in (12, 8) for delta in STEPS]
    lines: list[ContextLog] = []
    trainer.run(160, on_log=lines.append)
    after = [trainer.measure(width, delta) for width in (12, 8) for delta in STEPS]
    assert all(new < 0.9 * old for old, new in zip(before, after, strict=True))
    assert lines[7].bpp < lines[0].bpp and lines[15].bpp < lines[8].bpp
    assert lines[7].valid == pytest.approx(after[0], rel=1e-5)
    peak = trainer.settings.learning_rate
    assert 0.01 * peak <= lines[7].learning_rate < 0.02 * peak < lines[3].learning_rate


def test_validation_counts_whole_pictures(
    store: LatentStore, model: Model, paths: list[Path]
) -> None:
    """Compare each position with the bits that `fit` finds with the same network."""
    trainer = trainer_of(store, replace(SETTINGS, last_step=20))
    trainer.run(40, on_log=lambda _: None)
    for delta in STEPS:
        bits, places = 0.0, 0
        for index in range(len(paths)):
            symbols = quantise(store.picture(8, index), delta)
            bits += float_bits(trainer.networks[8], symbols, 8, delta)
            places += symbols.shape[1] * symbols.shape[2]
        assert trainer.measure(8, delta) == pytest.approx(bits / places / 256, rel=1e-5)
    pixels = read_picture(paths[0]).pixels
    tiled = TiledTransforms(open_transforms(model, precision="float32"), model.architecture)
    residuals = tiled.residuals(pixels, tiled.grid((pixels.shape[0], pixels.shape[1])), 8)
    np.testing.assert_allclose(residuals, store.picture(8, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("part", [0.0, 0.25, 1.0])
def test_steps_are_drawn(store: LatentStore, monkeypatch: pytest.MonkeyPatch, part: float) -> None:
    trainer = trainer_of(store, replace(SETTINGS, at_one=part, places=900, last_step=1))
    seen: list[np.ndarray] = []
    bits = ContextTrainer._bits

    def watched(self: Any, network: Any, places: Any, which: Any, delta: Any) -> Any:
        seen.append(delta)
        return bits(self, network, places, which, delta)

    monkeypatch.setattr(ContextTrainer, "_bits", watched)
    trainer._train_step(12, trainer._widths[12])
    shares = [np.mean(seen[0] == np.float32(step)) for step in STEPS]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(part + (1 - part) / 3, abs=0.06)


def test_a_loss_that_is_not_finite_stops(store: LatentStore) -> None:
    trainer = trainer_of(store, SETTINGS)
    with torch.no_grad():
        trainer.networks[12].mix.fill_(float("nan"))
    with pytest.raises(TrainingError, match="width 12 is not finite near its step 1"):
        trainer.run(12, on_log=lambda _: None)
