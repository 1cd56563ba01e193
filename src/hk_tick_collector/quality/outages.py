"""When there was no connection to OpenD, from the tables `connections` and `ledger` of a day. Pure.

Nothing is written when the collector stops or is killed, so the time between two runs is taken from `ledger`: from the
last commit of one run to the start of the next one. Time outside trading hours is counted separately: no tick is missed
then. The hours are those of HKEX's securities market on a full day, including both auctions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hk_tick_collector.store.query import Run, Stretch

_HOUR_MS: Final = 3_600_000
_SESSIONS_MS: Final = ((9 * _HOUR_MS, 12 * _HOUR_MS), (13 * _HOUR_MS, 16 * _HOUR_MS + 10 * 60_000))
NOT_RUNNING: Final = "not_running"
_KEPT: Final = 500  # outages that are listed, the longest; all are counted


class Outage(NamedTuple):
    """A time without a connection, within trading hours."""

    from_ms: int  # UTC epoch ms
    to_ms: int
    reason: str  # that of the table, or `not_running`

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.to_ms - self.from_ms) / 1000


class Away(NamedTuple):
    """The time without a connection in one day."""

    trading_s: float  # in trading hours
    outages: int  # in trading hours
    listed: tuple[Outage, ...]  # the longest ones, in order of time
    seen_ms: int | None  # the last moment for which the file shows that the collector worked; None: never


def sessions(day: str) -> list[tuple[int, int]]:
    """The trading hours of a full day (`20261120`), UTC epoch ms."""
    start_ms = market.day_start_ms(market.parse_day(day))
    return [(start_ms + begin, start_ms + end) for begin, end in _SESSIONS_MS]


def find_outages(
    day: str, stretches: Sequence[Stretch], runs: Sequence[Run], until_ms: int, *, has_ticks: bool
) -> Away | None:
    """The time without OpenD up to `until_ms`. None if the file does not say, like that of a day that was imported.

    A day without any tick, run and connection was never connected.
    """
    if not stretches and (runs or has_ticks):
        return None
    away = [(piece.from_ms, piece.to_ms or until_ms, piece.reason) for piece in stretches if not piece.connected]
    ordered = sorted(runs, key=lambda run: run.started_ms)
    away += [
        (before.updated_ms, after.started_ms, NOT_RUNNING)
        for before, after in pairwise(ordered)
        if after.started_ms > before.updated_ms
    ]
    opens_ms = sessions(day)[0][0]
    first_ms = min((piece.from_ms for piece in stretches), default=until_ms)
    if first_ms > opens_ms:
        away.append((opens_ms, first_ms, NOT_RUNNING))
    pieces = list(_within(_merged(away), [(begin, min(end, until_ms)) for begin, end in sessions(day)]))
    longest = sorted(pieces, key=lambda piece: piece.from_ms - piece.to_ms)[:_KEPT]
    seen = [run.updated_ms for run in runs] + [piece.from_ms for piece in stretches]
    return Away(sum(piece.seconds for piece in pieces), len(pieces), tuple(sorted(longest)), max(seen, default=None))


def _merged(pieces: Iterable[tuple[int, int, str]]) -> list[Outage]:
    """The pieces in order, without overlaps; the reason is that of the earlier one."""
    found: list[Outage] = []
    for begin, end, reason in sorted(pieces):
        if found and begin <= found[-1].to_ms:
            if end > found[-1].to_ms:
                found[-1] = found[-1]._replace(to_ms=end)
        elif end > begin:
            found.append(Outage(begin, end, reason))
    return found


def _within(pieces: Iterable[Outage], hours: Iterable[tuple[int, int]]) -> Iterable[Outage]:
    spans = list(hours)
    for piece in pieces:
        for begin, end in spans:
            if (cut := Outage(max(piece.from_ms, begin), min(piece.to_ms, end), piece.reason)).to_ms > cut.from_ms:
                yield cut
