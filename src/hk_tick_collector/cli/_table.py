"""A table for a person: drawn by rich on a terminal, plain aligned columns in a pipe or on a terminal that is dumb."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hk_tick_collector.text import plain

from ._show import show
from ._terminal import can_redraw

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """Prints rows under their header; columns named in `right` are aligned to the right."""
    rows = [[plain(cell) for cell in row] for row in rows]
    if can_redraw(sys.stdout):
        _print_rich(header, rows, right)
    else:
        for line in plain_lines(header, rows, right):
            show(line)


def plain_lines(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> list[str]:
    """Header and rows with columns as wide as their widest cell, two blanks between."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, header, widths, strict=True)
        aligned = (cell.rjust(width) if name in right else cell.ljust(width) for cell, name, width in cells)
        return "  ".join(aligned).rstrip()

    return [line(row) for row in (header, *rows)]


def _print_rich(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> None:
    from rich import box  # 0.1 s that a piped table does not need
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
