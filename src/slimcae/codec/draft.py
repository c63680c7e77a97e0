"""A picture that may be compressed again and again, as a slider does, and what comes of it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from slimcae import container
from slimcae.codec.encoding import Encoding
from slimcae.model.quality import Point


@dataclass(frozen=True, repr=False)
class Compressed:
    """A compressed picture, and how it was compressed.

    data: the whole `.scae` file. point: the operating point. header: the file's.
    stream_bytes: coded symbols of all tiles. alpha_bytes, metadata_bytes: of the chunks.
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
        """Pixels of the picture."""
        return self.header.image_height * self.header.image_width

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * len(self.data) / self.num_pixels


class Draft:
    """A picture to be written at several widths and steps, whose analyses run once per width.

    For a multi-tile picture, only the two widths used last stay cached. Not thread-safe.

    header: of the file at an operating point. alpha, metadata: the file's packed chunks.
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
            ModelError: latents that are not finite.
        """
        self.encoding.analyse(width)

    def file(self, point: Point, *, verify: bool = False) -> Compressed:
        """Return the whole `.scae` file at an operating point.

        Raises:
            BitstreamError: with `verify`, symbols that do not come back from a stream.
            ModelError: latents that are not finite.
        """
        header = self._header(point)
        streams = self.encoding.streams(point, verify=verify)
        data = container.assemble(header, streams, [*self._metadata, *self._alpha])
        return Compressed(
            data,
            point,
            header,
            stream_bytes=sum(map(len, streams)),
            alpha_bytes=self.alpha_bytes,
            metadata_bytes=sum(map(len, self._metadata)),
        )
