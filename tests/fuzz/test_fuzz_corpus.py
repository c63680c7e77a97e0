"""Test the fuzzer's corpus without the fuzzer, and that its target would detect faults."""

import io
from pathlib import Path

import fuzz_target
import numpy as np
import pytest
from fuzz_target import check, resealed, seeds
from model_target import check_edits, check_exactness, check_model, seed_model

from slimcae import container
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import entropy_model_of
from slimcae.container import Reader
from slimcae.model.file import read_model

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_file_of_the_corpus_is_read_or_refused(path: Path) -> None:
    expected = {"read": True, "refused": False}[path.name.split("-")[0]]
    assert check(path.read_bytes()) == expected


def test_the_corpus_holds_the_seeds_and_is_small() -> None:
    stored = {path.name: path.read_bytes() for path in FILES}
    assert seeds().items() <= stored.items()
    assert sum(map(len, stored.values())) < 10_000


def test_checksums_are_made_right() -> None:
    for name, data in seeds().items():
        if name.startswith("read"):
            assert resealed(data) == data
            damaged = data[:20] + bytes(8) + data[28:]  # another fingerprint
            assert not fuzz_target.check_file(damaged)
            assert fuzz_target.check_file(resealed(damaged))


def test_the_target_notices_other_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> container.Contents:
        raise KeyError("iccp")

    monkeypatch.setattr(container, "read", broken)
    with pytest.raises(KeyError):
        check(seeds()["read-one-tile"])


def test_the_target_notices_what_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    data = seeds()["read-one-tile"]
    encode = EntropyModel.encode
    monkeypatch.setattr(
        EntropyModel, "encode", lambda model, symbols, step: encode(model, -symbols, step)
    )
    with pytest.raises(AssertionError):
        check(data)


def test_the_target_decodes_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    decode = EntropyModel.decode

    def noting(
        model: EntropyModel, data: bytes, shape: tuple[int, int, int], step: int
    ) -> np.ndarray:
        shapes.append(shape)
        return decode(model, data, shape, step)

    monkeypatch.setattr(EntropyModel, "decode", noting)
    data = seeds()["read-six-tiles"]
    fuzz_target.check_file(data)
    assert shapes == [(3, 1, 1), (3, 1, 1)] * 6  # each once more, after it was encoded again
    assert Reader(io.BytesIO(data)).header.num_tiles == 6


def test_a_model_file_is_read_and_codes_exactly(tmp_path: Path) -> None:
    data = seed_model()
    assert check_model(data, tmp_path / "m")
    assert check_edits(b"", data, tmp_path / "m")
    outcomes = {
        check_edits(bytes([place, 0, 100]), data, tmp_path / "m") for place in range(0, 20, 4)
    }
    assert outcomes == {True, False}


@pytest.mark.parametrize("kind", ["factorized", "tables", "context", "hyperprior"])
def test_forged_integers_of_a_model_are_exact_or_refused(kind: str, tmp_path: Path) -> None:
    """Set some bytes of each array to extremes: no accepted model may decode differently."""
    (tmp_path / "m").write_bytes(seed_model())
    arrays = read_model(tmp_path / "m").entropy_model(3, kind).to_arrays()
    rng = np.random.default_rng(0)
    outcomes = []
    for name, array in arrays.items():
        size = array.nbytes
        for place in {0, size - 1, int(rng.integers(size))} if size else ():
            for value in (0, 1, 127, 128, 255):
                forged = array.copy()
                forged.reshape(-1).view(np.uint8)[place] = value
                try:
                    model = entropy_model_of(kind, arrays | {name: forged})
                except ValueError:
                    outcomes.append(False)
                else:
                    check_exactness(model)
                    outcomes.append(True)
    print(f"{len(outcomes)} models tried, {sum(outcomes)} taken")
    assert 0 < sum(outcomes) < len(outcomes)


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_truncated_models_are_refused(tmp_path: Path, part: int) -> None:
    data = seed_model()
    for length in range(part * 37, len(data), 148):
        assert not check_model(data[:length], tmp_path / "m")
