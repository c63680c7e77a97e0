"""Make the golden files: the tiny model, `.scae` files, their symbols, and decoded pixels.

Run once, and again only with a new format version (docs/format.md, "Changes"), from the root of
the repository:

    PYTHONPATH=src:tests:tests/codec python tests/data/golden/make_golden.py --force

With --architecture it makes those of a light architecture instead, with --hyperprior those of the
kind `hyperprior`, and with --methods those of the other methods than `slimcae`, which came later.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms
from tiny_codec import LMBDA, WIDTHS, make_network

from conftest import smooth_pixels
from context_networks import random_arrays
from hyperpriors import random_hyperprior
from method_networks import coding
from slimcae import container
from slimcae.codec import Codec
from slimcae.coding.context_counting import REACH, count_cells, counted_model
from slimcae.coding.counting import ActivityCounts, ClassCounts, channel_groups, tables_model
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import by_kind
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior_counting import counted_hyperprior
from slimcae.images.alpha import pack_alpha
from slimcae.model.config import ARCHITECTURES, METHODS, ModelInfo
from slimcae.model.file import halved, read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE

FOLDER = Path(__file__).parent
MODEL = FOLDER / "tiny.safetensors"
FILES = FOLDER / "scae"
HYPERPRIOR_MODEL = FOLDER / "tiny-hyperprior.safetensors"
HYPERPRIOR_FILES = FOLDER / "hyperprior"
METHOD_FILES = FOLDER / "methods"
STEPS = (1.0, 0.6, 1.7)


@dataclass(frozen=True)
class Case:
    """One golden file, by its name.

    kind: of the entropy model, one that the width has; None is the first of them.
    noise: of pixels, which makes large symbols. extremes: symbols far beyond every table are
    among them, so that the pixels mean nothing and are not stored.
    """

    name: str
    width: int
    step: int
    size: tuple[int, int]
    tile_side: int = 1024
    kind: str | None = None
    grey: bool = False
    srgb: bool = False
    alpha: bool = False
    constant_alpha: int | None = None
    metadata: bool = False
    noise: bool = False
    extremes: bool = False


CASES = [
    Case("one-pixel", 12, 0, (1, 1)),
    Case("one-row", 8, 1, (1, 70), kind="tables"),
    Case("one-column", 4, 2, (70, 1), tile_side=16),
    Case("odd", 12, 1, (17, 33), noise=True),
    Case("odd-tiles", 8, 2, (17, 33), tile_side=16, srgb=True),
    Case("tiles", 12, 2, (100, 90), tile_side=32),
    Case("tiles-fast", 12, 1, (50, 70), tile_side=32, kind="tables"),
    Case("tiles-context", 8, 2, (90, 100), tile_side=64, noise=True),
    Case("tiles-narrow", 4, 0, (70, 130), tile_side=64, noise=True),
    Case("full-tiles", 8, 0, (64, 64), tile_side=32, kind="tables"),
    Case("grey", 12, 0, (40, 24), grey=True),
    Case("grey-narrow", 4, 1, (33, 50), tile_side=16, grey=True, srgb=True),
    Case("alpha", 8, 0, (20, 21), alpha=True),
    Case("grey-alpha", 4, 2, (21, 40), tile_side=32, grey=True, alpha=True, noise=True),
    Case("metadata", 4, 0, (18, 20), metadata=True),
    Case("everything", 4, 0, (12, 20), tile_side=16, alpha=True, metadata=True),
    Case("extremes", 8, 1, (48, 48), tile_side=32, extremes=True),
    Case("extremes-tables", 8, 2, (48, 48), tile_side=32, kind="tables", extremes=True),
    Case("extremes-factorized", 4, 2, (48, 48), tile_side=32, extremes=True),
    Case("constant-alpha", 8, 0, (20, 21), constant_alpha=129),
]


LIGHT_CASES = [  # for each light architecture, whose name precedes theirs
    Case("odd", 12, 2, (17, 33), noise=True),
    Case("tiles", 8, 1, (50, 70), tile_side=32, kind="tables"),
    Case("narrow", 4, 0, (40, 100), tile_side=16, grey=True),
]


HYPERPRIOR_CASES = [
    Case("hyperprior-odd", 4, 1, (17, 33), noise=True),
    Case("hyperprior-tiles", 4, 2, (70, 100), tile_side=64),
    Case("hyperprior-extremes", 4, 0, (48, 80), extremes=True),
]


def vary(network: SlimCAE) -> None:
    """Make every number of a light decoder matter, since the warm start leaves most at zero."""
    with torch.no_grad():
        for parameter in network.g_s.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


def overlap(network: SlimCAE) -> None:
    """Make every tap of a decoder's kernels matter; blocks of a warm start do not overlap."""
    with torch.no_grad():
        for layer in (network.g_s.deconv1, network.g_s.deconv2, network.g_s.deconv3):
            layer.weight.add_(0.3 * layer.weight.std() * torch.randn_like(layer.weight))


