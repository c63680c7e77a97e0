"""The models that a server offers: installed ones, and those named at its start."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimcae.codec import Codec, codec_of
from slimcae.container import Header
from slimcae.errors import BitstreamError
from slimcae.model.header import read_model_header
from slimcae.model.quality import QualityScale
from slimcae.model.registry import InstalledModel, find_model, installed_models
from slimcae.studio.failures import Refused
from slimcae.studio.work import tick


@dataclass(frozen=True)
class Offer:
    """One model: its name for requests, and the path of its file.

    scale: mean rate and quality of its operating points.
    """

    name: str
    model: InstalledModel
    scale: QualityScale


class Offers:
    """The models that requests may name; paths are not allowed, which could be any file.

    named: models, see `find_model`; the first one is the default, or else the shipped model.

    Raises:
        ModelError: A named model is missing or damaged.
    """

    def __init__(self, named: Sequence[str | Path] = ()) -> None:
        models = [InstalledModel(path, read_model_header(path)) for path in map(find_model, named)]
        here = {model.path.resolve() for model in models}
        models += [model for model in installed_models() if model.path.resolve() not in here]
        self._offers: dict[str, Offer] = {}
        for model in models:
            header = model.header
            scale = QualityScale.of_model(header.steps, header.points, header.quality)
            name = self._free_name(model)
            self._offers[name] = Offer(name, model, scale)

    def all(self) -> list[Offer]:
        """Return all models; the first is the default."""
        return list(self._offers.values())

    def named(self, name: str | None) -> Offer:
        """Return a model by name; None: the default.

        Raises:
            Refused: 404.
        """
        if name is None:
            return next(iter(self._offers.values()))
        if name not in self._offers:
            raise Refused(
                404, f"no model {name[:80]!r} here: choose from {', '.join(self._offers)}"
            )
        return self._offers[name]

    def codec(self, name: str | None) -> Codec:
        """Return the codec of a model, which counts the steps of the current job.

        Raises:
            Refused: 404.
        """
        return codec_of(self.named(name).model.path).watched(tick)

    def maker_of(self, header: Header) -> str:
        """Return the name of the model that encoded a `.scae` file.

        Raises:
            BitstreamError: The model is not offered.
        """
        width, needed = header.num_filters, header.model_fingerprint.hex()
        for offer in self._offers.values():
            if offer.model.header.point_of(width, needed) is not None:
                return offer.name
        raise BitstreamError(
            f"the file needs model {header.model_name} width {width} ({needed}), which is not "
            f"among those here ({', '.join(self._offers)}): start the studio with --model"
        )

    def _free_name(self, model: InstalledModel) -> str:
        """Return NAME@VERSION, with a suffix if that is taken."""
        name, number = model.label, 2
        while name in self._offers:
            name = f"{model.label} ({number})"
            number += 1
        return name
