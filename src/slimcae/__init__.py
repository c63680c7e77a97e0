"""SlimCAE: learned image compression with one slimmable autoencoder.

>>> import slimcae
>>> data = slimcae.compress("photo.png", width=96)  # doctest: +SKIP
>>> slimcae.decompress(data).save("back.png")  # doctest: +SKIP

`slimcae.load()` returns a reusable `Codec`, and `slimcae.load_model(path)` returns the torch
network for research. Importing the package does not import torch; torch is imported when first
needed.
"""

from typing import TYPE_CHECKING, Any

from slimcae.version import __version__

if TYPE_CHECKING:
    from slimcae.codec import Codec, compress, decompress, load
    from slimcae.networks.conversion import load_network as load_model

__all__ = ["Codec", "__version__", "compress", "decompress", "load", "load_model"]

_EXPORTS = {
    "Codec": ("slimcae.codec", "Codec"),
    "compress": ("slimcae.codec", "compress"),
    "decompress": ("slimcae.codec", "decompress"),
    "load": ("slimcae.codec", "load"),
    "load_model": ("slimcae.networks.conversion", "load_network"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'slimcae' has no attribute {name!r}")
    import importlib

    module, attribute = _EXPORTS[name]
    try:
        value = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from slimcae.errors import MissingPackageError

        raise MissingPackageError("torch", f"{name} needs") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
