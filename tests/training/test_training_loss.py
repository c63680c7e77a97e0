import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimcae.errors import ConfigError
from slimcae.model.architecture import slimcae
from slimcae.model.config import SlimCAEConfig
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.loss import RateDistortionLoss, bits_per_pixel, border_error
from slimcae.training.measure import measure
from slimcae.training.settings import TrainSettings, check_lmbda
from slimcae.training.stats import Stats


class FakeModel(nn.Module):
    """Return reconstructions and likelihoods that can be added up by hand."""

    widths = points = (4, 2)
    config = SlimCAEConfig(widths)
    architecture = slimcae(config)

    def forward(self, x: Tensor, width: int, step: float) -> dict[str, Tensor]:
        if width == 4:  # off by 0.1 everywhere; 2 images · 2 latents at 1/4: 8 bits
            return {"x_hat": x + 0.1, "likelihoods": torch.full((2, 2, 1, 1), 0.25)}
        # off by 0.5 in one of three colours; 2 images · 1 latent at 1/2: 2 bits
        x_hat = x + torch.tensor([0.5, 0, 0])[:, None, None]
        return {"x_hat": x_hat, "likelihoods": torch.full((2, 1, 1, 1), 0.5)}


def fake_loss(lmbda: Sequence[float]) -> RateDistortionLoss:
    model: Any = FakeModel()
    return RateDistortionLoss(model, lmbda)


def test_one_loss_by_hand() -> None:
    x = torch.full((2, 3, 16, 16), 0.5)
    total, measured = fake_loss((2048, 128))(x, (4, 2))
    # width 4: 2048 · 0.01 + 8 bits / 512 pixels; width 2: 128 · 0.25 / 3 + 2 bits / 512 pixels
    assert total.item() == pytest.approx(20.48 + 0.015625 + 10.6666667 + 0.00390625, rel=1e-6)
    expected = torch.tensor([[0.015625, 0.01], [0.00390625, 0.0833333]])
    torch.testing.assert_close(measured, expected)
    assert not measured.requires_grad


def test_the_sum_of_logarithms_by_hand() -> None:
    """Use the costs of `test_one_loss_by_hand`; gradients are those of the costs over the costs."""
    x = torch.full((2, 3, 16, 16), 0.5)
    model: Any = FakeModel()
    total, _ = RateDistortionLoss(model, (2048, 128), balance="log")(x, (4, 2))
    assert total.item() == pytest.approx(
        math.log(20.48 + 0.015625) + math.log(10.6705729), rel=1e-6
    )


def test_border_error_by_hand() -> None:
    """A picture of 4 × 6 in blocks of 2: steps of 1 and 3 between columns, of 2 between rows."""
    error = torch.zeros(1, 1, 4, 6)
    error[..., 2:4] = 1
    error[..., 4:] = 4
    error[:, :, 2:] += 2
    error[:, :, 1, 0] -= 5  # the first number of the third row is 7 above, at this border only
    found = border_error(error, 2)
    assert found.item() == pytest.approx((4 * 1 + 4 * 9 + 5 * 4 + 49) / 24)
    assert border_error(error, 4).item() == pytest.approx(4 * 9 / 24)


def test_the_border_error_counts_beside_the_mse(tiny_network: SlimCAE) -> None:
    tiny_network.eval()
    x, lmbda = torch.rand(1, 3, 32, 48), (300.0, 200.0, 100.0)
    plain, measured = RateDistortionLoss(tiny_network, lmbda)(x, (8,))
    found, same = RateDistortionLoss(tiny_network, lmbda, border_weight=0.5)(x, (8,))
    error = (tiny_network(x, 8)["x_hat"] - x).detach()
    columns = (error[..., 16::16] - error[..., 15:-1:16]).square().sum()
    rows = (error[:, :, 16::16] - error[:, :, 15:-1:16]).square().sum()
    expected = plain + 200 * 0.5 * (columns + rows) / error.numel()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(same, measured)


def test_lmbda_belongs_to_its_width_whatever_the_order() -> None:
    x = torch.full((2, 3, 16, 16), 0.5)
    loss = fake_loss((2048, 128))
    assert loss(x, (2,))[0].item() == pytest.approx(128 * 0.25 / 3 + 2 / 512, rel=1e-6)
    assert loss(x, (2, 4))[0].item() == pytest.approx(loss(x, (4, 2))[0].item())


