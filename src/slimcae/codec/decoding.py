"""From a file to its picture, or a part of it: only the tiles that this needs."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral

import numpy as np

from slimcae.alpha import unpack_alpha
from slimcae.codec.encoding import make_grey
from slimcae.codec.tiles import SYNTHESIS_HALO, Tile, covering, latent_grid, split
from slimcae.codec.transforms import Pixels, Symbols, Transforms
from slimcae.coding.coder import SymbolCoder
from slimcae.container import Reader
from slimcae.errors import BitstreamError, ConfigError, ModelError
from slimcae.images import Picture
from slimcae.model.slimcae import DOWNSAMPLING

Crop = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


def decode_picture(
    reader: Reader,
    crop: Crop | None,
    max_pixels: int,
    coder: SymbolCoder,
    transforms: Transforms,
    side: int,
) -> Picture:
    """The picture of a file, or a part of it; all checksums of a whole picture are verified.

    coder: of the file's width and step. side: see `decode_pixels`.

    Raises:
        BitstreamError: damaged data, or more than `max_pixels`.
        ConfigError: a crop beyond the picture.
    """
    header = reader.header
    size = (header.image_height, header.image_width)
    x, y, columns, rows = part = _checked(crop, size)
    if rows * columns > max_pixels:
        raise BitstreamError(f"{columns}x{rows} pixels are more than the limit of {max_pixels:,}")
    if crop is None:
        reader.verify()
    try:
        pixels = decode_pixels(reader, part, coder, transforms, side)
    except ModelError as error:  # symbols that no encoder makes of a picture
        raise BitstreamError(f"the file's symbols are no picture: {error}") from error
    alpha = None
    if reader.alpha is not None:
        alpha = unpack_alpha(reader.alpha, size)[y : y + rows, x : x + columns]
    return Picture(
        pixels,
        grey=header.grey,
        alpha=alpha,
        icc_profile=reader.icc_profile,
        srgb=header.srgb,
        exif=reader.exif,
        xmp=reader.xmp,
    )


def decode_symbols(reader: Reader, coder: SymbolCoder) -> Symbols:
    """The symbols (width, ⌈H/16⌉, ⌈W/16⌉) of a whole file.

    Raises:
        BitstreamError: damaged streams.
    """
    header = reader.header
    region = latent_grid((header.image_height, header.image_width))
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
    with _decoding(reader, region, coder) as (symbols, pending):
        image = np.empty((rows, columns, 3), np.uint8)
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
    """Symbols of a region that a second thread fills tile by tile, and the tiles to wait for.

    No room is made before every stream was seen to be long enough for its tile.
    """
    header = reader.header
    grid = latent_grid((header.image_height, header.image_width))
    tiles = list(covering(region, grid, header.tile_side // DOWNSAMPLING))
    for number, tile in tiles:
        coder.check_length(reader.tile_bytes(number), (header.num_filters, tile.height, tile.width))
    symbols = np.empty((header.num_filters, region.height, region.width), np.int16)

    def fill(number: int, tile: Tile) -> None:
        shape = (header.num_filters, tile.height, tile.width)
        part = coder.decode(reader.tile(number), shape)
        common = tile.grown(0, region)
        symbols[:, *common.slices(region)] = part[:, *common.slices(tile)]

    if len(tiles) == 1:  # nothing to do meanwhile
        fill(*tiles[0])
        yield symbols, []
        return
    with ThreadPoolExecutor(1) as pool:
        try:
            yield (
                symbols,
                [(tile, pool.submit(fill, number, tile)) for number, tile in tiles],
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _computed(wanted: Tile, side: int) -> list[Tile]:
    """In which tiles the network computes: one, if that is small enough."""
    if wanted.height <= side and wanted.width <= side:
        return [wanted]
    return list(split(wanted, side))


def _checked(crop: Crop | None, size: tuple[int, int]) -> Crop:
    height, width = size
    if crop is None:
        return 0, 0, width, height
    if len(crop) != 4 or not all(isinstance(number, Integral) for number in crop):
        raise ConfigError(f"crop {crop!r}: give four whole numbers, X,Y,WIDTH,HEIGHT")
    x, y, columns, rows = crop
    if not (x >= 0 and y >= 0 and columns > 0 and rows > 0):
        raise ConfigError(f"crop {x},{y},{columns},{rows}: give X,Y,WIDTH,HEIGHT from 0,0,1,1 on")
    if x + columns > width or y + rows > height:
        raise ConfigError(f"crop {x},{y},{columns},{rows} is not within {width}x{height} pixels")
    return crop
