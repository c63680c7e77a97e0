"""Test compress and decompress: a picture is written to a file and restored."""

import io
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import WIDTHS, call, error_line, process, save_photo, save_tiny_model
from noting_codec import NotingCodec
from PIL import Image

import slimcae
from slimcae.cli.quantities import count, size
from slimcae.codec import Codec, Compressed, Target
from slimcae.errors import BitstreamError
from slimcae.images import Picture
from slimcae.model import cost
from slimcae.model.model import EFFORTS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return slimcae.load(model)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "photo.png")


@pytest.mark.parametrize("width", WIDTHS)
def test_there_and_back_is_what_python_gives(
    tmp_path: Path, photo: Path, model: Path, codec: Codec, width: int
) -> None:
    small, back = tmp_path / "a.scae", tmp_path / "b.png"
    assert call(["compress", photo, "-o", small, "--width", str(width), "--model", model]) == 0
    assert call(["decompress", small, "-o", back, "--model", model]) == 0
    assert small.read_bytes() == codec.compress(photo, width)
    expected = codec.decompress(small.read_bytes())
    with Image.open(back) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_default_names_lie_beside_the_input(photo: Path, model: Path, codec: Codec) -> None:
    before = photo.read_bytes()
    assert call(["compress", photo, "-m", model]) == 0
    small = photo.with_suffix(".scae")
    assert small.read_bytes() == codec.compress(photo, WIDTHS[0])  # the widest
    # the default name of the restored picture would be that of the original
    assert call(["decompress", small, "-m", model]) == 1
    assert photo.read_bytes() == before
    photo.unlink()
    assert call(["decompress", small, "-m", model]) == 0
    with Image.open(photo) as image:
        assert image.size == (56, 40)