def test_lmbda_2048_is_0_0315_on_the_scale_of_8_bit_values() -> None:
    x = torch.rand(2, 3, 16, 16)
    mse_8_bit = float((255 * (x + 0.1) - 255 * x).square().mean())
    distortion = fake_loss((2048, 1))(x, (4,))[0].item() - 8 / 512
    assert distortion / mse_8_bit == pytest.approx(0.0315, rel=1e-3)


def test_rate_counts_the_pixels_of_the_whole_batch() -> None:
    likelihoods = torch.full((4, 3, 2, 2), 2.0**-5)
    bpp = bits_per_pixel(likelihoods, 4 * 32 * 32)
    assert bpp.item() == pytest.approx(5 * 4 * 3 * 2 * 2 / (4 * 32 * 32))


def test_loss_of_the_model_is_that_of_its_outputs(tiny_network: SlimCAE) -> None:
    tiny_network.eval()
    x, lmbda = torch.rand(2, 3, 32, 48), (300.0, 200.0, 100.0)
    total, measured = RateDistortionLoss(tiny_network, lmbda)(x, tiny_network.widths)
    expected = 0.0
    for factor, width, (bpp, mse) in zip(lmbda, (12, 8, 4), measured.tolist(), strict=True):
        out = {
            name: value.detach().double().numpy() for name, value in tiny_network(x, width).items()
        }
        assert bpp == pytest.approx(-np.log2(out["likelihoods"]).sum() / (2 * 32 * 48), rel=1e-5)
        assert mse == pytest.approx(np.mean((out["x_hat"] - x.numpy()) ** 2), rel=1e-5)
        expected += factor * mse + bpp
    assert total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("widths", [(12, 8, 4), (12, 4), (8,)])
def test_gradients_are_those_of_one_width_after_the_other(
    tiny_network: SlimCAE, widths: tuple[int, ...]
) -> None:
    tiny_network.train()
    x, lmbda = torch.rand(2, 3, 32, 48), {12: 300.0, 8: 200.0, 4: 100.0}
    torch.manual_seed(3)
    RateDistortionLoss(tiny_network, tuple(lmbda.values()))(x, widths)[0].backward()
    found = [p.grad for p in tiny_network.parameters()]
    tiny_network.zero_grad()
    torch.manual_seed(3)
    for width in widths:
        out = tiny_network(x, width)
        mse = (out["x_hat"] - x).square().mean()
        rate = -out["likelihoods"].log2().sum() / (2 * 32 * 48)
        (lmbda[width] * mse + rate).backward()
    for grad, p in zip(found, tiny_network.parameters(), strict=True):
        if p.grad is None:
            assert grad is None
        else:
            assert grad is not None
            torch.testing.assert_close(grad, p.grad, rtol=1e-4, atol=1e-4 * float(p.grad.norm()))


