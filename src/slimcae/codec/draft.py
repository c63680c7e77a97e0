"""A picture prepared for repeated compression, as behind a quality slider, and the results."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from slimcae import container
from slimcae.codec.encoding import Encoding
from slimcae.errors import checked_bool
from slimcae.model.quality import Point


@dataclass(frozen=True, repr=False)
class Compressed:
    """A compressed picture, and how it was compressed.

    data: the whole `.scae` file. point: the operating point. header: the header of the file.
    stream_bytes: bytes of the coded symbols of all tiles. alpha_bytes, metadata_bytes: bytes of the
    chunks.
    """

    data: bytes
    point: Point
    header: container.Header
    stream_bytes: int
    alpha_bytes: int
    metadata_bytes: int

    def __repr__(self) -> str:
        width, step = self.point
        size = f"{self.header.image_width}x{self.header.image_height}"
        return f"<Compressed {size}, width {width}, step {step}, {len(self.data):,} bytes>"

    @property
    def num_pixels(self) -> int:
        """Number of pixels of the picture."""
        return self.header.image_height * self.header.image_width

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * len(self.data) / self.num_pixels


class Draft:
    """A picture that can be encoded at several widths and steps; g_a runs once per width.

    For a multi-tile picture, only the two most recently used widths stay cached. Not thread-safe.

    header: function from operating point to header. alpha, metadata: packed chunks of the file.
    """

    def __init__(
        self,
        encoding: Encoding,
        header: Callable[[Point], container.Header],
        alpha: Sequence[bytes],
        metadata: Sequence[bytes],
    ) -> None:
        self.encoding = encoding
        self._header = header
        self._alpha, self._metadata = alpha, metadata

    @property
    def alpha_bytes(self) -> int:
        """Bytes of the chunk that holds the alpha channel."""
        return sum(map(len, self._alpha))

    @property
    def analysed(self) -> Collection[int]:
        """Widths whose analysis has been run and is cached."""
        return self.encoding.analysed

    def analyse(self, width: int) -> None:
        """Run the analysis of a width unless it is cached.

        Raises:
            ModelError: Latents are not finite.
        """
        self.encoding.analyse(width)

    def file(self, point: Point, *, verify: bool = False) -> Compressed:
        """Return the whole `.scae` file at an operating point.

        Raises:
            BitstreamError: with `verify`, symbols that do not come back from a stream.
            ModelError: Latents are not finite.
        """
        header = self._header(point)
        streams = self.encoding.streams(point, verify=checked_bool("verify", verify))
        data = container.assemble(header, streams, [*self._metadata, *self._alpha])
        return Compressed(
            data,
            point,
            header,
            stream_bytes=sum(map(len, streams)),
            alpha_bytes=self.alpha_bytes,
            metadata_bytes=sum(map(len, self._metadata)),
        )
