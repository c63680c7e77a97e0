"""Threads of numpy's products: one inside a block, afterwards as many as before."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from conftest import HANG
from slimcae.coding.blas import one_blas_thread


def threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


@pytest.fixture
def two_threads() -> Iterator[None]:
    with threadpool_limits(2, "blas"):
        if threads() != {2}:
            pytest.skip("this BLAS has one thread, or is not known")
        yield


@pytest.mark.usefixtures("two_threads")
def test_one_thread_until_the_last_block_ends() -> None:
    with one_blas_thread():
        assert threads() == {1}
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_blocks_of_several_threads_that_overlap_leave_nothing_behind() -> None:
    begun, end = threading.Event(), threading.Event()

    def first() -> None:
        with one_blas_thread():
            begun.set()
            assert end.wait(HANG)

    other = threading.Thread(target=first)
    other.start()
    assert begun.wait(HANG)
    with one_blas_thread():  # begins before the first ends, and ends after it
        end.set()
        other.join()
        assert threads() == {1}
    assert threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_an_error_ends_a_block() -> None:
    with pytest.raises(ValueError, match="inside"), one_blas_thread():
        raise ValueError("inside")
    assert threads() == {2}
