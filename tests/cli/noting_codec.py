"""A codec that notes what it is asked for, and has a real one do it at the narrowest width."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL.Image import Image

from slimcae.codec import Codec
from slimcae.images import Picture
from slimcae.model.config import ModelInfo


class NotingCodec:
    """Stands for `slimcae.load()`: `asked` has the arguments of every call but the picture."""

    def __init__(self, real: Codec) -> None:
        self.real = real
        self.widths = real.widths
        self.info = ModelInfo("tiny", "1")
        self.model = SimpleNamespace(steps=(1.0, 0.93))
        self.asked: list[dict[str, Any]] = []

    def compress(self, image: Picture, **choice: Any) -> bytes:
        self.asked.append(choice)
        return self.real.compress(image, choice.get("width", self.widths[-1]))

    def decompress(self, data: object, **choice: Any) -> Image:
        self.asked.append({"data": data} | choice)
        return self.real.decompress(data if isinstance(data, bytes) else data.read_bytes())  # type: ignore[attr-defined]

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> "NotingCodec":
        """Be what the commands load, whatever they ask for."""
        monkeypatch.setattr("slimcae.codec.load", lambda *_, **__: self)
        return self
