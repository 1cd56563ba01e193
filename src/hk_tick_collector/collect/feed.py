"""The link to OpenD: connect, subscribe, stay alive, come back. The socket is in `wire`, the protocol in `opend`.

Enters: what OpenD says of itself. Leaves: requests, Stats; its ticks go from the wire to the intake. Whatever ends
a connection (a bad frame, silence, a refusal, the network) ends in the same place: drop it whole, wait a jittered
moment, begin anew.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.errors import CollectorError, OpenDError, ProtocolError
from hk_tick_collector.opend import messages, protocol

from . import clock
from .options import GATHER_SHARE
from .subscriptions import subscribe_all
from .wire import Wire

if TYPE_CHECKING:
    from hk_tick_collector.model import Stats

    from .caretaker import Caretaker
    from .intake import Intake
    from .options import FeedOptions
    from .reconcile import Reconciler

_CONNECT_TIMEOUT_S: Final = 5.0
_STATE_EVERY_S: Final = 3.0  # how often OpenD is asked for its state: TCP may be up while its data is not
# How often subscriptions are compared with OpenD's own list, and refused ones asked for again: quota stays used for
# about a minute after a connection closes.
_RESUBSCRIBE_EVERY_S: Final = 60.0
_LOG_EVERY_S: Final = 30.0
_CALENDAR_DAYS: Final = 14
_GATHER_MAX_S: Final = 0.05  # beyond it nothing is gained: 20 ms saved 30 % of the share at 500 ticks/s, 50 ms 37 %


class Feed:
    """Keeps one connection to OpenD for as long as the service runs.

    `subscribed` is set while the wanted symbols are subscribed, or were refused by name. `calendar` holds what OpenD
    said of the coming days: date → whole, morning, afternoon; empty until it was asked.
    """

    def __init__(
        self, options: FeedOptions, intake: Intake, caretaker: Caretaker, reconciler: Reconciler, stats: Stats
    ) -> None:
        self.subscribed = asyncio.Event()
        self.calendar: dict[str, str] = {}
        self._calendar_day: int | None = None  # the day on which it was last asked for
        self._options = options
        self._intake = intake
        self._caretaker = caretaker
        self._reconciler = reconciler
        self._stats = stats
        self._random = random.Random()  # noqa: S311 - jitter
        self._failures = log.Repeated(_LOG_EVERY_S)
        self._last_failure = ""
        self._skips = log.Repeated(_LOG_EVERY_S)
        stats.symbols = len(options.symbols)

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        options = self._options
        delay_s = options.reconnect_min_delay_s
        while True:
            reached = self._stats.connects
            error = await self._one_connection()
            if self._stats.connects > reached:
                delay_s = options.reconnect_min_delay_s
            self._note_down(error, was_up=self._stats.connects > reached)
            # Full jitter above the minimum: a hundred clients of one OpenD do not come back in step.
            await asyncio.sleep(self._random.uniform(options.reconnect_min_delay_s, delay_s))
            delay_s = min(delay_s * 2, options.reconnect_max_delay_s)

    async def _one_connection(self) -> CollectorError:
        """One connection from its first byte to its last; returns why it ended."""
        options = self._options
        loop = asyncio.get_running_loop()
        core = protocol.Connection(options.client_id, options.rsa)
        gather_s = min(options.max_wait_ms / 1000 * GATHER_SHARE, _GATHER_MAX_S)
        wire = Wire(core, self._intake, self._note_notice, self._note_skipped, gather_s)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: wire, options.host, options.port)
        except TimeoutError:
            return OpenDError(f"no TCP connection to {options.host}:{options.port} within {_CONNECT_TIMEOUT_S:.0f} s")
        except OSError as error:
            return OpenDError(f"no TCP connection to {options.host}:{options.port} ({_words(error)})")
        session = asyncio.create_task(self._session(wire))
        healing = asyncio.create_task(self._caretaker.run(wire, self.subscribed))
        reconciling = asyncio.create_task(self._reconciler.run(wire, self.subscribed))
        try:
            done, _ = await asyncio.wait((session, healing, wire.closed), return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            wire.close(OpenDError("the service stops"))
            session.cancel()
            healing.cancel()
            reconciling.cancel()
            await asyncio.gather(session, healing, reconciling, return_exceptions=True)
            self.subscribed.clear()

    async def _session(self, wire: Wire) -> CollectorError:
        """What we want of a connection; returns only with the reason to give it up."""
        try:
            reply = await wire.ready
            self._note_up(reply)
            await self._ask_state(wire)
            while not self._can_serve():
                await asyncio.sleep(_STATE_EVERY_S)
                await self._ask_state(wire)
            await self._caretaker.recall(self._options.symbols)
            await self._subscribe(wire, self._options.symbols)
            self._caretaker.look_at(self._options.symbols)
            await self._ask_calendar(wire)
            retry_s = time.monotonic() + _RESUBSCRIBE_EVERY_S
            while True:
                await asyncio.sleep(_STATE_EVERY_S)
                await self._ask_state(wire)
                if time.monotonic() >= retry_s:
                    retry_s = time.monotonic() + _RESUBSCRIBE_EVERY_S
                    await self._mend_subscriptions(wire)
                    if self._today() != self._calendar_day:  # a connection may outlive what it was told at first
                        await self._ask_calendar(wire)
        except CollectorError as error:
            return error

    async def _mend_subscriptions(self, wire: Wire) -> None:
        """Subscribes to what is wanted and, by OpenD's own word, not subscribed."""
        stats = self._stats
        info = messages.read_sub_info(await wire.request(messages.GET_SUB_INFO, messages.get_sub_info()))
        missing = [symbol for symbol in self._options.symbols if symbol not in info.symbols]
        lost = [symbol for symbol in missing if symbol not in stats.refused]
        if lost:
            log.error("subscriptions_lost", count=len(lost), symbols=",".join(lost[:20]))
        if missing:
            await self._subscribe(wire, tuple(missing))
            self._caretaker.look_at([symbol for symbol in missing if symbol not in stats.refused])

    async def _subscribe(self, wire: Wire, symbols: tuple[str, ...]) -> None:
        stats = self._stats
        refused = await subscribe_all(wire.request, symbols)
        for symbol in symbols:
            stats.refused.pop(symbol, None)
        stats.refused.update(refused)
        stats.subscribed = stats.symbols - len(stats.refused)
        info = messages.read_sub_info(await wire.request(messages.GET_SUB_INFO, messages.get_sub_info()))
        stats.quota_used, stats.quota_remaining = info.used_quota, info.remaining_quota
        self.subscribed.set()
        log.info(
            "subscribed",
            symbols=stats.subscribed,
            refused=len(stats.refused),
            quota_used=info.used_quota,
            quota_remaining=info.remaining_quota,
        )
        for reason in dict.fromkeys(refused.values()):
            names = [symbol for symbol, words in refused.items() if words == reason]
            shown = ",".join(names[:20]) + (f",… ({len(names)} in all)" if len(names) > 20 else "")
            log.error("symbols_refused", symbols=shown, count=len(names), reason=reason)

    async def _ask_state(self, wire: Wire) -> None:
        """Asks OpenD how it is: logged in or not, the market, its clock."""
        stats = self._stats
        before_ms = time.time() * 1000
        body = await wire.request(messages.GET_GLOBAL_STATE, messages.get_global_state())
        after_ms = time.time() * 1000
        state = messages.read_global_state(body)
        if state.market_hk != stats.market_state:
            log.info("market_state", state=market.state_name(state.market_hk))
        stats.market_state = state.market_hk
        stats.quote_logged_in = state.quote_logged_in
        stats.program, stats.program_detail = state.program, state.program_detail
        stats.opend_time_ms = stats.drift_s = None
        if state.server_time_s:
            stats.opend_time_ms = state.server_time_s * 1000
            # OpenD tells whole seconds: the middle of that second is the best guess, and half a second the error.
            stats.drift_s = ((before_ms + after_ms) / 2 - stats.opend_time_ms - 500) / 1000
        if self._can_serve():
            self._forget_trouble(rights=False)

    def _can_serve(self) -> bool:
        return self._stats.quote_logged_in and self._stats.program == "ready"

    async def _ask_calendar(self, wire: Wire) -> None:
        today = self._today()
        first, last = market.day_date(today), market.day_date(today + _CALENDAR_DAYS)
        request = messages.request_trade_date(first.isoformat(), last.isoformat())
        try:
            days = messages.read_trade_dates(await wire.request(messages.REQUEST_TRADE_DATE, request))
        except OpenDError as error:
            log.warning("calendar_unknown", reason=error)
            return
        self.calendar = {day.date.replace("-", ""): day.kind for day in days}
        self._calendar_day = today

    def _today(self) -> int:
        return market.day_number(self._stats.opend_time_ms or clock.now_ms())

    def _note_up(self, reply: messages.InitReply) -> None:
        stats, now_ms = self._stats, clock.now_ms()
        stats.connected, stats.link_since_ms, stats.link_reason, stats.link_hint = True, now_ms, "", ""
        stats.conn_id, stats.server_ver = reply.conn_id, reply.server_ver
        stats.connects += 1
        stats.refused.clear()
        stats.subscribed = 0
        self._failures = log.Repeated(_LOG_EVERY_S)
        self._last_failure = ""
        log.info(
            "futu_connected",
            host=self._options.host,
            port=self._options.port,
            conn_id=reply.conn_id,
            server_ver=reply.server_ver,
        )
        self._intake.link(now_ms, connected=True, conn_id=reply.conn_id, reason="")

    def _note_down(self, error: CollectorError, *, was_up: bool) -> None:
        stats, now_ms, reason = self._stats, clock.now_ms(), str(error)
        if was_up or stats.link_since_ms is None or stats.link_reason != reason:
            self._intake.link(now_ms, connected=False, conn_id=None, reason=reason)
            if was_up or stats.link_since_ms is None:
                stats.link_since_ms = now_ms
        stats.connected, stats.conn_id, stats.link_reason, stats.link_hint = False, None, reason, error.hint
        stats.subscribed = 0
        held_back = self._failures.allow(time.monotonic())
        if was_up or reason != self._last_failure or held_back is not None:
            hint = {"hint": error.hint} if error.hint else {}
            log.warning("futu_disconnected", reason=reason, repeats=held_back or 0, **hint)
        self._last_failure = reason
        if was_up:
            stats.link_breaks += 1
            stats.link_break_ms, stats.link_break_reason = now_ms, reason
            if isinstance(error, ProtocolError):
                stats.protocol_errors += 1
                stats.protocol_error = reason
            self._caretaker.interrupt("disconnected")

    def _forget_trouble(self, *, rights: bool) -> None:
        """OpenD says that its quote right is back, or that all else is well: what passed us by is asked for."""
        trouble = self._stats.trouble
        over = [kind for kind in trouble if kind.startswith("quote_right") == rights]
        for kind in over:
            del trouble[kind]
        if over and not trouble:
            self._caretaker.look_at(self._options.symbols)

    def _note_notice(self, notice: messages.Notice) -> None:
        stats = self._stats
        if notice.healthy:
            log.info("opend_notice", kind=notice.kind, detail=notice.detail)
            if notice.kind.startswith("quote_right"):
                self._forget_trouble(rights=True)
            elif notice.kind in ("quote_link_up", "program_ready"):
                self._forget_trouble(rights=False)
            return
        stats.trouble[notice.kind] = notice.detail
        self._caretaker.interrupt(notice.kind)
        log.error("opend_notice", kind=notice.kind, detail=notice.detail)

    def _note_skipped(self, skipped: protocol.Skipped) -> None:
        stats = self._stats
        stats.skipped_messages += 1
        stats.skipped_message = f"{skipped.proto_id}, {skipped.reason}"
        held_back = self._skips.allow(time.monotonic())
        if held_back is not None:
            log.warning("message_skipped", proto_id=skipped.proto_id, reason=skipped.reason, repeats=held_back)


def _words(error: OSError) -> str:
    """The cause without asyncio's repetition of the address."""
    return error.strerror.split("[")[0].strip() if error.strerror and error.errno else str(error)
