"""The fuzzer's corpus, replayed without it; and that its target would notice."""

import io
from pathlib import Path

import fuzz_target
import numpy as np
import pytest
from fuzz_target import check, resealed, seeds

from slimcae import container
from slimcae.coding.coder import SymbolCoder
from slimcae.container import Reader

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
            damaged = data[:19] + bytes(8) + data[27:]  # another fingerprint
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
    encode = SymbolCoder.encode
    monkeypatch.setattr(SymbolCoder, "encode", lambda coder, symbols: encode(coder, -symbols))
    with pytest.raises(AssertionError):
        check(data)


def test_the_target_decodes_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    decode = SymbolCoder.decode

    def noting(coder: SymbolCoder, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        shapes.append(shape)
        return decode(coder, data, shape)

    monkeypatch.setattr(SymbolCoder, "decode", noting)
    data = seeds()["read-six-tiles"]
    fuzz_target.check_file(data)
    assert shapes == [(3, 1, 1), (3, 1, 1)] * 6  # each once more, after it was encoded again
    assert Reader(io.BytesIO(data)).header.num_tiles == 6
