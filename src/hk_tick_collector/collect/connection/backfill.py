"""Backfill on a connection: sends the requests that `backfill_plan` and `push_watch` plan, and subscribes again.

Enters: planned requests. Leaves: GetTicker requests, whose ticks go to the intake like all ticks; log lines. Only a few
requests are under way at a time, so that answers of 1,000 ticks do not delay the pushes for long.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.background import in_thread
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import CollectorError, OpenDError
from hk_tick_collector.gaps.push_watch import Known
from hk_tick_collector.gaps.symbol_day import CAUSE_PUSH_LOST
from hk_tick_collector.opend import messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from hk_tick_collector.collect.buffer.intake import Intake
    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.gaps.backfill_plan import BackfillPlan, TickRequest
    from hk_tick_collector.gaps.gap import OpenGap
    from hk_tick_collector.gaps.push_watch import CheckRequest
    from hk_tick_collector.gaps.tracker import GapTracker
    from hk_tick_collector.stats import Stats

    from .transport import Transport

_IN_FLIGHT: Final = 4
_POLL_S: Final = 0.05
_IDLE_S: Final = 0.25
_RECALL_S: Final = 5.0  # for reading the end of a few hundred day files
_SETTLE_S: Final = 5.0
_KEPT_S: Final = 60.0  # how long a finished day of which nothing arrives stays in memory
_UPKEEP_EVERY_S: Final = 1.0
_WATCHING: Final = 2  # requests under way for silent symbols at most; the others are for gaps
_NOTHING_SEQ: Final = -(1 << 63)  # below every sequence
_NAMED: Final = 20  # most symbols in one log line
_FAILURES_TOLD: Final = 30  # log lines about failed requests per minute


async def _at_once(_: list[int]) -> None:
    """For a `load` that returns each day at once: there is nothing to wait for."""


class _Round:
    """The results of the requests of one second, for one log line: after a reconnect there are hundreds of requests."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._clear()

    def _clear(self) -> None:
        self._requests = self._ticks = self._found = 0
        self._symbols: set[str] = set()
        self._lost: list[tuple[str, OpenGap]] = []

    def add(self, symbol: str, ticks: int, found: int, lost: list[OpenGap]) -> None:
        """Adds one answer: `found` of its `ticks` ticks were missing before, and the gaps `lost` are lost."""
        self._requests += 1
        self._ticks += ticks
        self._found += found
        if found:
            self._symbols.add(symbol)
        self._lost += [(symbol, gap) for gap in lost]

    def log_due(self, now_s: float) -> None:
        """Logs the filled and lost gaps, once a second."""
        if now_s < self._next_s or not (self._found or self._lost):
            return
        log.info("backfill", requests=self._requests, ticks=self._ticks, found=self._found, symbols=len(self._symbols))
        if self._lost:
            worst, gap = max(self._lost, key=lambda item: item[1].missing or 0)
            unknown = sum(gap.missing is None for _, gap in self._lost)
            log.error(
                "gaps_beyond_reach",
                gaps=len(self._lost),
                missing=sum(gap.missing or 0 for _, gap in self._lost),
                **({"unknown": unknown} if unknown else {}),
                causes=",".join(sorted({gap.cause for _, gap in self._lost})),
                worst=f"{worst}:{gap.missing or 'unknown'}",
            )
        self._clear()
        self._next_s = now_s + 1.0


