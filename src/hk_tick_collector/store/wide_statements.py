"""Wide statements: many rows are bound to one statement, with iterators implemented in C.

During a statement with hundreds of rows SQLite does not need the GIL. But a statement that is too long for apsw's cache
of prepared statements is prepared again at each use (docs/decisions/0002). So only a few fixed widths are used.
"""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHED_BYTES: Final = 16_384  # apsw's `max_cacheable_bytes`: a statement must be shorter than this
_NARROWER: Final = (256, 64, 16, 4, 1)


def widths(fixed_bytes: int, row_bytes: int) -> tuple[int, ...]:
    """The numbers of rows per statement, highest first. A statement is `fixed_bytes` long plus `row_bytes` a row."""
    return ((_CACHED_BYTES - 1 - fixed_bytes) // row_bytes, *_NARROWER)


def bindings(values: Iterator[Any], statements: int, values_each: int) -> Iterator[tuple[Any, ...]]:
    """The bindings for `statements` statements, taken lazily from `values`, without running Python code in between."""
    return map(tuple, map(islice, repeat(values, statements), repeat(values_each)))
