"""A codec that records its calls and forwards them to a real codec at the narrowest width."""

from typing import Any

import pytest
from PIL.Image import Image

from slimcae.codec import Codec, Compressed, Target
from slimcae.images import Picture
from slimcae.model.config import ModelInfo


class NotingCodec:
    """Replace `slimcae.load()`; `asked` has the arguments of every call except the picture."""

    def __init__(self, real: Codec) -> None:
        self.real = real
        self.widths, self.points = real.widths, real.points
        self.info = ModelInfo("tiny", "1")
        self.model = real.model
        self.asked: list[dict[str, Any]] = []

    def encode(self, image: Picture, target: Target, **handling: Any) -> Compressed:
        """Return the given options without those that are left to their defaults."""
        self.asked.append(
            {
                name: value
                for name, value in vars(target).items()
                if value is not None and value is not False and (name, value) != ("effort", 2)
            }
            | {name: value for name, value in handling.items() if value not in (False, "icc")}
        )
        return self.real.encode(image, Target(target.width or self.widths[-1]))

    def decompress(self, data: object, **choice: Any) -> Image:
        self.asked.append({"data": data} | choice)
        return self.real.decompress(data if isinstance(data, bytes) else data.read_bytes())  # type: ignore[attr-defined]

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> "NotingCodec":
        """Make the commands load this codec, with any options."""
        monkeypatch.setattr("slimcae.codec.load", lambda *_, **__: self)
        return self
