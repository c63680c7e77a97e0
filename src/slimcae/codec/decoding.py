"""From the streams of a file to pixels: only the tiles that a region needs."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from slimcae.codec.encoding import make_grey
from slimcae.codec.tiles import SYNTHESIS_HALO, Tile, covering, latent_grid, split
from slimcae.codec.transforms import Pixels, Symbols, Transforms
from slimcae.coding.coder import SymbolCoder
from slimcae.container import Reader
from slimcae.model.slimcae import DOWNSAMPLING

Crop = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


def decode_symbols(reader: Reader, region: Tile, coder: SymbolCoder) -> Symbols:
    """The symbols (width, region.height, region.width) of a region of a file's latents.

    Raises:
        BitstreamError: damaged streams.
    """
    with _decoding(reader, region, coder) as (symbols, pending):
        for _, stream in pending:
            stream.result()
        return symbols


def decode_pixels(
    reader: Reader, crop: Crop, coder: SymbolCoder, transforms: Transforms, side: int
) -> Pixels:
    """The pixels (height, width, 3) of a rectangle of the picture.

    side: of the tiles in which the network computes, in latents; its memory depends on it.

    Raises:
        BitstreamError: damaged streams.
        ModelError: a reconstruction that is not finite.
    """
    header = reader.header
    grid = latent_grid((header.image_height, header.image_width))
    x, y, columns, rows = crop
    wanted = Tile(
        y // DOWNSAMPLING,
        x // DOWNSAMPLING,
        -(-(y + rows) // DOWNSAMPLING),
        -(-(x + columns) // DOWNSAMPLING),
    )
    region = wanted.grown(SYNTHESIS_HALO, grid)
    step = transforms.model.steps[header.step]
    image = np.empty((rows, columns, 3), np.uint8)
    with _decoding(reader, region, coder) as (symbols, pending):
        for tile in _computed(wanted, side):
            window = tile.grown(SYNTHESIS_HALO, region)
            for place, stream in pending:
                if place.touches(window):
                    stream.result()
            pixels = transforms.pixels(symbols, region, tile, step)
            if header.grey:
                pixels = make_grey(pixels)
            top, left = DOWNSAMPLING * tile.top - y, DOWNSAMPLING * tile.left - x
            pixels = pixels[max(-top, 0) :, max(-left, 0) :]
            target = image[max(top, 0) :, max(left, 0) :][: len(pixels), : pixels.shape[1]]
            target[:] = pixels[: len(target), : target.shape[1]]
    return image


@contextmanager
def _decoding(
    reader: Reader, region: Tile, coder: SymbolCoder
) -> Iterator[tuple[Symbols, list[tuple[Tile, Future[None]]]]]:
    """Symbols of a region that a second thread fills tile by tile, and those tiles."""
    header = reader.header
    grid = latent_grid((header.image_height, header.image_width))
    symbols = np.empty((header.num_filters, region.height, region.width), np.int16)

    def fill(number: int, tile: Tile) -> None:
        shape = (header.num_filters, tile.height, tile.width)
        part = coder.decode(reader.tile(number), shape)
        common = tile.grown(0, region)
        symbols[:, *common.slices(region)] = part[:, *common.slices(tile)]

    with ThreadPoolExecutor(1) as pool:
        try:
            yield (
                symbols,
                [
                    (tile, pool.submit(fill, number, tile))
                    for number, tile in covering(region, grid, header.tile_side // DOWNSAMPLING)
                ],
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _computed(wanted: Tile, side: int) -> list[Tile]:
    """In which tiles the network computes: one, if that is small enough."""
    if wanted.height <= side and wanted.width <= side:
        return [wanted]
    return list(split(wanted, side))
