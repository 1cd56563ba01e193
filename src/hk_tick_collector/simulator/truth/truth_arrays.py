"""The truth file as arrays: 42 bytes a tick, so that days with millions of ticks fit into memory.

Input: the ticks of a truth file, in any order. Output: those of each day and symbol, in the order of their sequence.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .truth import Outlier, TruthTick

Fields: TypeAlias = tuple[
    int, float, int, float, str, str
]  # the fields of a tick after its key: from ts_ms to tick_type


class Column:
    """The ticks of one symbol on one day, as arrays."""

    __slots__ = ("fields", "kinds", "prices", "seqs", "times", "turnovers", "volumes")

    def __init__(self) -> None:
        self.seqs, self.times, self.volumes = array("q"), array("q"), array("q")
        self.prices, self.turnovers = array("d"), array("d")
        self.kinds = array("H")

    def append(self, tick: TruthTick, kind: int) -> None:
        """Adds one tick; `kind` is a number for its direction and type."""
        self.seqs.append(tick.seq)
        self.times.append(tick.ts_ms)
        self.prices.append(tick.price)
        self.volumes.append(tick.volume)
        self.turnovers.append(tick.turnover)
        self.kinds.append(kind)

    def sort(self, symbol: str) -> None:
        """Sorts the ticks by sequence; CollectorError if a key occurs twice."""
        seqs = self.seqs
        if any(one >= following for one, following in pairwise(seqs)):
            order = sorted(range(len(seqs)), key=seqs.__getitem__)
            for name in ("seqs", "times", "volumes", "prices", "turnovers", "kinds"):
                column = getattr(self, name)
                setattr(self, name, array(column.typecode, [column[i] for i in order]))
            for one, following in pairwise(self.seqs):
                if one == following:
                    raise CollectorError(f"the truth has {symbol} seq={one} twice")


_NOTHING: Final = Column()


class Truth:
    """Every tick that was made, by day and symbol; of the days in `only`, or of all.

    `rejects` are keys whose rejection is correct: ticks that cannot be stored, or that came for a sealed day.
    `outliers` are ticks whose time is not the time at which they were made.
    """

    def __init__(
        self,
        ticks: Iterable[TruthTick],
        rejects: Iterable[tuple[str, int]] = (),
        only: frozenset[str] | None = None,
        outliers: Iterable[Outlier] = (),
    ) -> None:
        self._days: dict[str, dict[str, Column]] = {}
        self._kinds: list[tuple[str, str]] = []
        kinds: dict[tuple[str, str], int] = {}
        names: dict[int, str] = {}
        for tick in ticks:
            number = market.day_number(tick.ts_ms)
            day = names.get(number) or names.setdefault(number, market.day_name(number))
            if only is not None and day not in only:
                continue
            column = self._days.setdefault(day, {}).setdefault(tick.symbol, Column())
            column.append(tick, kinds.setdefault((tick.direction, tick.tick_type), len(kinds)))
        self._kinds = list(kinds)
        for day_columns in self._days.values():
            for symbol, column in day_columns.items():
                column.sort(symbol)
        self._rejects: defaultdict[str, list[int]] = defaultdict(list)
        for symbol, seq in sorted(set(rejects)):
            self._rejects[symbol].append(seq)
        self._made_ms: dict[tuple[str, int, int], int] = {}
        self._strangers: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for symbol, seq, ts_ms, made_ms in outliers:
            self._made_ms[symbol, seq, ts_ms] = made_ms
            if market.day_number(ts_ms) != (day_made := market.day_number(made_ms)):
                self._strangers[market.day_name(day_made), symbol].append((seq, made_ms))

    @property
    def days(self) -> list[str]:
        """The days that have ticks."""
        return sorted(self._days)

    def symbols(self, day: str) -> list[str]:
        """The symbols that have ticks on a day."""
        return sorted(self._days.get(day, ()))

    def column(self, day: str, symbol: str) -> Column:
        """The ticks of one symbol and day, by sequence."""
        return self._days.get(day, {}).get(symbol, _NOTHING)

    def rejects(self, symbol: str) -> Sequence[int]:
        """The sequences of one symbol whose rejection is correct, in order."""
        return self._rejects.get(symbol, [])

    def made_ms(self, symbol: str, seq: int, ts_ms: int) -> int:
        """When a tick was made, UTC epoch ms: its own time, except for an outlier."""
        return self._made_ms.get((symbol, seq, ts_ms), ts_ms)

    def of_other_dates(self, day: str, symbol: str) -> Sequence[tuple[int, int]]:
        """Sequence and moment of the ticks that were made on a day and have the date of another."""
        return self._strangers.get((day, symbol), [])

    def only_outliers(self, day: str) -> bool:
        """Whether every tick of a day is an outlier."""
        return all(
            (symbol, seq, ts_ms) in self._made_ms
            for symbol, column in self._days.get(day, {}).items()
            for seq, ts_ms in zip(column.seqs, column.times, strict=True)
        )

    def fields(self, column: Column, place: int) -> Fields:
        """The fields of one tick after its key."""
        return (
            column.times[place],
            column.prices[place],
            column.volumes[place],
            column.turnovers[place],
            *self._kinds[column.kinds[place]],
        )
