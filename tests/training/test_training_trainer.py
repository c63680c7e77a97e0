import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slimcae.errors import ConfigError, TrainingError
from slimcae.model.config import ArchitectureName, SlimCAEConfig
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.slimcae import SlimCAE
from slimcae.training import soap
from slimcae.training import trainer as trainer_module
from slimcae.training.data import TrainingImages
from slimcae.training.distributed import Process
from slimcae.training.settings import TrainSettings
from slimcae.training.stats import StepLog
from slimcae.training.trainer import Trainer

SETTINGS = TrainSettings(
    patchsize=32, batchsize=2, last_step=6, warmup_steps=1, log_every=1, precision="float32"
)
CPU = torch.device("cpu")


def make(
    folder: Path,
    settings: TrainSettings = SETTINGS,
    widths: tuple[int, ...] = (8, 4),
    architecture: ArchitectureName = "slimcae",
) -> Trainer:
    torch.manual_seed(0)
    lmbda = tuple(100.0 / (k + 1) for k in range(len(widths)))
    images = TrainingImages(sorted(folder.iterdir()), CPU, cache_gb=1)
    config = SlimCAEConfig(widths, architecture=architecture)
    return Trainer(SlimCAE(config), lmbda, settings, images)


def logged(trainer: Trainer, last_step: int) -> list[StepLog]:
    lines: list[StepLog] = []
    trainer.run(last_step, on_log=lines.append)
    return lines


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_training_lowers_the_loss(picture_folder: Path) -> None:
    settings = replace(SETTINGS, last_step=40, learning_rate=3e-3, batchsize=4)
    lines = logged(make(picture_folder, settings), 40)
    assert [line.step for line in lines] == list(range(1, 41))
    assert sum(line.loss for line in lines[-5:]) < 0.5 * sum(line.loss for line in lines[:5])


def test_average_is_the_formula_s(picture_folder: Path) -> None:
    """It is first a copy, then a moving average whose window grows up to that of the decay."""
    trainer = make(picture_folder, replace(SETTINGS, ema_decay=0.3))
    expected: dict[str, Tensor] = {}
    for n in range(6):
        trainer.run(n + 1, on_log=lambda _: None)
        current = weights(trainer.model)
        if n == 0:
            expected = current
        else:
            decay = min(0.3, (1 + n) / (10 + n))
            expected = {k: decay * expected[k] + (1 - decay) * current[k] for k in current}
    for name, value in weights(trainer.averaged).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_learning_rates_follow_the_schedule_of_each_group(picture_folder: Path) -> None:
    settings = replace(
        SETTINGS, learning_rate=1e-4, entropy_learning_rate=4e-4, warmup_steps=3, decay="step"
    )
    trainer = make(picture_folder, settings)
    before = weights(trainer.model)
    (line,) = logged(trainer, 1)
    assert line.learning_rate == pytest.approx(1e-4 / 4)
    # Adam's first step is the learning rate, whatever the gradient
    for name, value in weights(trainer.model).items():
        rate = 1e-4 if "entropy" in name else 2.5e-5
        moved = (value - before[name]).abs().max().item()
        assert moved == pytest.approx(rate, rel=0.02) or moved == 0, name
    later = logged(trainer, 6)
    assert [line.learning_rate for line in later] == pytest.approx([5e-5, 7.5e-5, 1e-4, 1e-4, 1e-5])


def test_the_loss_is_balanced_and_bordered_as_the_settings_say(picture_folder: Path) -> None:
    """The log has λ · MSE + bpp of each width, separate from the loss."""

    def loss_and_costs(settings: TrainSettings) -> tuple[float, list[float]]:
        trainer = make(picture_folder, settings)
        (line,) = logged(trainer, 1)
        pairs = zip(trainer.lmbda, line.widths.values(), strict=True)
        return line.loss, [lmbda * mse + bpp for lmbda, (bpp, mse) in pairs]

    loss, costs = loss_and_costs(SETTINGS)
    assert loss == pytest.approx(sum(costs), rel=1e-4)
    loss, costs = loss_and_costs(replace(SETTINGS, balance="log"))
    assert loss == pytest.approx(sum(map(math.log, costs)), rel=1e-4)
    loss, costs = loss_and_costs(replace(SETTINGS, border_weight=1.0))
    assert loss > 1.001 * sum(costs)


