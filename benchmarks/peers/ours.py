"""The worker in the project's environment: SlimCAE and the codecs in Pillow."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import protocol

import slimcae
from slimcae.evaluation.contenders import OurWidths, pillow_codecs
from slimcae.images import Picture
from slimcae.networks.bottleneck import EntropyBottleneck
from slimcae.networks.gdn import SlimmableGDN
from slimcae.profiling.stages import stage_seconds

QUALITIES = {
    "JPEG": (50,),
    "WebP": (50, 80),
    "JPEG 2000": (32,),
    "AVIF speed 6": (45, 75),
    "AVIF speed 8": (45, 75),
    "AVIF speed 9": (45, 75),
    "AVIF speed 10": (45, 75),
    "JPEG XL effort 1": (60,),
    "JPEG XL effort 3": (60,),
    "JPEG XL effort 7": (60,),
}
"""Qualities with about the rate of our middle widths; for some codecs also Pillow's default."""
MATRIX_SIDE = 2048


class Ours:
    """The requests that this worker answers."""

    def load(self, precision: str | None, backend: str) -> protocol.Answer:
        """Load all codecs, and return their names and settings."""
        options: dict[str, Any] = {"backend": backend, "megapixels": math.inf}
        if precision is not None:
            options["precision"] = precision
        self.codec = slimcae.load(**options)
        self.widths = OurWidths(self.codec)
        found, missing = pillow_codecs(torch.get_num_threads())
        for sentence in missing:
            print(sentence, file=sys.stderr)
        self.classics = {
            f"{codec.name}, {codec.label(quality)}": (codec, quality)
            for codec in found
            for quality in QUALITIES.get(codec.name, ())
        }
        return {
            "model": f"{self.codec.info.name}@{self.codec.info.version}",
            "widths": list(self.codec.widths),
            "macs": {str(width): self.codec.macs(width) for width in self.codec.widths},
            "precision": self.codec.transforms.precision,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "settings": self.widths.settings,
            "classics": {name: codec.settings for name, (codec, _) in self.classics.items()},
        }

    def open(self, image: str) -> protocol.Answer:
        """Read the picture for the following requests."""
        with Image.open(image) as opened:
            self.pixels = np.asarray(opened.convert("RGB"))
        self.picture = Picture(self.pixels)
        return {"size": self.pixels.shape[:2]}

    def code(self, name: str) -> protocol.Answer:
        """Time one picture from pixels to bytes and back; `name` is a width or a classic."""
        if name in self.classics:
            codec, quality = self.classics[name]
            return timed(lambda: codec.encode(self.picture, quality), codec.decode)
        width = float(name)
        return timed(lambda: self.widths.encode(self.picture, width), self.widths.decode)

    def stages(self, width: int) -> protocol.Answer:
        """Return the seconds of network and coder for encoding and decoding."""
        encode, decode = stage_seconds(self.codec, self.pixels, width)
        return {"encode": vars(encode), "decode": vars(decode)}

    def matrix_rate(self, precision: str) -> protocol.Answer:
        """Return the operations per second of a large matrix product in float32 or bfloat16."""
        dtype = getattr(torch, precision)
        a, b = (torch.randn(MATRIX_SIDE, MATRIX_SIDE).to(dtype) for _ in range(2))
        with torch.inference_mode():
            torch.mm(a, b)
            start = time.perf_counter()
            torch.mm(a, b)
            seconds = time.perf_counter() - start
        return {"flops": 2 * MATRIX_SIDE**3 / seconds, "side": MATRIX_SIDE}

    def spreads(self) -> protocol.Answer:
        """Return the standard deviation of each latent channel at the widest width."""
        tiled = self.codec.tiled
        grid = tiled.grid(self.pixels.shape[:2])
        residuals = tiled.residuals(self.pixels, grid, self.codec.widths[0])
        return {"spreads": np.sort(residuals.std(axis=(1, 2)))[::-1].tolist()}

    def layers(self, seed: int, path: str) -> protocol.Answer:
        """Write parameters and results of random GDN, IGDN and bottleneck to an .npz file."""
        torch.manual_seed(seed)
        arrays: dict[str, np.ndarray] = {}
        channels = 24
        x = 3 * torch.randn(2, channels, 9, 7)
        arrays["x"] = x.numpy()
        with torch.no_grad():
            for kind in ("gdn", "igdn"):
                layer = SlimmableGDN((channels,), "switchable", inverse=kind == "igdn")
                for parameter in layer.parameters():
                    parameter.copy_(torch.rand_like(parameter) + 0.05)
                owner = layer.owner(channels)
                arrays |= {f"{kind}_beta": owner.beta.numpy(), f"{kind}_gamma": owner.gamma.numpy()}
                arrays[f"{kind}_y"] = layer(x).numpy()
            bottleneck = EntropyBottleneck(channels)
            for parameter in bottleneck.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            bottleneck.update_medians()
            y_hat, likelihoods = bottleneck.eval()(2 * x)
        arrays |= {f"eb_{name}": p.numpy() for name, p in bottleneck.state_dict().items()}
        arrays |= {"y_hat": y_hat.numpy(), "likelihoods": likelihoods.numpy()}
        np.savez(path, allow_pickle=False, **arrays)
        return {"channels": channels}


def timed(encode: Callable[[], bytes], decode: Callable[[bytes], np.ndarray]) -> protocol.Answer:
    """Return the seconds to encode and to decode, and the bytes of the file."""
    start = time.perf_counter()
    data = encode()
    between = time.perf_counter()
    decode(data)
    end = time.perf_counter()
    return {"encode": between - start, "decode": end - between, "bytes": len(data)}


if __name__ == "__main__":
    worker = Ours()
    names = ("load", "open", "code", "stages", "matrix_rate", "spreads", "layers")
    protocol.serve({name: getattr(worker, name) for name in names})
