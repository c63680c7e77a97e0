"""Hyperpriors of models whose operating points share another thing than kernels, or nothing."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import smooth_pixels
from method_networks import LMBDA, WIDTHS, coding
from reference_decoder import decode_file, decode_planes
from reference_model import Model as SlowModel
from slimcae.codec import Codec
from slimcae.errors import ConfigError
from slimcae.model.config import Method, SlimCAEConfig
from slimcae.model.file import read_model, write_model
from slimcae.networks.hyperprior import Hyperprior, Hyperpriors
from slimcae.networks.hyperprior_conversion import hyperprior_tensors, hyperpriors_of
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.data import TrainingImages
from slimcae.training.fitting import fit
from slimcae.training.run import Start, train
from slimcae.training.settings import TrainSettings
from slimcae.training.trainer import Trainer
from slimcae.transforms import open_transforms

CPU = torch.device("cpu")
SETTINGS = TrainSettings(
    patchsize=32, batchsize=2, last_step=4, warmup_steps=1, log_every=1, precision="float32",
    entropy_model="hyperprior", decay="power",
)  # fmt: skip
WITH_HYPERPRIOR: tuple[Method, ...] = ("independent", "modulated")


def random_hyperpriors(method: Method) -> Hyperpriors:
    """Some whose side information changes what follows, of three points."""
    torch.manual_seed(5)
    found = Hyperpriors.of_config(SlimCAEConfig(WIDTHS[method], method=method))
    with torch.no_grad():
        for hyperprior in found.by_point.values():
            hyperprior.layer("h_a.3").weight.mul_(3)
            hyperprior.layer("h_s.3").weight.normal_(std=0.1)
            hyperprior.layer("h_s.3").bias.normal_(std=0.5)
    return found.eval()


@pytest.mark.parametrize("method", WITH_HYPERPRIOR)
def test_points_of_one_width_share_what_their_transforms_do(method: Method) -> None:
    """Nothing, or kernels alone: what a point's rate changes, by its gradients."""
    hyperpriors = random_hyperpriors(method).train()
    y = 5 * torch.randn(1, 12, 8, 8)
    hyperpriors.bits(y, y, 2, torch.tensor(0.7)).backward()  # type: ignore[no-untyped-call]
    reached = {n for n, p in hyperpriors.named_parameters() if p.grad is not None and p.grad.any()}
    if method == "independent":
        assert reached == {f"2.{name}" for name, _ in hyperpriors.by_point[2].named_parameters()}
        return
    densities = {name for name in reached if ".bottlenecks." in name}
    assert densities and all(name.startswith("3.bottlenecks.2.") for name in densities)
    for name in ("h_a.1", "h_a.3", "h_s.1", "h_s.3"):
        layer = hyperpriors.by_point[2].layer(name)
        assert layer.weight.grad is not None and layer.weight.grad.any()
        assert layer.bias.grad is not None
        assert [bool(row.any()) for row in layer.bias.grad] == [False, True, False]


def test_independent_hyperpriors_train_as_each_would_alone(picture_folder: Path) -> None:
    """Gradients are clipped apart; the first network even sees the same noise."""
    network, together = deepcopy(coding("independent")[0]), random_hyperpriors("independent")
    together.train()
    alone = SlimCAE(SlimCAEConfig((12,)))
    alone.load_state_dict(network.pairs[0][0].state_dict(), strict=False)
    alone.entropy_bottleneck(12).load_state_dict(network.entropy_bottleneck(3).state_dict())
    own = Hyperpriors.of_config(alone.config)
    state = together.by_point[3].state_dict()
    names = {name: name.replace("bottlenecks.3.", "bottlenecks.12.") for name in state}
    own.by_point[12].load_state_dict({names[name]: tensor for name, tensor in state.items()})
    images = TrainingImages(sorted(picture_folder.iterdir()), CPU, cache_gb=1)
    settings = replace(SETTINGS, clip_norm=0.01)  # clips always
    before = {name: tensor.clone() for name, tensor in state.items()}
    Trainer(network, LMBDA, settings, images, rates=together).run(3, on_log=lambda line: None)
    Trainer(alone, LMBDA[:1], settings, images, rates=own).run(3, on_log=lambda line: None)
    expected = own.by_point[12].state_dict()
    for name, tensor in together.by_point[3].state_dict().items():
        torch.testing.assert_close(tensor, expected[names[name]], rtol=1e-5, atol=1e-7)
        trains = name.split(".")[-1] in ("weight", "bias") and not name.startswith("bottlenecks")
        assert not trains or not torch.equal(tensor, before[name]), name
    of_transforms = alone.state_dict()
    for name, tensor in network.pairs[0][0].state_dict().items():
        torch.testing.assert_close(tensor, of_transforms[name], rtol=1e-5, atol=1e-7)