def test_loss_stays_float32_under_autocast(tiny_network: SlimCAE) -> None:
    loss = RateDistortionLoss(tiny_network, (300.0, 200.0, 100.0))
    x = torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        total, measured = loss(x, (12, 4))
    assert total.dtype == measured.dtype == torch.float32
    total.backward()
    gradients = [p.grad for p in tiny_network.parameters() if p.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_lmbda_is_no_weight_of_the_model(tiny_network: SlimCAE) -> None:
    loss = RateDistortionLoss(tiny_network, (3.0, 2.0, 1.0))
    assert not any("lmbda" in name for name in loss.state_dict())


def test_measure_equals_a_plain_computation(tiny_network: SlimCAE) -> None:
    tiny_network.train()
    rng = np.random.default_rng(0)
    images = [
        torch.from_numpy(rng.integers(0, 256, s, np.uint8)) for s in [(3, 35, 50), (3, 16, 16)]
    ]
    point = measure(tiny_network, images, 8)
    assert tiny_network.training, "measuring must leave the mode as it was"
    bottleneck = tiny_network.entropy_bottleneck(8)
    rates, qualities = [], []
    for image in images:
        levels = image.numpy().astype(np.float64)
        _, h, w = levels.shape
        padded = np.pad(levels / 255, ((0, 0), (0, -h % 16), (0, -w % 16)), mode="edge")
        with torch.no_grad():
            y = tiny_network.g_a(torch.from_numpy(padded).float()[None], 8)
            medians = bottleneck.quantile(0.0).float()[:, None, None]
            y_hat = torch.round(y - medians) + medians
            bits = -torch.log2(bottleneck.likelihood(y_hat)).double().sum().item()
            x_hat = tiny_network.g_s(y_hat, 8)[0, :, :h, :w].double().numpy()
        error = np.rint(np.clip(x_hat, 0, 1) * 255) - levels
        rates.append(bits / (h * w))
        qualities.append(10 * math.log10(255**2 / np.mean(error**2)))
    assert point.bpp == pytest.approx(np.mean(rates), rel=1e-4)
    assert point.psnr == pytest.approx(np.mean(qualities), abs=1e-3)


def test_measure_of_a_perfect_reconstruction_is_finite(
    tiny_network: SlimCAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = torch.zeros(1, 3, 16, 16)
    monkeypatch.setattr(tiny_network.g_s, "forward", lambda y_hat, width: black)
    assert math.isfinite(measure(tiny_network, [torch.zeros(3, 16, 16, dtype=torch.uint8)], 4).psnr)


def test_cosine_schedule_warms_up_then_falls_to_one_percent() -> None:
    settings = TrainSettings(last_step=1000, warmup_steps=9)
    assert settings.rate_factor(0) == pytest.approx(0.1)
    assert settings.rate_factor(4) == pytest.approx(0.5, rel=1e-3)
    assert settings.rate_factor(500) == pytest.approx(0.01 + 0.99 / 2)
    assert settings.rate_factor(250) == pytest.approx(0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2)
    assert settings.rate_factor(999) == pytest.approx(0.01, abs=1e-4)
    assert settings.rate_factor(5000) == pytest.approx(0.01)


def test_step_schedule_falls_to_a_tenth_for_the_last_fifth() -> None:
    settings = TrainSettings(last_step=100, warmup_steps=0, decay="step")
    assert [settings.rate_factor(k) for k in (0, 79, 80, 99)] == pytest.approx([1, 1, 0.1, 0.1])


def test_no_decay_only_warms_up() -> None:
    settings = TrainSettings(last_step=10, warmup_steps=3, decay="none")
    found = [settings.rate_factor(k) for k in range(5)] + [settings.rate_factor(999)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patchsize", 0),
        ("patchsize", 100),
        ("patchsize", -16),
        ("batchsize", 0),
        ("last_step", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("entropy_learning_rate", -1.0),
        ("warmup_steps", -1),
        ("clip_norm", math.inf),
        ("ema_decay", 1.0),
        ("ema_decay", math.nan),
        ("seed", -1),
        ("cache_gb", -0.1),
        ("cache_gb", math.nan),
        ("num_workers", -1),
        ("log_every", 0),
        ("save_minutes", 0.0),
    ],
)
def test_settings_that_cannot_work_name_field_and_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} {value}: must be"):
        TrainSettings(**{name: value})


@pytest.mark.parametrize(
    ("lmbda", "words"),
    [
        ((1.0,), "^lmbda 1: must be one λ for each of the 2 widths"),
        ((1.0, 2.0, 3.0), "^lmbda 1 2 3: must be one"),
        ((1.0, 0.0), "^lmbda 0: "),
        ((-2.0, 1.0), "^lmbda -2: "),
        ((math.nan, 1.0), "^lmbda nan: "),
        ((math.inf, 1.0), "^lmbda inf: "),
    ],
)
def test_lmbda_is_one_positive_number_per_width(lmbda: tuple[float, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_lmbda(lmbda, SlimCAEConfig((8, 4)))


def test_stats_average_each_width_over_the_steps_that_trained_it() -> None:
    stats = Stats((4, 2), torch.device("cpu"))
    stats.add(
        torch.tensor(3.0), torch.tensor(1.0), (4, 2), torch.tensor([[1.0, 0.1], [3.0, 0.3]]), 9
    )
    stats.add(torch.tensor(5.0), torch.tensor(2.0), (4,), torch.tensor([[2.0, 0.3]]), 9)
    line = stats.take(2, 0.1)
    assert (line.loss, line.grad_norm, line.is_finite) == (4.0, 1.5, True)
    assert line.widths[4] == pytest.approx((1.5, 0.2))
    assert line.widths[2] == pytest.approx((3.0, 0.3))
    stats.add(torch.tensor(7.0), torch.tensor(1.0), (2,), torch.tensor([[1.0, 1.0]]), 9)
    line = stats.take(3, 0.1)  # counted anew
    assert line.loss == 7.0
    assert set(line.widths) == {2}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_stats_notice_one_value_among_many_that_is_not_finite(value: float) -> None:
    for bad in range(2):
        stats = Stats((4,), torch.device("cpu"))
        for step in range(20):
            pair = [torch.tensor(1.0), torch.tensor(1.0)]
            if step == 7:
                pair[bad] = torch.tensor(value)
            stats.add(pair[0], pair[1], (4,), torch.ones(1, 2), 1)
        assert not stats.take(20, 0.1).is_finite
