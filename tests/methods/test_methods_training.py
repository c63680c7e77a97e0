"""Test training with every method: the same trainer, other networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from method_networks import coding, make
from slimcae.errors import ConfigError, ModelError, SettingError
from slimcae.model.config import METHODS, Method, ModelInfo, SlimCAEConfig
from slimcae.model.file import read_model, write_model
from slimcae.networks.conversion import to_network
from slimcae.networks.independent import IndependentModels
from slimcae.networks.methods import new_network
from slimcae.networks.modulated import ModulatedAutoencoder
from slimcae.networks.slimcae import SlimCAE
from slimcae.training import run, warm_start
from slimcae.training.data import TrainingImages
from slimcae.training.run import Start, resolve, train
from slimcae.training.run_folder import load_state
from slimcae.training.schedule import train_lambda_schedule
from slimcae.training.settings import ScheduleSettings, TrainSettings
from slimcae.training.trainer import Trainer

SETTINGS = TrainSettings(
    patchsize=32, batchsize=2, last_step=4, warmup_steps=1, log_every=1, precision="float32"
)
CPU = torch.device("cpu")


def base(folder: Path) -> Path:
    """Return a model file to start from."""
    path = folder / "base.safetensors"
    write_model(path, coding("independent")[1])
    return path


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_run_of_any_method_resumes_exactly(
    method: Method, tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "WARM_START_CROPS", 1)
    monkeypatch.setattr(warm_start, "FIT_STEPS", 2)
    paths = sorted(picture_folder.iterdir())
    start = Start((12,), lmbda=(400.0, 100.0), method=method)
    if method == "bottleneck_scaling":
        start = replace(start, init_from=base(tmp_path))
    settings = replace(SETTINGS, decay="power")
    whole, halves = tmp_path / "whole" / "run", tmp_path / "halves" / "run"
    train(whole, paths, start, settings, "cpu")
    train(halves, paths, start, replace(settings, last_step=2), "cpu")
    train(halves, paths, start, settings, "cpu")
    model = read_model(whole / "model.safetensors")
    assert (halves / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert model.config == SlimCAEConfig((12, 12), method=method)
    assert model.points == (2, 1)
    assert model.info.lmbda == (400.0, 100.0)
    assert model.label(1) == "point 1 (λ 100)"
    trained = load_state(whole / "state.pt")["trainer"]
    assert trained["step"] == 4
    if method == "bottleneck_scaling":  # nothing else has changed
        own, origin = model.tensors, coding("independent")[1].alone(3).tensors
        for name in model.architecture.kernels(12):
            np.testing.assert_array_equal(own[name], origin[name])
        first, second = own["scaling.log_scale"]
        assert not first.any()
        assert len(set(np.round(second, 6))) > 1


def test_independent_models_train_as_each_would_alone(picture_folder: Path) -> None:
    """Gradients are clipped separately; the first network even gets the same noise."""
    network = make("independent")
    assert isinstance(network, IndependentModels)
    alone = SlimCAE(SlimCAEConfig((12,)))
    alone.load_state_dict(network.pairs[0][0].state_dict(), strict=False)
    alone.entropy_bottleneck(12).load_state_dict(network.entropy_bottleneck(3).state_dict())
    settings = replace(SETTINGS, clip_norm=0.01)  # clips always
    images = TrainingImages(sorted(picture_folder.iterdir()), CPU, cache_gb=1)
    Trainer(network, (400.0, 200.0, 90.0), settings, images).run(3, on_log=lambda line: None)
    Trainer(alone, (400.0,), settings, images).run(3, on_log=lambda line: None)
    expected = alone.state_dict()
    for name, tensor in network.pairs[0][0].state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-7)


def test_a_modulated_network_starts_with_the_rounding_step_of_each_lambda() -> None:
    """Latents are those of the plain network times √(λ / λ_max), and the synthesis undoes that."""
    x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    lmbda = (900.0, 400.0, 100.0)
    modulated = new_network(SlimCAEConfig((12, 12, 12), method="modulated"), lmbda)
    plain = SlimCAE(SlimCAEConfig((12,)))
    for network, values in ((modulated, lmbda), (plain, lmbda[:1])):
        torch.manual_seed(1)
        warm_start.warm_start_transforms(network, x, values)
    with torch.no_grad():
        y = plain.analyse(x, 12)
        picture = plain.synthesise(y, 12)
        for point, factor in zip(modulated.points, (1.0, 2 / 3, 1 / 3), strict=True):
            found = modulated.analyse(x, point)
            # not exactly, because a GDN follows, which starts almost linear
            torch.testing.assert_close(found, factor * y, rtol=0.03, atol=1e-3)
            torch.testing.assert_close(
                modulated.synthesise(found, point), picture, rtol=0.03, atol=3e-3
            )


def test_more_lambdas_than_units_still_start_with_nearly_their_steps() -> None:
    lmbda = tuple(2048.0 / 1.05**k for k in range(60))
    network = new_network(SlimCAEConfig((8,) * 60, method="modulated"), lmbda)
    assert isinstance(network, ModulatedAutoencoder)
    network.begin_with_steps()
    with torch.no_grad():
        logs = network.log_factors(torch.tensor(lmbda))
    expected = 0.5 * np.log(np.array(lmbda) / lmbda[0])
    for name, sign in (("g_a.conv3", 1), ("g_s.deconv1", -1), ("g_a.conv1", 0)):
        found = logs[f"{name}.modulation"].numpy()
        np.testing.assert_allclose(found, sign * expected[:, None] * np.ones(8), atol=2e-3)


def test_the_rate_of_learning_falls_as_a_power() -> None:
    settings = TrainSettings(decay="power", warmup_steps=0)
    for step in (0, 1000, 9000):
        factor = (1000 / (1000 + step)) ** 0.8
        assert settings.rate_factor(step) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Start(method="independent"), (192, 144, 96, 72, 48)),
        (Start((8, 4), method="independent", lmbda=(2.0, 1.0)), (8, 4)),
        (Start((8,), method="independent", lmbda=(2.0, 1.0)), (8, 8)),
        (Start((8, 8, 4), method="independent", lmbda=(3.0, 2.0, 1.0)), (8, 8, 4)),
        (Start(method="modulated"), (192,) * 5),
        (Start((8,), method="modulated", lmbda=(3.0, 2.0, 1.0)), (8, 8, 8)),
        (Start((8, 8), method="modulated", lmbda=(2.0, 1.0)), (8, 8)),
    ],
)
def test_widths_of_new_points(start: Start, expected: tuple[int, ...], tmp_path: Path) -> None:
    config, lmbda = resolve(tmp_path, start, None)
    assert config.widths == expected
    assert config.method == start.method
    assert len(lmbda) == len(expected)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Start((8, 4), method="modulated", lmbda=(2.0, 1.0)), "differ in λ and share one width"),
        (Start((4, 8), method="independent", lmbda=(2.0, 1.0)), "that do not increase"),
        (Start((8, 8), method="independent", lmbda=(1.0, 2.0)), "strictly decreasing values"),
        (Start((8, 8), method="independent", lmbda=(1.0,)), "one λ for each of the 2"),
        (Start((8,), architecture="light", method="modulated", lmbda=(2.0, 1.0)), "no GDN"),
        (Start((8,), method="other"), "unknown method 'other'"),
    ],
)
def test_impossible_points_are_refused(start: Start, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(tmp_path, start, None)


def test_scaling_needs_a_trained_network_and_its_lambda(tmp_path: Path) -> None:
    start = Start((12,), lmbda=(400.0, 100.0), method="bottleneck_scaling")
    with pytest.raises(ConfigError, match="needs a trained model to begin with"):
        train(tmp_path / "run", [], start, SETTINGS, "cpu")
    path = base(tmp_path)
    config, lmbda = resolve(tmp_path, replace(start, init_from=path, lmbda=None), None)
    assert lmbda == (400.0, 200.0, 100.0, 50.0, 25.0)
    assert config == SlimCAEConfig((12,) * 5, method="bottleneck_scaling")
    with pytest.raises(ConfigError, match="lmbda 500 100: must begin with 400"):
        resolve(tmp_path, replace(start, init_from=path, lmbda=(500.0, 100.0)), None)
    with pytest.raises(ModelError, match="widths 8 contradicts"):
        resolve(tmp_path, replace(start, init_from=path, widths=(8,)), None)


def test_what_a_method_cannot_do_is_refused(tmp_path: Path) -> None:
    decoder = replace(SETTINGS, stage="decoder")
    with pytest.raises(ConfigError, match="stage decoder: method modulated"):
        run.check_method("modulated", decoder)
    run.check_method("independent", decoder)
    for kind in ("context", "hyperprior"):
        settings = replace(SETTINGS, entropy_model=kind)
        start = Start(lmbda=(400.0, 100.0), method="bottleneck_scaling", init_from=base(tmp_path))
        with pytest.raises(ConfigError, match=f"{kind}: .*only factors"):
            train(tmp_path / "run", [], start, settings, "cpu")
        assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="trains no kernels"):
        run.check_method("bottleneck_scaling", replace(SETTINGS, optimizer="soap"))
    with pytest.raises(ConfigError, match="sandwich: method independent"):
        run.check_method("independent", replace(SETTINGS, sandwich=True))


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("independent", "share nothing"),
        ("bottleneck_scaling", "share a trained network"),
        ("modulated", "share the whole network"),
    ],
)
def test_scheduling_says_why_it_does_not_apply(method: Method, why: str, tmp_path: Path) -> None:
    """Also if λ is unknown, or has another number of values."""
    model = coding(method)[1]
    for info, lmbda in ((model.info, None), (ModelInfo(), None), (model.info, (1.0,))):
        write_model(tmp_path / "model.safetensors", replace(model, info=info))
        with pytest.raises(ConfigError, match=f"is of method {method}, .* {why}"):
            train_lambda_schedule(tmp_path, [], [], lmbda, SETTINGS, ScheduleSettings(), "cpu")


def test_a_method_contradicts_the_model_it_is_to_begin_with(tmp_path: Path) -> None:
    start = Start(method="modulated", init_from=base(tmp_path))
    with pytest.raises(ModelError, match="method modulated contradicts"):
        resolve(tmp_path, start, None)
    same = to_network(read_model(base(tmp_path)))
    assert isinstance(same, IndependentModels)
    with pytest.raises(SettingError, match="one λ for each of the 3"):
        resolve(tmp_path, Start(lmbda=(1.0,), init_from=base(tmp_path)), None)