def fitted(model: Model) -> Model:
    """Return the model with all kinds of entropy models, of which each width has some.

    Their tables are counted on pictures; the context networks are random ones.
    """
    codec = Codec(model, precision="float32")
    pictures = [smooth_pixels(96, 80, seed) for seed in range(100, 108)]
    entropy_models = dict(model.entropy_models)
    for seed, width in enumerate((12, 8)):
        tiles = [
            (codec.analyse(pixels, width, step), step)
            for pixels in pictures
            for step in range(len(STEPS))
        ]
        density = model.entropy_model(width, "factorized")
        assert isinstance(density, FactorizedModel)
        entropy_models[width] = by_kind(context(seed, tiles), tables(density, tiles))
    return replace(model, entropy_models=entropy_models)


def with_hyperprior(model: Model) -> Model:
    """Return the model with a random hyperprior at its only width, whose tables are counted."""
    codec, width = Codec(model, precision="float32"), model.widths[0]
    tiles = [
        (codec.analyse(smooth_pixels(96, 80, seed), width, step), step)
        for seed in range(100, 108)
        for step in range(len(STEPS))
    ]
    of_tables = ("z_choice", "choice", "minimum", "length", "counts")
    arrays = random_hyperprior(0, width, hidden=(5, 6, 3, 5, 6))
    network = {name: array for name, array in arrays.items() if name not in of_tables}
    density = np.full((3, 2 * REACH + 2), 1 / (2 * REACH + 2))
    found = counted_hyperprior(network, density, tiles, 12, smallest=-2.0, per_e=2.0)
    return replace(model, entropy_models={width: by_kind(found)})


def tables(density: FactorizedModel, tiles: list[tuple[np.ndarray, int]]) -> EntropyModel:
    groups = channel_groups(density.num_channels)
    counts = []
    for step in range(len(STEPS)):
        mine = [symbols for symbols, own in tiles if own == step]
        active = ActivityCounts(groups)
        for symbols in mine:
            active.add(symbols)
        counts.append(ClassCounts(density, step, groups, active.thresholds()))
        for symbols in mine:
            counts[-1].add(symbols)
    return tables_model(counts)


def context(seed: int, tiles: list[tuple[np.ndarray, int]]) -> EntropyModel:
    groups = {18: (2, 3, 6, 7), 12: (1, 2, 4, 5), 8: (3, 5)}[len(tiles[0][0])]
    arrays = random_arrays(seed, groups, hidden=6)
    network = {
        name: array
        for name, array in arrays.items()
        if name not in ("choice", "minimum", "length", "counts")
    }
    found = count_cells(network, tiles, scales=9)
    return counted_model(network, found, smallest=-2.0, per_e=2.0)


def symbols_of(codec: Codec, case: Case, seed: int) -> np.ndarray:
    if case.noise:
        pixels = np.random.default_rng(seed).integers(0, 256, (*case.size, 3), dtype=np.uint8)
    else:
        pixels = smooth_pixels(*case.size, seed)
    if case.grey:
        pixels = np.repeat(pixels[:, :, :1], 3, axis=2)
    symbols = codec.analyse(pixels, case.width, case.step)
    if case.extremes:
        flat = symbols.reshape(-1)
        flat[::11] = np.resize([32767, -32767, 1000, -400, 70], flat[::11].size)
    return symbols


