"""Progress of training as log lines, for runs without a terminal."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("slimcae")

SECONDS_BETWEEN = 60.0


class ProgressLines:
    """Log lines about progress, at most one in `SECONDS_BETWEEN`."""

    def __init__(
        self, first_step: int, last_step: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._last = first_step, last_step
        self._clock = clock
        self._started = clock()
        self._said = self._started

    def step(self, step: int, loss: float) -> None:
        """Log step, loss and remaining time if the last line is old enough."""
        now = self._clock()
        if now - self._said < SECONDS_BETWEEN:
            return
        self._said = now
        per_second = (step - self._first) / (now - self._started)
        left = "" if not per_second else f", {_hours((self._last - step) / per_second)} left"
        log.info("step %d of %d, loss %.3f%s", step, self._last, loss, left)


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} hours"
