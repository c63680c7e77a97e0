"""Run every command and every Python example of README and documentation, page by page.

The blocks of a page run in order in a folder that has only photos. `shrink` reduces widths, steps
and crops of commands that take hours. Commands that cannot run in a test are checked for the names
in them: targets of make, files, extras.
"""

import os
import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch
from command_line import call, save_photo
from packaging.requirements import Requirement
from pages import DOCS, ROOT, Block, blocks, commands, pages, shell_lines
from starlette.testclient import TestClient

from slimcae import codec, profiling
from slimcae.cli.parser import COMMANDS, parse
from slimcae.codec import Codec
from slimcae.model.registry import shipped_model
from slimcae.studio import create_app

TINY = {"96": "12", "48": "4"}
"""All models in these tests have two widths, which replace those in the pages."""
FOLDERS = {
    "/path/to/training_dataset/": "photos/",
    "/path/to/validation_dataset/": "valid/",
    "/path/of/test_dataset/": "valid/",
}
SMALL = {
    "--last_step": "2", "--schedule_steps": "1", "--max_tries": "1", "--patchsize": "32",
    "--batchsize": "2", "--repeats": "1", "--crop": "32,16,64,48",
    "--target_size": "2kB",
    "--max_decode_ms": "1000000",  # measurements on a busy machine give no useful limit
}  # fmt: skip
ELSEWHERE = [
    DOCS / "results.md",  # takes minutes
    DOCS / "million-photos.md",  # needs Ray: tests of the extra
    DOCS / "compressai.md",  # needs CompressAI: benchmarks/peers
    DOCS / "reference-systems.md",  # has tests of its own
]
"""Pages whose examples run elsewhere; here they are only parsed."""
RECORDS = {
    *ELSEWHERE,
    DOCS / "model-card.md",  # commands of earlier training runs
    DOCS / "results" / "trials" / "README.md",
}
RUN = [page for page in pages() if page not in RECORDS and any(blocks(page.read_text("utf-8")))]
load, measure, complexity = codec.load, profiling.measure, profiling.complexity


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which a page runs, with the photos that pages assume."""
    for name, seed in (("photos/a.png", 1), ("photos/trip/b.png", 2), ("valid/c.png", 3)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save_photo(tmp_path / name, (128, 160), seed)
    save_photo(tmp_path / "photo.png", (160, 192))
    (tmp_path / "big.scae").write_bytes(_shipped("auto", "auto").compress(tmp_path / "photo.png"))
    for name in ("SLIMCAE_MODELS", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.chdir(tmp_path)
    # the same functions on small pictures, without separate processes
    sizes = ((32, 48), (48, 64))
    monkeypatch.setattr(profiling, "measure", lambda codec, *_, **__: measure(codec, 1, sizes))
    monkeypatch.setattr(
        profiling, "complexity", lambda codec, file, *_, **__: complexity(codec, file, 1, (32, 48))
    )
    monkeypatch.setattr("slimcae.profiling.table.peak_memory", lambda *_, **__: None)
    monkeypatch.setattr(codec, "load", loaded_once)
    return tmp_path


def loaded_once(model: str | Path | None = None, **options: Any) -> Codec:
    """Load a codec as `slimcae.load` does; the packaged one is cached for the next page."""
    if model not in (None, shipped_model()):
        return load(model, **options)
    chosen = {name: options.get(name) for name in ("backend", "precision", "threads")}
    return _shipped(*(chosen[name] or "auto" for name in ("backend", "precision")))


@cache
def _shipped(backend: str, precision: str) -> Codec:
    return load(backend=backend, precision=precision, threads=1)


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path, folder: Path) -> None:
    namespace: dict[str, Any] = {"x": torch.rand(1, 3, 64, 64)}  # README describes its shape
    for block in blocks(page.read_text(encoding="utf-8")):
        run(block, page, namespace)


def run(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    if block.language == "python":
        text = block.text.replace("target_size=50_000", "target_size=2_000")
        if page.name == "research.md" or "load_model" in text:  # of a model that was trained here
            text = re.sub(r"\b(96|48)\b", lambda found: TINY[found[1]], text)
        lines_before = "\n" * (block.line - 1)  # so that errors name the page's lines
        exec(compile(lines_before + text, str(page), "exec"), namespace)
    elif block.language == "bash":
        for line in shell_lines(block.text):
            run_shell(line)
    else:
        assert block.language in ("html", "text"), f"{page}, line {block.line}: {block.language}"


def run_shell(line: str) -> None:
    """Run one line of shell, or check its names."""
    for words in commands(line):
        parse(words)
        # one serves until it is stopped, or downloads by npm; the other needs its extra
        if words[0] not in ("studio", "ray"):  # tests/studio, tests/on_ray
            assert call(shrink(words)) == 0, line
        return
    settings = re.findall(r"(?:^|(?<= ))([A-Z_]+)=", line)
    words = shlex.split(line, comments=True)[len(settings) :]
    assert words[0] in CHECKS, f"no test knows how to run {line!r}"
    CHECKS[words[0]](words[1:], settings)


def shrink(words: Sequence[str]) -> list[str]:
    """Return the words of a command that takes seconds instead of hours."""
    made = [FOLDERS.get(word, word) for word in words]
    for flag, value in SMALL.items():
        if flag in made:
            made[made.index(flag) + 1] = value
    command = made[0]
    if command not in ("train", "train_lambda_schedule"):
        return made
    for flag, values in (("--num_filters", ["12"]), ("--switch_list", [*TINY.values()])):
        if flag in made:
            made = _with_values(made, flag, values)
        elif command == "train" and "--init_from" not in made:
            made += [flag, *values]
    if "--lmbda" in made:
        made = _with_values(made, "--lmbda", ["1024", "256"])
    if "entropy" in made:
        more = [] if "--last_step" in made else ["--last_step", SMALL["--last_step"]]
        return [*made, *more, "--places", "32"]
    steps = "--last_step" if command == "train" else "--schedule_steps"
    for flag in (steps, "--patchsize", "--batchsize"):
        if flag not in made:
            made += [flag, SMALL[flag]]
    return [*made, "--num_workers", "0"]


def _with_values(words: Sequence[str], flag: str, values: Sequence[str]) -> list[str]:
    """Return the words with other values of a flag that takes several."""
    first = words.index(flag) + 1
    rest = next((k for k, word in enumerate(words) if k >= first and word[0] == "-"), len(words))
    return [*words[:first], *values, *words[rest:]]


@cache
def _settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def check_pip(words: Sequence[str], _: Sequence[str]) -> None:
    """Check the packages that `pip install` names."""
    assert words[0] == "install"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    extras = _settings()["project"]["optional-dependencies"]
    rest = list(words[1:])
    for flag in ("-c", "-r"):
        if flag in rest:
            k = rest.index(flag)
            assert (ROOT / rest[k + 1]).is_file()
            del rest[k : k + 2]
    if "--index-url" in rest:
        k = rest.index("--index-url")
        del rest[k : k + 2]
    for word in rest:
        if word.startswith((".", "http")):
            assert set(re.findall(r"\w+", word.partition("[")[2])) <= set(extras)
        elif "==" in word:
            assert word in pins
        else:
            assert Requirement(word).name in " ".join(pins)


def check_make(words: Sequence[str], _: Sequence[str]) -> None:
    """Check that the target of make exists."""
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{words[0]}:", rules, re.MULTILINE)


def check_script(words: Sequence[str], settings: Sequence[str]) -> None:
    """Check the recipe, which tests/training runs, and its variables."""
    recipe = ROOT / "recipes" / "train.sh"
    assert os.access(recipe, os.X_OK)
    assert len(words) == 3
    for name in settings:
        assert f"${{{name}:-" in recipe.read_text(encoding="utf-8")


def check_tests(words: Sequence[str], _: Sequence[str]) -> None:
    """Check that the file of tests exists."""
    assert words[:2] == ["-m", "pytest"]
    assert (ROOT / words[-1]).is_file()


def check_module(words: Sequence[str], _: Sequence[str]) -> None:
    """Check a line that runs a module of Python or of pip."""
    assert words[0] == "-m" and words[1] in ("http.server", "pip", "venv")


def run_curl(words: Sequence[str], _: Sequence[str]) -> None:
    """Send curl's request to the server, in this process, and write the answer."""
    flag, body, url, output, path = words
    assert (flag, body[0], output) == ("--data-binary", "@", "-o")
    with TestClient(_app(), base_url="http://127.0.0.1:8750") as client:
        answer = client.post(url, content=Path(body[1:]).read_bytes())
    assert answer.status_code == 200, answer.text
    Path(path).write_bytes(answer.content)


