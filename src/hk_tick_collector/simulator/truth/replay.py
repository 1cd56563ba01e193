"""A recorded day as a source of ticks: every field as it was recorded, at the pace of the exchange's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.opend.convert import TICK_TYPES
from hk_tick_collector.simulator.encoding.encode import MAX_TICK_TYPE

from .truth import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hk_tick_collector.model import Tick
    from hk_tick_collector.simulator.exchange.made import MadeRow

    from .truth import TruthTick

_DIRECTION_NUMBERS: Final = {name: number for number, name in DIRECTIONS.items()}
_TYPE_NUMBERS: Final = {name: number for number, name in TICK_TYPES.items()}


class Replay:
    """Gives recorded ticks slot by slot. `ticks` are in the order of their time; `places` is the listing's order."""

    def __init__(self, ticks: Iterable[Tick], places: Mapping[str, int]) -> None:
        self._ticks = iter(ticks)
        self._next = next(self._ticks, None)
        self._places = places

    def slot(self, start_ms: int, end_ms: int) -> list[MadeRow]:
        """The ticks from `start_ms` to before `end_ms`, UTC epoch ms; earlier ones are skipped."""
        made: list[MadeRow] = []
        tick = self._next
        while tick is not None and tick.ts_ms < end_ms:
            if tick.ts_ms >= start_ms:
                made.append(made_row(tick, self._places[tick.symbol]))
            tick = next(self._ticks, None)
        self._next = tick
        return made


def made_row(tick: Tick | TruthTick, place: int) -> MadeRow:
    """A recorded tick as it was made; `place` is its security's position in the listing."""
    direction = _DIRECTION_NUMBERS[tick.direction]
    return place, tick.seq, tick.ts_ms, tick.price, tick.volume, tick.turnover, direction, _type_number(tick)


def _type_number(tick: Tick | TruthTick) -> int:
    number = _TYPE_NUMBERS.get(tick.tick_type)
    if number is None:
        number = int(tick.tick_type.removeprefix("TYPE_"))
        if not 0 <= number <= MAX_TICK_TYPE:
            raise CollectorError(f"a tick of {tick.symbol} has type {number}, which cannot be replayed")
    return number
