"""Coverage-guided fuzzing of model files with atheris (Linux; `pip install atheris`).

    python tests/fuzz/fuzz_models.py FOLDER -max_total_time=60 -max_len=32768

FOLDER keeps the inputs; a whole model file is put there to start from. Inputs that are no
safetensors file are edits of its integers. Options are libFuzzer's.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def fuzz() -> None:
    """Fuzz until libFuzzer ends."""
    import atheris  # type: ignore[import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["slimcae", "model_target"]):
        from model_target import check_edits, check_model, seed_model

    seed = seed_model()
    Path(sys.argv[1], "seed").write_bytes(seed)
    Path(sys.argv[1], "edits").write_bytes(bytes(range(12)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")

        def one_input(data: bytes) -> None:
            if data[8:9] == b"{":
                check_model(data, path)
            else:
                check_edits(data, seed, path)

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    fuzz()
