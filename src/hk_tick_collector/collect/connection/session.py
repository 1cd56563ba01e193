"""The session on one connection to OpenD: subscribes every symbol, and asks for OpenD's state and calendar.

Enters: a connection that OpenD has accepted. Leaves: requests, Stats. Three tasks run independently, so a request
without an answer does not prevent subscribing. None of the tasks ends the connection.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from hk_tick_collector import clock, log, market
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend.refusals import QUOTA, cause_of

from . import questions
from .subscribe import Outcome, Pace, subscribe_all
from .subscribing_log import SubscribingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.options import FeedOptions
    from hk_tick_collector.stats import Stats

    from .backfill import Backfiller
    from .questions import Questions
    from .transport import Transport

STATE_STALE_S: Final = 60.0  # OpenD's state counts as unknown when its last answer is older than this
_ROUND_TRIP_MOST_S: Final = 2.0  # a slower answer is not used to measure the difference of the clocks


class Session:
    """The tasks of one connection. `on_ready` is called whenever OpenD reports that it can serve.

    `opend.serving` is set once OpenD has answered a subscribe request or pushes ticks.
    """

    def __init__(
        self,
        transport: Transport,
        options: FeedOptions,
        backfiller: Backfiller,
        questions: Questions,
        opend: OpenDState,
        stats: Stats,
        on_ready: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._symbols = options.symbols
        self._waits = options.waits
        self._backfiller = backfiller
        self._stats = stats
        self._opend = opend
        self._questions = questions
        self._on_ready = on_ready
        self._received_before = opend.received
        self._state_asked = asyncio.Event()  # the first state request was answered, or failed
        self._may_subscribe = asyncio.Event()  # cleared while OpenD reports that it cannot serve
        self._tried = asyncio.Event()  # every symbol was requested once
        self._has_state = False  # OpenD has reported its state on this connection
        self._recalled = False
        self._log = SubscribingLog(len(options.symbols), opend)
        self._pace = Pace()
        self._pending: set[str] = set()  # symbols being requested, without a result yet
        self._unanswered: dict[str, str] = {}  # symbols requested without an answer → the reason

    async def run(self) -> NoReturn:
        """Runs until it is cancelled."""
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
            if told and not self._recalled and self._tried.is_set():  # OpenD's date is known only now
                await self._recall()
                self._backfiller.request_checks(self._symbols)
            await asyncio.sleep(self._waits.state_every_s)

    async def _ask_state(self) -> bool:
        """Asks OpenD for its state: login, market state, clock. Returns False when it did not answer."""
        opend, before_ms = self._opend, time.time() * 1000
        request = messages.GET_GLOBAL_STATE, messages.get_global_state()
        state = await self._questions.ask(
            self._transport, questions.STATE, request, messages.read_global_state, self._waits.answer_s
        )
        if state is None:
            if self._questions.silent_s(questions.STATE) > STATE_STALE_S:
                self._forget_state()
            return False
        after_ms = time.time() * 1000
        if state.market_hk != opend.market_state:
            log.info("market_state", state=market.state_name(state.market_hk))
        self._has_state = opend.state_known = True
        opend.market_state = state.market_hk
        opend.quote_logged_in = state.quote_logged_in
        opend.program, opend.program_detail = state.program, state.program_detail
        opend.opend_time_ms = opend.drift_s = None
        if state.server_time_s:
            opend.opend_time_ms = state.server_time_s * 1000
            if 0 <= after_ms - before_ms <= _ROUND_TRIP_MOST_S * 1000:
                opend.drift_s = state.drift_s(before_ms, after_ms)
        opend.was_unready |= not self._can_serve()
        if self._can_serve():
            self._on_ready()
        return True

    def _forget_state(self) -> None:
        """OpenD's state is too old. The last market state is kept: silent symbols are only checked while it trades."""
        opend = self._opend
        opend.state_known = opend.quote_logged_in = False
        opend.program = opend.program_detail = ""
        opend.opend_time_ms = opend.drift_s = None

    def _can_serve(self) -> bool:
        return self._opend.quote_logged_in and self._opend.program == "ready"

    async def _recall(self) -> None:
        self._recalled = True
        await self._backfiller.recall(self._symbols)

    # ---- subscriptions ----

    async def _keep_subscribed(self) -> None:
        try:
            async with asyncio.timeout(self._waits.first_state_s):
                await self._state_asked.wait()
        except TimeoutError:
            pass  # subscribe without knowing OpenD's state: ticks are more important
        else:
            await self._may_subscribe.wait()
        if self._has_state:
            await self._recall()
        missing, wait_s = list(self._symbols), self._waits.subscribe_again_s
        while True:
            if missing:
                await self._subscribe(missing)
            self._tried.set()
            if self._unanswered or not self._opend.subscribed:
                # If all symbols are refused, the reason may be a limit of requests, so wait longer. A quota becomes
                # free within a minute, a quote right only when the account gets it.
                quota = any(cause_of(words) == QUOTA for words in set(self._opend.refused.values()))
                least_s = 0.0 if self._unanswered else self._waits.compare_every_s / (4 if quota else 2)
                await asyncio.sleep(min(max(wait_s, least_s), self._waits.compare_every_s))
                wait_s *= 2
            else:
                wait_s = self._waits.subscribe_again_s
                await self._wait_to_compare()
            missing = await self._missing()

    async def _wait_to_compare(self) -> None:
        """Waits until the next comparison. A refused backfill, the sign of a lost subscription, shortens the wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._waits.compare_every_s):
                await asyncio.sleep(self._waits.compare_least_s)
                await self._backfiller.refused.wait()
        self._backfiller.refused.clear()

    async def _missing(self) -> list[str]:
        """The wanted symbols that are not subscribed, by OpenD's list if it gives one."""
        info = await self._ask_sub_info(self._waits.answer_s)
        if info is None:
            return [symbol for symbol in self._symbols if symbol in self._unanswered or symbol in self._opend.refused]
        missing = [symbol for symbol in self._symbols if symbol not in info.symbols]
        lost = [symbol for symbol in missing if symbol not in self._opend.refused and symbol not in self._unanswered]
        if lost:
            log.error("subscriptions_lost", count=len(lost), symbols=",".join(lost[:20]))
        proved = [symbol for symbol in self._unanswered if symbol in info.symbols]
        if proved:  # OpenD received the request, only its answer is missing
            for symbol in proved:
                del self._unanswered[symbol]
            self._note_subscribed(proved)
            self._log_subscribed(info)
        return missing

    async def _subscribe(self, symbols: Sequence[str]) -> None:
        opend = self._opend
        self._pending = set(symbols)
        self._log.begin()
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
            opend.refused.pop(symbol, None)
            self._unanswered.pop(symbol, None)
        opend.refused.update(outcome.refused)
        self._unanswered.update(outcome.unanswered)
        for reason in dict.fromkeys(outcome.unanswered.values()):
            self._questions.failed(questions.SUBSCRIBE, reason)
        if not self._unanswered:
            self._questions.answered(questions.SUBSCRIBE)
        answered = [symbol for symbol in symbols if symbol not in self._unanswered]
        self._note_subscribed(answered)
        if answered:
            self._log_subscribed(await self._ask_sub_info(min(self._waits.answer_s, self._waits.first_state_s)))
        self._log.refused(outcome.refused)

    def _note_so_far(self, outcome: Outcome) -> None:
        """Handles the results so far, before further requests are delayed by the pace."""
        fresh = [symbol for symbol in outcome.accepted if symbol in self._pending]
        self._pending.difference_update(fresh)
        for symbol in fresh:
            self._opend.refused.pop(symbol, None)
            self._unanswered.pop(symbol, None)
        self._opend.refused.update(outcome.refused)
        self._note_subscribed(fresh)
        self._log.refused(outcome.refused)
        self._log.progress()

    def _note_subscribed(self, symbols: Sequence[str]) -> None:
        """These symbols are subscribed now: ticks that were missed before are asked for."""
        opend = self._opend
        pending = self._pending - opend.refused.keys() - self._unanswered.keys()
        opend.subscribed = len(self._symbols) - len(opend.refused) - len(self._unanswered) - len(pending)
        if not symbols and opend.received > self._received_before:
            symbols = tuple(self._unanswered)  # OpenD pushes ticks although it did not answer
        if symbols:
            self._backfiller.request_checks(symbols)
            opend.serving.set()

    def _log_subscribed(self, info: messages.SubInfo | None) -> None:
        opend = self._opend
        log.info(
            "subscribed",
            symbols=opend.subscribed,
            refused=len(opend.refused),
            quota_used="unknown" if info is None else info.used_quota,
            quota_remaining="unknown" if info is None else info.remaining_quota,
        )

    async def _ask_sub_info(self, limit_s: float) -> messages.SubInfo | None:
        request = messages.GET_SUB_INFO, messages.get_sub_info()
        info = await self._questions.ask(self._transport, questions.SUB_INFO, request, messages.read_sub_info, limit_s)
        if info is not None:  # without an answer the last one is kept, also when the connection ends
            self._stats.quota_used, self._stats.quota_remaining = info.used_quota, info.remaining_quota
        return info

    # ---- the calendar ----

    async def _keep_calendar(self) -> None:
        await self._tried.wait()
        while True:
            if self._today() != self._opend.calendar_asked_on:  # a connection can last for several days
                await self._ask_calendar()
            await asyncio.sleep(self._waits.compare_every_s)

    async def _ask_calendar(self) -> None:
        today = self._today()
        first, last = messages.calendar_bounds(today)
        request = messages.REQUEST_TRADE_DATE, messages.request_trade_date(first, last)

        def read(body: bytes) -> list[messages.TradingDay]:
            told = messages.read_trade_dates(body)
            days = [day for day in told if first <= day.date <= last]
            if told and not days:
                raise OpenDError(f"the answer has {told[0].date!r}, but no day from {first} to {last}")
            return days

        days = await self._questions.ask(self._transport, questions.CALENDAR, request, read, self._waits.answer_s)
        if days is not None:
            self._opend.calendar = {day.date.replace("-", ""): day.kind for day in days}
            self._opend.calendar_asked_on = today

    def _today(self) -> int:
        return market.day_number(self._opend.opend_time_ms or clock.now_ms())
