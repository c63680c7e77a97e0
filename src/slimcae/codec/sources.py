"""Sources of `.scae` files: bytes, a path, a binary file, or a `Reader`."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from pathlib import Path
from typing import IO, cast

from slimcae.container import Reader
from slimcae.errors import BitstreamError

Data = bytes | bytearray | memoryview | str | Path | IO[bytes] | Reader


@contextmanager
def opened(data: Data) -> Iterator[Reader]:
    """Yield a reader of a file, and close the file afterwards if this function opened it.

    Raises:
        BitstreamError: The path cannot be read, or `Reader` rejects the file.
    """
    if isinstance(data, Reader):
        yield data
    elif isinstance(data, bytes | bytearray | memoryview):
        yield Reader(bytes(data))
    elif isinstance(data, str | Path):
        try:
            file = Path(data).open("rb")  # noqa: SIM115
        except (OSError, ValueError) as error:  # ValueError: a null character
            reason = getattr(error, "strerror", None) or error
            raise BitstreamError(f"{data} cannot be read: {reason}; check the path") from error
        with file:
            yield Reader(file)
    elif hasattr(data, "read") and not isinstance(cast(object, data), TextIOBase):
        yield Reader(data)
    else:
        raise BitstreamError(
            f"{type(data).__name__} is not a .scae file: give its bytes, its path, or a seekable "
            "binary file"
        )
