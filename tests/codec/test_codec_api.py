"""Test first contacts with the codec: objects of other types, misspelt options, reprs."""

import inspect
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from PIL import Image
from tiny_codec import make_model

import slimcae
from conftest import smooth_pixels
from optional_torch import needs_torch, torch
from slimcae.codec import Codec, Target
from slimcae.codec.codec import CompressOptions
from slimcae.errors import (
    BitstreamError,
    ConfigError,
    ImageError,
    ModelError,
    SettingError,
    SlimCAEError,
)
from slimcae.images import Picture
from slimcae.model.file import write_model
from slimcae.model.quality import Point
from slimcae.model.registry import add_model

PIXELS = smooth_pixels(20, 30, 1)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(make_model(0))


def test_arrays_bytes_and_pictures_make_the_same_file(codec: Codec) -> None:
    expected = codec.compress(Picture(PIXELS))
    assert codec.compress(PIXELS) == expected
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    assert codec.compress(file.getvalue()) == expected
    assert codec.compress(file) == expected
    np.testing.assert_array_equal(
        np.asarray(codec.decompress(io.BytesIO(expected))), np.asarray(codec.decompress(expected))
    )


def test_files_of_any_path_are_decompressed(codec: Codec, tmp_path: Path) -> None:
    class Named:
        def __fspath__(self) -> str:
            return str(tmp_path / "a.scae")

    data = codec.compress(PIXELS)
    (tmp_path / "a.scae").write_bytes(data)
    assert codec.decompress(Named()).tobytes() == codec.decompress(data).tobytes()


@needs_torch
def test_a_batch_of_tensors_one_by_one(codec: Codec) -> None:
    batch = torch.from_numpy(np.stack([PIXELS, PIXELS[::-1]]))
    assert [codec.compress(one) for one in batch] == [
        codec.compress(one) for one in (PIXELS, PIXELS[::-1])
    ]


def test_batches_are_many_single_calls(codec: Codec) -> None:
    batch = np.stack([PIXELS, PIXELS[::-1], PIXELS[:, ::-1], 255 - PIXELS])
    expected = [codec.compress(one, 8, step=1) for one in batch]
    assert len(set(expected)) == 4
    mixed: list[Any] = [Picture(batch[0]), Image.fromarray(batch[1]), *batch[2:]]
    for jobs in (1, 2, np.int64(3)):
        for given in (batch, list(batch), tuple(batch), iter(batch), mixed):
            found = codec.compress_many(given, 8, step=1, jobs=jobs)
            assert list(found) == expected
        pictures = list(codec.decompress_many(expected, jobs=jobs, crop=(3, 2, 10, 8)))
        assert [picture.tobytes() for picture in pictures] == [
            codec.decompress(data, crop=(3, 2, 10, 8)).tobytes() for data in expected
        ]
    assert list(codec.compress_many([])) == []


@needs_torch
def test_tensors_are_batches_too(codec: Codec) -> None:
    batch = np.stack([PIXELS, PIXELS[::-1]])
    assert list(codec.compress_many(torch.from_numpy(batch))) == list(codec.compress_many(batch))


@pytest.mark.parametrize("jobs", [1, 2])
def test_of_a_batch_the_one_that_cannot_be_done_is_numbered(codec: Codec, jobs: int) -> None:
    found = codec.compress_many([PIXELS, PIXELS, b"no picture", PIXELS], jobs=jobs)
    good = codec.compress(PIXELS)
    assert [next(found), next(found)] == [good, good]
    with pytest.raises(ImageError, match=r"^picture 2: the picture cannot be read"):
        next(found)
    with pytest.raises(BitstreamError, match=r"^file 1: not a \.scae file"):
        list(codec.decompress_many([good, b"no file"], jobs=jobs))
    with pytest.raises(ConfigError, match=r"^picture 0: a size of 1 bytes is out of range"):
        list(codec.compress_many([PIXELS], target_size=1, jobs=jobs))


