"""Reading ahead: the same items, every call in one thread, an error in its place, and the source is closed."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.frames.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Generator


def source(threads: set[int], *, fails_at: int = -1) -> Generator[int, None, None]:
    """0 to 4; notes the threads that read and close it."""
    try:
        for number in range(5):
            threads.add(threading.get_ident())
            if number == fails_at:
                raise OSError("the disk")
            yield number
    finally:
        threads.add(threading.get_ident())


def test_one_other_thread_reads_everything() -> None:
    """SQLite's and Arrow's readers are made, used and closed where they belong."""
    threads: set[int] = set()
    assert list(ahead(source(threads))) == [0, 1, 2, 3, 4]
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert list(ahead(iter(()))) == []


def test_an_error_comes_after_what_was_read_before_it() -> None:
    """Nothing that was read is left out."""
    reader = ahead(source(set(), fails_at=2))
    assert [next(reader), next(reader)] == [0, 1]
    with pytest.raises(OSError, match="the disk"):
        next(reader)


def test_a_reader_that_stops_early_closes_the_source() -> None:
    """A day file that stayed open would keep its WAL from being shortened."""
    threads: set[int] = set()
    made = source(threads)
    reader = ahead(made)
    assert next(reader) == 0
    reader.close()
    assert inspect.getgeneratorstate(made) == inspect.GEN_CLOSED
    assert len(threads) == 1
