"""What we want of one connection to OpenD: every symbol subscribed, and its state and calendar known.

Enters: a connection that OpenD has accepted. Leaves: requests, Stats. Three tasks that do not wait for each other: a
question that OpenD does not answer keeps nobody from subscribing, and none of them ends the connection.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from hk_tick_collector import clock, log, market
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.refusals import QUOTA, cause_of, groups

from . import questions
from .subscribe import Outcome, Pace, subscribe_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.collect.options import Waits
    from hk_tick_collector.model import Stats

    from .backfill import Backfiller
    from .questions import Questions
    from .transport import Transport

STATE_STALE_S: Final = 60.0  # what OpenD said of itself so long ago is no longer known
_ROUND_TRIP_MOST_S: Final = 2.0  # a slower answer does not tell how far two clocks are apart
_CALENDAR_DAYS: Final = 14
_SUBSCRIBING_TOLD_S: Final = 15.0  # how often a long subscribing is told in the log
_REASONS_TOLD: Final = 5  # for which symbols were refused, a line each


@dataclass(slots=True)
class Calendar:
    """What OpenD said of the coming days: date → whole, morning, afternoon; empty until it was asked."""

    days: dict[str, str] = field(default_factory=dict)
    asked_on: int | None = None


class Session:
    """Works for one connection. `subscribed` is set once OpenD has answered for the symbols, or pushes their ticks."""

    def __init__(
        self,
        transport: Transport,
        symbols: Sequence[str],
        *,
        backfiller: Backfiller,
        stats: Stats,
        questions: Questions,
        subscribed: asyncio.Event,
        calendar: Calendar,
        on_serving: Callable[[], None],
        waits: Waits,
    ) -> None:
        self._transport = transport
        self._symbols = symbols
        self._backfiller = backfiller
        self._stats = stats
        self._questions = questions
        self._subscribed = subscribed
        self._calendar = calendar
        self._on_serving = on_serving
        self._waits = waits
        self._received_before = stats.received
        self._state_asked = asyncio.Event()  # the first question has an answer, or failed
        self._may_subscribe = asyncio.Event()  # cleared while OpenD says that it cannot serve
        self._tried = asyncio.Event()  # every symbol was asked for once
        self._told = False  # OpenD has told its state on this connection
        self._recalled = False
        self._pace = Pace()
        self._pending: set[str] = set()  # symbols that are being asked for, so far as nothing is known of them
        self._refused_told: set[str] = set()  # in the log, while symbols are being asked for
        self._subscribing = log.Repeated(_SUBSCRIBING_TOLD_S)
        self._unanswered: dict[str, str] = {}  # symbols that were asked for without an answer → the reason

    async def run(self) -> NoReturn:
        """Works until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_state())
            tasks.create_task(self._keep_subscribed())
            tasks.create_task(self._keep_calendar())
        raise AssertionError("a session does not end by itself")

    # ---- OpenD's state ----

    async def _watch_state(self) -> None:
        while True:
            told = await self._ask_state()
            if not told or self._can_serve():
                self._may_subscribe.set()
            else:
                self._may_subscribe.clear()
            self._state_asked.set()
            if told and not self._recalled and self._tried.is_set():  # OpenD's date came after the subscriptions
                await self._recall()
                self._backfiller.look_at(self._symbols)
            await asyncio.sleep(self._waits.state_every_s)

    async def _ask_state(self) -> bool:
        """Asks OpenD how it is: logged in or not, the market, its clock. False when it did not answer."""
        stats, before_ms = self._stats, time.time() * 1000
        request = messages.GET_GLOBAL_STATE, messages.get_global_state()
        state = await self._questions.ask(
            self._transport, questions.STATE, request, messages.read_global_state, self._waits.answer_s
        )
        if state is None:
            if self._questions.silent_s(questions.STATE) > STATE_STALE_S:
                self._forget_state()
            return False
        after_ms = time.time() * 1000
        if state.market_hk != stats.market_state:
            log.info("market_state", state=market.state_name(state.market_hk))
        self._told = stats.state_told = True
        stats.market_state = state.market_hk
        stats.quote_logged_in = state.quote_logged_in
        stats.program, stats.program_detail = state.program, state.program_detail
        stats.opend_time_ms = stats.drift_s = None
        if state.server_time_s:
            stats.opend_time_ms = state.server_time_s * 1000
            if 0 <= after_ms - before_ms <= _ROUND_TRIP_MOST_S * 1000:
                # OpenD tells whole seconds: the middle of that second is the best guess, half a second the error.
                stats.drift_s = ((before_ms + after_ms) / 2 - stats.opend_time_ms - 500) / 1000
        if self._can_serve():
            self._on_serving()
        return True

    def _forget_state(self) -> None:
        """OpenD told it too long ago. The market's last state stays, for those who ask more often while it trades."""
        stats = self._stats
        stats.state_told = stats.quote_logged_in = False
        stats.program = stats.program_detail = ""
        stats.opend_time_ms = stats.drift_s = None

    def _can_serve(self) -> bool:
        return self._stats.quote_logged_in and self._stats.program == "ready"

    async def _recall(self) -> None:
        self._recalled = True
        await self._backfiller.recall(self._symbols)

    # ---- subscriptions ----

    async def _keep_subscribed(self) -> None:
        try:
            async with asyncio.timeout(self._waits.first_state_s):
                await self._state_asked.wait()
        except TimeoutError:
            pass  # ticks matter more than words
        else:
            await self._may_subscribe.wait()
        if self._told:
            await self._recall()
        missing, wait_s = list(self._symbols), self._waits.subscribe_again_s
        while True:
            if missing:
                await self._subscribe(missing)
            self._tried.set()
            if self._unanswered or not self._stats.subscribed:
                # A refusal of all may be a limit of how many requests there may be: not so soon.
                # A quota comes back within a minute, a right when somebody gives it.
                quota = any(cause_of(words) == QUOTA for words in set(self._stats.refused.values()))
                least_s = 0.0 if self._unanswered else self._waits.compare_every_s / (4 if quota else 2)
                await asyncio.sleep(min(max(wait_s, least_s), self._waits.compare_every_s))
                wait_s *= 2
            else:
                wait_s = self._waits.subscribe_again_s
                await self._wait_to_compare()
            missing = await self._missing()

    async def _wait_to_compare(self) -> None:
        """OpenD answers for subscribed symbols alone: where it refuses, a subscription may be lost already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._waits.compare_every_s):
                await asyncio.sleep(self._waits.compare_least_s)
                await self._backfiller.refused.wait()
        self._backfiller.refused.clear()

    async def _missing(self) -> list[str]:
        """What is wanted and, by OpenD's own word where it gives one, not subscribed."""
        info = await self._ask_sub_info(self._waits.answer_s)
        if info is None:
            return [symbol for symbol in self._symbols if symbol in self._unanswered or symbol in self._stats.refused]
        missing = [symbol for symbol in self._symbols if symbol not in info.symbols]
        lost = [symbol for symbol in missing if symbol not in self._stats.refused and symbol not in self._unanswered]
        if lost:
            log.error("subscriptions_lost", count=len(lost), symbols=",".join(lost[:20]))
        proved = [symbol for symbol in self._unanswered if symbol in info.symbols]
        if proved:  # the request was heard, only its answer is missing
            for symbol in proved:
                del self._unanswered[symbol]
            self._note_subscribed(proved)
            self._tell(info)
        return missing

    async def _subscribe(self, symbols: Sequence[str]) -> None:
        stats = self._stats
        self._pending = set(symbols)
        self._refused_told.clear()
        outcome = await subscribe_all(
            lambda proto_id, message: self._transport.request(proto_id, message, self._waits.answer_s),
            symbols,
            self._pace,
            self._note_so_far,
        )
        self._pending.clear()
        if self._transport.closed.done():
            return
        for symbol in symbols:
            stats.refused.pop(symbol, None)
            self._unanswered.pop(symbol, None)
        stats.refused.update(outcome.refused)
        self._unanswered.update(outcome.unanswered)
        for reason in dict.fromkeys(outcome.unanswered.values()):
            self._questions.failed(questions.SUBSCRIBE, reason)
        if not self._unanswered:
            self._questions.answered(questions.SUBSCRIBE)
        answered = [symbol for symbol in symbols if symbol not in self._unanswered]
        self._note_subscribed(answered)
        if answered:
            self._tell(await self._ask_sub_info(min(self._waits.answer_s, self._waits.first_state_s)))
        self._tell_refused(outcome.refused)

    def _note_so_far(self, outcome: Outcome) -> None:
        """Requests are paced now: symbols that are subscribed or refused by now do not wait for the others."""
        fresh = [symbol for symbol in outcome.accepted if symbol in self._pending]
        self._pending.difference_update(fresh)
        for symbol in fresh:
            self._stats.refused.pop(symbol, None)
            self._unanswered.pop(symbol, None)
        self._stats.refused.update(outcome.refused)
        self._note_subscribed(fresh)
        self._tell_refused(outcome.refused)
        if (repeats := self._subscribing.allow(time.monotonic())) is not None:
            subscribed, refused = self._stats.subscribed, len(self._stats.refused)
            left = self._stats.symbols - subscribed - refused
            log.info("subscribing", symbols=subscribed, refused=refused, left=left, repeats=repeats)

    def _tell_refused(self, refused: dict[str, str]) -> None:
        fresh = {symbol: words for symbol, words in refused.items() if symbol not in self._refused_told}
        self._refused_told.update(fresh)
        _tell_refused(fresh)

    def _note_subscribed(self, symbols: Sequence[str]) -> None:
        """OpenD answers for these symbols now: what they may have missed is asked for."""
        stats = self._stats
        pending = self._pending - stats.refused.keys() - self._unanswered.keys()
        stats.subscribed = stats.symbols - len(stats.refused) - len(self._unanswered) - len(pending)
        if not symbols and stats.received > self._received_before:
            symbols = tuple(self._unanswered)  # OpenD pushes without having answered
        if symbols:
            self._backfiller.look_at(symbols)
            self._subscribed.set()

    def _tell(self, info: messages.SubInfo | None) -> None:
        stats = self._stats
        log.info(
            "subscribed",
            symbols=stats.subscribed,
            refused=len(stats.refused),
            quota_used="unknown" if info is None else info.used_quota,
            quota_remaining="unknown" if info is None else info.remaining_quota,
        )

    async def _ask_sub_info(self, limit_s: float) -> messages.SubInfo | None:
        request = messages.GET_SUB_INFO, messages.get_sub_info()
        info = await self._questions.ask(self._transport, questions.SUB_INFO, request, messages.read_sub_info, limit_s)
        self._stats.quota_used = info.used_quota if info else None
        self._stats.quota_remaining = info.remaining_quota if info else None
        return info

    # ---- the calendar ----

    async def _keep_calendar(self) -> None:
        await self._tried.wait()
        while True:
            if self._today() != self._calendar.asked_on:  # a connection may outlive what it was told at first
                await self._ask_calendar()
            await asyncio.sleep(self._waits.compare_every_s)

    async def _ask_calendar(self) -> None:
        today = self._today()
        first, last = (market.day_date(day).isoformat() for day in (today, today + _CALENDAR_DAYS))
        request = messages.REQUEST_TRADE_DATE, messages.request_trade_date(first, last)

        def read(body: bytes) -> list[messages.TradingDay]:
            told = messages.read_trade_dates(body)
            days = [day for day in told if first <= day.date <= last]
            if told and not days:
                raise OpenDError(f"it names {told[0].date!r}, and no day from {first} to {last}")
            return days

        days = await self._questions.ask(self._transport, questions.CALENDAR, request, read, self._waits.answer_s)
        if days is not None:
            self._calendar.days = {day.date.replace("-", ""): day.kind for day in days}
            self._calendar.asked_on = today

    def _today(self) -> int:
        return market.day_number(self._stats.opend_time_ms or clock.now_ms())


def _tell_refused(refused: dict[str, str]) -> None:
    """A line for each reason, the one of most symbols first; where OpenD has ever other words, for the first few."""
    told = groups(refused)
    for words, cause, names in told[:_REASONS_TOLD]:
        shown = ",".join(names[:20]) + (f",… ({len(names)} in all)" if len(names) > 20 else "")
        hint = remedies.for_refusal(cause).advice
        log.error("symbols_refused", cause=cause, symbols=shown, count=len(names), reason=words, hint=hint)
    if told[_REASONS_TOLD:]:
        rest = sum(len(names) for _, _, names in told[_REASONS_TOLD:])
        log.error("symbols_refused", cause="several", symbols="others", count=rest, reason="many different ones")