def test_pictures_of_a_batch_are_taken_when_they_are_needed(codec: Codec) -> None:
    taken = []

    def pictures() -> Iterator[np.ndarray]:
        for number in range(100):
            taken.append(number)
            yield PIXELS

    found = codec.compress_many(pictures(), jobs=2)
    next(found)
    assert len(taken) <= 4
    found.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PIXELS, r"an array of shape \(20, 30, 3\) is no batch: give \(N, H, W, C\)"),
        ("a.png", "str is not several: give a list of pictures"),
        (b"bytes", "bytes is not several"),
        (Picture(PIXELS), "Picture is not several"),
        (Image.fromarray(PIXELS), "Image is not several"),
        (io.BytesIO(), "BytesIO is not several"),
        (3, "int is not several"),
    ],
)
def test_one_picture_is_no_batch(codec: Codec, given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        codec.compress_many(given)
    if not isinstance(given, np.ndarray):
        with pytest.raises(ConfigError, match="is not several: give a list of files"):
            codec.decompress_many(given)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2"])
def test_impossible_numbers_of_jobs(codec: Codec, jobs: Any) -> None:
    with pytest.raises(ConfigError, match=f"jobs {jobs!r}: must be a whole number from 1"):
        codec.compress_many([PIXELS], jobs=jobs)


@pytest.mark.parametrize("given", [np.stack([PIXELS] * 2), [PIXELS], (PIXELS,)])
def test_a_batch_is_no_picture(codec: Codec, given: Any) -> None:
    with pytest.raises(ImageError, match=r"give (it|several) to Codec\.compress_many"):
        codec.compress(given)


FOREIGN: dict[str, Callable[[Any], object]] = {
    "picture": lambda codec: codec.compress(3),
    "width": lambda codec: codec.compress(PIXELS, "48"),
    "widths": lambda codec: codec.compress(PIXELS, widths=48),
    "metadata": lambda codec: codec.compress(PIXELS, metadata=3),
    "effort": lambda codec: codec.compress(PIXELS, effort="fast"),
    "target": lambda codec: codec.encode(PIXELS, "small"),
    "data": lambda codec: codec.decompress(3),
    "crop as a number": lambda codec: codec.decompress(codec.compress(PIXELS), crop=5),
    "text": lambda codec: codec.decompress(io.StringIO("SCAE")),
    "null": lambda codec: codec.decompress("a\0.scae"),
    "crop": lambda codec: codec.decompress(codec.compress(PIXELS), crop="left"),
    "max_pixels": lambda codec: codec.decompress(codec.compress(PIXELS), max_pixels="all"),
    "model": lambda codec: Codec("slimcae"),  # type: ignore[arg-type]
    "name": lambda codec: slimcae.load(3),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_objects_raise_our_errors(codec: Codec, what: str) -> None:
    with pytest.raises(SlimCAEError) as caught:
        FOREIGN[what](codec)
    kinds = {"data": BitstreamError, "text": BitstreamError, "name": ModelError}
    assert isinstance(caught.value, kinds.get(what, SlimCAEError))
    assert "\n" not in str(caught.value)


def test_reprs_are_short(codec: Codec) -> None:
    info, widths = codec.info, " ".join(map(str, codec.widths))
    assert repr(codec.model) == f"<Model {info.name} {info.version}, widths {widths}>"
    assert repr(codec) == f"<Codec of {codec.model!r}, onnx on cpu>"
    compressed = codec.encode(Picture(PIXELS))
    assert repr(compressed).startswith("<Compressed 30x20, width ")
    picture = Picture(PIXELS, alpha=PIXELS[:, :, 0], srgb=True, exif=b"Exif")
    assert repr(picture) == "<Picture 30x20 RGBA, srgb, exif>"
    for thing in (codec, codec.model, compressed, picture):
        assert len(repr(thing)) < 120


def test_options_of_the_module_are_those_of_the_codec() -> None:
    ours = inspect.signature(Codec.compress).parameters
    named = {name for name, p in ours.items() if p.kind is p.KEYWORD_ONLY}
    assert set(CompressOptions.__annotations__) == named
    hints = get_type_hints(Codec.compress)
    assert get_type_hints(CompressOptions) == {name: hints[name] for name in named}
    assert inspect.signature(slimcae.decompress).parameters.keys() == inspect.signature(
        Codec.decompress
    ).parameters.keys() - {"self"}


def test_a_misspelt_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="qualty"):
        slimcae.compress(PIXELS, qualty=40)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="max_pixel"):
        slimcae.decompress(b"", max_pixel=40)  # type: ignore[call-arg]


