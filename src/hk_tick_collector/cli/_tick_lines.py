"""How `ticks` and `tail` print ticks: as a table, CSV or JSON lines."""

from __future__ import annotations

import sys
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.model import Tick

from ._show import show, show_csv, show_json
from ._table import columns_that_fit, print_table
from ._terminal import width_of

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER: Final = ("time", "symbol", "price", "volume", "turnover", "direction", "type", "push", "delay_ms", "seq")
WIDTHS: Final = (12, 8, 9, 10, 14, 9, 10, 10, 8, 19)
RIGHT: Final = frozenset({"price", "volume", "turnover", "delay_ms", "seq"})
SPARE: Final = ("push", "delay_ms", "turnover", "type", "seq", "direction")


class Format(StrEnum):
    """The format in which ticks are printed."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"


def print_ticks(form: Format, ticks: Iterable[Tick], *, follow: bool = False, header: bool = True) -> None:
    """Prints ticks. With `follow` a table has fixed widths, because later rows cannot widen a column."""
    if form is Format.JSONL:
        for tick in ticks:
            show_json(tick._asdict())
    elif form is Format.CSV:
        show_csv(ticks, Tick._fields if header else ())
    elif follow:
        names = columns_that_fit(HEADER, [["x" * width for width in WIDTHS]], SPARE, width_of(sys.stdout))
        kept = [HEADER.index(name) for name in names]
        for row in chain([HEADER] if header else [], map(row_of, ticks)):
            show("  ".join(row[place].rjust(WIDTHS[place]) for place in kept))
    else:
        print_table(HEADER, map(row_of, ticks), right=RIGHT, spare=SPARE, least=WIDTHS)


def row_of(tick: Tick) -> tuple[str, ...]:
    """The cells of a tick, in the order of HEADER."""
    return (
        market.hkt(tick.ts_ms).strftime("%H:%M:%S.") + f"{tick.ts_ms % 1000:03}",
        tick.symbol,
        f"{tick.price:.3f}",
        f"{tick.volume:,}",
        f"{tick.turnover:,.2f}",
        tick.direction,
        tick.tick_type,
        tick.push_type,
        str(tick.recv_ts_ms - tick.ts_ms),
        str(tick.seq),
    )
