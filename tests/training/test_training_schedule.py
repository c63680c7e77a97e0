import csv
import math
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import smooth_pixels
from slimcae.errors import ConfigError, ModelError, TrainingError
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.model.file import read_model, write_model
from slimcae.networks.conversion import load_network, save_network
from slimcae.networks.hyperprior import Hyperpriors
from slimcae.networks.hyperprior_conversion import hyperprior_tensors, hyperpriors_of
from slimcae.networks.slimcae import SlimCAE
from slimcae.training import schedule as module
from slimcae.training.measure import Point, measure
from slimcae.training.run_folder import RunLog, load_state
from slimcae.training.schedule import Schedule, slope, train_lambda_schedule
from slimcae.training.settings import ScheduleSettings, TrainSettings
from slimcae.training.stats import StepLog

SETTINGS = TrainSettings(
    patchsize=32, batchsize=2, warmup_steps=0, log_every=1, cache_gb=1.0, precision="float32"
)
TWO_TRIES = ScheduleSettings(kappa=0.5, schedule_steps=2, max_tries=2)


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(bpp, psnr) for bpp, psnr in pairs]


def test_slope_is_db_per_bpp_to_the_next_narrower_width() -> None:
    found = points((2.0, 36.0), (1.5, 34.0), (0.5, 33.0))
    assert slope(found, 0) == 4.0
    assert slope(found, 1) == 1.0
    assert slope(points((1.0, 34.0), (1.0, 33.0)), 0) == math.inf


def play(
    schedule: Schedule, start: Sequence[Point], outcomes: Sequence[Sequence[Point]]
) -> list[tuple[float, ...]]:
    """Run the rule on predefined outcomes; return every proposed λ list, in order."""
    schedule.start(start)
    lists = []
    for outcome in outcomes:
        proposal = schedule.propose()
        assert proposal is not None
        lists.append(proposal)
        schedule.record(proposal, outcome)
    assert schedule.propose() is None, "more tries than outcomes were foreseen"
    return lists


def test_the_rule_against_a_sequence_by_hand() -> None:
    """Lower all narrower λ while the slope falls; when it rises, continue with the next width."""
    schedule = Schedule(ScheduleSettings(kappa=0.5), (64.0, 64.0, 64.0))
    start = points((2.0, 36.0), (1.8, 35.0), (1.7, 34.0))  # slopes 5, 10
    lists = play(
        schedule,
        start,
        [
            points((2.0, 36.0), (1.5, 34.0), (1.4, 33.0)),  # slope 0: 4 < 5, goes on
            points((2.0, 36.0), (1.0, 33.0), (0.9, 32.0)),  # 3 < 4, goes on
            points((2.0, 36.0), (1.0, 32.5), (0.9, 30.5)),  # 3.5 > 3: next; slope 1 is 20
            points((2.0, 36.0), (1.0, 32.5), (0.8, 30.5)),  # slope 1: 10 < 20, goes on
            points((2.0, 36.0), (1.0, 32.5), (0.8, 30.5)),  # 10 is not above 10: goes on
            points((2.0, 36.0), (1.0, 32.5), (0.9, 30.5)),  # 20 > 10: the end
        ],
    )
    assert lists == [(64, 32, 32), (64, 16, 16), (64, 8, 8), (64, 8, 4), (64, 8, 2), (64, 8, 1)]
    assert schedule.lmbda == (64.0, 8.0, 1.0)
    assert [(t.width_index, t.number) for t in schedule.tries] == [
        (-1, 0), (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2),
    ]  # fmt: skip
    assert [t.slope for t in schedule.tries] == pytest.approx([5, 4, 3, 3.5, 10, 10, 20])
    assert [t.target for t in schedule.tries] == pytest.approx([5, 5, 4, 3, 20, 10, 10])


def test_a_width_gets_at_most_so_many_tries() -> None:
    falling = [points((2.0, 30 + 6 / k), (1.0, 30.0), (0.5, 29.0)) for k in range(1, 9)]
    rising = points((2.0, 31.0), (1.0, 30.0), (0.9, 29.0))
    schedule = Schedule(ScheduleSettings(), (4000.0, 4000.0, 4000.0))
    lists = play(schedule, falling[0], [*falling[1:8], rising])
    assert len(lists) == 8  # seven, then the second width's one
    assert lists[6] == pytest.approx((4000, 4000 * 0.8**7, 4000 * 0.8**7))
    assert lists[7] == pytest.approx((4000, 4000 * 0.8**7, 4000 * 0.8**8))


