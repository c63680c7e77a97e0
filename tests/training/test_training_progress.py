"""Test the log of a training without a terminal."""

import logging

import pytest

from slimcae.training.progress import ProgressLines


def test_a_line_a_minute_with_the_time_that_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "slimcae")
    now = 100.0
    lines = ProgressLines(1000, 10_000, lambda: now)
    lines.step(1010, 2.0)
    for step in range(1100, 3001, 100):  # 100 steps in 30 seconds
        now += 30
        lines.step(step, step / 1000)
    assert len(caplog.messages) == 10
    # 10,000 - 1,200 steps at 200 in 60 s are 44 minutes
    assert caplog.messages[0] == "step 1200 of 10000, loss 1.200, 0:44 hours left"
    assert caplog.messages[-1] == "step 3000 of 10000, loss 3.000, 0:35 hours left"
