"""What a source finds → batches, each with the position after it; or the seconds to wait. It does not wait itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from hk_tick_collector.model import seq_of

from .batch import Batch
from .found import Found, in_time_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from hk_tick_collector.model import Gap, Tick

    from .bound import Bound
    from .pace import Pace
    from .position import Position

_ACTIVE_S: Final = 0.005  # between looks, while a file changes
_IDLE_S: Final = 0.02


class DeliveredDay(Protocol):
    """A day of which ticks are found: a day file, an archived day, a day of a server's stream."""

    bound: Bound

    def deliver(self, ticks: Iterable[Tick], late: Iterable[Tick], gaps: bool = False) -> None:
        """Takes note that these ticks of what was found are delivered, and with `gaps` its gaps."""


class Source(Protocol):
    """Where ticks come from. Its methods raise StoreError or StreamError if it cannot be read."""

    @property
    def is_active(self) -> bool:
        """Whether something new came within the last second."""

    @property
    def position(self) -> Position:
        """What was delivered."""

    def begin(self) -> None:
        """Finds where the stream begins."""

    def looks(self) -> Iterator[tuple[DeliveredDay, int, Found] | None]:
        """A day, its number and what was found of it, to be delivered at once; None if there is nothing new now."""

    def close(self) -> None:
        """Closes what is open."""


def batches(source: Source, pace: Pace) -> Iterator[Batch | float]:
    """Batches; while there is none, the seconds after which to ask again. Ends with the source."""
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
    source: Source, bound: Bound, number: int, ticks: Sequence[Tick], gaps: tuple[Gap, ...], *, late: bool
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
