"""Tables for people: drawn by rich on a terminal, plain aligned columns in a pipe or on a dumb terminal.

On a terminal that is too narrow some columns are left out, and a note names them. A number is never cut.
"""

from __future__ import annotations

import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from hk_tick_collector.text import plain

from ._show import columns_taken, padded, show
from ._terminal import can_redraw, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HELD_ROWS: Final = 1000  # the most rows kept in memory
_FOLDED: Final = 14  # the narrowest width to which words are folded


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: frozenset[str] = frozenset(),
    spare: Sequence[str] = (),
    fold: frozenset[str] = frozenset(),
    least: Sequence[int] = (),
) -> None:
    """Prints rows under their header; columns named in `right` are aligned to the right.

    If the terminal is too narrow, cells in the columns of `fold` continue on the next line, and columns in `spare` are
    left out, in that order. A table of more than a thousand rows is printed as plain lines while it is read. The
    first thousand rows then decide the widths of the columns; `least` has the minimum widths.
    """
    rest = iter(rows)
    rows = [[plain(cell) for cell in row] for row in islice(rest, _HELD_ROWS + 1)]
    if len(rows) > _HELD_ROWS:
        _print_long(header, chain(rows, ([plain(cell) for cell in row] for row in rest)), rows, right, spare, least)
        return
    whole, room, drawn = len(header), width_of(sys.stdout), can_redraw(sys.stdout)
    folded = fold if drawn else frozenset()
    kept = [header.index(name) for name in columns_that_fit(header, rows, spare, room, drawn=drawn, fold=folded)]
    left_out = [name for place, name in enumerate(header) if place not in kept]
    header, rows = [header[place] for place in kept], [[row[place] for place in kept] for row in rows]
    if drawn and (room is None or _width(_widths(header, rows, folded), drawn=True) <= room):
        _print_rich(header, rows, right, folded)
    else:
        for line in plain_lines(header, rows, right):
            show(line)
    if len(kept) < whole:
        show(f"(not shown at {room} columns: {', '.join(left_out)})")


def _print_long(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    first: Sequence[Sequence[str]],
    right: frozenset[str],
    spare: Sequence[str],
    least: Sequence[int],
) -> None:
    """Prints rows as they are read. The rows of `first` decide the widths of the columns."""
    room = width_of(sys.stdout)
    sample = [*first, ["x" * width for width in least]] if least else first
    names = columns_that_fit(header, sample, spare, room)
    kept = [header.index(name) for name in names]
    widths = _widths(names, [[row[place] for place in kept] for row in sample])
    for row in chain([header], rows):
        show(_plain_line([row[place] for place in kept], names, widths, right))
    if len(kept) < len(header):
        show(f"(not shown at {room} columns: {', '.join(name for name in header if name not in names)})")


def columns_that_fit(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    spare: Sequence[str],
    room: int | None,
    *,
    drawn: bool = False,
    fold: frozenset[str] = frozenset(),
) -> list[str]:
    """The columns that fit into `room` characters, with as many spare ones as possible; all if there is no limit."""
    widths = dict(zip(header, _widths(header, rows, fold), strict=True))
    for name in spare:
        if room is None or _width(list(widths.values()), drawn=drawn) <= room:
            break
        del widths[name]
    return list(widths)


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]], fold: frozenset[str] = frozenset()) -> list[int]:
    """The minimum width of each column."""
    widths = [max(map(columns_taken, column)) for column in zip(header, *rows, strict=True)]
    return [min(width, _FOLDED) if name in fold else width for name, width in zip(header, widths, strict=True)]


def _width(widths: Sequence[int], *, drawn: bool) -> int:
    """The width of a line, with what rich or `plain_lines` puts between the columns."""
    between, around = (3, 2) if drawn else (2, 0)
    return sum(widths) + between * (len(widths) - 1) + around


def plain_lines(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> list[str]:
    """Header and rows with columns as wide as their widest cell, and two blanks between columns."""
    widths = _widths(header, rows)
    return [_plain_line(row, header, widths, right) for row in (header, *rows)]


def _plain_line(row: Sequence[str], header: Sequence[str], widths: Sequence[int], right: frozenset[str]) -> str:
    cells = zip(row, header, widths, strict=True)
    aligned = (padded(cell, width, right=name in right) for cell, name, width in cells)
    return "  ".join(aligned).rstrip()


def _print_rich(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str], fold: frozenset[str]
) -> None:
    from rich import box  # imported late: it is slow to import, and a piped table does not need it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name not in fold)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