@needs_torch
def test_load_model_finds_what_load_finds() -> None:
    shipped = slimcae.load().model
    name, version = shipped.info.name, shipped.info.version
    for wanted in (None, name, f"{name}@{version}"):
        assert slimcae.load_model(wanted).widths == shipped.widths
    with pytest.raises(ModelError, match="no model absent"):
        slimcae.load_model("absent")
    with pytest.raises(ModelError, match="3 is not a model"):
        slimcae.load_model(3)  # type: ignore[arg-type]


def test_a_misspelt_option_is_an_error_for_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        "import io\n"
        "import numpy as np\n"
        "import slimcae\n"
        "pixels = np.zeros((2, 2, 3), np.uint8)\n"
        "slimcae.compress(pixels, quality=40)\n"
        "slimcae.compress(io.BytesIO(b''), 96, step=1)\n"
        "slimcae.compress(b'', bpp=1)\n"
        "slimcae.compress('a.png', qualty=40)\n"  # line 8
        "slimcae.decompress(b'', crops=(0, 0, 1, 1))\n"
        "slimcae.compress(40)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
         "--cache-dir", str(tmp_path / "cache"), str(program)],
        capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(Path(slimcae.__file__).parents[1])},
    )  # fmt: skip
    lines = [line.split(":")[1] for line in done.stdout.splitlines() if ": error: " in line]
    assert lines == ["8", "9", "10"], done.stdout


def test_arrays_of_paths_are_lists(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    expected = codec.compress(PIXELS)
    for kind in (object, np.str_):
        assert list(codec.compress_many(np.array([str(path)] * 2, kind))) == [expected] * 2
    mixed = np.empty(2, object)
    mixed[:] = [path, None]
    with pytest.raises(ImageError, match="picture 1: NoneType is not a picture"):
        list(codec.compress_many(mixed))
    with pytest.raises(ConfigError, match="holds no files: give a list of files"):
        codec.decompress_many(np.frombuffer(expected, np.uint8))
    with pytest.raises(ConfigError, match="jobs '2': must be a whole number"):
        codec.compress_many([PIXELS], jobs="2")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["quality", "bpp", "target_size", "target_psnr"])
def test_booleans_are_no_numbers(name: str) -> None:
    choice: dict[str, Any] = {name: True}
    with pytest.raises(ConfigError, match=f"{name} True: must be a number"):
        Target(**choice)


@pytest.mark.parametrize(("widths", "rule"), [([], "one width at least"), ("48", "a list")])
def test_widths_are_a_list(widths: Any, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        Target(widths=widths)


@pytest.mark.parametrize("value", ["no", "yes", "", 0, 1, None, np.ones(1, bool), np.int64(1)])
def test_only_booleans_are_booleans(codec: Codec, tmp_path: Path, value: Any) -> None:
    """The text "no" would count as true."""
    draft = codec.draft(Picture(PIXELS))
    calls: dict[str, Callable[[], object]] = {
        "verify": lambda: codec.compress(PIXELS, verify=value),
        "closest": lambda: codec.compress(PIXELS, bpp=1.0, closest=value),
        "verify ": lambda: codec.encode(PIXELS, verify=value),
        "verify  ": lambda: draft.file(Point(codec.points[0], 0), verify=value),
        "closest ": lambda: Target(bpp=1.0, closest=value),
        "grey": lambda: Picture(PIXELS, grey=value),
        "srgb": lambda: Picture(PIXELS, srgb=value),
        "half": lambda: write_model(tmp_path / "m.safetensors", codec.model, half=value),
        "overwrite": lambda: add_model(tmp_path / "m.safetensors", overwrite=value),
    }
    for name, call in calls.items():
        with pytest.raises(SettingError, match=f"{name.strip()} .*: must be True or False"):
            call()


def test_booleans_of_numpy_are_booleans(codec: Codec) -> None:
    expected = codec.compress(PIXELS)
    for value in (np.True_, np.False_, np.array(True)):
        assert codec.compress(PIXELS, verify=value) == expected  # type: ignore[arg-type]
    assert Picture(PIXELS, grey=np.False_).grey is False  # type: ignore[arg-type]