def test_a_slope_that_rises_at_once_ends_with_one_try_per_width() -> None:
    worse = points((2.0, 38.0), (1.0, 30.0), (0.9, 28.0), (0.89, 27.0))
    schedule = Schedule(ScheduleSettings(kappa=0.5), (8.0,) * 4)
    start = points((2.0, 31.0), (1.0, 30.0), (0.5, 29.0), (0.2, 28.0))
    steeper = points((2.0, 38.0), (1.0, 30.0), (0.95, 28.0), (0.94, 27.0))
    steepest = points((2.0, 38.0), (1.0, 30.0), (0.95, 28.0), (0.945, 27.0))
    assert play(schedule, start, [worse, steeper, steepest]) == [
        (8, 4, 4, 4), (8, 4, 2, 2), (8, 4, 2, 1),
    ]  # fmt: skip


def test_one_width_needs_no_schedule() -> None:
    schedule = Schedule(ScheduleSettings(), (8.0,))
    schedule.start(points((1.0, 30.0)))
    assert schedule.propose() is None


def test_decisions_survive_storage(tmp_path: Path) -> None:
    settings = ScheduleSettings(kappa=0.5)
    schedule = Schedule(settings, (8.0, 8.0, 8.0))
    schedule.start(points((2.0, 36.0), (1.8, 35.0), (1.7, 34.0)))
    schedule.record((8.0, 4.0, 4.0), points((2.0, 36.0), (1.5, 34.0), (1.4, 33.0)))
    torch.save(schedule.as_dict(), tmp_path / "s")
    again = Schedule.from_dict(settings, torch.load(tmp_path / "s", weights_only=True))
    assert again == schedule
    assert again.propose() == (8, 2, 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kappa": 0.0}, "^kappa 0"),
        ({"kappa": 1.0}, "^kappa 1"),
        ({"kappa": math.nan}, "^kappa nan"),
        ({"schedule_steps": 0}, "^schedule_steps 0"),
        ({"max_tries": 0}, "^max_tries 0"),
    ],
)
def test_settings_that_cannot_work(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ScheduleSettings(**values)


@pytest.fixture(autouse=True)
def _no_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take longer than everything else here."""
    if "start_to_end" not in request.node.name:
        monkeypatch.setattr(module, "plot_tries", lambda *_: None)


@cache
def model_file(widths: tuple[int, ...]) -> bytes:
    torch.manual_seed(0)
    info = ModelInfo("start", "9", (400.0,) * len(widths))
    with TemporaryDirectory() as folder:
        save_network(Path(folder) / "model", SlimCAE(SlimCAEConfig(widths)), info)
        return (Path(folder) / "model").read_bytes()


def model_folder(folder: Path, widths: tuple[int, ...] = (6, 4, 2)) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(model_file(widths))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "run")


def run(
    folder: Path,
    pictures: Path,
    lmbda: tuple[float, ...] | None = None,
    settings: TrainSettings = SETTINGS,
    valid: Sequence[Path] | None = None,
) -> int | None:
    paths = sorted(pictures.iterdir())
    return train_lambda_schedule(
        folder, paths, valid or paths[:2], lmbda, settings, TWO_TRIES, "cpu"
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "schedule.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_schedule_from_start_to_end(folder: Path, picture_folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    assert run(folder, picture_folder) is None
    assert (folder / "model.safetensors").read_bytes() == before, "the model is left as it is"
    found = rows(folder)
    names = [f"{kind}_{w}" for kind in ("lambda", "bpp", "psnr") for w in (6, 4, 2)]
    assert list(found[0]) == ["width", "try", *names, "slope", "slope_target"]
    assert (found[0]["width"], found[0]["try"]) == ("", "0")
    tried = [(row["width"], row["try"]) for row in found[1:]]
    assert tried[0] == ("6", "1")
    assert ("4", "1") in tried
    assert tried == sorted(set(tried), key=lambda pair: (-int(pair[0]), pair[1]))
    assert {number for _, number in tried} <= {"1", "2"}
    lmbda = [400.0, 400.0, 400.0]
    for row in found:
        for k in range(3):  # every narrower λ is halved, try by try
            if row["width"] and k > (6, 4, 2).index(int(row["width"])):
                lmbda[k] /= 2
        assert [float(row[f"lambda_{w}"]) for w in (6, 4, 2)] == lmbda
        wide, narrow = ("6", "4") if row["width"] in ("", "6") else ("4", "2")
        gain = float(row[f"psnr_{wide}"]) - float(row[f"psnr_{narrow}"])
        cost = float(row[f"bpp_{wide}"]) - float(row[f"bpp_{narrow}"])
        assert float(row["slope"]) == pytest.approx(gain / cost)
    model = read_model(folder / "model_scheduled.safetensors")
    assert model.info.lmbda == tuple(lmbda)
    assert model.config == SlimCAEConfig((6, 4, 2))
    assert int(model.info.version) == 2 * len(tried)
    name = "g_a.conv1.weight"
    start = read_model(folder / "model.safetensors")
    assert not np.array_equal(model.tensors[name], start.tensors[name])
    with Image.open(folder / "schedule.png") as plot:
        assert min(plot.size) > 200
    left = {path.name for path in folder.iterdir()} - {"tensorboard", ".lock"}
    assert left == {"model.safetensors", "model_scheduled.safetensors", "schedule.csv",
                    "schedule.png", "schedule.jsonl"}  # fmt: skip


def test_points_are_measured_on_the_validation_pictures(folder: Path, picture_folder: Path) -> None:
    valid = sorted(picture_folder.iterdir())[2:]
    run(folder, picture_folder, valid=valid)
    network = load_network(folder / "model.safetensors")
    images = [torch.from_numpy(np.array(Image.open(p))).permute(2, 0, 1) for p in valid]
    expected = measure(network, images, 4)
    first = rows(folder)[0]
    assert float(first["bpp_4"]) == pytest.approx(expected.bpp, rel=1e-5)
    assert float(first["psnr_4"]) == pytest.approx(expected.psnr, rel=1e-5)


def test_a_hyperprior_tells_the_rate_and_trains_on(folder: Path, picture_folder: Path) -> None:
    """Compute its bits from its two parts, on pictures whose sides are multiples of a latent."""
    start = read_model(folder / "model.safetensors")
    torch.manual_seed(1)
    hyperpriors = Hyperpriors.of_config(start.config).eval()
    hyperprior = hyperpriors.by_point[6]
    with torch.no_grad():
        hyperprior.layer("h_s.3").weight.normal_(std=0.1)
    tensors = hyperprior_tensors(hyperpriors)
    write_model(folder / "model.safetensors", replace(start, training_tensors=tensors))
    valid = [folder / "valid.png"]
    Image.fromarray(smooth_pixels(64, 48, 2)).save(valid[0])
    run(folder, picture_folder, valid=valid)
    network = load_network(folder / "model.safetensors")
    x = torch.from_numpy(smooth_pixels(64, 48, 2)).permute(2, 0, 1)[None].float() / 255
    for width in (6, 4, 2):
        with torch.no_grad():
            y_hat = network(x, width)["y_hat"]
            known = y_hat - network.entropy_bottleneck(width).medians[:, None, None]
            bits = sum(float(part.sum()) for part in hyperprior(known, width, 1.0).values())
        assert float(rows(folder)[0][f"bpp_{width}"]) == pytest.approx(bits / (64 * 48), rel=1e-5)
    found = hyperpriors_of(read_model(folder / "model_scheduled.safetensors"))
    assert found is not None
    for name, tensor in found.state_dict().items():
        if name.endswith("weight"):
            assert not np.array_equal(tensor, hyperpriors.state_dict()[name]), name


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    write = RunLog.step

    def interrupting(self: RunLog, line: StepLog) -> None:
        write(self, line)
        if line.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunLog, "step", interrupting)


@pytest.mark.parametrize("step", [2, 3])
def test_an_interrupted_schedule_goes_on_exactly(
    tmp_path: Path, folder: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Signals in the last step of a try, and within the second try."""
    (tmp_path / "whole").mkdir()
    whole = model_folder(tmp_path / "whole" / "run")
    run(whole, picture_folder)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        assert run(folder, picture_folder) == signal.SIGTERM
    stopped_at = load_state(folder / "schedule_state.pt")["trainer"]["step"]
    assert stopped_at >= step, "what was trained is kept"
    assert not (folder / "model_scheduled.safetensors").exists()
    assert run(folder, picture_folder) is None
    for name in ("schedule.csv", "model_scheduled.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_lmbda_is_where_to_begin_and_never_a_contradiction(
    folder: Path, picture_folder: Path
) -> None:
    run(folder, picture_folder, (819.2, 100.1, 50.0))
    first, second = rows(folder)[:2]
    assert [float(first[f"lambda_{w}"]) for w in (6, 4, 2)] == [819.2, 100.1, 50.0]
    assert [float(second[f"lambda_{w}"]) for w in (6, 4, 2)] == [819.2, 50.05, 25.0]
    assert read_model(folder / "model_scheduled.safetensors").info.lmbda == tuple(
        float(rows(folder)[-1][f"lambda_{w}"]) for w in (6, 4, 2)
    )


def test_another_list_than_that_of_a_stopped_schedule_is_named(
    folder: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        run(folder, picture_folder, (300.1, 300.1, 300.1))
    with pytest.raises(ModelError, match=r"300\.1 300\.1 300\.1.*9 9 9") as caught:
        run(folder, picture_folder, (9.0, 9.0, 9.0))
    assert "\n" not in str(caught.value)
    assert run(folder, picture_folder, (300.1, 300.1, 300.1)) is None


def test_a_stopped_schedule_goes_on_without_saying_its_list_again(
    folder: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        run(folder, picture_folder, (300.0, 300.0, 300.0))
    assert run(folder, picture_folder) is None
    assert float(rows(folder)[0]["lambda_6"]) == 300


def test_a_model_of_one_width_is_written_as_it_is(tmp_path: Path, picture_folder: Path) -> None:
    folder = model_folder(tmp_path / "one", (4,))
    assert run(folder, picture_folder) is None
    model, start = (
        read_model(folder / f"{name}.safetensors") for name in ("model_scheduled", "model")
    )
    assert model.info.lmbda == (400.0,)
    assert np.array_equal(model.tensors["g_a.conv1.weight"], start.tensors["g_a.conv1.weight"])


def test_a_folder_without_a_model_is_an_error(tmp_path: Path, picture_folder: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        run(tmp_path, picture_folder)


def test_lists_of_unequal_length_are_refused(folder: Path, picture_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^lmbda .* one λ for each of the"):
        run(folder, picture_folder, (1.0, 2.0))


def test_a_model_that_does_not_know_its_lmbda_needs_a_list(
    tmp_path: Path, picture_folder: Path
) -> None:
    save_network(tmp_path / "model.safetensors", SlimCAE(SlimCAEConfig((4, 2))), ModelInfo())
    with pytest.raises(ConfigError, match="does not say its λ"):
        run(tmp_path, picture_folder)


def test_validation_without_a_usable_picture_is_an_error(
    folder: Path, picture_folder: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(TrainingError, match="none of the 1 validation images"):
        run(folder, picture_folder, valid=[bad])


@pytest.mark.parametrize("size", [(8, 40), (40, 8), (1, 1)])
def test_validation_pictures_below_one_latent_do_no_harm(
    folder: Path, picture_folder: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    tiny = tmp_path / "tiny.png"
    Image.new("RGB", size, (10, 200, 30)).save(tiny)
    run(folder, picture_folder, valid=[tiny, *sorted(picture_folder.iterdir())[:1]])
    assert all(math.isfinite(float(row["bpp_4"])) for row in rows(folder))
    assert all(math.isfinite(float(row["psnr_4"])) for row in rows(folder))


def test_fine_tuning_does_not_decay(folder: Path, picture_folder: Path) -> None:
    settings = replace(SETTINGS, last_step=2, learning_rate=5e-4)
    run(folder, picture_folder, settings=settings)
    text = (folder / "schedule.jsonl").read_text()
    rates = {part.split(",")[0] for part in text.split('"lr": ')[1:]}
    assert rates == {"0.0005"}
