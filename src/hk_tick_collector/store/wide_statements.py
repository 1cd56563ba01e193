"""Wide statements: many rows bound to one statement, by iterators of C alone.

A statement of hundreds of rows keeps the GIL away from SQLite's work, but one that is too long for apsw's cache of
prepared statements is prepared at each use: to fill SQLite's 32,766 parameters, 3,276 rows, cost a third of all its
time. A ladder of widths keeps the statements few.
"""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHED_BYTES: Final = 16_384  # apsw's `max_cacheable_bytes`, of which a statement must stay short
_NARROWER: Final = (256, 64, 16, 4, 1)


def widths(fixed_bytes: int, row_bytes: int) -> tuple[int, ...]:
    """How many rows the statements have, widest first: `fixed_bytes` of text beside the rows, `row_bytes` for each."""
    return ((_CACHED_BYTES - 1 - fixed_bytes) // row_bytes, *_NARROWER)


def bindings(values: Iterator[Any], statements: int, values_each: int) -> Iterator[tuple[Any, ...]]:
    """What `statements` statements bind, taken from `values` as they ask for it, without a line of Python between."""
    return map(tuple, map(islice, repeat(values, statements), repeat(values_each)))
