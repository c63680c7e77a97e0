"""Test that models get more latents without losing what they had."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import random_model
from slimcae.errors import ConfigError
from slimcae.model.config import ArchitectureName, ModelInfo, SlimCAEConfig
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "more_latents.py"))
LMBDA = (100.0, 10.0)


PICTURES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def light(widths: tuple[int, ...] = (192, 48), architecture: ArchitectureName = "light") -> SlimCAE:
    """Return a network whose scales and biases all differ from their initial values."""
    torch.manual_seed(0)
    network = SlimCAE(SlimCAEConfig(widths=widths, architecture=architecture))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("log_scale", "bias")):
                parameter.normal_(std=0.1)
    return network


def test_the_widest_width_stays_and_narrow_ones_get_its_kernels() -> None:
    network = light()
    model = to_model(network, ModelInfo(name="light", version="0", lmbda=LMBDA))
    broad = TOOL["with_more_latents"](model, LMBDA, PICTURES)
    x = torch.rand(1, 3, 32, 48)
    y, more = network.analyse(x, 192), broad.analyse(x, 192)
    torch.testing.assert_close(more, y)
    torch.testing.assert_close(broad.synthesise(y, 192), network.synthesise(y, 192))
    narrow = broad.analyse(x, 48)
    assert narrow.shape == (1, 72, 2, 3)
    # a latent that is new at width 48, with the scale that it has at 192, at the λ of 48
    scales = broad.g_a.scale.log_scale, broad.g_s.scale.log_scale
    wide = network.g_a.scale.log_scale[0, 60]
    torch.testing.assert_close(scales[0][1, 60], wide + 0.5 * torch.log(torch.tensor(0.1)))
    torch.testing.assert_close((scales[0] + scales[1])[1, 48:72].exp(), torch.full((24,), 0.2))
    # rounding steps follow λ
    finer = TOOL["with_more_latents"](model, (400.0, 10.0), PICTURES)
    torch.testing.assert_close(finer.analyse(x, 192), 2 * y)
    torch.testing.assert_close(finer.synthesise(2 * y, 192), network.synthesise(y, 192))


def test_the_widest_width_gets_components_and_pictures_stay() -> None:
    network = light(architecture="broad")
    model = to_model(network, ModelInfo(name="broad", version="0", lmbda=LMBDA))
    broader = TOOL["with_more_latents"](model, LMBDA, PICTURES)
    y, more = network.analyse(PICTURES, 192), broader.analyse(PICTURES, 192)
    assert more.shape == (2, 288, 4, 6)
    torch.testing.assert_close(more[:, :192], y)
    torch.testing.assert_close(broader.synthesise(more, 192), network.synthesise(y, 192))
    # width 48 had its 72 latents before
    torch.testing.assert_close(broader.analyse(PICTURES, 48), network.analyse(PICTURES, 48))
    before = network.g_a.scale.log_scale[0]
    scales = broader.g_a.scale.log_scale[0], broader.g_s.scale.log_scale[0]
    torch.testing.assert_close(scales[0][192:], (before.median() - 1).expand(96))
    torch.testing.assert_close(scales[1][192:], -scales[0][192:])


def test_components_explain_most_of_what_the_latents_leave() -> None:
    network = light((16, 8))
    found: list[torch.Tensor] = []
    network.g_a.down3.register_forward_pre_hook(lambda _, x: found.append(x[0]))
    components = TOOL["unexplained"](network, PICTURES).double()
    rows = found[0].detach().movedim(1, -1).flatten(0, -2).double()
    rows = rows - rows.mean(dim=0)
    assert rows.shape == (48, 32)
    kernel = network.g_a.down3.weight.detach()[:, :, 0, 0].double()

    def error(more: torch.Tensor) -> float:
        known = rows @ torch.cat([kernel, more]).T
        return float((rows - known @ torch.linalg.lstsq(known, rows).solution).square().sum())

    least = error(components[:4])
    assert least < error(torch.zeros(0, 32))
    for seed in range(20):
        others = torch.randn(4, 32, generator=torch.Generator().manual_seed(seed)).double()
        assert least < error(others)
    # 16 latents leave 16 dimensions
    assert error(components[:16]) < 1e-9 * error(components[:15])


def test_models_that_cannot_become_broad_are_refused() -> None:
    with pytest.raises(ConfigError, match="architecture light"):
        TOOL["with_more_latents"](random_model(), LMBDA, PICTURES)
    small = to_model(light((24, 8)), ModelInfo(name="light", version="0", lmbda=LMBDA))
    with pytest.raises(ConfigError, match="width 24 needs kernels"):
        TOOL["with_more_latents"](small, LMBDA, PICTURES)
    untrained = replace(small, info=replace(small.info, lmbda=None))
    with pytest.raises(ConfigError, match="trained"):
        TOOL["with_more_latents"](untrained, LMBDA, PICTURES)
    for lmbda in ((100.0,), (100.0, 0.0), (100.0, 10.0, 1.0)):
        with pytest.raises(ConfigError, match="each of 2 widths"):
            TOOL["with_more_latents"](small, lmbda, PICTURES)


@pytest.mark.parametrize("words", [["absent.safetensors"], [__file__]])
def test_wrong_files_give_one_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["more_latents", *words, "start.safetensors", "--train_glob", "absent", "--lmbda", "1"]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit, match=r"^more_latents: .*(no model file|not a slimcae model)"):
        TOOL["main"]()
