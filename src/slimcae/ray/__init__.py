"""A Ray Data pipeline that compresses a folder to `.scae` files and a table, on many machines.

>>> from slimcae.codec import Target
>>> from slimcae.ray import compress_folder
>>> compress_folder("s3://bucket/photos", "s3://bucket/small", Target(quality=40))  # doctest: +SKIP

`slimcae ray` is the same on the command line. It needs the extra `[ray]`; the machines of a cluster
need this package, and the same versions of Ray and Python (docs/million-photos.md).
"""

import sys

from slimcae.errors import MissingPackageError

_PYTHONS = "3.11 to 3.14"
"""Python versions for which the Ray version in constraints.txt has builds."""

try:
    from slimcae.ray.pipeline import Summary, compress_folder
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in ("ray", "pyarrow", "fsspec"):
        raise
    raise MissingPackageError(
        error.name.partition(".")[0],
        f"slimcae.ray needs (this is Python {sys.version_info.major}.{sys.version_info.minor}; Ray "
        f"has builds for {_PYTHONS})",
    ) from error

__all__ = ["Summary", "compress_folder"]