@cache
def _app() -> Any:
    return create_app([shipped_model()])


CHECKS: dict[str, Callable[[Sequence[str], Sequence[str]], None]] = {
    "pip": check_pip,
    "make": check_make,
    "recipes/train.sh": check_script,
    ".venv/bin/python": check_tests,
    "python": check_module,
    "curl": run_curl,
}


@pytest.mark.parametrize("page", ELSEWHERE, ids=lambda page: page.name)
def test_the_examples_of_other_pages_parse(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = list(blocks(text))
    for words in commands(text):
        parse(words)
    for block in found:
        if block.language == "python":
            compile(block.text, str(page), "exec")
    assert commands(text) or found


def test_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = "\n".join(block.text for block in blocks(text) if block.language == "bash")
    assert {words[0] for words in commands(shell)} == set(COMMANDS)


def test_shrinking_keeps_what_a_command_says() -> None:
    line = "train --train_glob b --switch_list 192 96 48 --lmbda 9 8 7 --last_step 9"
    words = shrink([*line.split(), "--checkpoint_dir", "a"])
    args, _ = parse(words)
    assert (args.switch_list, args.lmbda, args.last_step) == ([12, 4], [1024, 256], 2)
    assert (str(args.checkpoint_dir), args.train_glob) == ("a", "b")
