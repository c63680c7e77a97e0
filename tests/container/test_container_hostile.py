"""Damaged and forged files: `BitstreamError` or the right contents, and nothing else.

Every test prints how many files it tried: `pytest -rP tests/container/test_container_hostile.py`.
"""

import itertools
import time
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator

import pytest
from container_files import FULL, HEADER, TILES, chunk, forged
from hypothesis import given
from hypothesis import strategies as st

from slimcae import container
from slimcae.container import Contents, Reader, read_header
from slimcae.errors import BitstreamError

SMALLEST = container.write(Contents(HEADER, TILES))
WITH_ALL = container.write(FULL)
# as in WITH_ALL, and two chunks that readers of this version must skip
NEWER = forged(
    chunk(b"note", b"a chunk of the future"),
    *(WITH_ALL[start:end] for start, end in [(84, len(WITH_ALL) - sum(map(len, TILES)))]),
    chunk(b"text", b""),
    num_chunks=6,
)
FILES = {"plain": SMALLEST, "all chunks": WITH_ALL, "unknown chunks": NEWER}
MASKS = [1 << bit for bit in range(8)] + [0x03, 0x0F, 0x55, 0xAA, 0xF0, 0xFF]


@pytest.fixture(params=FILES.values(), ids=FILES)
def whole(request: pytest.FixtureRequest) -> bytes:
    data: bytes = request.param
    assert container.read(data) == container.read(SMALLEST if data is SMALLEST else WITH_ALL)
    return data


def check(whole: bytes, damaged: Iterable[bytes], kind: str) -> int:
    """Read files that are not as they were in every way there is; returns how many."""
    right = container.read(whole)
    tried = 0
    for data in damaged:
        tried += 1
        with pytest.raises(BitstreamError):
            container.read(data)
        check_parts(data, right)
    print(f"{tried:,} files {kind}: a BitstreamError each, and no wrong part")
    return tried


def check_parts(data: bytes, right: Contents) -> None:
    """Every part that is read alone is right or a `BitstreamError`."""
    try:
        reader = Reader(data)
    except BitstreamError:
        return
    assert reader.header == right.header
    for index, tile in enumerate(right.tiles):
        assert part(lambda index=index: reader.tile(index)) in (tile, BitstreamError)  # type: ignore[misc]
    assert part(lambda: reader.alpha) in (right.alpha, BitstreamError)
    assert part(lambda: reader.icc_profile) in (right.icc_profile, BitstreamError)
    assert part(lambda: reader.exif) in (right.exif, BitstreamError)
    assert part(lambda: reader.xmp) in (right.xmp, BitstreamError)
    assert part(reader.verify) in (None, BitstreamError)
