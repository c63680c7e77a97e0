"""Test that a light model becomes one of `broad` without losing what it had."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import random_model
from slimcae.errors import ConfigError
from slimcae.model.config import ModelInfo, SlimCAEConfig
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "more_latents.py"))
LMBDA = (100.0, 10.0)


def light(widths: tuple[int, ...] = (192, 48)) -> SlimCAE:
    """Return a network whose scales and biases all differ from their initial values."""
    torch.manual_seed(0)
    network = SlimCAE(SlimCAEConfig(widths=widths, architecture="light"))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("log_scale", "bias")):
                parameter.normal_(std=0.1)
    return network


def test_the_widest_width_stays_and_narrow_ones_get_its_kernels() -> None:
    network = light()
    model = to_model(network, ModelInfo(name="light", version="0", lmbda=LMBDA))
    broad = TOOL["broadened"](model, LMBDA)
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
    finer = TOOL["broadened"](model, (400.0, 10.0))
    torch.testing.assert_close(finer.analyse(x, 192), 2 * y)
    torch.testing.assert_close(finer.synthesise(2 * y, 192), network.synthesise(y, 192))


def test_models_that_cannot_become_broad_are_refused() -> None:
    with pytest.raises(ConfigError, match="architecture light"):
        TOOL["broadened"](random_model(), LMBDA)
    small = to_model(light((24, 8)), ModelInfo(name="light", version="0", lmbda=LMBDA))
    with pytest.raises(ConfigError, match="width 24 needs kernels"):
        TOOL["broadened"](small, LMBDA)
    untrained = replace(small, info=replace(small.info, lmbda=None))
    with pytest.raises(ConfigError, match="trained"):
        TOOL["broadened"](untrained, LMBDA)
