"""Reconciliation: at lunch and after the close, compares our sums of the day with OpenD's own totals.

Enters: the market's state, OpenD's snapshot of every symbol, the sums of the day file. Leaves: rows of the table
`reconciliation`, a log line. It only reports: no tick, gap or backfill depends on it.

How they are compared, and what the column `explained` says, is in store/day_sums.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.background import in_thread
from hk_tick_collector.errors import CollectorError, NoDayError
from hk_tick_collector.model import BY_REJECTED, CLOSE, MATCHING, TURNOVER, UNEXPLAINED
from hk_tick_collector.opend import messages
from hk_tick_collector.store.day_sums import DaySums
from hk_tick_collector.store.faults import DISK_ERRORS
from hk_tick_collector.store.query import DayReader, path_of

from .ask_in_halves import Question, ask_about

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.storing_state import StoringState
    from hk_tick_collector.model import Reconciled
    from hk_tick_collector.opend.messages import DayTotals

    from .ask_in_halves import Request
    from .transport import Transport

_SETTLED: Final = MATCHING | {TURNOVER, BY_REJECTED}  # another attempt would have the same result

_SESSIONS: Final = {4: "lunch", 6: CLOSE}  # by QotMarketState: rest, closed
_FAILURES: Final[tuple[type[Exception], ...]] = (
    CollectorError,
    *DISK_ERRORS,
)  # trouble of a connection or a disk, not a bug
_LATE_TICKS_MS: Final = 60_000  # how long to wait after the end of a session for late ticks
_AGAIN_MS: Final = (60_000, 120_000, 300_000, 900_000)  # until the next attempt, by OpenD's clock
_ATTEMPTS: Final = 3  # a difference is final after this many attempts; failed attempts go on to the end of _AGAIN_MS
_NO_TICKS_MS: Final = 900_000  # until the next look at a day without ticks, by OpenD's clock
_POLL_S: Final = 1.0
_SPACING_S: Final = 0.6  # OpenD allows 60 requests in 30 s, and other clients may use some of them
_SNAPSHOT: Final = Question(
    messages.GET_SECURITY_SNAPSHOT,
    messages.SNAPSHOT_MAX,
    messages.get_security_snapshot,
    messages.read_security_snapshot,
)


def is_settled(path: Path, session: str) -> bool:
    """Whether an earlier run has already compared the day completely. Raises NoDayError if the day has no ticks yet."""
    with DayReader(path) as reader:
        if not reader.totals().rows:
            raise NoDayError(f"{path} has no ticks")
        before = reader.reconciliation()
        return bool(before) and before[0].session == session and all(row.explained in _SETTLED for row in before)


def compare(
    session: str, symbols: Sequence[str], ours: DaySums, official: Mapping[str, DayTotals], day: str, at_ms: int
) -> list[Reconciled]:
    """One row for each symbol. `day` is the date of the comparison, like `2026-11-20`."""
    rows = []
    for symbol in symbols:
        row, theirs = ours.row(session, symbol, at_ms), official.get(symbol)
        if theirs is not None:
            is_earlier = theirs.suspended or bool(theirs.updated and theirs.updated != day)
            row = row._replace(official_volume=theirs.volume, official_turnover=theirs.turnover)
            row = row._replace(explained=ours.explain(row, of_earlier_day=is_earlier))
        rows.append(row)
    return rows


async def ask_totals(request: Request, symbols: Sequence[str]) -> dict[str, DayTotals]:
    """OpenD's totals of `symbols`. A symbol that OpenD refuses is left out and does not affect the others.

    Raises OpenDError when the connection ends or a reply does not arrive.
    """
    found: list[DayTotals] = []
    await ask_about(request, symbols, _SNAPSHOT, found, _SPACING_S)
    return {each.symbol: each for each in found}


class Reconciler:
    """Compares each session once, also if connections end meanwhile.

    `keep` is called with the day number and the rows to store. `opend` has the market's state and OpenD's clock.
    """

    def __init__(
        self,
        data_root: Path,
        symbols: Sequence[str],
        opend: OpenDState,
        storing: StoringState,
        keep: Callable[[int, list[Reconciled]], None],
    ) -> None:
        self._data_root = data_root
        self._symbols = symbols
        self._opend = opend
        self._storing = storing
        self._keep = keep
        self._session: tuple[int, str] | None = None  # the day and name of the session that ended
        self._due_ms: int | None = None  # time of the next attempt by OpenD's clock; None when there is none
        self._attempts = 0

    async def run(self, transport: Transport, subscribed: asyncio.Event) -> None:
        """Makes the attempts that are due, on one connection; never returns. A failure here affects nothing else."""
        await subscribed.wait()
        while True:
            if (session := self.due()) is not None:
                try:
                    await self.attempt(transport.request, *session)
                except Exception as error:  # noqa: BLE001 - the task's boundary: it must not stop collection
                    self._due_ms = None
                    log.bug("reconcile_failed", error)
            await asyncio.sleep(_POLL_S)

    def due(self) -> tuple[int, str] | None:
        """The day and session to compare now, if any."""
        opend = self._opend
        if opend.opend_time_ms is None or opend.market_state is None:
            return None
        name = _SESSIONS.get(opend.market_state)
        session = (market.day_number(opend.opend_time_ms), name) if name else None
        if session != self._session:
            self._session, self._attempts = session, 0
            self._due_ms = opend.opend_time_ms + _LATE_TICKS_MS if session else None
        if self._due_ms is None or opend.opend_time_ms < self._due_ms or self._storing.writer_trouble:
            return None
        return session

    async def attempt(self, request: Request, day: int, session: str) -> None:
        """Compares every symbol. A failure, or a difference without a reason, causes another attempt later."""
        self._attempts += 1
        wait_ms = _AGAIN_MS[self._attempts - 1] if self._attempts <= len(_AGAIN_MS) else None
        self._due_ms = None if wait_ms is None else (self._opend.opend_time_ms or 0) + wait_ms
        path = path_of(self._data_root, market.day_name(day))
        try:
            if self._attempts == 1 and await in_thread(is_settled, path, session):
                self._due_ms = None
                return
            symbols = [symbol for symbol in self._symbols if symbol not in self._opend.refused]
            official = await ask_totals(request, symbols)
            ours = await in_thread(DaySums.read, path)
        except NoDayError:
            # A day without trading, a time before the open, or ticks that OpenD will send when it is back.
            self._attempts, self._due_ms = 0, (self._opend.opend_time_ms or 0) + _NO_TICKS_MS
            return
        except _FAILURES as error:
            log.warning("reconcile_failed", session=session, attempt=self._attempts, reason=error)
            return
        at_ms = self._opend.opend_time_ms or 0
        rows = compare(session, symbols, ours, official, market.day_date(day).isoformat(), at_ms)
        self._keep(day, rows)
        _log_result(session, rows)
        if self._attempts >= _ATTEMPTS or all(row.explained in _SETTLED for row in rows):
            self._due_ms = None


def _log_result(session: str, rows: Sequence[Reconciled]) -> None:
    differing = [row for row in rows if row.explained not in MATCHING]
    unexplained = [row for row in differing if row.explained == UNEXPLAINED]
    worst = max(unexplained or differing, key=lambda row: row.difference, default=None)
    say = log.warning if unexplained else log.info
    say(
        "reconciled",
        session=session,
        symbols=len(rows),
        matching=len(rows) - len(differing),
        differing=len(differing),
        unexplained=len(unexplained),
        worst=f"{worst.symbol}:{worst.difference}:{worst.explained}" if worst else "none",
    )
