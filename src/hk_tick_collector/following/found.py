"""What one look at a day found, in the order in which it is delivered."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.store.live_reading import LOWEST_SEQ

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.model import Gap, Tick


class Found(NamedTuple):
    """New ticks of one day. Nothing of it counts as delivered before `Day.deliver` is called."""

    ticks: list[Tick]  # each higher than every delivered one of its symbol; in the order of `in_time_order`
    late: list[Tick]  # lower than a delivered one of their symbol
    gaps: tuple[Gap, ...] = ()  # opened, changed or closed


def first_seq(gap: Gap) -> int:
    """The first sequence that a gap may lack; LOWEST_SEQ if it is unknown."""
    return LOWEST_SEQ if gap.from_seq is None else gap.from_seq


def seqs_by_symbol(ticks: Iterable[Tick]) -> dict[str, list[int]]:
    """The sequences of ticks by symbol, each list in the order of the ticks."""
    found: dict[str, list[int]] = {}
    for tick in ticks:
        found.setdefault(tick.symbol, []).append(tick.seq)
    return found


def in_time_order(by_symbol: Iterable[list[Tick]]) -> list[Tick]:
    """The ticks of several symbols, each in order of sequence, as one list in the order of time.

    Within a symbol the order stays that of sequence: a tick whose time is earlier than that of the one before it is
    placed at the time of that one.
    """
    placed: list[tuple[int, str, int, Tick]] = []
    for ticks in by_symbol:
        times = accumulate((tick.ts_ms for tick in ticks), max)
        placed += [(ms, tick.symbol, tick.seq, tick) for ms, tick in zip(times, ticks, strict=True)]
    placed.sort()
    return [tick for *_, tick in placed]
