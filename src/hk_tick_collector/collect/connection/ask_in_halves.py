"""Splits a refused request: a request for many symbols that OpenD refuses is sent again as two halves."""

from __future__ import annotations


def halves(batch: list[str]) -> list[list[str]]:
    """The two halves, the second one first: the caller takes from the end of the list. Empty for one symbol."""
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]] if middle else []
