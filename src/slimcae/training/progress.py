"""What a training says of itself where nobody sees its progress bar: in a file of logs, say."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("slimcae")

SECONDS_BETWEEN = 60.0


class ProgressLines:
    """A line of log now and then, at most one in `SECONDS_BETWEEN`."""

    def __init__(
        self, first_step: int, last_step: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._last = first_step, last_step
        self._clock = clock
        self._started = clock()
        self._said = self._started

    def step(self, step: int, loss: float) -> None:
        """Log how far the training is, its loss and the time that is left, if it is time to."""
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