class Backfiller:
    """Fills the gaps of every symbol. `run` works for one connection; the other methods may be called at any time.

    `unfinished` returns the days before a given day that can still be written and whose close was not observed.
    """

    def __init__(
        self,
        plan: BackfillPlan,
        tracker: GapTracker,
        intake: Intake,
        opend: OpenDState,
        stats: Stats,
        unfinished: Callable[[int], list[int]] = lambda _: [],
        loaded: Callable[[list[int]], Awaitable[None]] = _at_once,
    ) -> None:
        self.refused = asyncio.Event()  # a request failed for a symbol that should be subscribed
        self._plan = plan
        self._tracker = tracker
        self._intake = intake
        self._opend = opend
        self._stats = stats
        self._pushes = intake.pushes
        self._subscribing: asyncio.Task[object] | None = None
        self._symbols: tuple[str, ...] = ()
        self._next_upkeep_s = 0.0
        self._settle_at_s: float | None = None
        self._round = _Round()
        self._failures = log.Rationed(_FAILURES_TOLD, 60.0)
        self._unfinished = unfinished
        self._loaded = loaded
        self._recalled: set[int] = set()

    async def recall(self, symbols: Iterable[str]) -> None:
        """Reopens the days before OpenD's date whose close was not observed. Call it before subscribing these symbols.

        No later tick shows how many ticks are missing at the end of such a day. This host's clock is not used.
        """
        today = market.day_number(self._opend.opend_time_ms or 0)
        earlier_days: list[int] = []
        try:
            async with asyncio.timeout(_RECALL_S):
                found = await in_thread(self._unfinished, today)
                earlier_days = [day for day in found if day not in self._recalled]  # each day only once
                for number in (*earlier_days, today):
                    self._tracker.resume(number)
                await self._loaded([*earlier_days, today])
        except TimeoutError:  # the network must not wait for the disk; the next connection tries again
            log.error("day_not_resumed", day="all", detail=f"the disk did not answer within {_RECALL_S:.0f} s")
        except OSError as error:  # no thread could be started
            log.error("day_not_resumed", day="all", detail=error)
        for earlier in earlier_days:
            if not self._tracker.is_loading(earlier):
                self._recalled.add(earlier)
                self._tracker.resume_unfinished(earlier, symbols)
        self._intake.flush_gaps()

    def request_checks(self, symbols: Iterable[str]) -> None:
        """Plans a check of each of these symbols, because ticks of them may have been missed."""
        symbols = tuple(symbols)
        self._tracker.resume_receiving()
        self._opend.all_checked = False
        self._plan.request_checks(symbol for symbol in symbols if symbol not in self._opend.refused)
        self._symbols = tuple(dict.fromkeys((*self._symbols, *symbols)))
        self._pushes.begin(symbols, time.monotonic())
        self._pushes.forget(self._opend.refused)
        self._settle_at_s = time.monotonic() + _SETTLE_S

    def interrupt(self, cause: str) -> None:
        """Ticks may be missed from now on, for this cause."""
        self._settle_at_s = None
        self._opend.all_checked = False
        self._tracker.interrupt(cause)
        self._intake.flush_gaps()

    async def run(self, transport: Transport, subscribed: asyncio.Event) -> CollectorError:
        """Sends requests from when `subscribed` is set until the connection ends. Returns the connection's error."""
        self._plan.reset()
        self._stats.backfill_failing_ms.clear()
        self._stats.backfill_failed_ms.clear()
        flights: set[asyncio.Task[object]] = set()
        try:
            await subscribed.wait()  # OpenD answers only for subscribed symbols
            self._pushes.begin(self._symbols, time.monotonic())
            self._pushes.forget(self._opend.refused)
            while True:
                now_s = time.monotonic()
                self._pushes.measure(now_s)
                flights |= self._watch_pushes(transport, now_s, min(_WATCHING, _IN_FLIGHT - len(flights)))
                flights |= {
                    asyncio.create_task(self._backfill(transport, ask))
                    for ask in self._plan.due(now_s, _IN_FLIGHT - len(flights))
                }
                self._plan.measure(now_s)
                self._settle(now_s, busy=bool(flights))
                self._forget_finished_days()
                self._round.log_due(now_s)
                if flights:
                    done, _ = await asyncio.wait(flights, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                    flights -= done
                else:
                    await asyncio.sleep(_POLL_S if self._tracker.known.any_open() else _IDLE_S)
        except OpenDError as error:
            return error
        finally:
            for task in flights:
                task.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    async def _backfill(self, transport: Transport, ask: TickRequest) -> None:
        """Sends one request of the backfill plan."""
        self._pushes.note_answer(ask.symbol, await self._request(transport, ask) or [])

    async def _request(self, transport: Transport, ask: TickRequest) -> list[int] | None:
        """Sends one request and waits until the intake has the ticks. Returns their sequences; None if it failed."""
        before, dropped = self._tracker.known.missing(ask.symbol), self._intake.dropped
        try:
            ticks = await transport.request_ticks(ask.symbol, ask.rows)
        except CollectorError as error:
            if ask.symbol not in self._symbols or ask.symbol in self._opend.refused:
                self._round.add(ask.symbol, 0, 0, self._plan.refused(ask))
                return None
            self._plan.failed(ask, time.monotonic())
            self.refused.set()
            self._note_failure(ask.symbol, str(error))
            held_back = self._failures.allow(time.monotonic())
            if held_back is not None:
                log.warning("backfill_failed", symbol=ask.symbol, rows=ask.rows, reason=error, repeats=held_back)
            return None
        self._stats.backfill_failing_ms.pop(ask.symbol, None)
        self._stats.backfill_failed_ms.pop(ask.symbol, None)
        if self._intake.dropped > dropped:
            self._plan.failed(ask, time.monotonic())  # ticks were dropped for lack of space: the answer is incomplete
            return None
        lost = self._plan.answered(ask, ticks, time.monotonic())
        self._intake.flush_gaps()
        after = self._tracker.known.missing(ask.symbol)
        lost_ticks = sum(gap.missing or 0 for gap in lost)
        self._round.add(ask.symbol, len(ticks), max(0, before - after - lost_ticks), lost)
        log.debug("pulled", symbol=ask.symbol, asked=ask.rows, got=len(ticks), missing_before=before, missing=after)
        return [seq for seq, _ in ticks]

    def _note_failure(self, symbol: str, reason: str) -> None:
        stats, moment_ms = self._stats, now_ms()
        stats.backfill_failing_ms.setdefault(symbol, moment_ms)
        stats.backfill_failed_ms[symbol] = moment_ms
        stats.backfill_reason = reason

    def _forget_finished_days(self) -> None:
        moment_ms = self._opend.opend_time_ms
        today = market.finished_before(moment_ms, now_ms()) if moment_ms is not None else None
        if today is not None:
            now_s = time.monotonic()
            # Not at once: OpenD's answers for quiet symbols have ticks of earlier days, and each would read the file.
            self._tracker.forget_days_before(today, now_s, min(self._intake.committed_s(), now_s - _KEPT_S))

    def _settle(self, now_s: float, *, busy: bool) -> None:
        if self._settle_at_s is not None and now_s >= self._settle_at_s and not busy and not self._plan.checking:
            self._settle_at_s = None
            self._tracker.end_interruption()
            self._opend.all_checked = True

    def _watch_pushes(self, transport: Transport, now_s: float, most: int) -> set[asyncio.Task[object]]:
        """Starts the requests that are due for silent symbols, and one that subscribes a batch again."""
        self._log_stopped(now_s)
        state = self._opend.market_state  # None is unknown: the market may be trading
        trading = (state is None or market.is_trading(state)) and not self._plan.checking
        tasks: set[asyncio.Task[object]] = {
            asyncio.create_task(self._inspect(transport, check))
            for check in self._pushes.due(now_s, most, self._may_ask, trading=trading)
        }
        if self._subscribing is None or self._subscribing.done():
            batch = self._pushes.to_subscribe(now_s)
            if batch:
                self._subscribing = asyncio.create_task(self._subscribe_again(transport, batch))
                tasks.add(self._subscribing)
        return tasks

    def _log_stopped(self, now_s: float) -> None:
        """Logs one line for all symbols found to be stopped, and keeps the time at which each was last stopped."""
        if now_s >= self._next_upkeep_s:
            self._next_upkeep_s = now_s + _UPKEEP_EVERY_S
            self._pushes.forget(self._opend.refused)
            tracks = self._tracker.known.tracks()
            self._pushes.unordered = frozenset(track.symbol for track in tracks if not track.patterned)
            self._stats.pushes_stopped.update(dict.fromkeys(self._pushes.still_stopped(), now_ms()))
        stopped = self._pushes.stopped(now_s)
        if stopped:
            self._stats.pushes_stopped.update(dict.fromkeys(stopped, now_ms()))
            more = {"symbols": ",".join(stopped[:_NAMED])} if len(stopped) > 1 else {}
            log.error("pushes_stopped", symbol=stopped[0], count=len(stopped), **more)

    def _may_ask(self, symbol: str) -> bool:
        return symbol not in self._opend.refused and not self._plan.is_asked(symbol)

    async def _inspect(self, transport: Transport, check: CheckRequest) -> None:
        """Compares a silent symbol with OpenD's latest ticks."""
        symbol, rows = check
        track = self._tracker.known.track(symbol)
        known_ms = track.last_ts_ms if track else 0
        known = Known(track.patterned, track.last_seq) if track else Known(ordered=True, last_seq=_NOTHING_SEQ)
        ask = self._plan.check_now(symbol)
        seqs = await self._request(transport, ask if rows is None else ask._replace(rows=rows))
        if seqs is None:
            return
        if self._tracker.known.track(symbol) is None:
            seqs = []  # all its ticks are of a finished day
        comparison = self._pushes.answered(symbol, seqs, known, time.monotonic())
        if comparison.new and not comparison.reaches and track is not None:
            self._tracker.doubt(symbol, known_ms, CAUSE_PUSH_LOST)

    async def _subscribe_again(self, transport: Transport, batch: list[str]) -> None:
        """Sends one Sub request. Symbols in it that were not found to be stopped are then checked for missed ticks."""
        try:
            messages.read_outcome(await transport.request(messages.SUB, messages.subscribe(batch)))
        except CollectorError as error:
            self._pushes.refused(batch, time.monotonic())
            log.error("resubscribe_failed", symbol=batch[0], count=len(batch), reason=error)
            return
        self._pushes.subscribed()
        stopped = set(self._pushes.still_stopped())
        self._plan.request_checks(symbol for symbol in batch if symbol not in stopped)
