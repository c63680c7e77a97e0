"""Test that the stand-in for the earlier port has the known figures of the port, and learns."""

import pytest
import torch
from seed_stand_in import StandIn, StandInTrainer
from torch.utils.flop_counter import FlopCounterMode

WIDTHS = (192, 144, 96, 72, 48)


def test_parameters_and_work_are_those_of_the_port() -> None:
    model = StandIn(WIDTHS).eval()
    transforms = [p for name, p in model.named_parameters() if "bottleneck" not in name]
    assert sum(p.numel() for p in transforms) == pytest.approx(15.56e6, rel=1e-3)
    x = torch.zeros(1, 3, 32, 48)
    with torch.no_grad():
        for k, (width, encoder) in enumerate(((192, 23.94), (144, 17.39), (48, 5.42))):
            k = WIDTHS.index(width)
            with FlopCounterMode(display=False) as encoding:
                y = model.encode(x, k)
            with FlopCounterMode(display=False) as decoding:
                assert model.decode(y, k).shape == x.shape
            pixels = 2000 * 32 * 48  # two operations per multiply-accumulate, in thousands
            assert encoding.get_total_flops() / pixels == pytest.approx(encoder, abs=0.01)
            assert decoding.get_total_flops() / pixels == pytest.approx(23.87, abs=0.08)


def test_a_step_lowers_the_loss() -> None:
    torch.manual_seed(0)
    trainer = StandInTrainer((8, 4), (2000.0, 1000.0))
    batch = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    losses = [trainer.step(batch) for _ in range(8)]
    assert losses[-1] < losses[0]
