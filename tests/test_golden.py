"""Golden files: what version 4 of the format makes of given symbols, and of given bytes."""

import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optional_torch import HAS_TORCH, torch
from reference_decoder import File, decode_file, decode_planes, metadata
from reference_model import Model as SlowModel
from slimcae import container
from slimcae.codec import Codec
from slimcae.codec.tiled import TiledTransforms
from slimcae.codec.tiles import Tile
from slimcae.model.file import read_model
from slimcae.model.header import read_model_header
from slimcae.model.registry import shipped_model
from slimcae.transforms import Pixels, Symbols

GOLDEN = Path(__file__).parent / "data" / "golden"
MODEL = GOLDEN / "tiny.safetensors"
FILES = sorted((GOLDEN / "scae").glob("*.scae"))
PINNED = json.loads((GOLDEN / "scae" / "pinned.json").read_text(encoding="utf-8"))
CHANGED = (
    "the format's bits have changed. Undo it; or, if it is meant: a new FORMAT_VERSION, a line "
    'in docs/format.md ("Changes") and in CHANGELOG.md ("Changed (format)"), and new golden '
    "files (tests/data/golden/make_golden.py --force)"
)

METADATA = {"iccp", "exif", "xmpp"}

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_picture = pytest.mark.parametrize(
    "path", [f for f in FILES if f.with_suffix(".png").exists()], ids=lambda path: path.stem
)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(read_model(MODEL))


@pytest.fixture(scope="module")
def slow_model() -> SlowModel:
    return SlowModel(MODEL.read_bytes())


@pytest.fixture(scope="module")
def symbols() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "scae" / "symbols.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def two_threads() -> Iterator[None]:
    if HAS_TORCH:
        torch.set_num_threads(2)
    yield
    if HAS_TORCH:
        torch.set_num_threads(1)


def digest(symbols: np.ndarray) -> str:
    return hashlib.sha256(symbols.astype("<i2").tobytes()).hexdigest()


def decoded_symbols(codec: Codec, data: bytes) -> np.ndarray:
    return codec.read_symbols(data)


def tiles_of(symbols: np.ndarray, side: int) -> list[np.ndarray]:
    _, rows, columns = symbols.shape
    return [
        symbols[:, top : top + side, left : left + side]
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]


def test_the_set_is_whole_and_covers_what_it_should(symbols: dict[str, np.ndarray]) -> None:
    names = {path.stem for path in FILES}
    assert names == set(PINNED) == set(symbols)
    assert names == {path.stem for path in (GOLDEN / "scae").glob("*.png")} | {
        "extremes",
        "extremes-tables",
        "extremes-factorized",
    }
    files = [decode_file(path.read_bytes()) for path in FILES]
    assert {file.num_filters for file in files} == {12, 8, 4}
    assert {file.step for file in files} == {0, 1, 2}
    kinds = [(file.num_filters, file.kind) for file in files]
    assert {pair for pair in kinds if kinds.count(pair) > 1} >= {
        (12, "context"),
        (8, "context"),
        (8, "tables"),
        (4, "factorized"),
    }
    assert (12, "tables") in kinds
    assert {(1, 1), (1, 70), (17, 33)} <= {(file.height, file.width) for file in files}
    assert {file.grey for file in files} == {file.srgb for file in files} == {True, False}
    assert {tag for file in files for tag in file.chunks} == {
        "ALPH",
        "OPAC",
        "iccp",
        "exif",
        "xmpp",
    }
    assert sum(len(file.tiles) > 1 for file in files) >= 4
    assert sum(path.stat().st_size for path in (GOLDEN / "scae").iterdir()) < 120_000
    assert MODEL.stat().st_size < 170_000


