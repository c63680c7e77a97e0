"""Test models as data: the content of a width, without that of other widths or models."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slimcae.errors import ConfigError
from slimcae.model.config import ModelInfo
from slimcae.model.model import Model
from slimcae.model.quality import Point


@pytest.mark.parametrize("width", [5, 0, -12, True, "12", 12.0, None])
def test_an_absent_width_is_named(tiny_model: Model, width: Any) -> None:
    for ask in (tiny_model.check_width, tiny_model.entropy_model):
        with pytest.raises(ConfigError) as caught:
            ask(width)
        assert str(caught.value) == f"this model has no width {width!r}: choose from 12, 8, 4"
    assert [tiny_model.check_width(w) for w in tiny_model.widths] == [12, 8, 4]


def test_each_width_has_an_entropy_model_of_its_channels_and_all_steps(tiny_model: Model) -> None:
    for width in tiny_model.widths:
        entropy_model = tiny_model.entropy_model(width)
        assert entropy_model.num_channels == width == len(tiny_model.medians(width))
        assert entropy_model.num_steps == len(tiny_model.steps)


def test_weights_are_views_of_the_tensors(tiny_model: Model) -> None:
    """A narrow width takes no memory of its own."""
    weights = tiny_model.weights(4)
    kernel = weights["g_s.deconv1.weight"]
    np.testing.assert_array_equal(kernel, tiny_model.tensors["g_s.deconv1.weight"][:4, :4])
    assert np.shares_memory(kernel, tiny_model.tensors["g_s.deconv1.weight"])
    np.testing.assert_array_equal(
        weights["g_a.gdn2.beta"], tiny_model.tensors["g_a.gdn2.norms.4.beta"]
    )


def test_a_variant_knows_nothing_of_the_model_before(tiny_model: Model) -> None:
    before = tiny_model.fingerprint(8)
    assert tiny_model.scale.nominal
    points = tuple((1.0 / (k + 1), 30.0 - k) for k in range(len(tiny_model.steps)))
    info = ModelInfo("other", "2", quality=dict.fromkeys(tiny_model.widths, points))
    tensors = {name: tensor * np.float32(2) for name, tensor in tiny_model.tensors.items()}
    other = replace(tiny_model, info=info, tensors=tensors)
    assert other.fingerprint(8) != before == tiny_model.fingerprint(8)
    assert not other.scale.nominal
    assert other.scale.psnr(Point(8, 1)) == 29.0
    assert tiny_model.scale.nominal


def test_a_name_is_no_part_of_the_fingerprint(tiny_model: Model) -> None:
    renamed = replace(tiny_model, info=ModelInfo("renamed", "3"))
    for width in tiny_model.widths:
        assert renamed.fingerprint(width) == tiny_model.fingerprint(width)
