"""Makes the golden files: the tiny model, `.scae` files, their symbols, and what they decode to.

Run once, and again only with a new format version (docs/format.md, "Changes"), from the root of
the repository:

    PYTHONPATH=src:tests:tests/codec python tests/data/golden/make_golden.py --force
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageCms
from tiny_codec import LMBDA, make_network

from conftest import smooth_pixels
from slimcae import container
from slimcae.codec import Codec
from slimcae.images.alpha import pack_alpha
from slimcae.model.config import ModelInfo
from slimcae.model.file import halved, read_model, write_model
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.fitting import fit
from slimcae.transforms import open_transforms

FOLDER = Path(__file__).parent
MODEL = FOLDER / "tiny.safetensors"
FILES = FOLDER / "scae"
STEPS = (1.0, 0.6, 1.7)


@dataclass(frozen=True)
class Case:
    """One golden file, by its name.

    noise: of pixels, which makes large symbols. extremes: symbols far beyond every table are
    among them, so that the pixels mean nothing and are not stored.
    """

    name: str
    width: int
    step: int
    size: tuple[int, int]
    tile_side: int = 1024
    grey: bool = False
    srgb: bool = False
    alpha: bool = False
    metadata: bool = False
    noise: bool = False
    extremes: bool = False


CASES = [
    Case("one-pixel", 12, 0, (1, 1)),
    Case("one-row", 8, 1, (1, 70)),
    Case("one-column", 4, 2, (70, 1), tile_side=16),
    Case("odd", 12, 1, (17, 33), noise=True),
    Case("odd-tiles", 8, 2, (17, 33), tile_side=16, srgb=True),
    Case("tiles", 12, 2, (100, 90), tile_side=32),
    Case("tiles-narrow", 4, 0, (70, 130), tile_side=64, noise=True),
    Case("full-tiles", 8, 0, (64, 64), tile_side=32),
    Case("grey", 12, 0, (40, 24), grey=True),
    Case("grey-narrow", 4, 1, (33, 50), tile_side=16, grey=True, srgb=True),
    Case("alpha", 8, 0, (20, 21), alpha=True),
    Case("grey-alpha", 4, 2, (21, 40), tile_side=32, grey=True, alpha=True, noise=True),
    Case("metadata", 4, 0, (18, 20), metadata=True),
    Case("everything", 4, 0, (12, 20), tile_side=16, alpha=True, metadata=True),
    Case("extremes", 8, 1, (48, 48), tile_side=32, extremes=True),
]


def overlap(network: SlimCAE) -> None:
    """Make every tap of the decoder's kernels count: the warm start's blocks do not overlap."""
    with torch.no_grad():
        for layer in (network.g_s.deconv1, network.g_s.deconv2, network.g_s.deconv3):
            layer.weight.add_(0.3 * layer.weight.std() * torch.randn_like(layer.weight))


def fitted(model: Model) -> Model:
    """Return the model with contexts and tables counted on pictures."""
    transforms = open_transforms(model, precision="float32")
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{seed}.png" for seed in range(100, 112)]
        for seed, path in enumerate(paths):
            Image.fromarray(smooth_pixels(96, 80, seed)).save(path)
        found = fit(model, transforms, paths[:8], paths[8:])
    assert set(found.counted) == set(model.widths), "golden files should have contexts"
    return replace(model, entropy_models=found.entropy_models)


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
    header = container.Header(
        image_height=height,
        image_width=width,
        grey=case.grey,
        srgb=case.srgb,
        num_filters=case.width,
        step=case.step,
        tile_side=case.tile_side,
        model_name=codec.info.name,
        model_fingerprint=codec.model.fingerprint(case.width),
    )
    entropy_model = codec.model.entropy_model(case.width)
    alpha = np.random.default_rng(seed).integers(0, 4, case.size, dtype=np.uint8) * 85
    return container.Contents(
        header,
        [entropy_model.encode(part, case.step) for part in tiles_of(symbols, case.tile_side // 16)],
        alpha=pack_alpha(alpha) if case.alpha else None,
        icc_profile=icc_profile() if case.metadata else None,
        exif=exif() if case.metadata else None,
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>' if case.metadata else None,
    )


def tiles_of(symbols: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """The tiles in raster order, by the document and not by the package."""
    _, rows, columns = symbols.shape
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield symbols[:, top : top + side, left : left + side]


def icc_profile() -> bytes:
    """A small one, with its date fixed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07e8 0001 0001 0000 0000 0000")
    return bytes(profile)


def exif() -> bytes:
    tags = Image.Exif()
    tags[271] = "SlimCAE"
    return tags.tobytes()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument("--keep-model", action="store_true", help="make the files only")
    options = parser.parse_args()
    if not options.force and (MODEL.exists() or any(FILES.glob("*"))):
        parser.error("there are golden files: a new format version needs new ones, with --force")
    torch.set_num_threads(1)
    if not (options.keep_model and MODEL.exists()):
        network = make_network(0)
        overlap(network)
        model = halved(to_model(network, ModelInfo("tiny", "1", LMBDA), steps=STEPS))
        write_model(MODEL, fitted(model), half=True)
    codec = Codec(read_model(MODEL), precision="float32")
    FILES.mkdir(exist_ok=True)
    for path in FILES.iterdir():
        path.unlink()
    stored, pinned = {}, {}
    for seed, case in enumerate(CASES):
        symbols = symbols_of(codec, case, seed)
        data = container.write(contents_of(codec, case, symbols, seed))
        stored[case.name] = symbols
        pinned[case.name] = {
            "file": digest(data),
            "symbols": digest(symbols.astype("<i2").tobytes()),
        }
        (FILES / f"{case.name}.scae").write_bytes(data)
        if not case.extremes:
            png = BytesIO()
            codec.decompress(data).save(png, "PNG", icc_profile=None, exif=b"", optimize=True)
            (FILES / f"{case.name}.png").write_bytes(png.getvalue())
    np.savez_compressed(FILES / "symbols.npz", allow_pickle=False, **stored)
    (FILES / "pinned.json").write_text(json.dumps(pinned, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
