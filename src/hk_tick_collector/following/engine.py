"""What a source finds → batches, each with the position after it; and when to look again. It does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import seq_of

from .batch import Batch
from .found import Found, in_time_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Set

    from hk_tick_collector.model import Gap, Tick

    from .bound import Bound
    from .local_days import LocalDays
    from .pace import Pace

_ACTIVE_S: Final = 0.005  # between looks, while a file changes
_IDLE_S: Final = 0.02


def batches(source: LocalDays, pace: Pace) -> Iterator[Batch | float]:
    """Batches, and where there is none now the seconds after which to ask again. Ends with the source."""
    newest: dict[str, int] = {}  # symbol → the latest day of which a tick was delivered
    latest = 0
    for look in source.looks():
        if look is None:
            yield _ACTIVE_S if source.is_active else _IDLE_S
            continue
        day, number, found = look
        if number < latest:
            found = _after_a_later_day(found, {symbol for symbol, other in newest.items() if other > number})
        ticks, late, gaps = found
        for part in pace.parts(number, ticks) if ticks or not late else ():
            if isinstance(part, float):
                yield part
                continue
            day.deliver(part, (), gaps=True)
            yield from _batch(source, day.bound, number, part, gaps, late=False)
            newest.update((tick.symbol, number) for tick in part)
            gaps = ()
        if late:
            day.deliver((), late, gaps=True)
            yield from _batch(source, day.bound, number, late, gaps, late=True)
        latest = max(latest, number)


def _batch(
    source: LocalDays, bound: Bound, number: int, ticks: Sequence[Tick], gaps: tuple[Gap, ...], *, late: bool
) -> Iterator[Batch]:
    """A batch of what is delivered now, without the ticks before the bound; none if nothing is left."""
    rows = list(ticks) if bound.is_open else [tick for tick in ticks if bound.has(tick)]
    if rows or gaps:
        yield Batch(number, rows, gaps, late=late, position=source.position)


def _after_a_later_day(found: Found, symbols: Set[str]) -> Found:
    """The ticks of these symbols are late: ticks of a later day were delivered before them."""
    by_symbol: dict[str, list[Tick]] = {}
    for tick in (*found.late, *(tick for tick in found.ticks if tick.symbol in symbols)):
        by_symbol.setdefault(tick.symbol, []).append(tick)
    late = in_time_order(sorted(each, key=seq_of) for each in by_symbol.values())
    return Found([tick for tick in found.ticks if tick.symbol not in symbols], late, found.gaps)