def test_a_run_of_independent_models_resumes_exactly(tmp_path: Path, picture_folder: Path) -> None:
    paths = sorted(picture_folder.iterdir())
    start = Start((4,), lmbda=(400.0, 100.0), warm_start=False, method="independent")
    whole, halves = tmp_path / "whole" / "run", tmp_path / "halves" / "run"
    train(whole, paths, start, SETTINGS, "cpu")
    train(halves, paths, start, replace(SETTINGS, last_step=2), "cpu")
    train(halves, paths, start, SETTINGS, "cpu")
    assert (halves / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    hyperpriors = hyperpriors_of(read_model(whole))
    assert hyperpriors is not None
    best, other = hyperpriors.by_point[2], hyperpriors.by_point[1]
    assert (best.channels, other.channels) == ({2: 4}, {1: 4})
    for name in ("h_a.1", "h_s.2"):
        assert not torch.equal(best.layer(name).weight, other.layer(name).weight)


@pytest.mark.parametrize("method", WITH_HYPERPRIOR)
def test_files_of_every_point_come_back(method: Method, tmp_path: Path) -> None:
    """Real bytes against the estimate, symbols against the slow decoder of docs/format.md."""
    hyperpriors = random_hyperpriors(method)
    model = replace(coding(method)[1], training_tensors=hyperprior_tensors(hyperpriors))
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        Image.fromarray(smooth_pixels(64, 96, seed)).save(path)
    transforms = open_transforms(model, precision="float32")
    found = fit(model, transforms, paths[:2], paths[2:], kind="hyperprior")
    assert found.rounding.keys() == {3, 2, 1}
    path = tmp_path / "model.safetensors"
    write_model(path, replace(model, entropy_models=found.entropy_models))
    codec, slow = Codec(read_model(path), precision="float32"), SlowModel(path.read_bytes())
    pixels = smooth_pixels(70, 90, 9)
    coded = set()
    for point in codec.points:
        data = codec.compress(pixels, point=point, step=1, verify=True)
        estimate = codec.ideal_bits(pixels, point, 1) / 8
        assert abs(len(data) - estimate) <= 0.01 * estimate + 64
        file, known = decode_file(data), slow.point(point)
        assert file.kind == "hyperprior"
        assert file.fingerprint == known.fingerprint(model.filters(point))
        symbols = codec.read_symbols(data)
        planes = decode_planes(file, known.entropy_model(file.num_filters, 1, file.kind))
        np.testing.assert_array_equal(planes, symbols)
        # z by the point's own network, in floating point
        hyperprior = hyperpriors.by_point[point]
        assert isinstance(hyperprior, Hyperprior)
        entropy_model = codec.model.entropy_model(point)
        z = entropy_model.side_information(symbols, 1)  # type: ignore[attr-defined]
        delta = torch.tensor(model.steps[1])
        with torch.no_grad():
            known_y = torch.from_numpy(symbols.astype(np.float32))[None] * delta
            real = hyperprior.analyse(known_y, point, delta)[0].numpy()
        assert np.corrcoef(z.ravel(), real.ravel())[0, 1] > 0.98
        coded.add(z.tobytes())
    assert len(coded) == 3


def test_a_kind_that_a_point_lacks_is_refused() -> None:
    model = coding("independent")[1]
    transforms = open_transforms(model, precision="float32")
    with pytest.raises(
        ConfigError,
        match=r"entropy_model hyperprior: point 3 .λ 400. of .* has factorized, tables$",
    ):
        fit(model, transforms, [], [Path("photo.png")], kind="hyperprior")