def test_one_line_tells_what_was_done(
    photo: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = photo.with_suffix(".scae")
    assert call(["compress", photo, "-m", model, "-w", "8"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    size = small.stat().st_size
    assert re.fullmatch(
        rf"{photo} -> {small}  56x40  width 8  {size:,} B  {8 * size / 2240:.3f} bpp  "
        r"\d+\.\d\d s\n",
        err,
    )
    assert call(["decompress", small, "-m", model, "-o", photo.with_suffix(".webp")]) == 0
    assert "  56x40  " in capsys.readouterr().err


def test_quiet_says_nothing(photo: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["compress", photo, "-m", model, "--quiet"]) == 0
    small = photo.with_suffix(".scae")
    assert call(["decompress", small, "-y", "-m", model, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_overwrite_replaces(photo: Path, model: Path) -> None:
    small = photo.with_suffix(".scae")
    small.write_bytes(b"old")
    for spelling in ("-y", "--overwrite"):
        assert call(["compress", photo, "-m", model, spelling]) == 0
    assert small.read_bytes() != b"old"


def test_a_run_folder_stands_for_its_model(photo: Path, model: Path) -> None:
    assert call(["compress", photo, "-m", model.parent]) == 0


def test_streams_carry_the_bytes_and_nothing_else(photo: Path, model: Path, codec: Codec) -> None:
    compressed = process(["compress", "-", "-m", model], input=photo.read_bytes())
    assert compressed.returncode == 0, compressed.stderr
    assert compressed.stdout == codec.compress(photo)
    assert compressed.stderr.startswith(b"- -> -  56x40")
    restored = process(["decompress", "-", "-m", model], input=compressed.stdout)
    assert restored.returncode == 0, restored.stderr
    expected = codec.decompress(compressed.stdout)
    with Image.open(io.BytesIO(restored.stdout)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_binary_is_not_written_to_a_terminal(
    photo: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "terminal" in error_line(capsys, ["compress", photo, "-o", "-", "-m", model])


# the calls of the codec


@pytest.fixture
def fake(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> NotingCodec:
    return NotingCodec(codec).take_over(monkeypatch)


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ("", {}),
        ("-w 8", {"width": 8}),
        ("-q 0", {"quality": 0}),
        ("-q 50.5", {"quality": 50.5}),
        ("--quality 100", {"quality": 100}),
        ("--bpp 0.25", {"bpp": 0.25}),
        ("--target-size 200kB", {"target_size": 200_000}),
        ("--target_size 64KiB --closest", {"target_size": 65_536, "closest": True}),
        ("--target-psnr 37.5", {"target_psnr": 37.5}),
        ("--metadata none", {"metadata": "none"}),
        ("--bpp 2 --metadata all --verify", {"bpp": 2.0, "metadata": "all", "verify": True}),
    ],
)
def test_the_codec_is_asked_for_what_was_chosen(
    photo: Path, fake: NotingCodec, words: str, choice: dict[str, object]
) -> None:
    assert call(["compress", photo, *words.split()]) == 0
    assert fake.asked == [choice]


@pytest.mark.parametrize(
    "words",
    [
        "-w 8 -q 50",
        "--bpp 1 --target-size 1kB",
        "--target-psnr 30 -w 8",
        "-q 101",
        "-q best",
        "-q nan",
        "-q -1",
        "--bpp 0",
        "--bpp nan",
        "--target-psnr inf",
        "--target-size 0",
        "--target-size 10potatoes",
        "--target-size kB",
        "--target-size 0.0001kB",
        "--max-decode-macs -7k",
        "--max-decode-ms 0",
        "--max-pixels 0",
        "--metadata gps",
        "-j 0",
        "-y --skip-existing",
    ],
)
def test_choices_that_make_no_sense_are_wrong_usage(
    photo: Path, fake: NotingCodec, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["compress", photo, *words.split()]) == 2
    assert "error: argument " in capsys.readouterr().err
    assert fake.asked == []
    assert not photo.with_suffix(".scae").exists()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("200000", 200_000),
        ("200kB", 200_000),
        ("0.1MB", 100_000),
        ("1.5 MiB", 1_572_864),
        ("3k", 3_000),
        ("12B", 12),
        ("1GiB", 2**30),
        ("2mb", 2_000_000),
    ],
)
def test_bytes_as_people_write_them(text: str, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize(("text", "number"), [("7k", 7000), ("7000", 7000), ("6.7k", 6700)])
def test_counts_as_people_write_them(text: str, number: int) -> None:
    assert count(text) == number


def test_the_step_is_told_unless_it_is_one(
    photo: Path,
    fake: NotingCodec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode = fake.encode

    def at_step(image: Picture, target: Target, **handling: object) -> Compressed:
        found = encode(image, target, **handling)
        return replace(found, point=found.point._replace(step=1))

    monkeypatch.setattr(fake, "encode", at_step)
    assert call(["compress", photo]) == 0
    assert "  56x40  width 8 Δ 0.935  " in capsys.readouterr().err
    assert call(["compress", photo, "-y", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 1


def test_nothing_is_written_if_verifying_fails(
    photo: Path,
    fake: NotingCodec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mismatch(*_: object, **choice: object) -> Compressed:
        assert choice["verify"] is True
        raise BitstreamError("decoding gives other symbols")

    monkeypatch.setattr(fake, "encode", mismatch)
    assert error_line(capsys, ["compress", photo, "--verify"]) == "decoding gives other symbols"
    assert not photo.with_suffix(".scae").exists()


def test_a_limit_on_pixels(photo: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = photo.with_suffix(".scae")
    too_many: list[str | Path] = ["compress", photo, "-m", model, "--max-pixels", "2239"]
    assert "56x40 pixels, more than the limit of 2,239" in error_line(capsys, too_many)
    assert call(["compress", photo, "-m", model, "--max-pixels", "2240"]) == 0
    capsys.readouterr()
    back: list[str | Path] = ["decompress", small, "-m", model, "-y", "--max-pixels"]
    assert "more than the limit of 2,000" in error_line(capsys, [*back, "2k"])
    assert call([*back, "2.24k"]) == 0


GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "tiny.safetensors"
"""Return a model whose widths 12 and 8 have entropy models of kinds `context` and `tables`."""


@pytest.mark.parametrize(("words", "kind"), [("", "context"), ("--effort 1", "tables")])
def test_effort_is_seen_in_the_file(
    photo: Path, capsys: pytest.CaptureFixture[str], words: str, kind: str
) -> None:
    small = photo.with_suffix(".scae")
    assert call(["compress", photo, "-m", GOLDEN, "-w", "12", *words.split()]) == 0
    assert call(["info", small]) == 0
    assert re.search(rf"entropy model +{kind}\n", capsys.readouterr().out)
    assert call(["decompress", small, "-y", "-m", GOLDEN]) == 0


def test_a_decoder_limit_knows_the_times_of_each_kind(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"context": cost.Times(9.0, 0.0), "tables": cost.Times(4.0, 0.0)}
    decode = {12: times, 8: times, 4: {"factorized": cost.Times(2.0, 0.0)}}
    profile = replace(
        cost.read_profile(some_profile(tmp_path / "p.json")), encode=decode, decode=decode
    )
    cost.write_profile(profile, tmp_path / "p.json")
    argv: list[str | Path] = ["compress", "-y", "--json", "-m", GOLDEN, photo]
    argv += ["--max_decode_ms", "5", "--profile", tmp_path / "p.json"]
    found = []
    for words in ([], ["--effort", "1"]):
        assert call([*argv, *words]) == 0
        facts = json.loads(capsys.readouterr().out)
        found.append((facts["width"], facts["decode_ms"]))
    assert found == [(4, 2.0), (12, 4.0)]


# limits for the decoder


def some_profile(path: Path) -> Path:
    """Times for 56x40 pixels, decoded as 64x48: 4.536 ms at width 12, 2.268 at 8."""
    decode = {
        12: {"factorized": cost.Times(3.0, 500.0)},
        8: {"factorized": cost.Times(1.5, 250.0)},
    }
    profile = cost.Profile(
        model="tiny@1",
        runtime="onnxruntime 1.32.0",
        device="cpu",
        precision="float32",
        threads=1,
        machine="a slow one",
        date="2026-11-25",
        encode=decode,
        decode=decode,
    )
    cost.write_profile(profile, path)
    return path


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ("--max-decode-macs 1k", {"widths": (12, 8)}),
        ("--max-decode-macs 265", {"widths": (12, 8)}),
        ("--max-decode-macs 264", {"widths": (8,)}),
        ("--max-decode-macs 264 --bpp 1", {"widths": (8,), "bpp": 1.0}),
        ("--max-decode-macs 264 --width 8", {"width": 8}),
        ("--max-decode-ms 4.6", {"widths": (12, 8)}),
        ("--max-decode-ms 4.5", {"widths": (8,)}),
        ("--max-decode-ms 4.6 --max-decode-macs 264", {"widths": (8,)}),
        ("-q 50", {"quality": 50}),  # the profile alone has no effect
    ],
)
def test_a_decoder_limit_restricts_the_widths(
    photo: Path, tmp_path: Path, fake: NotingCodec, words: str, choice: dict[str, object]
) -> None:
    profile = some_profile(tmp_path / "p.json")
    assert call(["compress", photo, "--profile", profile, *words.split()]) == 0
    assert fake.asked == [choice]


def test_the_estimate_is_told(
    photo: Path, tmp_path: Path, fake: NotingCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = some_profile(tmp_path / "p.json")
    argv: list[str | Path] = [
        "compress",
        photo,
        "-y",
        "--max-decode-ms",
        "1000",
        "--profile",
        profile,
    ]
    assert call(argv) == 0
    expected = "  decoding: 0.158 kMAC per pixel, about 2.3 ms\n"
    assert capsys.readouterr().err.endswith(expected)
    assert call([*argv, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["decode_macs_per_pixel"] == 158.0  # 243·8/16 + 8²·(1/16 + 26/64 + 26/256)
    assert facts["decode_ms"] == pytest.approx(2.268)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--max-decode-macs 100",
            "no width decodes within 0.1 kMAC per pixel: the cheapest, 8, takes 0.158 kMAC per "
            "pixel, about 2.3 ms",
        ),
        (
            "--max-decode-ms 2",
            "no width decodes within 2 ms: the cheapest, 8, takes 0.158 kMAC per pixel, "
            "about 2.3 ms",
        ),
        (
            "--width 12 --max-decode-macs 200 --max-decode-ms 5",
            "width 12 takes 0.264 kMAC per pixel, about 4.5 ms to decode, more than "
            "0.2 kMAC per pixel and 5 ms: choose from 8",
        ),
    ],
)
def test_what_no_decoder_limit_allows_is_refused(
    photo: Path,
    tmp_path: Path,
    fake: NotingCodec,
    words: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile = some_profile(tmp_path / "p.json")
    argv: list[str | Path] = ["compress", photo, "--profile", profile, *words.split()]
    assert error_line(capsys, argv) == message
    assert not photo.with_suffix(".scae").exists()


def test_this_machine_is_measured_once(
    photo: Path,
    tmp_path: Path,
    fake: NotingCodec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = []

    def measure(codec: object) -> cost.Profile:
        measured.append(codec)
        return cost.read_profile(some_profile(tmp_path / "measured.json"))

    monkeypatch.setattr(cost, "default_profile", lambda: tmp_path / "cache" / "here.json")
    monkeypatch.setattr("slimcae.profiling.measure", measure)
    argv: list[str | Path] = ["compress", photo, "-y", "--max-decode-ms", "4.5"]
    assert call(argv) == 0
    assert "no profile of this machine and model yet: measuring" in capsys.readouterr().err
    assert call(argv) == 0
    assert "measuring" not in capsys.readouterr().err
    assert measured == [fake]
    assert fake.asked == [{"widths": (8,)}] * 2
    here = tmp_path / "cache" / "here.json"
    text = here.read_text(encoding="utf-8")
    here.write_text(text.replace("tiny@1", "tiny@0"), encoding="utf-8")  # of an older model
    assert call(argv) == 0
    assert "measuring" in capsys.readouterr().err
    assert here.read_text(encoding="utf-8") == text


# decompression


def test_a_crop_reads_from_the_path(photo: Path, fake: NotingCodec) -> None:
    assert call(["compress", photo]) == 0
    small = photo.with_suffix(".scae")
    assert call(["decompress", small, "-m", "x", "-y", "--crop", "3,0,16,8"]) == 0
    assert fake.asked[1:] == [{"data": small, "crop": (3, 0, 16, 8)}]
    assert call(["decompress", small, "-m", "x", "-y", "--max-pixels", "5k"]) == 0
    assert fake.asked[2:] == [{"data": small.read_bytes(), "max_pixels": 5000}]


@pytest.mark.parametrize("crop", ["1,2,3", "a,b,c,d", "0,0,0,5", "-1,0,2,2", "1,2,3,4,5", ""])
def test_crops_that_make_no_sense(crop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["decompress", "a.scae", f"--crop={crop}"]) == 2
    assert "give four whole numbers, X,Y,W,H" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "kind"), [([], "PNG"), (["--format", "webp"], "WEBP")])
def test_the_format_of_the_default_name(
    photo: Path, model: Path, words: list[str], kind: str
) -> None:
    small = photo.with_name("b.scae")
    assert call(["compress", photo, "-o", small, "-m", model]) == 0
    assert call(["decompress", small, "-m", model, *words]) == 0
    with Image.open(photo.with_name(f"b.{kind.lower()}")) as image:
        assert image.format == kind


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no paths of open files")
@pytest.mark.parametrize("words", [[], ["--crop", "3,1,16,8"]])
def test_a_pipe_serves_as_a_file(words: list[str], photo: Path, model: Path) -> None:
    """A named pipe, like <(command) in a shell; it is not seekable."""
    small, back, other = (photo.with_name(name) for name in ("b.scae", "back.png", "other.png"))
    assert call(["compress", photo, "-o", small, "-m", model]) == 0
    reading, writing = os.pipe()
    os.write(writing, small.read_bytes())
    os.close(writing)
    try:
        assert call(["decompress", f"/dev/fd/{reading}", "-o", back, "-m", model, *words]) == 0
    finally:
        os.close(reading)
    assert call(["decompress", small, "-o", other, "-m", model, *words]) == 0
    assert back.read_bytes() == other.read_bytes()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no paths of open files")
def test_a_format_is_that_of_an_output_without_a_suffix(
    photo: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, back = photo.with_name("b.scae"), photo.with_name("back")
    assert call(["compress", photo, "-o", small, "-m", model]) == 0
    words: list[str | Path] = ["decompress", small, "-m", model]
    capsys.readouterr()
    assert "cannot write pictures with suffix 'back'" in error_line(capsys, [*words, "-o", back])
    assert call([*words, "-o", back, "--format", "webp"]) == 0
    with Image.open(back) as image:
        assert image.format == "WEBP"
    done = process([*words, "-o", "/dev/stdout", "--format", "png"])
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.size) == ("PNG", (56, 40))
    capsys.readouterr()
    against = [*words, "-o", photo.with_name("c.png"), "--format", "webp"]
    assert "--format webp contradicts -o" in error_line(capsys, against)
    assert not photo.with_name("c.png").exists()


def test_each_file_is_decoded_with_the_model_it_names(
    tmp_path: Path, photo: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    other = save_tiny_model(folder / "other.safetensors", seed=1)
    (folder / "tiny.safetensors").write_bytes(model.read_bytes())
    monkeypatch.setenv("SLIMCAE_MODELS", str(folder))
    for name, used in (("a", model), ("b", other), ("c", model)):
        assert call(["compress", photo, "-o", tmp_path / f"{name}.scae", "-m", used]) == 0
    loaded = []
    load = slimcae.codec.load

    def noted(path: Path, **settings: Any) -> Codec:
        loaded.append(path)
        return load(path, **settings)

    monkeypatch.setattr(slimcae.codec, "load", noted)
    small = [tmp_path / f"{name}.scae" for name in "abc"]
    assert call(["decompress", *small, "-j", "2"]) == 0
    assert len(loaded) == len(set(loaded)) == 2
    for path, used in zip(small, (model, other, model), strict=True):
        expected = load(used).decompress(path.read_bytes())
        with Image.open(path.with_suffix(".png")) as image:
            np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_help_says_what_each_effort_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["compress", "--help"]) == 0
    told = re.findall(r"^  (\d) +[\d.]+ x ", capsys.readouterr().out, re.MULTILINE)
    assert [int(number) for number in told] == list(EFFORTS)
    assert call(["compress", "photo.png", "--effort", "10"]) == 2
    assert "--effort" in capsys.readouterr().err
