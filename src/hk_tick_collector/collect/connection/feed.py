"""Keeps a connection to OpenD: opens it, and opens the next one when it ends. `session` sends requests on it,
`transport` is its socket.

Enters: OpenD's answers. Leaves: requests, Stats; the ticks go from the transport to the intake. Every reason to end a
connection (a bad frame, silence, a refusal, the network) is handled in the same way: close the connection, wait for a
random time, connect again.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final, Protocol

from hk_tick_collector import clock, log
from hk_tick_collector.collect.options import GATHER_SHARE
from hk_tick_collector.errors import CollectorError, OpenDError, ProtocolError
from hk_tick_collector.opend import protocol
from hk_tick_collector.tcp_connect import Reached, Resolver, connect, reason_of

from .notices import Notices
from .questions import Questions
from .session import Session
from .transport import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.collect.buffer.intake import Intake
    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.options import FeedOptions
    from hk_tick_collector.opend import messages
    from hk_tick_collector.stats import Stats

    from .backfill import Backfiller

_LOG_EVERY_S: Final = 30.0
_USEFUL_S: Final = 10.0  # a connection was useful if it was subscribed this long, even without ticks (a quiet market)
_USEFUL_WITH_TICKS_S: Final = 1.0  # or this long with ticks; the first tick may come from OpenD's cache
_REASONS_KEPT: Final = 20
_USELESS_TOLD: Final = 3  # consecutive useless connections that are each logged; further ones are counted
_GATHER_MAX_S: Final = 0.05  # docs/decisions/0007


class Asker(Protocol):
    """Asks for something beside the ticks. Nothing that it does ends the connection."""

    async def run(self, transport: Transport, subscribed: asyncio.Event) -> None:
        """Asks on one connection; never returns."""


class Feed:
    """Keeps one connection to OpenD for as long as the service runs. Each of `askers` runs on each connection.

    `subscribed` is set while OpenD answers for the symbols or pushes their ticks.
    """

    def __init__(
        self,
        options: FeedOptions,
        intake: Intake,
        backfiller: Backfiller,
        askers: Sequence[Asker],
        opend: OpenDState,
        stats: Stats,
    ) -> None:
        self.subscribed = opend.serving
        self._opend = opend
        self._questions = Questions(stats)
        self._resolve = options.resolve or Resolver()
        self._no_opend: set[str] = set()  # addresses that accept connections, but did not answer like OpenD
        self._subscribed_s: float | None = None  # when this connection was subscribed, monotonic
        self._useless = 0  # consecutive connections that were accepted but not useful
        self._ups = log.Repeated(_LOG_EVERY_S)
        self._options = options
        self._wanted = frozenset(options.symbols)
        self._intake = intake
        self._backfiller = backfiller
        self._askers = askers
        self._notices = Notices(opend, backfiller.interrupt, lambda: backfiller.request_checks(options.symbols))
        self._stats = stats
        self._random = random.Random()  # noqa: S311 - jitter
        self._failures = log.Repeated(_LOG_EVERY_S)
        self._logged_reasons: set[str] = set()  # logged reasons why connections ended, since the last useful one
        self._skips = log.Repeated(_LOG_EVERY_S)
        stats.symbols = len(options.symbols)

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        options = self._options
        delay_s = options.reconnect_min_delay_s
        while True:
            received = self._opend.received
            self._subscribed_s = None
            error = await self._one_connection()
            was_up = self._opend.connected
            if was_up and self._was_useful(received):
                delay_s = options.reconnect_min_delay_s
                self._useless = 0
                self._failures = log.Repeated(_LOG_EVERY_S)
                self._logged_reasons.clear()
            elif was_up:
                self._useless += 1
            self._note_down(error, was_up=was_up)
            # Random wait: so the many clients of one OpenD do not reconnect at the same moment.
            await asyncio.sleep(self._random.uniform(options.reconnect_min_delay_s, delay_s))
            delay_s = min(delay_s * 2, options.reconnect_max_delay_s)

    def _was_useful(self, received: int) -> bool:
        """Whether the connection that ended was subscribed for long enough, and so brought ticks or could have."""
        lived_s = time.monotonic() - self._subscribed_s if self._subscribed_s is not None else 0.0
        return lived_s >= (_USEFUL_WITH_TICKS_S if self._opend.received > received else _USEFUL_S)

    async def _one_connection(self) -> CollectorError:
        """Opens one connection and waits until it ends; returns why it ended."""
        options = self._options
        loop = asyncio.get_running_loop()
        core = protocol.Connection(options.client_id, options.rsa, self._wanted)
        gather_s = min(options.max_wait_ms / 1000 * GATHER_SHARE, _GATHER_MAX_S)
        transport = Transport(core, self._intake, self._notices.note, self._note_skipped, gather_s)
        try:
            reached = await connect(options.host, options.port, self._resolve, last=self._no_opend)
        except OpenDError as error:
            return error
        try:
            await loop.create_connection(lambda: transport, sock=reached.socket)
        except OSError as error:
            reached.socket.close()
            return OpenDError(f"no TCP connection to {options.host}:{options.port} ({reason_of(error)})")
        session = asyncio.create_task(self._session(transport, reached))
        backfilling = asyncio.create_task(self._backfiller.run(transport, self.subscribed))
        asking = [asyncio.create_task(asker.run(transport, self.subscribed)) for asker in self._askers]
        noting = asyncio.create_task(self._note_subscribed())
        logging = asyncio.create_task(self._log_counts())
        try:
            done, _ = await asyncio.wait((session, backfilling, transport.closed), return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            transport.close(OpenDError("the service stops"))
            tasks = (session, backfilling, *asking, noting, logging)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._notices.end()
            self.subscribed.clear()

    async def _session(self, transport: Transport, reached: Reached) -> CollectorError:
        """Runs the session of a connection; returns only when OpenD does not accept the connection."""
        self._no_opend.add(reached.address)
        try:
            reply = await transport.ready
        except CollectorError as error:
            return error
        self._no_opend.clear()
        self._note_up(reply, reached)
        session = Session(
            transport,
            self._options,
            self._backfiller,
            self._questions,
            self._opend,
            self._stats,
            self._notices.serving,
        )
        return await session.run()

    async def _note_subscribed(self) -> None:
        await self.subscribed.wait()
        self._subscribed_s = time.monotonic()

    def _note_up(self, reply: messages.InitReply, reached: Reached) -> None:
        opend, stats, now_ms = self._opend, self._stats, clock.now_ms()
        opend.connected, opend.link_since_ms, opend.link_reason, opend.link_hint = True, now_ms, "", ""
        opend.conn_id, stats.server_ver = reply.conn_id, reply.server_ver
        opend.opend_time_ms = opend.drift_s = None  # those of the last connection, which may have ended days ago
        stats.connects += 1
        opend.refused.clear()
        opend.subscribed = 0
        held_back = self._ups.allow(time.monotonic()) if self._useless >= _USELESS_TOLD else 0
        if held_back is not None:
            log.info(
                "futu_connected",
                host=self._options.host,
                port=self._options.port,
                address=reached.address,
                conn_id=reply.conn_id,
                server_ver=reply.server_ver,
                **({"repeats": held_back} if held_back else {}),
            )
        self._intake.link(now_ms, connected=True, conn_id=reply.conn_id, reason="")

    def _note_down(self, error: CollectorError, *, was_up: bool) -> None:
        opend, stats, now_ms, reason = self._opend, self._stats, clock.now_ms(), str(error)
        if was_up or opend.link_since_ms is None or opend.link_reason != reason:
            self._intake.link(now_ms, connected=False, conn_id=None, reason=reason)
            if was_up or opend.link_since_ms is None:
                opend.link_since_ms = now_ms
        opend.connected, opend.conn_id, opend.link_reason, opend.link_hint = False, None, reason, error.hint
        opend.subscribed = 0
        held_back = self._failures.allow(time.monotonic())
        told = was_up and self._useless <= _USELESS_TOLD
        if told or reason not in self._logged_reasons or held_back is not None:
            hint = {"hint": error.hint} if error.hint else {}
            log.warning("futu_disconnected", reason=reason, repeats=held_back or 0, **hint)
        if len(self._logged_reasons) < _REASONS_KEPT:
            self._logged_reasons.add(reason)
        if was_up:
            stats.link_breaks += 1
            stats.link_break_ms, stats.link_break_reason = now_ms, reason
            if isinstance(error, ProtocolError):
                stats.protocol_errors += 1
                stats.protocol_error = reason
            self._backfiller.interrupt("disconnected")

    async def _log_counts(self) -> None:
        """Logs the counts of suppressed lines, also when no further event occurs."""
        while True:
            await asyncio.sleep(_LOG_EVERY_S)
            self._notices.log_due()
            self._intake.flush_gaps()

    def _note_skipped(self, skipped: protocol.Skipped) -> None:
        stats = self._stats
        stats.skipped_messages += 1
        stats.skipped_message = f"{skipped.proto_id}, {skipped.reason}"
        held_back = self._skips.allow(time.monotonic())
        if held_back is not None:
            log.warning("message_skipped", proto_id=skipped.proto_id, reason=skipped.reason, repeats=held_back)
