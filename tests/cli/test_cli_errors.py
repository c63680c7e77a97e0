"""Test bad input: exit code 1, one helpful line, no output written, no file lost."""

import os
import re
import shutil
import signal
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import call, error_line, save_photo, save_tiny_model, tree
from PIL import Image

import slimcae
from optional_torch import HAS_TORCH, needs_torch, torch

Argv = list[str | Path]
PICTURES = Path(__file__).parents[1] / "data" / "pictures"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Make the files for the failing commands, by name."""
    folder = tmp_path_factory.mktemp("stock")
    save_photo(folder / "photo.png")
    save_tiny_model(folder / "tiny.safetensors")
    save_tiny_model(folder / "other.safetensors", seed=1)
    scae = slimcae.load(folder / "tiny.safetensors").compress(folder / "photo.png", 8)
    (folder / "photo.scae").write_bytes(scae)
    (folder / "short.scae").write_bytes(scae[:-5])
    (folder / "flipped.scae").write_bytes(scae[:-5] + bytes([scae[-5] ^ 1]) + scae[-4:])
    (folder / "future.scae").write_bytes(scae[:4] + b"\x09" + scae[5:])
    (folder / "empty.scae").touch()
    (folder / "foreign.scae").write_bytes((folder / "photo.png").read_bytes())
    (folder / "half.png").write_bytes((folder / "photo.png").read_bytes()[:200])
    (folder / "text.png").write_text("no picture")
    if HAS_TORCH:
        torch.save({"state_dict": {"g_a.weight": torch.zeros(3)}}, folder / "port.pth")
    (folder / "noise.safetensors").write_bytes(bytes(range(256)))
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (folder / "plain.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + struct.pack("<f", 1)
    )
    (folder / "cut.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes()[:90])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def here(tmp_path: Path, stock: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, filled with these files."""
    for name, data in stock.items():
        (tmp_path / name).write_bytes(data)
    for name in ("run", "none", "broken", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(stock["tiny.safetensors"])
    (tmp_path / "shut" / "photo.scae").mkdir(parents=True)
    (tmp_path / "broken" / "a.png").write_text("no picture")
    (tmp_path / "images" / "a.png").write_bytes(stock["photo.png"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


TINY = ["--model", "tiny.safetensors"]
TRAIN = ["train", "--checkpoint_dir", "new", "--device", "cpu"]
SCHEDULE = ["train_lambda_schedule", "--train_glob", "images", "--device", "cpu"]
OTHER_WIDTHS = ["--num_filters", "16", "--switch_list", "16", "8"]
IN_A_FILE = ["--report_path", "text.png/r"]
EVALUATE = ["evaluate", "--report_path", "new/r", "--device", "cpu"]

CASES: dict[str, tuple[list[str], str]] = {
    # pictures
    "picture missing": (["compress", "no.png"], r"no\.png.*check the path"),
    "picture is text": (["compress", "text.png"], r"text\.png cannot be read as a picture"),
    "picture cut": (["compress", "half.png"], r"half\.png cannot be read as a picture"),
    "picture is a folder": (
        ["compress", "images"],
        r"images is a folder: name one file, or add -r for all pictures in it",
    ),
    "pixels": (
        ["compress", "photo.png", "-o", "x.scae", "--max-pixels", "2k", *TINY],
        r"photo\.png has 56x40 pixels, more than the limit of 2,000",
    ),
    "closest to nothing": (
        ["compress", "photo.png", "-o", "x.scae", "-q", "5", "--closest"],
        r"--closest needs a target: --bpp, --target_size or --target_psnr",
    ),
    "profile missing": (
        ["compress", "photo.png", "-o", "x.scae", "--profile", "no.json", *TINY],
        r"no profile at no\.json: run `slimcae profile`",
    ),
    # outputs
    "output exists": (["compress", "photo.png", *TINY], r"photo\.scae exists: add -y"),
    "output is the input": (
        ["compress", "photo.png", "-o", "./photo.png", "-y", *TINY],
        r"photo\.png is the input itself: name another file with -o",
    ),
    "output is a folder": (
        ["compress", "photo.png", "-o", "shut/", *TINY],
        r"shut/photo\.scae is a folder: name a file",
    ),
    "output in a file": (
        ["compress", "photo.png", "-o", "text.png/new/", *TINY],
        r"folder text\.png/new cannot be created \(Not a directory\): change -o",
    ),
    "output folder is a file": (
        ["compress", "photo.png", "-o", "text.png/", *TINY],
        r"folder text\.png cannot be created \(File exists\): change -o",
    ),
    "name too long": (
        ["compress", "photo.png", "-o", "x" * 300, *TINY],
        r"x{300} cannot be written: File name too long",
    ),
    # several files
    "several to one": (
        ["compress", "photo.png", "half.png", "-o", "x.scae"],
        r"several files cannot go to one, x\.scae: add a slash if it is a folder, x\.scae/",
    ),
    "folder to a file": (
        ["compress", "-r", "images", "-o", "photo.png"],
        r"several files cannot go to one, photo\.png",
    ),
    "several to standard output": (
        ["compress", "photo.png", "half.png", "-o", "-"],
        r"several files cannot go to standard output: name a folder, as in -o DIR/",
    ),
    "standard input among files": (["compress", "photo.png", "-"], r"- is standard input, which"),
    "standard input to a folder": (["decompress", "-", "-o", "run"], r"run is a folder: name a"),
    "objects and file on standard output": (
        ["compress", "--json", "-"],
        r"--json goes to standard output itself: name a file with -o",
    ),
    "model of several missing": (
        ["compress", "photo.png", "half.png", "-o", "new/", "-m", "no.safetensors"],
        r"no model no\.safetensors: give a file",
    ),
    "width of several missing": (
        ["compress", "photo.png", "half.png", "-o", "run/", "-w", "9", *TINY],
        r"no width 9: choose from 12, 8",
    ),
    "output with the suffix of a picture": (
        ["compress", "photo.png", "-o", "new.JPG", *TINY],
        r"new\.JPG would not be a \.jpg file: give -o .*\.scae",
    ),
    "restored picture with our own suffix": (
        ["decompress", "photo.scae", "-o", "new.scae", *TINY],
        r"new\.scae would not be a \.scae file: give -o .*\.png",
    ),
    "quality of a format without one": (
        ["decompress", "photo.scae", "-o", "new.png", "--output-quality", "80"],
        r"--output_quality 80: png has no quality; choose one of jpg, jpeg, webp, avif",
    ),
    "suffix against format": (
        ["decompress", "photo.scae", "-o", "new.png", "--format", "jpg"],
        r"--format jpg contradicts -o new\.png",
    ),
    "time of standard input": (
        ["compress", "-", "-o", "x.scae", "--keep_mtime"],
        r"- has no time: leave out --keep_mtime, or name files",
    ),
    "time for standard output": (
        ["compress", "photo.png", "-o", "-", "--keep_mtime"],
        r"- has no time: leave out --keep_mtime, or name files",
    ),
    "restored picture exists": (["decompress", "photo.scae", *TINY], r"photo\.png exists: add -y"),
    "output of an unknown kind": (
        ["decompress", "photo.scae", "-o", "x.xyz", *TINY],
        r"\.xyz.*\.png",
    ),
    # models
    "width that the model lacks": (
        ["compress", "photo.png", "-o", "x.scae", "--width", "9", *TINY],
        r"no width 9: choose from 12, 8",
    ),
    "model missing": (
        ["compress", "photo.png", "-o", "x.scae", "-m", "no.safetensors"],
        r"no model no\.safetensors: give a file",
    ),
    "model of the port": (
        ["compress", "photo.png", "-o", "x.scae", "-m", "port.pth"],
        r"port\.pth is not a slimcae model file \(.*pickle, which slimcae never loads\): give",
    ),
    "model is noise": (
        ["compress", "photo.png", "-o", "x.scae", "-m", "noise.safetensors"],
        r"noise\.safetensors is not a slimcae model",
    ),
    "model of another program": (
        ["compress", "photo.png", "-o", "x.scae", "-m", "plain.safetensors"],
        r"plain\.safetensors is not a slimcae model",
    ),
    "model cut": (
        ["compress", "photo.png", "-o", "x.scae", "-m", "cut.safetensors"],
        r"cut\.safetensors is not a slimcae model",
    ),
    "folder without a model": (
        ["compress", "photo.png", "-o", "x.scae", "-m", "images"],
        r"folder images .*model\.safetensors: give",
    ),
    "other model": (
        ["decompress", "photo.scae", "-o", "x.png", "-m", "other.safetensors"],
        r"photo\.scae: the file needs model tiny width 8 .*give the right --model",
    ),
    # bitstreams
    "file missing": (["decompress", "no.scae"], r"no\.scae cannot be read: No such file"),
    "file empty": (["decompress", "empty.scae"], r"empty\.scae: not a \.scae file: it is empty"),
    "file foreign": (["decompress", "foreign.scae", "-o", "x.png"], r"foreign\.scae: not a \.scae"),
    "file cut": (["decompress", "short.scae", *TINY], r"short\.scae: .*truncated"),
    "file damaged": (["decompress", "flipped.scae", *TINY], r"flipped\.scae: .*damaged"),
    "file of the future": (["decompress", "future.scae"], r"future\.scae: .*version 9.*install"),
    "info missing": (["info", "no.scae"], r"no\.scae cannot be read: No such file"),
    "info foreign": (["info", "photo.png"], r"photo\.png: not a \.scae file"),
    "info cut": (["info", "short.scae"], r"short\.scae: .*truncated"),
    "info damaged": (["info", "flipped.scae"], r"flipped\.scae: .*damaged"),
    "info of the port": (["info", "port.pth"], r"port\.pth: not a \.scae file"),
    "info of another program": (["info", "plain.safetensors"], r"plain.* is not a slimcae model"),
    "info of a cut model": (["info", "cut.safetensors"], r"cut\..* is not a slimcae model"),
    "info of a folder": (["info", "images"], r"folder images .*model"),
    # training
    "no training images": ([*TRAIN, "--train_glob", "none"], r"no images in none"),
    "pattern without images": ([*TRAIN, "--train_glob", "*.jpg"], r"no images at '\*\.jpg'"),
    "training folder missing": ([*TRAIN, "--train_glob", "no/"], r"no images at 'no/'"),
    "widths and num_filters": (
        [*TRAIN, "--train_glob", "images", "--num_filters", "16", "--switch_list", "12", "8"],
        r"--num_filters 16 .* --switch_list 12 8",
    ),
    "num_filters alone": (
        [*TRAIN, "--train_glob", "images", "--num_filters", "16"],
        r"--num_filters 16 .* give --switch_list too",
    ),
    "lists of unequal length": (
        [*TRAIN, "--train_glob", "images", "--switch_list", "12", "8", "--lmbda", "1", "2", "3"],
        r"--lmbda 1 2 3: give one λ for each of the 2 widths, widest first",
    ),
    "rising widths": (
        [*TRAIN, "--train_glob", "images", "--switch_list", "8", "12"],
        r"\[8, 12\].*strictly decreasing",
    ),
    "patch size": (
        [*TRAIN, "--train_glob", "images", "--patchsize", "30"],
        r"--patchsize 30: give a positive multiple of 16",
    ),
    "start from the port": (
        [*TRAIN, "--train_glob", "images", "--init_from", "port.pth"],
        r"port\.pth is not a slimcae model file",
    ),
    "start contradicts": (
        [*TRAIN, "--train_glob", "images", "--init_from", "tiny.safetensors", *OTHER_WIDTHS],
        r"--switch_list 16 8 contradicts tiny\.safetensors, which has widths 12 8",
    ),
    # scheduling
    "schedule without a model": (
        [*SCHEDULE, "--checkpoint_dir", "none", "--inputPath", "images"],
        r"no model file at none/model\.safetensors: give",
    ),
    "schedule without validation images": (
        [*SCHEDULE, "--checkpoint_dir", "run", "--inputPath", "none"],
        r"no images in none",
    ),
    "schedule with unreadable validation images": (
        [*SCHEDULE, "--checkpoint_dir", "run", "--inputPath", "broken"],
        r"none of the 1 validation images can be read",
    ),
    "schedule of other widths": (
        [*SCHEDULE, "--checkpoint_dir", "run", "--inputPath", "images", *OTHER_WIDTHS],
        r"--switch_list 16 8 contradicts run/model\.safetensors, which has widths 12 8",
    ),
    "schedule of another widest": (
        [*SCHEDULE, "--checkpoint_dir", "run", "--inputPath", "images", "--num_filters", "16"],
        r"--num_filters 16 contradicts run/model\.safetensors, which has num_filters 12",
    ),
    "schedule with unequal lists": (
        [*SCHEDULE, "--checkpoint_dir", "run", "--inputPath", "images", "--lmbda", "5"],
        r"--lmbda 5: give one λ for each of the 2 widths",
    ),
    "kappa": (
        [*SCHEDULE, "--checkpoint_dir", "run", "--inputPath", "images", "--kappa", "2"],
        r"--kappa 2\.0: give a number between 0 and 1",
    ),
    # evaluation
    "no test images": ([*EVALUATE, "--inputPath", "none"], r"no images in none"),
    "evaluate the port": (
        [*EVALUATE, "--inputPath", "images", "--checkpoint_paths", "port.pth"],
        r"port\.pth is not a slimcae model file",
    ),
    "evaluate a folder without a model": (
        [*EVALUATE, "--inputPath", "images", "--checkpoint_paths", "none"],
        r"folder none .*model\.safetensors",
    ),
    "names of fewer models": (
        [*EVALUATE, "--inputPath", "images", "--checkpoint_paths", *["tiny.safetensors"] * 3,
         "--names", "a", "b"],
        r"--names has 2 names for 3 models: give one for each",
    ),
    "evaluate other widths": (
        [*EVALUATE, "--inputPath", "images", "--checkpoint_paths", "run", *OTHER_WIDTHS],
        r"--switch_list 16 8 contradicts run/model\.safetensors, which has widths 12 8",
    ),
    "evaluate another widest": (
        [*EVALUATE, "--inputPath", "images", "--checkpoint_paths", "run", "--num_filters", "16"],
        r"--num_filters 16 contradicts run/model\.safetensors, which has num_filters 12",
    ),
    "train from nothing": (
        [*TRAIN, "--train_glob", "images", "--init_from", "nobody"],
        r"no model nobody: give a file.*installed model",
    ),
    "report in a file": (
        [*EVALUATE, "--inputPath", "images", "--checkpoint_paths", "run", *IN_A_FILE],
        r"cannot write a report to text\.png/r",
    ),
}  # fmt: skip


NEEDING_TORCH = ("train", "train_lambda_schedule", "fit", "evaluate", "bench")


@pytest.mark.parametrize("case", CASES)
def test_bad_input(here: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv, message = CASES[case]
    if not HAS_TORCH and ("port" in case or argv[0] in NEEDING_TORCH):
        pytest.skip("torch is not installed")
    before = tree(here)
    found = error_line(capsys, argv)
    assert re.search(message, found), found
    assert tree(here) == before
    assert not (here / "new").exists()


@needs_torch
def test_unreadable_training_images_are_named_before_the_error(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([*TRAIN, "--train_glob", "broken"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "slimcae: error: none of the 1 training images can be read"
    assert re.match(r"slimcae: warning: .*broken/a\.png", lines[-2])


@pytest.mark.parametrize("backend", ["onnx", pytest.param("torch", marks=needs_torch)])
def test_absent_device(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    if backend == "torch":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    argv: Argv = ["compress", "photo.png", "-o", "x.scae", *TINY]
    argv += ["--device", "cuda", "--backend", backend]
    assert "use cpu or auto" in error_line(capsys, argv)


WANTING_TORCH: dict[str, Argv] = {
    "compress": ["photo.png", "-o", "x.scae", *TINY, "--backend", "torch"],
    "train": ["--train_glob", "images", "--checkpoint_dir", "new"],
    "evaluate": ["--inputPath", "images", "--checkpoint_paths", "tiny.safetensors"],
    "bench": ["images", "-m", "tiny.safetensors"],
    "fit": ["-m", "tiny.safetensors", "--train_glob", "images", "--inputPath", "images", "-o", "x"],
}


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
@pytest.mark.parametrize("command", WANTING_TORCH)
def test_what_needs_torch_says_how_to_install_it(
    here: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(here)
    assert call([command, *WANTING_TORCH[command]]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    wanted = r"slimcae: error: .*torch, which (.* )?is not installed: install every.*"
    assert re.fullmatch(wanted, line)
    assert tree(here) == before


@needs_torch
@pytest.mark.parametrize(
    "argv",
    [["compress", "photo.png", "-o", "x.scae", *TINY], [*TRAIN, "--train_glob", "images"]],
    ids=["compress", "train"],
)
def test_emulated_bfloat16(
    here: Path, argv: Argv, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "slimcae.transforms.torch_.device.has_native_bfloat16", lambda device: False
    )
    before = tree(here)
    found = error_line(capsys, [*argv, "--precision", "bfloat16"])
    assert found.startswith("precision bfloat16: this machine would emulate it")
    assert tree(here) == before


def refuse(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), ".slimcae-0123.tmp")

    return fail


@pytest.mark.parametrize("argv", [["compress", "photo.png"], ["decompress", "photo.scae"]], ids=str)
@pytest.mark.parametrize("number", [13, 28], ids=["denied", "disk full"])
def test_failed_write_leaves_the_file_before_it(
    here: Path,
    argv: list[str],
    number: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = tree(here)
    monkeypatch.setattr(os, "fsync", refuse(number))
    message = error_line(capsys, [*argv, "-y", *TINY])
    name = "photo.scae" if argv[0] == "compress" else "photo.png"
    assert message == f"{name} cannot be written: {os.strerror(number)}"
    assert tree(here) == before


@needs_torch
def test_other_system_errors_name_their_file(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "taken").touch()
    argv: Argv = ["train", "--train_glob", "images", "--checkpoint_dir", "taken", "--device", "cpu"]
    assert re.match("taken: (File exists|Not a directory)", error_line(capsys, argv))


def test_interrupt_is_130(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = tree(here)
    monkeypatch.setattr("slimcae.codec.Codec.encode", interrupted)
    argv: Argv = ["compress", "photo.png", "-y", *TINY]
    assert error_line(capsys, argv, code=130) == "interrupted"
    assert tree(here) == before


def test_interrupt_is_130_whatever_it_broke(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C arrives before tqdm has made the lock that it then releases."""

    def interrupted(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            del here.absent  # type: ignore[attr-defined]

    monkeypatch.setattr("slimcae.cli.batch._Report.end", interrupted)
    argv: Argv = ["compress", "photo.png", "-o", "new.scae", *TINY, "--quiet"]
    assert error_line(capsys, argv, code=130) == "interrupted"


def test_tracebacks_are_for_those_who_ask(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("slimcae.codec.Codec.encode", broken)
    argv: Argv = ["compress", "photo.png", "-y", *TINY]
    message = error_line(capsys, argv)
    assert "RuntimeError: first line second line" in message
    assert "SLIMCAE_DEBUG=1" in message
    monkeypatch.setenv("SLIMCAE_DEBUG", "1")
    assert call(argv) == 1
    assert "Traceback" in capsys.readouterr().err


def test_notices_appear_as_lines_of_ours(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    assert call(["compress", "moving.gif", *TINY]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("slimcae: warning: moving.gif has several frames")
    assert len(lines) == 2
    assert call(["compress", "moving.gif", "-y", "--quiet", *TINY]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_warnings_of_pillow_name_their_picture(
    here: Path, capsys: pytest.CaptureFixture[str], jobs: str
) -> None:
    for name in ("exif-offset.jpg", "mpf-broken.jpg"):
        shutil.copy(PICTURES / name, here / name)
    argv: Argv = ["compress", "exif-offset.jpg", "mpf-broken.jpg", *TINY, "-j", jobs]
    assert call([*argv, "-o", "first/"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line.lower()]
    assert sorted(line[:40] for line in said) == [
        "slimcae: warning: exif-offset.jpg has da",
        "slimcae: warning: mpf-broken.jpg: Corrup",
    ]
    assert call([*argv, "-o", "second/", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_warnings_of_other_libraries_are_lines_of_ours(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*_: object) -> list[object]:
        with warnings.catch_warnings(action="default"):
            warnings.warn("two\nlines", stacklevel=1)
        return []

    monkeypatch.setattr("slimcae.cli.models.installed_models", warn)
    assert call(["models"]) == 0
    assert capsys.readouterr().err == "slimcae: warning: two lines (UserWarning)\n"
    assert call(["models", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
