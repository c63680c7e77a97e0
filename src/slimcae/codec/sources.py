"""What a `.scae` file may be given as: bytes, a path, a binary file, or a reader of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slimcae.container import Reader
from slimcae.errors import BitstreamError

Data = bytes | bytearray | memoryview | str | Path | IO[bytes] | Reader


@contextmanager
def opened(data: Data) -> Iterator[Reader]:
    """A reader of a file; what was opened for it is closed afterwards.

    Raises:
        BitstreamError: a path that cannot be read, or what `Reader` refuses.
    """
    if isinstance(data, Reader):
        yield data
    elif isinstance(data, bytes | bytearray | memoryview):
        yield Reader(bytes(data))
    elif isinstance(data, str | Path):
        try:
            file = Path(data).open("rb")  # noqa: SIM115
        except OSError as error:
            raise BitstreamError(
                f"{data} cannot be read: {error.strerror or error}; check the path"
            ) from error
        with file:
            yield Reader(file)
    else:
        yield Reader(data)
