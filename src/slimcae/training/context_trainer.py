"""Stage entropy: training of a model's context networks on fixed latents."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slimcae.errors import TrainingError
from slimcae.model.config import ArchitectureName
from slimcae.networks.context import ContextNetwork
from slimcae.training.distributed import Process
from slimcae.training.latents import AllPlaces
from slimcae.training.settings import EntropySettings

VALIDATION_PLACES = 16384
"""Maximal number of evenly spaced places that are measured for a line of the log."""
CHUNK = 2048
"""Number of places that are measured at once."""
SAMPLE = 4096
"""Number of places from which the deviation of latents is estimated for a new network."""


@dataclass(frozen=True)
class ContextLog:
    """Averages of a width since the last line of the log.

    step, width_step: steps of all widths together, and of this width. bpp: bits per pixel of the
    training images, over all drawn steps Δ. valid: bits per pixel of validation images at Δ = 1.
    """

    step: int
    width: int
    width_step: int
    bpp: float
    valid: float | None
    learning_rate: float

    @property
    def loss(self) -> float:
        """The quantity that training minimises."""
        return self.bpp

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a line of JSON."""
        return {
            "step": self.step,
            "width": self.width,
            "width_step": self.width_step,
            "bpp": round(self.bpp, 5),
            "valid_bpp": None if self.valid is None else round(self.valid, 5),
            "lr": self.learning_rate,
        }

    def scalars(self) -> dict[str, float]:
        """For curves."""
        found = {f"bpp/{self.width}": self.bpp}
        return found if self.valid is None else found | {f"valid_bpp/{self.width}": self.valid}


class _Width:
    """The network of one width during training."""

    def __init__(self, network: ContextNetwork) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.Adam(network.parameters())
        self.step = 0


class ContextTrainer:
    """Trains context networks, one width after another, with the interface of `Trainer`.

    networks, places: by width. valid: places of validation images, or empty. steps: Δ, the first
    of which is 1. pixels: number of pixels per place.

    Seed, width and number of a step determine all its randomness.
    """

    def __init__(
        self,
        networks: Mapping[int, ContextNetwork],
        places: Mapping[int, AllPlaces],
        valid: Mapping[int, AllPlaces],
        steps: Sequence[float],
        pixels: int,
        settings: EntropySettings,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.device = device
        self.process = Process()
        self._widths = {width: _Width(net.to(device)) for width, net in networks.items()}
        self._places, self._valid = places, valid
        self._steps = np.array(steps, np.float32)
        self._pixels = pixels

    @property
    def networks(self) -> dict[int, ContextNetwork]:
        """The network of each width."""
        return {width: each.network for width, each in self._widths.items()}

    @property
    def step(self) -> int:
        """Number of steps of all widths together."""
        return sum(each.step for each in self._widths.values())

    @property
    def last_step(self) -> int:
        """Final number of steps of all widths together."""
        return sum(max(each.step, self.settings.last_step) for each in self._widths.values())

    def run(
        self,
        last_step: int,
        *,
        on_log: Callable[[ContextLog], None],
        should_pause: Callable[[], bool] = lambda: False,
        on_pause: Callable[[], bool] = lambda: True,
    ) -> None:
        """Train up to `last_step`, a number of steps of all widths together; see `Trainer.run`.

        Raises:
            TrainingError: The loss is no longer finite.
        """
        for width, each in self._widths.items():
            total, count = torch.zeros((), device=self.device), 0
            while each.step < self.settings.last_step and self.step < last_step:
                total += self._train_step(width, each)
                count += 1
                pause = should_pause()
                end = each.step == self.settings.last_step
                if pause or end or each.step % self.settings.log_every == 0:
                    on_log(self._line(width, each, float(total) / count))
                    total, count = torch.zeros((), device=self.device), 0
                if pause and not on_pause():
                    return

    def _train_step(self, width: int, each: _Width) -> Tensor:
        settings, places = self.settings, self._places[width]
        rng = np.random.default_rng([settings.seed, width, each.step])
        which = rng.integers(len(places), size=settings.places)
        drawn = self._steps[rng.integers(len(self._steps), size=settings.places)]
        delta = np.where(rng.random(settings.places) < settings.at_one, np.float32(1), drawn)
        # every place is coded both as a black and as a white field; only the last layers differ
        loss = self._bits(each.network, places, which, delta).sum()
        loss = loss / (2 * settings.places * self._pixels)
        rate = settings.learning_rate * settings.rate_factor(each.step)
        each.optimizer.param_groups[0]["lr"] = rate
        each.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(each.network.parameters(), settings.clip_norm)
        each.optimizer.step()
        each.step += 1
        return loss.detach()

    def _bits(
        self,
        network: ContextNetwork,
        places: AllPlaces,
        which: NDArray[np.int64],
        delta: NDArray[np.float32],
    ) -> Tensor:
        """Return the bits of places as black and white fields, (2, P, C), for their own Δ (P)."""
        around = places.around(which).to(self.device)
        steps = torch.from_numpy(delta)[:, None].to(self.device)
        known = torch.round(around / steps[:, :, None]) * steps[:, :, None]
        bits: Tensor = network(known, steps)
        return bits

    def _line(self, width: int, each: _Width, bpp: float) -> ContextLog:
        if not math.isfinite(bpp):
            raise TrainingError(
                f"the loss of width {width} is not finite near its step {each.step}: the last "
                "checkpoint is intact; resume with a lower learning rate"
            )
        rate = each.optimizer.param_groups[0]["lr"]
        valid = self.measure(width, 1.0, VALIDATION_PLACES) if width in self._valid else None
        return ContextLog(self.step, width, each.step, bpp, valid, rate)

    @torch.inference_mode()
    def measure(self, width: int, delta: float, most: int | None = None) -> float:
        """Return the bits per pixel of validation images at a step Δ.

        most: maximal number of evenly spaced places; None: all.
        """
        places, network = self._valid[width], self._widths[width].network
        chosen = np.arange(0, len(places), max(1, -(-len(places) // (most or len(places)))))
        total = 0.0
        for first in range(0, len(chosen), CHUNK):
            which = chosen[first : first + CHUNK]
            bits = self._bits(network, places, which, np.full(len(which), delta, np.float32))
            white = places.white(which).to(self.device)
            total += float(torch.where(white[:, None], bits[1], bits[0]).sum())
        return total / len(chosen) / self._pixels

    def state_dict(self) -> dict[str, Any]:
        """Return the state that training needs to continue."""
        return {
            str(width): {
                "network": each.network.state_dict(),
                "optimizer": each.optimizer.state_dict(),
                "step": each.step,
            }
            for width, each in self._widths.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a run, whose networks must have the same sizes."""
        for width, each in self._widths.items():
            found = state[str(width)]
            each.network.load_state_dict(found["network"])
            each.optimizer.load_state_dict(found["optimizer"])
            each.step = int(found["step"])


def new_network(
    places: AllPlaces, channels: int, seed: int, architecture: ArchitectureName = "slimcae"
) -> ContextNetwork:
    """Return an initial network, which starts from the deviation of each channel's latents."""
    rng = np.random.default_rng([seed, channels])
    middle = places.around(rng.integers(len(places), size=SAMPLE))[:, 4]
    torch.manual_seed(seed)
    deviation = middle.round().square().mean(0).add(0.01).sqrt()
    return ContextNetwork.for_channels(channels, deviation, architecture)
