"""Decoding of a file to its picture, or to a part of it from only the tiles that it needs."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral

import numpy as np

from slimcae.codec.encoding import make_grey
from slimcae.codec.tiled import TiledTransforms
from slimcae.codec.tiles import Tile, covering, latent_grid, split
from slimcae.container import Reader
from slimcae.errors import BitstreamError, ConfigError, ModelError
from slimcae.images import Picture
from slimcae.images.alpha import unpack_alpha
from slimcae.model.model import Model
from slimcae.transforms import Pixels, Symbols

Crop = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


def decode_picture(
    reader: Reader,
    width: int,
    crop: Crop | None,
    max_pixels: int,
    model: Model,
    transforms: TiledTransforms,
    side: int,
) -> Picture:
    """Return the picture of a file, after verifying all checksums, or a crop of it.

    model, width: the model that encoded the file, and its operating point. side: see
    `decode_pixels`.

    Raises:
        BitstreamError: The data is damaged, or the picture has more than `max_pixels`.
        ConfigError: The crop is not within the picture.
    """
    header = reader.header
    size = (header.image_height, header.image_width)
    x, y, columns, rows = part = _checked(crop, size)
    if rows * columns > max_pixels:
        raise BitstreamError(f"{columns}x{rows} pixels are more than the limit of {max_pixels:,}")
    if crop is None:
        reader.verify()
    try:
        pixels = decode_pixels(reader, width, part, model, transforms, side)
    except ModelError as error:  # symbols that no encoder produces
        raise BitstreamError(f"the file's symbols are no picture: {error}") from error
    alpha = None
    if reader.constant_alpha is not None:
        alpha = np.full((rows, columns), reader.constant_alpha, np.uint8)
    elif reader.alpha is not None:
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


def decode_symbols(reader: Reader, width: int, model: Model) -> Symbols:
    """Return the symbols (C, rows, columns) of a whole file.

    width, model: the operating point and the model that encoded the file.

    Raises:
        BitstreamError: Streams are damaged.
    """
    with _decoding(reader, width, None, model) as (symbols, pending):
        for _, stream in pending:
            stream.result()
    return symbols


def decode_pixels(
    reader: Reader, width: int, crop: Crop, model: Model, transforms: TiledTransforms, side: int
) -> Pixels:
    """Return the pixels (height, width, 3) of a rectangle of the picture.

    width: the operating point of the file. side: side in latents of the tiles in which the network
        computes, which determines its memory.

    Raises:
        BitstreamError: Streams are damaged.
        ModelError: The reconstruction is not finite.
    """
    header = reader.header
    scale, halo = model.architecture.downsampling, model.architecture.synthesis_halo
    x, y, columns, rows = crop
    wanted = Tile(y // scale, x // scale, -(-(y + rows) // scale), -(-(x + columns) // scale))
    region = wanted.grown(halo, transforms.grid((header.image_height, header.image_width)))
    delta = model.steps[header.step]
    with _decoding(reader, width, region, model) as (symbols, pending):
        image = np.empty((rows, columns, 3), np.uint8)
        for tile in _computed(wanted, side):
            window = tile.grown(halo, region)
            for place, stream in pending:
                if place.touches(window):
                    stream.result()
            pixels = transforms.pixels(symbols, region, tile, width, delta)
            if header.grey:
                pixels = make_grey(pixels)
            top, left = scale * tile.top - y, scale * tile.left - x
            pixels = pixels[max(-top, 0) :, max(-left, 0) :]
            target = image[max(top, 0) :, max(left, 0) :][: len(pixels), : pixels.shape[1]]
            target[:] = pixels[: len(target), : target.shape[1]]
        return image


@contextmanager
def _decoding(
    reader: Reader, width: int, region: Tile | None, model: Model
) -> Iterator[tuple[Symbols, list[tuple[Tile, Future[None]]]]]:
    """Yield the symbols of a region, which a second thread fills, and a future for each tile.

    region: None is the whole picture.

    The array is allocated only after the length of every stream was checked.
    """
    header = reader.header
    scale = model.architecture.downsampling
    grid = latent_grid((header.image_height, header.image_width), scale)
    region = region or grid
    channels = model.architecture.latent_channels(header.num_filters)
    entropy_model = model.entropy_model(width, header.entropy_model)
    tiles = list(covering(region, grid, header.tile_side // scale))
    for number, tile in tiles:
        shape = (channels, tile.height, tile.width)
        entropy_model.check_length(reader.tile_bytes(number), shape, header.step)
    symbols = np.empty((channels, region.height, region.width), np.int16)

    def fill(number: int, tile: Tile) -> None:
        shape = (channels, tile.height, tile.width)
        part = entropy_model.decode(reader.tile(number), shape, header.step)
        common = tile.grown(0, region)
        symbols[:, *common.slices(region)] = part[:, *common.slices(tile)]

    if len(tiles) == 1:  # a second thread would not help
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
    """Return the tiles in which the network computes: a single one if that is small enough."""
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
        raise ConfigError(
            f"crop {x},{y},{columns},{rows}: X and Y must be 0 or more, WIDTH and HEIGHT 1 or more"
        )
    if x + columns > width or y + rows > height:
        raise ConfigError(f"crop {x},{y},{columns},{rows} is not within {width}x{height} pixels")
    return crop
