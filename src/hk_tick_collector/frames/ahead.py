"""Reads the next batch while the caller works with one; SQLite and Parquet are read without Python's lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_T = TypeVar("_T")


def ahead(items: Generator[_T, None, None] | Iterator[_T]) -> Generator[_T, None, None]:
    """Yields the items of an iterator. One other thread reads all of the iterator and closes it.

    An error of the iterator is raised after the items before it. One more item is in memory.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        following = reader.submit(_next, items)
        try:
            while found := following.result():
                following = reader.submit(_next, items)
                yield found[0]
        finally:
            following.cancel()
            if close := getattr(items, "close", None):
                reader.submit(close).result()


def _next(items: Iterator[_T]) -> tuple[()] | tuple[_T]:
    for item in items:
        return (item,)
    return ()
