"""Asks OpenD once a day what the symbols are: name, lot size, type, suspension, listing date, previous close.

Enters: OpenD's answers to GetStaticInfo and GetSecuritySnapshot. Leaves: rows of the table `instruments`, a log line.
It only adds knowledge: no tick, gap or backfill depends on it, and no answer or lack of one ends the connection.

It asks some seconds after the symbols are subscribed, slowly, and once more when the market of the day begins to trade:
only then OpenD surely knows which symbols are suspended today. What is missing is asked for again, ever more rarely.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import clock, log, market
from hk_tick_collector.background import in_thread
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.model import Instrument
from hk_tick_collector.opend import messages
from hk_tick_collector.store.query import path_of

from .ask_in_halves import Question, ask_about

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from google.protobuf.message import Message

    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.options import FeedOptions
    from hk_tick_collector.collect.storing_state import StoringState

    from .ask_in_halves import Request
    from .transport import Transport

_POLL_S: Final = 1.0
_AGAIN_S: Final = (60.0, 300.0, 900.0, 3600.0)  # until the next attempt; after the last one no more on that day
_NO_FILE_S: Final = 60.0  # between checks whether the day has a file
_STATIC: Final = Question(
    messages.GET_STATIC_INFO, messages.STATIC_MAX, messages.get_static_info, messages.read_static_info
)
_SNAPSHOT: Final = Question(
    messages.GET_SECURITY_SNAPSHOT,
    messages.SNAPSHOT_MAX,
    messages.get_security_snapshot,
    messages.read_instruments,
)


def merged(first: Instrument, second: Instrument) -> Instrument:
    """Two answers about one symbol as one row; the first one is preferred."""
    return Instrument._make(one if one is not None else other for one, other in zip(first, second, strict=True))


class InstrumentAsker:
    """Asks once a day, also if connections end meanwhile.

    `keep` is called with the day number and the rows to store. `opend` has the market's state and OpenD's clock.
    """

    def __init__(
        self,
        data_root: Path,
        options: FeedOptions,
        opend: OpenDState,
        storing: StoringState,
        keep: Callable[[int, list[Instrument]], None],
    ) -> None:
        self._data_root = data_root
        self._symbols = options.symbols
        self._waits = options.waits
        self._opend = opend
        self._storing = storing
        self._keep = keep
        self._turn: tuple[int, bool] | None = None  # the day that is asked about, and whether its market has traded
        self._attempts = 0  # of this turn
        self._due_s: float | None = None  # when to ask next, monotonic; None when this turn is over

    async def run(self, transport: Transport, subscribed: asyncio.Event) -> None:
        """Makes the attempts that are due, on one connection; never returns. A failure here affects nothing else."""
        await subscribed.wait()
        await asyncio.sleep(self._waits.instruments_after_s)
        while True:
            if (day := self._due()) is not None:
                try:
                    await self._attempt(transport, day)
                except Exception as error:  # noqa: BLE001 - the task's boundary: it must not stop collection
                    self._due_s = None
                    log.bug("instruments_failed", error)
            await asyncio.sleep(_POLL_S)

    def _due(self) -> int | None:
        """The day to ask about now, if any."""
        opend = self._opend
        if opend.opend_time_ms is None or opend.market_state is None or self._storing.writer_trouble:
            return None
        day, trades = market.day_number(opend.opend_time_ms), market.is_trading(opend.market_state)
        if self._turn is None or day != self._turn[0] or (trades and not self._turn[1]):
            self._turn, self._attempts, self._due_s = (day, trades), 0, time.monotonic()
        return day if self._due_s is not None and time.monotonic() >= self._due_s else None

    async def _attempt(self, transport: Transport, day: int) -> None:
        """Asks about every symbol and stores OpenD's answers. If one is missing, another attempt follows later."""
        if not await in_thread(path_of(self._data_root, market.day_name(day)).exists):
            self._due_s = time.monotonic() + _NO_FILE_S  # a day without trading gets no file because of this
            return
        symbols = [symbol for symbol in self._symbols if symbol not in self._opend.refused]

        async def request(proto_id: int, message: Message) -> bytes:
            return await transport.request(proto_id, message, self._waits.answer_s)

        # Counted before the question: an OpenD that ends the connection because of it is not asked again at once.
        again_s = _AGAIN_S[self._attempts] if self._attempts < len(_AGAIN_S) else None
        self._attempts += 1
        self._due_s = None if again_s is None else time.monotonic() + again_s
        known, failures = await _ask(request, symbols, self._waits.instruments_spacing_s)
        if transport.closed.done():
            return
        self._due_s = None if again_s is None else time.monotonic() + again_s
        if known:
            self._keep(day, list(known.values()))
        whole = sum(row.name is not None and row.suspended is not None for row in known.values())
        if whole == len(symbols):
            self._due_s = None
            log.info("instruments_asked", symbols=whole, suspended=sum(bool(row.suspended) for row in known.values()))
        else:
            reason = failures[0] if failures else "OpenD gave no answer about them"
            missing = len(symbols) - whole
            log.warning("instruments_failed", attempt=self._attempts, symbols=whole, missing=missing, reason=reason)


async def _ask(request: Request, symbols: Sequence[str], spacing_s: float) -> tuple[dict[str, Instrument], list[str]]:
    """What OpenD says of these symbols, by symbol, and why a request failed."""
    found: list[Instrument] = []
    failures = []
    for question in (_STATIC, _SNAPSHOT):
        try:
            await ask_about(request, symbols, question, found, spacing_s)
        except CollectorError as error:
            failures.append(str(error))
        await asyncio.sleep(spacing_s)
    asked, known, now_ms = set(symbols), dict[str, Instrument](), clock.now_ms()
    for row in found:
        if row.symbol in asked:
            known[row.symbol] = merged(known.get(row.symbol, row), row)._replace(updated_ms=now_ms)
    return known, failures
