"""Test the description of this machine."""

import os
from pathlib import Path

import pytest

from slimcae import machine
from slimcae.machine import describe_machine


def test_it_names_the_processor_that_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cpuinfo"
    place.write_text("processor\t: 0\nmodel name\t: Fast 9000 @ 3 GHz\nmodel name\t: other\n")
    monkeypatch.setattr(machine, "_CPUINFO", place)
    assert describe_machine().startswith(f"Fast 9000 @ 3 GHz, {os.cpu_count()} cores, ")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx avx2 avx512f avx512_bf16", "Fast (AVX-512, bfloat16), "),
        ("fpu avx avx2 avx512f amx_bf16", "Fast (AVX-512, bfloat16), "),
        ("fpu avx avx2 avx512f", "Fast (AVX-512, no bfloat16), "),
        ("fpu avx avx2", "Fast (AVX2, no bfloat16), "),
        ("fpu avx", "Fast (AVX, no bfloat16), "),
        ("fpu sse4_2", "Fast (no AVX, no bfloat16), "),
        (None, "Fast, "),
    ],
)
def test_what_the_processor_can_do_is_told(
    flags: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cpuinfo"
    place.write_text("model name\t: Fast\n" + (f"flags\t\t: {flags}\n" if flags else ""))
    monkeypatch.setattr(machine, "_CPUINFO", place)
    assert describe_machine().startswith(expected)


@pytest.mark.parametrize("text", [None, "", "model name\t: \x1b[31m\n", "model name"])
def test_elsewhere_it_names_the_architecture(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cpuinfo"
    if text is not None:
        place.write_text(text)
    monkeypatch.setattr(machine, "_CPUINFO", place)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert describe_machine().startswith("riscv64, ")


@pytest.mark.parametrize(
    ("setting", "end"),
    [("avx2", ", torch limited to AVX2"), ("AVX512_CORE", ", torch limited to AVX512_CORE"),
     ("", None), ("two\nlines", None)],
)  # fmt: skip
def test_a_limit_of_instructions_is_told(
    monkeypatch: pytest.MonkeyPatch, setting: str, end: str | None
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", setting)
    found = describe_machine()
    if end is None:
        assert "limited" not in found
    else:
        assert found.endswith(end)
