"""A request for many symbols that OpenD refuses whole is asked again in halves."""

from __future__ import annotations


def halves(batch: list[str]) -> list[list[str]]:
    """The second half and the first, for a stack whose last is the next; none of a single symbol."""
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]] if middle else []
