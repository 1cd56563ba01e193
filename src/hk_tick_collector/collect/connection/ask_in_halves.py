"""Splits a refused request: a request for many symbols that OpenD refuses is sent again as two halves."""

from __future__ import annotations


def halves(batch: list[str]) -> list[list[str]]:
    """The second half and the first half, for a stack whose last item is the next; empty for a single symbol."""
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]] if middle else []