@every_file
def test_the_files_themselves_are_untouched(path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == PINNED[path.stem]["file"], f"{path.name} was changed: {CHANGED}"


@every_file
def test_both_decoders_find_the_pinned_symbols(
    path: Path, codec: Codec, slow_model: SlowModel, symbols: dict[str, np.ndarray]
) -> None:
    expected = PINNED[path.stem]["symbols"]
    assert digest(symbols[path.stem]) == expected, "symbols.npz was changed"
    data = path.read_bytes()
    assert digest(decoded_symbols(codec, data)) == expected, CHANGED
    file = decode_file(data)
    planes = decode_planes(file, slow_model.entropy_model(file.num_filters, file.step, file.kind))
    assert digest(np.array(planes)) == expected, f"the slow decoder differs: {CHANGED}"


@every_file
def test_the_writer_makes_the_same_bytes_of_the_symbols(
    path: Path, codec: Codec, symbols: dict[str, np.ndarray]
) -> None:
    data = path.read_bytes()
    contents = container.read(data)
    header = contents.header
    entropy_model = codec.model.entropy_model(header.num_filters, header.entropy_model)
    tiles = tiles_of(symbols[path.stem], header.tile_side // 16)
    streams = [entropy_model.encode(tile, header.step) for tile in tiles]
    written = container.write(
        container.Contents(
            header,
            streams,
            contents.alpha,
            contents.icc_profile,
            contents.exif,
            contents.xmp,
            contents.constant_alpha,
        )
    )
    # how well zlib packs metadata is its own affair: compared by what they inflate to
    assert _without_packing(written) == _without_packing(data), CHANGED
    if contents.icc_profile is None:
        assert written == data, CHANGED


def _without_packing(data: bytes) -> tuple[File, bytes]:
    file = decode_file(data)
    packed = [file.chunks[tag] for tag in file.chunks if tag in METADATA]
    for tag in METADATA & set(file.chunks):
        file.chunks[tag] = metadata(file, tag) or b""
    rest = len(data) - sum(map(len, file.tiles)) - sum(map(len, packed))
    return file, data[: 29 + data[28] + 8 * len(file.tiles) + 4] + rest.to_bytes(4)


@every_file
def test_headers_metadata_and_alpha_are_read_alike(path: Path) -> None:
    data = path.read_bytes()
    file, contents = decode_file(data), container.read(data)
    header = contents.header
    assert (file.height, file.width) == (header.image_height, header.image_width)
    assert (file.grey, file.srgb) == (header.grey, header.srgb)
    assert (file.num_filters, file.step) == (header.num_filters, header.step)
    assert file.kind == header.entropy_model
    assert (file.tile_side, file.model_name) == (header.tile_side, header.model_name)
    assert file.fingerprint == header.model_fingerprint
    assert file.tiles == list(contents.tiles)
    assert file.chunks.get("ALPH") == contents.alpha
    level = contents.constant_alpha
    assert file.chunks.get("OPAC") == (None if level is None else bytes([level]))
    assert metadata(file, "iccp") == contents.icc_profile
    assert metadata(file, "xmpp") == contents.xmp
    exif = metadata(file, "exif")
    assert contents.exif == (None if exif is None else b"Exif\0\0" + exif)


@every_file
@pytest.mark.usefixtures("emulated_bfloat16")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile_side", [16, 1024])
def test_symbols_depend_on_nothing(
    path: Path,
    precision: str,
    tile_side: int,
    two_threads: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside two threads of torch here and one elsewhere: precision, and the codec's own tiles."""
    other = Codec(read_model(MODEL), precision=precision, tile_side=tile_side)
    found: list[Symbols] = []
    original = TiledTransforms.pixels

    def watched(
        self: TiledTransforms, symbols: Symbols, region: Tile, tile: Tile, width: int, delta: float
    ) -> Pixels:
        found.append(symbols)  # the same array each time; whole when the last tile is asked for
        return original(self, symbols, region, tile, width, delta)

    monkeypatch.setattr(TiledTransforms, "pixels", watched)
    data = path.read_bytes()
    other.decompress(data)
    assert digest(found[-1]) == PINNED[path.stem]["symbols"]
    assert digest(decoded_symbols(other, data)) == PINNED[path.stem]["symbols"]


def largest_difference(found: np.ndarray, expected: np.ndarray) -> int:
    assert found.shape == expected.shape
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


@every_picture
@pytest.mark.parametrize("tile_side", [16, 1024])
def test_pixels_are_the_stored_ones_within_a_level(path: Path, tile_side: int) -> None:
    image = Codec(read_model(MODEL), precision="float32", tile_side=tile_side).decompress(path)
    with Image.open(path.with_suffix(".png")) as expected:
        assert image.mode == expected.mode
        difference = largest_difference(np.asarray(image), np.asarray(expected))
        assert difference <= 1, CHANGED
        if "A" in image.mode:
            np.testing.assert_array_equal(image.getchannel("A"), expected.getchannel("A"))


@every_picture
def test_pixels_by_the_document_are_the_stored_ones_within_a_level(
    path: Path, slow_model: SlowModel, symbols: dict[str, np.ndarray]
) -> None:
    """From the symbols, with the pure-Python network."""
    file = decode_file(path.read_bytes())
    planes = symbols[path.stem].tolist()
    rows = slow_model.pixels(planes, file.step, file.height, file.width, file.grey)
    with Image.open(path.with_suffix(".png")) as expected:
        colours = np.asarray(expected.convert("L" if file.grey else "RGB"))
    found = np.array(rows)
    assert largest_difference(found[:, :, 0] if file.grey else found, colours) <= 1, CHANGED


def test_metadata_reach_the_picture(codec: Codec) -> None:
    path = GOLDEN / "scae" / "everything.scae"
    contents, image = container.read(path.read_bytes()), codec.decompress(path)
    assert contents.exif is not None
    assert Image.open(BytesIO(_png_with(contents.exif))).getexif()[271] == "SlimCAE"
    assert image.info["icc_profile"] == contents.icc_profile
    assert image.info["exif"] == contents.exif
    assert image.info["xmp"] == contents.xmp


def _png_with(exif: bytes) -> bytes:
    png = BytesIO()
    Image.new("L", (1, 1)).save(png, "PNG", exif=exif)
    return png.getvalue()


def test_golden_files_do_not_hang_on_the_shipped_weights() -> None:
    """New weights must not change them: they are of the tiny model, by name and fingerprint."""
    tiny = read_model_header(MODEL)
    shipped = set(read_model_header(shipped_model()).fingerprints.values())
    assert (tiny.name, tiny.version, tiny.widths) == ("tiny", "1", (12, 8, 4))
    assert tiny.steps == (1.0, 0.6, 1.7)
    for path in FILES:
        header = container.Reader(path.read_bytes()).header
        assert header.model_name == "tiny"
        assert header.model_fingerprint.hex() == tiny.fingerprints[str(header.num_filters)]
        assert header.model_fingerprint.hex() not in shipped


@pytest.mark.parametrize("width", [12, 8, 4])
def test_the_documents_fingerprint_is_that_of_the_golden_model(
    slow_model: SlowModel, width: int
) -> None:
    found = slow_model.fingerprint(width).hex()
    assert found == slow_model.described["fingerprints"][str(width)], CHANGED
