"""The worker in CompressAI's environment: its factorized model, used as in its example codec.

The trained weights cannot be downloaded everywhere, so the models use CompressAI's random
initialisation. The last analysis layer is then scaled per channel, so that the latents have the
spread of those of our widest width on the same picture, and the density of the entropy bottleneck
is fitted to them by maximum likelihood. So the entropy coder codes symbols with a realistic rate.
The time of the networks depends only on their shapes, which are those of the trained ones.
"""

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
import protocol

MODELS = {"CompressAI N=128": (128, 192), "CompressAI N=192": (192, 320)}
"""Filters N and latent channels M of bmshj2018-factorized at qualities 1 to 5 and 6 to 8."""
FIT_STEPS = 150


class Theirs:
    """The requests that this worker answers."""

    def load(self) -> protocol.Answer:
        """Import CompressAI, and make its models."""
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about what CompressAI calls
        import compressai
        from compressai.models import FactorizedPrior

        torch.manual_seed(0)
        self.models: dict[str, Any] = {
            name: FactorizedPrior(n, m).eval() for name, (n, m) in MODELS.items()
        }
        return {
            "models": list(self.models),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "compressai": compressai.__version__,
            "coder": compressai.get_entropy_coder(),
            "weights": "CompressAI's random initialisation; see benchmarks/peers/theirs.py",
        }

    def open(self, image: str) -> protocol.Answer:
        """Read the picture for the following requests."""
        with Image.open(image) as opened:
            self.pixels = np.array(opened.convert("RGB"))
        return {"size": self.pixels.shape[:2]}

    def fit(self, spreads: list[float]) -> protocol.Answer:
        """Scale the latents of the current picture to these spreads, and fit the bottlenecks."""
        rates = {}
        for name, model in self.models.items():
            channels = model.M
            wanted = torch.tensor(
                np.interp(np.linspace(0, 1, channels), np.linspace(0, 1, len(spreads)), spreads),
                dtype=torch.float32,
            )
            x = prepared(self.pixels)
            with torch.no_grad():
                last = model.g_a[-1]
                y = model.g_a(x)[0]
                scale = wanted / y.std(dim=(1, 2)).clamp_min(1e-9)
                last.weight *= scale[:, None, None, None]
                last.bias.copy_(scale * (last.bias - y.mean(dim=(1, 2))))
                y = model.g_a(x)
            fit_bottleneck(model.entropy_bottleneck, y)
            model.update(force=True)
            strings = model.compress(x)["strings"][0]
            rates[name] = 8 * len(strings[0]) / (x.shape[2] * x.shape[3])
        return {"bpp": rates}

    def code(self, name: str) -> protocol.Answer:
        """Time one picture from pixels to bytes and back, as CompressAI's example codec does."""
        model = self.models[name]
        height, width = self.pixels.shape[:2]
        with torch.no_grad():
            start = time.perf_counter()
            out = model.compress(prepared(self.pixels))
            between = time.perf_counter()
            x_hat = model.decompress(out["strings"], out["shape"])["x_hat"]
            restored = (x_hat[0, :, :height, :width].clamp(0, 1) * 255).round().byte()
            restored.permute(1, 2, 0).contiguous().numpy()
            end = time.perf_counter()
        size = sum(len(string) for strings in out["strings"] for string in strings)
        return {"encode": between - start, "decode": end - between, "bytes": size}

    def layers(self, path: str) -> protocol.Answer:
        """Return the largest absolute differences from the results in an .npz file of `ours`."""
        from compressai.entropy_models import EntropyBottleneck
        from compressai.layers import GDN

        with np.load(path) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        x = arrays["x"]
        channels = x.shape[1]
        largest = {}
        with torch.no_grad():
            for kind in ("gdn", "igdn"):
                layer = GDN(channels, inverse=kind == "igdn")
                layer.beta.copy_(arrays[f"{kind}_beta"])
                layer.gamma.copy_(arrays[f"{kind}_gamma"])
                largest[kind] = difference(layer(x), arrays[f"{kind}_y"])
            bottleneck = EntropyBottleneck(channels).eval()
            state = bottleneck.state_dict()
            for name in state:
                if f"eb_{name}" in arrays:
                    state[name] = arrays[f"eb_{name}"]
            state["quantiles"][:, 0, 1] = arrays["eb_medians"]
            bottleneck.load_state_dict(state)
            y_hat, likelihoods = bottleneck(2 * x)
        largest["y_hat"] = difference(y_hat, arrays["y_hat"])
        largest["likelihoods"] = difference(likelihoods, arrays["likelihoods"])
        sizes = {
            "gdn": float(arrays["gdn_y"].abs().max()),
            "igdn": float(arrays["igdn_y"].abs().max()),
            "y_hat": float(arrays["y_hat"].abs().max()),
            "likelihoods": float(arrays["likelihoods"].max()),
        }
        return {"largest_difference": largest, "largest_value": sizes}


def prepared(pixels: np.ndarray) -> torch.Tensor:
    """Return an image (1, 3, H, W) in [0, 1], padded to multiples of 64 as in their example."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    rows, columns = (-side % 64 for side in pixels.shape[:2])
    return F.pad(x, (0, columns, 0, rows)) if rows or columns else x


def fit_bottleneck(bottleneck: Any, y: torch.Tensor) -> None:
    """Train the density and the quantiles on latents."""
    bottleneck.train()
    with torch.no_grad():
        flat = y[0].flatten(1)
        bottleneck.quantiles[:, 0, 0] = flat.amin(1) - 1
        bottleneck.quantiles[:, 0, 1] = flat.median(1).values
        bottleneck.quantiles[:, 0, 2] = flat.amax(1) + 1
    density = [p for name, p in bottleneck.named_parameters() if name != "quantiles"]
    optimizer = torch.optim.Adam(density, 5e-2)
    for _ in range(FIT_STEPS):
        optimizer.zero_grad()
        _, likelihoods = bottleneck(y)
        loss = -torch.log2(likelihoods).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    bottleneck.eval()


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest absolute difference."""
    return float((a - b).abs().max())


if __name__ == "__main__":
    worker = Theirs()
    names = ("load", "open", "fit", "code", "layers")
    protocol.serve({name: getattr(worker, name) for name in names})
