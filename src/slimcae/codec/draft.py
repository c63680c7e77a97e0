"""A picture that may be compressed again and again, as a slider does."""

from collections.abc import Callable, Collection

from slimcae import container
from slimcae.codec.encoding import Encoding
from slimcae.quality import Point

Extras = tuple[bytes | None, bytes | None, bytes | None, bytes | None]
"""Alpha, ICC profile, EXIF and XMP of a file, as `container.Contents` has them."""


class Draft:
    """A picture on its way to files of several widths and steps: each analysis runs once.

    Of a picture of several tiles only the two widths last used stay analysed. Not for several
    threads at once.

    header: of the file at an operating point. extras: what the file holds beside the streams.
    """

    def __init__(
        self, encoding: Encoding, header: Callable[[Point], container.Header], extras: Extras
    ) -> None:
        self.encoding = encoding
        self._header = header
        self._extras = extras

    @property
    def analysed(self) -> Collection[int]:
        """The widths whose analysis is at hand."""
        return self.encoding.analysed

    def analyse(self, width: int) -> None:
        """Run the analysis of a width, if it is not at hand.

        Raises:
            ModelError: latents that are not finite.
        """
        self.encoding.analyse(width)

    def file(self, point: Point, *, verify: bool = False) -> bytes:
        """The whole `.scae` file at an operating point.

        Raises:
            BitstreamError: with `verify`, symbols that do not come back from a stream.
            ModelError: latents that are not finite.
        """
        streams = self.encoding.streams(point, verify=verify)
        return container.write(container.Contents(self._header(point), streams, *self._extras))
