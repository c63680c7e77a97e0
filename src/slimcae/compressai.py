"""A trained SlimCAE at one width as a CompressAI model, for CompressAI's evaluation and plots.

>>> import slimcae.compressai  # registers the name "slimcae" with CompressAI
>>> model = slimcae.compressai.SlimCAE("runs/first", width=96)  # doctest: +SKIP
>>> out = model.compress(x)  # x: (N, 3, H, W) in [0, 1]  # doctest: +SKIP
>>> model.decompress(out["strings"], out["shape"])["x_hat"]  # doctest: +SKIP

`python -m slimcae.compressai` registers the name and runs CompressAI's `eval_model`
(docs/compressai.md). Nothing else imports this module, since CompressAI is not a dependency.
"""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from slimcae.codec import Codec
from slimcae.codec.tiled import quantise
from slimcae.errors import BitstreamError, ConfigError, MissingPackageError
from slimcae.model.file import read_model
from slimcae.model.model import Model
from slimcae.model.registry import find_model
from slimcae.networks.conversion import to_network

try:
    from compressai.models import CompressionModel
    from compressai.registry import register_model
    from compressai.zoo import image_models
except ModuleNotFoundError as error:
    raise MissingPackageError(error.name or "compressai", "slimcae.compressai needs") from error

NAME = "slimcae"


class Output(TypedDict):
    """What `SlimCAE.forward` returns."""

    x_hat: Tensor  # (N, 3, H, W)
    likelihoods: dict[str, Tensor]  # "y": (N, C, H/16, W/16)


class Strings(TypedDict):
    """What `SlimCAE.compress` returns."""

    strings: list[list[bytes]]  # one list, with a .scae file for each image
    shape: tuple[int, int]  # rows and columns of the latents


@register_model(NAME)
class SlimCAE(CompressionModel):  # type: ignore[misc]  # CompressAI has no types
    """A trained model at one of its widths, for evaluation.

    ::

        x ── g_a ──► y ── round ──► y_hat ── g_s ──► x_hat        forward, in torch, float32
                              └──► likelihoods                    from the coding tables

        x ── Codec.compress ──► .scae files ── Codec.decompress ──► x_hat    8-bit pixels

    The parameters are frozen. Train with `slimcae train`; CompressAI's training would not work,
    because rounding has no gradient.
    """

    def __init__(
        self, model: Model | str | Path | None = None, width: int | None = None, **options: Any
    ) -> None:
        """Wrap a model at a width.

        model: a loaded model, or the model argument of `slimcae.load`. width: None is the largest.
        options: options of the transforms in `compress` and `decompress`, see `slimcae.load`.

        Raises:
            ModelError: The model is missing, damaged or not a model.
            ConfigError: The model does not have the width, or options do not work here.
        """
        super().__init__()
        loaded = model if isinstance(model, Model) else read_model(find_model(model))
        self.width = loaded.check_width(loaded.widths[0] if width is None else width)
        self.codec = Codec(loaded, **options)
        network = to_network(loaded)
        self.g_a, self.g_s = network.g_a, network.g_s
        self.register_buffer("medians", torch.tensor(loaded.medians(self.width)))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Output:
        """Return the reconstruction and the likelihoods of images (N, 3, H, W) in [0, 1].

        The likelihoods come from the integer tables that code the symbols; −log₂ of them sums to
        the bits that `slimcae evaluate` reports as estimated.

        Raises:
            ConfigError: A side is not a multiple of 16.
        """
        scale = self.codec.model.architecture.downsampling
        if x.shape[2] % scale or x.shape[3] % scale:
            raise ConfigError(
                f"images of {x.shape[3]}x{x.shape[2]}: both sides must be multiples of {scale}"
            )
        medians = self.medians[None, :, None, None]
        delta = self.codec.model.steps[0]
        residuals = (self.g_a(x, self.width) - medians).detach().cpu().numpy()
        symbols = quantise(residuals, delta)
        entropy_model = self.codec.model.entropy_model(self.width)
        bits = np.stack([entropy_model.symbol_bits(image, 0) for image in symbols])
        likelihoods = torch.exp2(-torch.tensor(bits)).float().to(x.device)
        y_hat = medians + delta * torch.tensor(symbols, device=x.device).float()
        return {"x_hat": self.g_s(y_hat, self.width), "likelihoods": {"y": likelihoods}}

    def compress(self, x: Tensor) -> Strings:
        """Return a `.scae` file for each of the images (N, 3, H, W) in [0, 1].

        The images are first rounded to 8 bits.
        """
        levels = (x.detach() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        files = [self.codec.compress(np.ascontiguousarray(image), self.width) for image in levels]
        grid = self.codec.tiled.grid((x.shape[2], x.shape[3]))
        return {"strings": [files], "shape": (grid.height, grid.width)}

    def decompress(
        self, strings: Sequence[Sequence[bytes]], shape: Sequence[int]
    ) -> dict[str, Tensor]:
        """Decode the result of `compress` to images (N, 3, H, W), as `x_hat`.

        Raises:
            BitstreamError: A file is damaged or has another shape.
        """
        (files,) = strings
        images = [np.array(self.codec.decompress(data).convert("RGB")) for data in files]
        for image in images:
            grid = self.codec.tiled.grid((image.shape[0], image.shape[1]))
            if (grid.height, grid.width) != tuple(shape):
                raise BitstreamError(
                    f"a picture of {image.shape[1]}x{image.shape[0]} pixels, not latents {shape}"
                )
        x_hat = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        return {"x_hat": x_hat.to(self.medians.device)}


def register(name: str, model: Model | str | Path | None = None, **options: Any) -> None:
    """Register a trained model under a name among CompressAI's pretrained models.

    CompressAI's qualities number the widths from 1, the smallest. model, options: see `SlimCAE`.

    Raises:
        ModelError: There is no such model.
    """
    source = model if isinstance(model, Model) else find_model(model)

    @cache
    def load() -> Model:
        return source if isinstance(source, Model) else read_model(source)

    def pretrained(
        quality: int, metric: str = "mse", pretrained: bool = True, progress: bool = True
    ) -> SlimCAE:
        loaded = load()
        widths = loaded.widths[::-1]
        if not 1 <= quality <= len(widths):
            raise ConfigError(f"quality {quality}: must be 1 to {len(widths)}, the widths {widths}")
        made = SlimCAE(loaded, widths[quality - 1], **options)
        made.eval()
        return made

    image_models[name] = pretrained


register(NAME)


def main(argv: Sequence[str]) -> None:
    """Run CompressAI's `eval_model`; `--model MODEL` before its arguments selects a model."""
    from compressai.utils.eval_model.__main__ import main as eval_model

    arguments = list(argv)
    if arguments[:1] == ["--model"] and len(arguments) > 1:
        register(NAME, arguments[1])
        arguments = arguments[2:]
    eval_model(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