def test_gradients_are_clipped_together(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = []
    trainer = make(picture_folder, replace(SETTINGS, clip_norm=0.25))
    step: Callable[[], Any] = trainer._adam.step

    def watched() -> None:
        grads = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
        norms.append(torch.cat(grads).norm().item())
        step()

    monkeypatch.setattr(trainer._adam, "step", watched)
    lines = logged(trainer, 3)
    assert norms == pytest.approx([0.25] * 3, rel=1e-4)
    assert all(line.grad_norm > 0.25 for line in lines)  # the log tells the norm before


def test_sandwich_takes_widest_narrowest_and_one_between(picture_folder: Path) -> None:
    settings = replace(SETTINGS, sandwich=True, last_step=12)
    lines = logged(make(picture_folder, settings, (6, 5, 4, 3, 2)), 12)
    chosen = [tuple(line.widths) for line in lines]
    assert all(len(widths) == 3 and {6, 2} < set(widths) for widths in chosen)
    assert {widths[1] for widths in chosen} == {5, 4, 3}
    again = logged(make(picture_folder, settings, (6, 5, 4, 3, 2)), 12)
    assert [tuple(line.widths) for line in again] == chosen


def test_without_sandwich_every_step_trains_all_widths(picture_folder: Path) -> None:
    lines = logged(make(picture_folder, SETTINGS, (6, 5, 4, 3, 2)), 2)
    assert [tuple(line.widths) for line in lines] == [(6, 5, 4, 3, 2)] * 2


@pytest.mark.parametrize("widths", [(6,), (6, 4), (6, 4, 2)])
def test_sandwich_of_few_widths_takes_them_all(
    picture_folder: Path, widths: tuple[int, ...]
) -> None:
    (line,) = logged(make(picture_folder, replace(SETTINGS, sandwich=True), widths), 1)
    assert tuple(line.widths) == widths


@pytest.mark.usefixtures("emulated_bfloat16")
def test_bfloat16_touches_convolutions_and_what_lies_between_them(picture_folder: Path) -> None:
    trainer = make(picture_folder, replace(SETTINGS, precision="bfloat16"))
    kinds: dict[str, set[torch.dtype]] = {"conv": set(), "gdn": set()}
    for name, layer in trainer.model.named_modules():
        if "conv" in name:
            layer.register_forward_hook(lambda _, __, out: kinds["conv"].add(out.dtype))
        if isinstance(layer, SlimmableGDN):
            layer.register_forward_hook(lambda _, __, out: kinds["gdn"].add(out.dtype))
    mixed = logged(trainer, 3)
    assert kinds == {"conv": {torch.bfloat16}, "gdn": {torch.bfloat16, torch.float32}}
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    plain = logged(make(picture_folder), 3)
    for a, b in zip(mixed, plain, strict=True):
        assert a.loss != b.loss
        assert a.loss == pytest.approx(b.loss, rel=0.02)


@pytest.mark.usefixtures("emulated_bfloat16")
@pytest.mark.parametrize("architecture", ["slimcae", "light"])
def test_auto_is_bfloat16_except_for_light(
    picture_folder: Path, architecture: ArchitectureName
) -> None:
    settings = replace(SETTINGS, precision="auto")
    trainer = make(picture_folder, settings, architecture=architecture)
    found = []
    for name, layer in trainer.model.named_modules():
        if name in ("g_a.conv1", "g_a.embed"):
            layer.register_forward_hook(lambda _, __, out: found.append(out.dtype))
    logged(trainer, 1)
    assert set(found) == {torch.bfloat16 if architecture == "slimcae" else torch.float32}


def test_mixed_quantization_rounds_around_medians_of_these_days(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "MEDIANS_EVERY", 3)
    settings = replace(SETTINGS, quantization="mixed", entropy_learning_rate=0.1)
    trainer = make(picture_folder, settings)
    bottleneck = trainer.model.entropy_bottleneck(8)
    seen: list[Tensor] = []
    offsets: list[Tensor] = []

    def look(module: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        seen.append(bottleneck.medians.clone())
        offset = output[0].detach() - bottleneck.medians[:, None, None]
        offsets.append((offset - offset.round()).abs().max())

    bottleneck.register_forward_hook(look)
    expected = bottleneck.quantile(0.0).float()
    logged(trainer, 5)
    torch.testing.assert_close(seen[0], expected)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[2], seen[3])
    assert torch.equal(seen[3], seen[4])
    assert max(offsets) < 1e-4, "the synthesis sees whole numbers from the medians"


def test_mixed_quantization_trains(picture_folder: Path) -> None:
    settings = replace(SETTINGS, last_step=40, learning_rate=3e-3, batchsize=4)
    lines = logged(make(picture_folder, replace(settings, quantization="mixed")), 40)
    assert sum(line.loss for line in lines[-5:]) < 0.5 * sum(line.loss for line in lines[:5])
    noise = logged(make(picture_folder, settings), 1)
    assert noise[0].loss != lines[0].loss


def test_kernels_are_channels_last(picture_folder: Path) -> None:
    weight = make(picture_folder).model.g_a.conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def poison(monkeypatch: pytest.MonkeyPatch, trainer: Trainer, at: int) -> None:
    """Make the loss of one step NaN."""
    forward = trainer._loss.forward

    def poisoned(x: Tensor, widths: Any) -> tuple[Tensor, Tensor]:
        total, measured = forward(x, widths)
        return (total * math.nan if trainer.step == at else total), measured

    monkeypatch.setattr(trainer._loss, "forward", poisoned)


def test_a_loss_that_is_not_finite_stops_training(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(picture_folder, replace(SETTINGS, log_every=3))
    poison(monkeypatch, trainer, at=1)
    lines: list[StepLog] = []
    with pytest.raises(TrainingError, match=r"not finite near step 3 .*checkpoint is intact") as e:
        trainer.run(6, on_log=lines.append)
    assert "\n" not in str(e.value)
    assert lines == []


def test_nothing_is_saved_between_the_bad_step_and_the_next_log_line(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(picture_folder, replace(SETTINGS, log_every=100))
    poison(monkeypatch, trainer, at=1)
    saves: list[int] = []

    def save() -> bool:
        saves.append(trainer.step)
        return True

    with pytest.raises(TrainingError):
        trainer.run(6, on_log=lambda _: None, should_pause=lambda: True, on_pause=save)
    assert saves == [1]


def test_a_pause_may_end_the_run(picture_folder: Path) -> None:
    trainer = make(picture_folder)
    trainer.run(
        6, on_log=lambda _: None, should_pause=lambda: trainer.step == 2, on_pause=lambda: False
    )
    assert trainer.step == 2


@pytest.mark.usefixtures("emulated_bfloat16")
@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        replace(SETTINGS, sandwich=True, precision="bfloat16", ema_decay=0.5),
        replace(SETTINGS, optimizer="soap"),
        replace(SETTINGS, optimizer="soap", sandwich=True, precision="bfloat16"),
        replace(SETTINGS, stage="decoder", precision="bfloat16"),
    ],
    ids=["all widths", "sandwich bf16", "soap", "soap sandwich bf16", "decoder bf16"],
)
def test_state_brings_back_everything(
    picture_folder: Path, settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soap, "REFRESH_EVERY", 2)  # before and after the stop
    widths = (7, 5, 4, 3)
    whole = make(picture_folder, settings, widths)
    expected = [line.loss for line in logged(whole, 6)]
    first = make(picture_folder, settings, widths)
    losses = [line.loss for line in logged(first, 3)]
    torch.manual_seed(99)
    second = make(picture_folder, settings, widths)
    second.load_state_dict(first.state_dict())
    torch.rand(17)  # the state of the generator is not part of it
    losses += [line.loss for line in logged(second, 6)]
    assert losses == expected
    for model, other in ((second.model, whole.model), (second.averaged, whole.averaged)):
        ours, theirs = weights(model), weights(other)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_resumed_run_takes_the_learning_rate_it_is_given(picture_folder: Path) -> None:
    first = make(picture_folder, replace(SETTINGS, decay="none"))
    logged(first, 3)
    second = make(picture_folder, replace(SETTINGS, decay="none", learning_rate=7e-5))
    second.load_state_dict(first.state_dict())
    (line,) = logged(second, 4)
    assert line.learning_rate == pytest.approx(7e-5)


@pytest.mark.parametrize(
    "other", [replace(SETTINGS, optimizer="soap"), replace(SETTINGS, stage="decoder")]
)
def test_a_run_keeps_its_optimizer_and_stage(picture_folder: Path, other: TrainSettings) -> None:
    for first, second in ((SETTINGS, other), (other, SETTINGS)):
        state = make(picture_folder, first).state_dict()
        said = f"optimizer {second.optimizer}, stage {second.stage}, entropy model factorized: "
        said += "this run was begun with"
        with pytest.raises(ConfigError, match=f"{said} {first.optimizer} and {first.stage}"):
            make(picture_folder, second).load_state_dict(state)


def test_a_state_of_before_there_were_stages_is_taken_up(picture_folder: Path) -> None:
    state = make(picture_folder).state_dict()
    del state["kind"], state["soap"]
    make(picture_folder).load_state_dict(state)


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_the_decoder_s_stage_lowers_the_error_of_rounded_latents_alone(
    picture_folder: Path, optimizer: Any
) -> None:
    settings = replace(
        SETTINGS, stage="decoder", optimizer=optimizer, learning_rate=2e-3, last_step=40
    )
    trainer = make(picture_folder, settings)
    trainer.model.update()  # medians, as a model from a file has them
    before = weights(trainer.model)
    x = trainer.images.sample(32, 8, seed=7).float() / 255

    def errors() -> list[float]:
        """Compute them as the codec does, with rounded latents."""
        trainer.model.eval()
        with torch.no_grad():
            outputs = [trainer.model(x, width) for width in trainer.model.widths]
        return [float((out["x_hat"] - x).square().mean()) for out in outputs]

    at_first = errors()
    lines = logged(trainer, 40)
    for first, last in zip(at_first, errors(), strict=True):
        assert last < 0.9 * first
    for model in (trainer.model, trainer.averaged):
        for name, value in weights(model).items():
            assert torch.equal(value, before[name]) == (not name.startswith("g_s.")), name
    # no noise: the log tells the rate of the rounded latents, and error times λ
    assert lines[0].loss == pytest.approx(
        sum(
            lmbda * mse + bpp
            for lmbda, (bpp, mse) in zip(trainer.lmbda, lines[0].widths.values(), strict=True)
        ),
        rel=1e-5,
    )


def test_soap_trains_the_kernels_and_adam_the_rest(picture_folder: Path) -> None:
    settings = replace(
        SETTINGS, optimizer="soap", learning_rate=1e-4, entropy_learning_rate=4e-4, decay="none"
    )
    trainer = make(picture_folder, replace(settings, warmup_steps=0))
    before = weights(trainer.model)
    logged(trainer, 1)
    # the first step of SOAP only computes the bases; Adam's is the learning rate
    for name, value in weights(trainer.model).items():
        moved = (value - before[name]).abs().max().item()
        rate = 0.0 if value.ndim == 4 else 4e-4 if "entropy" in name else 1e-4
        assert moved == pytest.approx(rate, rel=0.02) or moved == 0, name
    logged(trainer, 2)
    for name, value in weights(trainer.model).items():
        if value.ndim == 4:  # every coordinate in the bases moves by at most the learning rate
            moved = (value - before[name]).square().mean().sqrt().item()
            assert 0 < moved <= 1e-4 * 1.001, name


def test_lmbda_can_be_changed_between_runs(picture_folder: Path) -> None:
    trainer = make(picture_folder)
    assert trainer.lmbda == (100.0, 50.0)
    trainer.lmbda = (50.0, 25.0)
    (halved,) = logged(trainer, 1)
    (full,) = logged(make(picture_folder), 1)
    bpp = sum(rate for rate, _ in full.widths.values())
    assert halved.loss - bpp == pytest.approx((full.loss - bpp) / 2, rel=1e-4)


def test_lmbda_keeps_the_digits_it_was_given(picture_folder: Path) -> None:
    trainer = make(picture_folder)
    trainer.lmbda = (819.2, 0.1)
    assert trainer.lmbda == (819.2, 0.1)


def test_compiling_does_not_depend_on_where_a_run_was_stopped(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled and eager steps differ in noise and last digits: resume would not be exact."""
    compiled: list[bool] = []

    def fake_compile(forward: Callable[..., Any]) -> Callable[..., Any]:
        compiled.append(True)
        return forward

    monkeypatch.setattr(torch, "compile", fake_compile)
    monkeypatch.setattr(trainer_module, "COMPILE_PAYS_AFTER", 5)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/c++")
    trainer = make(picture_folder)
    trainer.run(
        6, on_log=lambda _: None, should_pause=lambda: trainer.step == 3, on_pause=lambda: False
    )
    assert compiled == [True]
    trainer.run(6, on_log=lambda _: None)  # goes on
    assert compiled == [True, True]


@pytest.mark.parametrize(
    ("setting", "architecture", "steps", "expected"),
    [
        ("on", "slimcae", 1, 1),
        ("off", "slimcae", 6, 0),
        ("auto", "slimcae", 6, 1),
        ("auto", "slimcae", 4, 0),
        ("auto", "light", 6, 0),
        ("on", "light", 1, 1),
    ],
)
def test_compile_is_a_choice(
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: Any,
    architecture: ArchitectureName,
    steps: int,
    expected: int,
) -> None:
    calls: list[Any] = []

    def fake_compile(forward: Callable[..., Any]) -> Callable[..., Any]:
        calls.append(forward)
        return forward

    monkeypatch.setattr(torch, "compile", fake_compile)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/c++")
    monkeypatch.setattr(trainer_module, "COMPILE_PAYS_AFTER", 5)
    settings = replace(SETTINGS, compile=setting, last_step=steps)
    logged(make(picture_folder, settings, architecture=architecture), steps)
    assert len(calls) == expected


def test_without_a_compiler_training_goes_on_with_a_notice(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with caplog.at_level(logging.INFO):
        assert len(logged(make(picture_folder, replace(SETTINGS, compile="on")), 2)) == 2
    assert "without torch.compile: there is no C++ compiler" in caplog.text


def test_processes_share_a_batch_evenly_or_not_at_all() -> None:
    shares = [Process(rank, 3).share(6) for rank in range(3)]
    assert [i for share in shares for i in range(6)[share]] == list(range(6))
    with pytest.raises(ConfigError, match="batchsize 8: must be a multiple of 3"):
        Process(0, 3).share(8)
