"""SlimCAE: learned image compression with one slimmable autoencoder.

>>> import slimcae
>>> data = slimcae.compress("photo.png", width=96)  # doctest: +SKIP
>>> slimcae.decompress(data).save("back.png")  # doctest: +SKIP

`slimcae.load()` gives a `Codec` to keep, `slimcae.load_model(path)` the network for research.
Importing the package does not import torch: that happens with the first use.
"""

from typing import TYPE_CHECKING, Any

from slimcae.version import __version__

if TYPE_CHECKING:
    from slimcae.codec import Codec, compress, decompress, load
    from slimcae.model.checkpoint import load_model

__all__ = ["Codec", "__version__", "compress", "decompress", "load", "load_model"]

_HOMES = {
    "Codec": "slimcae.codec",
    "compress": "slimcae.codec",
    "decompress": "slimcae.codec",
    "load": "slimcae.codec",
    "load_model": "slimcae.model.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'slimcae' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
