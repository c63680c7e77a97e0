"""Test the start of the command line: imports, help, spellings, constants that repeat torch's."""

import argparse
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import onnxruntime
import pytest
from command_line import environment, process, save_photo, save_tiny_model

import slimcae
from conftest import HANG
from cpu_time import start_up
from optional_torch import HAS_TORCH, torch
from slimcae.cli import main, options
from slimcae.cli.parser import ALIASES, COMMANDS, build_parser, parse
from slimcae.cli.settings import field_docs, given_settings
from slimcae.codec import Codec
from slimcae.container import FORMAT_VERSION
from slimcae.model.file import read_model
from slimcae.training.settings import TrainSettings

TIMES_PYTHON = 25
"""Limit in units of the import of numpy alone (about 10); importing torch is more than 100."""
LONGEST_HELP = 42
LONG_HELPS = ("compress", "train", "train_lambda_schedule")  # more options than lines


def command_parser(command: str) -> argparse.ArgumentParser:
    parser = build_parser(command)
    (commands,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    found = commands.choices[command]
    assert isinstance(found, argparse.ArgumentParser)
    return found


@pytest.fixture(scope="module")
def scae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    codec = Codec(read_model(save_tiny_model(folder / "tiny.safetensors")))
    (folder / "photo.scae").write_bytes(codec.compress(save_photo(folder / "photo.png")))
    return folder / "photo.scae"


LIGHT = (
    ["--help"],
    ["--version"],
    *([command, "--help"] for command in COMMANDS),
    ["info", "SCAE"],
    ["info", "--json", "MODEL"],
    ["models"],
)
"""Return command lines that must not import heavy libraries."""


def test_starts_without_any_library(scae: Path) -> None:
    """Run all of them in one process, whose modules only increase."""
    names = {"SCAE": str(scae), "MODEL": str(scae.with_name("tiny.safetensors"))}
    lines = [[names.get(word, word) for word in argv] for argv in LIGHT]
    program = """if True:
        import contextlib, io, json, sys
        before = set(sys.modules)
        from slimcae.cli import main
        for argv in json.loads(sys.argv[1]):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                code = main(argv)
            assert code == 0 and out.getvalue(), (argv, code)
            packages = {name.partition(".")[0] for name in sys.modules.keys() - before}
            libraries = packages - sys.stdlib_module_names - {"slimcae"}
            assert not libraries, (argv, libraries)
    """
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(lines)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr


def test_pictures_are_coded_without_loading_torch(scae: Path, tmp_path: Path) -> None:
    program = """if True:
        import sys
        from slimcae.cli import main
        folder, model, scae = sys.argv[1:]
        assert main(["decompress", scae, "-m", model, "-o", f"{folder}/back.png"]) == 0
        assert main(["compress", f"{folder}/back.png", "-m", model]) == 0
        assert main(["compress", f"{folder}/back.png", "-m", model, "-y", "-q", "40"]) in (0, 1)
        print(*({"torch", "scipy", "matplotlib", "tqdm"} & sys.modules.keys()))
    """
    model = scae.with_name("tiny.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(model), str(scae)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_starts_with_little_more_work_than_python(scae: Path) -> None:
    """Count modules here; benchmarks/start_up.py measures seconds."""
    program = "import sys; from slimcae.cli import main; assert main(sys.argv[1:]) == 0"
    took = start_up(
        {
            "python": [""],
            "help": [program, "--help"],
            "info": [program, "info", str(scae)],
        },
        environment(),
    )
    assert took["help"] < TIMES_PYTHON * took["python"]  # about 8 times the measured value
    assert took["info"] < TIMES_PYTHON * took["python"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in LONG_HELPS])
def test_help_fits_on_a_screen_and_has_examples(command: str) -> None:
    text = command_parser(command).format_help()
    assert len(text.splitlines()) <= LONGEST_HELP
    assert text.count(f"\n  slimcae {command} ") >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_of_help_is_too_wide(command: str) -> None:
    assert max(map(len, command_parser(command).format_help().splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_both_spellings_and_shows_one(command: str) -> None:
    parser = command_parser(command)
    names = [name for name in parser._option_string_actions if name.startswith("--")]
    assert len(names) > 2
    for name in names:
        dashed = "--" + name[2:].replace("_", "-")
        assert parser._option_string_actions[dashed] is parser._option_string_actions[name]
    # shown as options, not mentioned in sentences
    shown = [line.split()[0] for line in parser.format_help().splitlines() if "  --" in line]
    assert not [name for name in shown if "-" in name[2:]]


def test_input_path_in_all_its_spellings() -> None:
    for name in ("--inputPath", "--input_path", "--input-path"):
        args, _ = parse(["evaluate", name, "images"])
        assert args.inputPath == "images"
    assert "input_path" not in command_parser("evaluate").format_help()


def test_aliases_run_the_same() -> None:
    options = ["--checkpoint_dir", "a", "--train_glob", "b", "--inputPath", "c"]
    for name, aliases in ALIASES.items():
        for alias in aliases:
            assert parse([alias, *options])[1] is parse([name, *options])[1]


def test_every_setting_of_training_is_a_flag_with_its_text() -> None:
    parser = command_parser("train")
    texts = field_docs(TrainSettings)
    for field in fields(TrainSettings):
        action = parser._option_string_actions[f"--{field.name}"]
        assert action.help
        # as argparse prints it
        start = texts[field.name][1:].split(";")[0].rstrip(".")
        assert start in action.help.replace("%%", "%")


def test_settings_that_were_not_given_are_left_to_the_dataclass() -> None:
    args, _ = parse(["train", "--train_glob", "a", "--checkpoint_dir", "b", "--last-step", "7"])
    assert given_settings(args, TrainSettings) == {"last_step": 7}
    assert (args.switch_list, args.num_filters, args.lmbda, args.gdn) == (None,) * 4


def test_names_repeated_here_are_those_of_the_heavy_modules() -> None:
    pytest.importorskip("torch")
    from slimcae.training.run_folder import STATE_NAME

    assert options.STATE_IN_FOLDER == STATE_NAME


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-V"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"slimcae {slimcae.__version__} (.scae format {FORMAT_VERSION}; onnxr")
    installed = torch.__version__ if HAS_TORCH else "missing"
    assert f"onnxruntime {onnxruntime.__version__}, torch {installed}" in out


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["paint"],
        ["compress"],
        ["compress", "a.png", "--width", "wide"],
        ["compress", "a.png", "--device", "tpu"],
        ["compress", "a.png", "--overwr"],
        ["train", "--train_glob", "a"],
        ["train", "--train_glob", "a", "--checkpoint_dir", "b", "--decay", "linear"],
        ["evaluate"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: slimcae")


@pytest.mark.parametrize(
    "line, meant",
    [
        ("compress a.png --qualty 40", "--quality"),
        ("compress a.png --target-sise=40kB", "--target_size"),
        ("compress a.png --overwite --vrify", "--overwrite and --verify"),
        ("compress a.png --xyzzy 3", None),
        ("info a.scae --jso", "--json"),
    ],
)
def test_a_misspelt_flag_gets_a_suggestion_and_the_usage_of_its_command(
    line: str, meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    usage, *_, last = capsys.readouterr().err.splitlines()
    command = line.split()[0]
    assert usage.startswith(f"usage: slimcae {command} ")
    assert last.startswith(f"slimcae {command}: error: unrecognized arguments: ")
    assert last.endswith(f": did you mean {meant}?") if meant else "mean" not in last


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compres", "a.png"]) == 2
    err = capsys.readouterr().err
    assert err.endswith("slimcae: error: no command 'compres': did you mean compress?\n")


def test_a_reader_who_leaves_early_is_no_error(scae: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "slimcae", "info", scae],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert running.wait(HANG) == 128 + 13
    assert running.stderr.read() == b""
    running.stderr.close()


def test_a_terminal_without_greek_still_gets_its_table(scae: Path) -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "slimcae", "train_lambda_schedule", "--help"],
        env=environment() | {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=HANG,
    )
    assert help_text.returncode == 0
    assert b"\\u03bb" in help_text.stdout


def test_python_m_slimcae(scae: Path) -> None:
    done = process(["info", scae])
    assert done.returncode == 0
    assert b"tiny" in done.stdout
