"""Running averages between two lines of the training log, without stalling the device."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepLog:
    """Averages over the steps since the last line; rates are estimated with noise."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    megapixels_per_second: float
    widths: dict[int, tuple[float, float]]
    """bpp and MSE (on [0, 1]) of each width that was trained."""
    is_finite: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a line of JSON."""
        return {
            "step": self.step,
            "loss": round(self.loss, 5),
            "grad_norm": round(self.grad_norm, 4),
            "lr": self.learning_rate,
            "mpx_per_s": round(self.megapixels_per_second, 4),
            "bpp": {str(w): round(bpp, 5) for w, (bpp, _) in self.widths.items()},
            "mse": {str(w): round(mse, 8) for w, (_, mse) in self.widths.items()},
        }

    def scalars(self) -> dict[str, float]:
        """For curves."""
        bpp = {f"bpp/{width}": bpp for width, (bpp, _) in self.widths.items()}
        return bpp | {f"mse/{width}": mse for width, (_, mse) in self.widths.items()}


class Stats:
    """Sums on the device, which are read back with one synchronization per line."""

    def __init__(self, widths: Sequence[int], device: torch.device) -> None:
        self._widths = tuple(widths)
        self._device = device
        self._reset()

    def _reset(self) -> None:
        self._sums = torch.zeros(2, device=self._device)  # loss, gradient norm
        self._measured = torch.zeros(len(self._widths), 2, device=self._device)
        self._counts = [0] * len(self._widths)
        self._steps = 0
        self._pixels = 0
        self._started = time.perf_counter()

    def add(
        self, loss: Tensor, grad_norm: Tensor, widths: Sequence[int], measured: Tensor, pixels: int
    ) -> None:
        """Add one step; measured: bpp and MSE of each of `widths`."""
        self._sums += torch.stack([loss, grad_norm])
        rows = [self._widths.index(width) for width in widths]
        self._measured[rows] += measured
        for row in rows:
            self._counts[row] += 1
        self._steps += 1
        self._pixels += pixels

    def take(self, step: int, learning_rate: float) -> StepLog:
        """Return the averages, and reset the sums."""
        loss, norm = (self._sums / max(self._steps, 1)).tolist()
        measured = self._measured.tolist()
        line = StepLog(
            step=step,
            loss=loss,
            grad_norm=norm,
            learning_rate=learning_rate,
            megapixels_per_second=self._pixels / 1e6 / (time.perf_counter() - self._started),
            widths={
                width: (bpp / count, mse / count)
                for width, (bpp, mse), count in zip(
                    self._widths, measured, self._counts, strict=True
                )
                if count
            },
            # one value that is not finite makes the sums so
            is_finite=bool(torch.isfinite(self._sums).all()),
        )
        self._reset()
        return line
