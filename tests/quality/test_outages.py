"""Time without OpenD: from `connections` and `ledger`, within trading hours, each second once."""

from __future__ import annotations

import itertools
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from tests.quality.days import DAY, HOUR_MS

from hk_tick_collector import market
from hk_tick_collector.quality.outages import Away, find_outages, sessions
from hk_tick_collector.store.query import Run, Stretch

START_MS: Final = market.day_start_ms(market.parse_day(DAY))
END_MS: Final = sessions(DAY)[-1][1]


def at(hour: float) -> int:
    return START_MS + round(hour * HOUR_MS)


def run(begin: float, end: float) -> Run:
    return Run(f"{begin}", at(begin), at(end), 1, 0, 0, 0, 0, 0, 0)


def found(*stretches: Stretch, runs: tuple[Run, ...] = (), until_ms: int = END_MS, has_ticks: bool = True) -> Away:
    away = find_outages(DAY, stretches, runs, until_ms, has_ticks=has_ticks)
    assert away is not None
    return away


def test_an_imported_day_has_no_outages() -> None:
    """Its ticks came from another program: no connection was recorded, and none is made up."""
    assert find_outages(DAY, [], [run(8, 9)], END_MS, has_ticks=True) is None
    assert find_outages(DAY, [], [], END_MS, has_ticks=True) is None


def test_a_day_without_a_connection() -> None:
    """All trading hours: 09:00 to 12:00 and 13:00 to 16:10."""
    away = found(Stretch(at(7), None, connected=False, conn_id=None, reason="refused"), runs=(run(7, 7),))
    assert (away.trading_s, away.outages) == (22_200, 2)
    assert found(has_ticks=False).trading_s == 22_200


def test_the_live_day_ends_now() -> None:
    """An outage that lasts is counted up to now, and the hours to come are not."""
    stretches = (
        Stretch(at(8), at(10), connected=True, conn_id=1, reason="closed"),
        Stretch(at(10), None, connected=False, conn_id=None, reason="away"),
    )
    assert found(*stretches, until_ms=at(10.5)).trading_s == 1800


_PIECES: Final = st.lists(
    st.tuples(st.integers(0, 1439), st.integers(0, 1439), st.booleans()).map(lambda each: (*sorted(each[:2]), each[2])),
    min_size=1,
    max_size=12,
)


@given(_PIECES, _PIECES)
def test_each_minute_counts_once(pieces: list[tuple[int, int, bool]], runs: list[tuple[int, int, bool]]) -> None:
    """Against a slow reference that looks at every minute of the day."""
    stretches = [
        Stretch(START_MS + begin * 60_000, START_MS + end * 60_000, connected=is_connected, conn_id=1, reason="x")
        for begin, end, is_connected in pieces
    ]
    ledger = [run(begin / 60, end / 60) for begin, end, _ in runs]
    ledger.sort(key=lambda each: each.started_ms)
    away: set[int] = set(range(540, min(begin for begin, _, _ in pieces)))
    for begin, end, is_connected in pieces:
        away |= set() if is_connected else set(range(begin, end))
    for before, after in itertools.pairwise(ledger):
        away |= set(range((before.updated_ms - START_MS) // 60_000, (after.started_ms - START_MS) // 60_000))
    trading = {*range(540, 720), *range(780, 970)}
    assert found(*stretches, runs=tuple(ledger)).trading_s == 60 * len(away & trading)