def contents_of(codec: Codec, case: Case, symbols: np.ndarray, seed: int) -> container.Contents:
    height, width = case.size
    entropy_model = codec.model.entropy_model(case.width, case.kind)
    header = container.Header(
        image_height=height,
        image_width=width,
        grey=case.grey,
        srgb=case.srgb,
        num_filters=case.width,
        step=case.step,
        entropy_model=entropy_model.kind,
        tile_side=case.tile_side,
        model_name=codec.info.name,
        model_fingerprint=codec.model.fingerprint(case.width),
    )
    alpha = np.random.default_rng(seed).integers(0, 4, case.size, dtype=np.uint8) * 85
    return container.Contents(
        header,
        [entropy_model.encode(part, case.step) for part in tiles_of(symbols, case.tile_side // 16)],
        alpha=pack_alpha(alpha) if case.alpha else None,
        icc_profile=icc_profile() if case.metadata else None,
        exif=exif() if case.metadata else None,
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>' if case.metadata else None,
        constant_alpha=case.constant_alpha,
    )


def tiles_of(symbols: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Return the tiles in raster order, as defined by the document, not by the package."""
    _, rows, columns = symbols.shape
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield symbols[:, top : top + side, left : left + side]


def icc_profile() -> bytes:
    """Return a small profile with a fixed date."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07e8 0001 0001 0000 0000 0000")
    return bytes(profile)


def exif() -> bytes:
    tags = Image.Exif()
    tags[271] = "SlimCAE"
    return tags.tobytes()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_methods() -> None:
    """Make a model of two points of width 8 for each other method, and a file of each point."""
    METHOD_FILES.mkdir(exist_ok=True)
    pinned = {}
    for method in METHODS[1:]:
        _, model = coding(method, widths=(8, 8))
        path = METHOD_FILES / f"{method}.safetensors"
        write_model(path, halved(model), half=True)
        codec = Codec(read_model(path), precision="float32")
        for point in codec.points:
            name = f"{method}-{point}"
            pixels = smooth_pixels(40, 52, point)
            data = codec.compress(pixels, point=point, step=point - 1)
            pinned[name] = {
                "file": digest(data),
                "symbols": digest(codec.read_symbols(data).astype("<i2").tobytes()),
            }
            (METHOD_FILES / f"{name}.scae").write_bytes(data)
            codec.decompress(data).save(METHOD_FILES / f"{name}.png", optimize=True)
    text = json.dumps(pinned, indent=2) + "\n"
    (METHOD_FILES / "pinned.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument("--keep-model", action="store_true", help="make the files only")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="slimcae")
    parser.add_argument("--hyperprior", action="store_true", help="those of the kind hyperprior")
    parser.add_argument("--methods", action="store_true", help="those of the other methods")
    options = parser.parse_args()
    if options.methods:
        if any(METHOD_FILES.glob("*")) and not options.force:
            parser.error("there are golden files of methods: new ones need --force")
        torch.set_num_threads(1)
        make_methods()
        return
    path, files, cases = MODEL, FILES, CASES
    light = options.architecture != "slimcae"
    if light:
        name = options.architecture
        path, files = FOLDER / f"tiny-{name}.safetensors", FOLDER / name
        cases = [replace(case, name=f"{name}-{case.name}") for case in LIGHT_CASES]
    if options.hyperprior:
        path, files, cases = HYPERPRIOR_MODEL, HYPERPRIOR_FILES, HYPERPRIOR_CASES
    if not options.force and (path.exists() or any(files.glob("*"))):
        parser.error("there are golden files: a new format version needs new ones, with --force")
    torch.set_num_threads(1)
    if not (options.keep_model and path.exists()):
        widths = (4,) if options.hyperprior else WIDTHS
        network = make_network(0, options.architecture, widths)
        (vary if light else overlap)(network)
        info = ModelInfo(path.stem, "1", LMBDA[-len(widths) :])
        model = halved(to_model(network, info, steps=STEPS))
        model = with_hyperprior(model) if options.hyperprior else fitted(model)
        write_model(path, model, half=True)
    make_files(Codec(read_model(path), precision="float32"), files, cases)


def make_files(codec: Codec, folder: Path, cases: list[Case]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    stored, pinned = {}, {}
    for seed, case in enumerate(cases):
        symbols = symbols_of(codec, case, seed)
        data = container.write(contents_of(codec, case, symbols, seed))
        stored[case.name] = symbols
        pinned[case.name] = {
            "file": digest(data),
            "symbols": digest(symbols.astype("<i2").tobytes()),
        }
        (folder / f"{case.name}.scae").write_bytes(data)
        if not case.extremes:
            png = BytesIO()
            codec.decompress(data).save(png, "PNG", icc_profile=None, exif=b"", optimize=True)
            (folder / f"{case.name}.png").write_bytes(png.getvalue())
    np.savez_compressed(folder / "symbols.npz", allow_pickle=False, **stored)
    (folder / "pinned.json").write_text(json.dumps(pinned, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
