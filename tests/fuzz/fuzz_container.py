"""Coverage-guided fuzzing of container and coder with atheris (Linux; `pip install atheris`).

    python tests/fuzz/fuzz_container.py FOLDER tests/fuzz/corpus -max_total_time=60 -max_len=2048

New inputs go to FOLDER; a failing one is written to `crash-…` in the working folder, and belongs
into `corpus` with a name. Options are libFuzzer's. `seeds` as the only argument writes the files
that every run starts from.
"""

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
CORPUS = Path(__file__).parent / "corpus"


def write_seeds() -> None:
    """Write the seeds into the corpus; keep other files there, which are findings."""
    from fuzz_target import seeds

    for name, data in seeds().items():
        (CORPUS / name).write_bytes(data)


def fuzz() -> None:
    """Fuzz until libFuzzer ends."""
    import atheris  # type: ignore[import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["slimcae", "fuzz_target"]):
        from fuzz_target import check

    def one_input(data: bytes) -> None:
        check(data)

    logging.getLogger("slimcae").setLevel(logging.ERROR)  # no notice for every broken profile
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:] == ["seeds"]:
        write_seeds()
    else:
        fuzz()
