"""What is done on one connection until it is lost: ticks are sent, and it is checked what the engine still holds.

What was sent of a chunk of ticks is noted after all of it is acknowledged; then the next chunk is read. So one chunk is
in memory, and a slow engine slows the reading and nothing else. A chunk whose connection is lost
is sent again on the next one, with the same ids.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.errors import MessageError
from hk_tick_collector.jetstream.message import SumsMessage
from hk_tick_collector.jetstream.streams import ensure_stream
from hk_tick_collector.jetstream.subjects import message_id, sums_subject
from hk_tick_collector.store.day_connection import path_of

from .anchors import Anchors
from .messages import OutgoingMessage, send, tick_messages
from .presence import answer_for, demand_name, other_publisher
from .requests import is_past, read_requests
from .totals import sums_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.background import Background
    from hk_tick_collector.jetstream.connect import Connection

    from .days import Days
    from .figures import Figures
    from .options import PublishOptions
    from .outbox import Chunk
    from .presence import Publisher

_NEW_DAYS_S: Final = 1.0  # between two searches for new day files
_SUMS_DUE: Final = "sums_due"  # noted: finished days whose sums readers need again
_DIGITS: Final = 20  # of a sequence of the stream
_CONFIRM_S: Final = 1.0  # a leader that was just elected may not have read all of its log


class Session:
    """The work of a publisher over all its connections; `run` uses one of them until it is lost.

    What reads or writes files in `days` runs in the `background` thread.
    """

    def __init__(
        self,
        options: PublishOptions,
        days: Days,
        background: Background,
        figures: Figures,
        ours: Publisher,
        clock_ms: Callable[[], int],
    ) -> None:
        self._options = options
        self._days = days
        self._background = background
        self._figures = figures
        self._ours = ours
        self._clock_ms = clock_ms
        self._numbers = count(1)
        self._chunk: Chunk | None = None  # the one that is being sent, and its messages
        self._messages: list[OutgoingMessage] = []
        self._anchors = Anchors(days.values)
        self._sums_wanted: set[str] = set()  # days whose sums are sent as soon as all their ticks are
        self._again_s: dict[str, float] = {}  # when a day was last sent again for a reader
        self._next_watch_s = 0.0
        self._next_days_s = 0.0
        self._asking: asyncio.Task[Publisher | None] | None = None  # who has our name

    async def run(self, connection: Connection, stop: asyncio.Event) -> None:
        """Publishes until the connection is lost or `stop` is set; with `until_sent` until all is acknowledged.

        Raises StreamAwayError when the connection is lost, StreamError when the engine refuses us, NameTakenError.
        """
        self._figures.connected(connection, await ensure_stream(connection))
        log.info("publish_connected", server=connection.url, version=self._figures.server_version)
        await answer_for(connection, self._options.source, lambda: self._ours)
        self._check_name(await other_publisher(connection, self._ours))
        self._ours = replace(self._ours, publishes=True)
        self._next_watch_s = 0.0
        for message in self._messages:
            message.seq = 0  # what was acknowledged of a chunk on a lost connection may be lost with it
        try:
            while not stop.is_set():
                await self._watch(connection)
                if await self._send_round(connection):
                    continue
                if self._options.until_sent and not self._figures.behind_rows:
                    return
                await self._pause(connection, stop)
                connection.demand()
        finally:
            if self._asking is not None:
                self._asking.cancel()
                self._asking = None
            self._background.post(self._days.close_files)  # an open file cannot be sealed, and this may last

    async def _pause(self, connection: Connection, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(connection.lost.wait())]
        try:
            await asyncio.wait(waits, timeout=self._options.poll_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _send_round(self, connection: Connection) -> bool:
        """Sends one chunk of each day. Returns whether there is more to send at once."""
        if self._chunk is not None:
            await self._send_chunk(connection)
        now_s = time.monotonic()
        if now_s >= self._next_days_s:
            self._next_days_s = now_s + _NEW_DAYS_S
            await self._background.run(self._days.open_new)
        has_more = False
        for day in await self._background.run(self._days.newest_first):
            chunk = await self._background.run(lambda day=day: self._take(day))  # type: ignore[misc]
            if chunk is not None and chunk.rows:
                await self._send_chunk(connection)
                has_more = has_more or chunk.is_full
            await self._send_sums(connection, day)
        await self._count()
        return has_more

    def _take(self, day: str) -> Chunk | None:
        """In the background thread: the next ticks of a day, and their messages."""
        chunk = self._days.take(day)
        if chunk is not None and chunk.rows:
            try:
                self._messages = tick_messages(self._options.source, day, chunk.rows, self._ours.token, self._numbers)
            except MessageError as error:
                self._days.refuse(day, error)
                return None
            self._chunk = chunk
        return chunk

    async def _send_chunk(self, connection: Connection) -> None:
        chunk = self._chunk
        assert chunk is not None
        await send(connection, self._messages, self._acknowledged)
        self._anchors.acknowledged(max(message.anchor for message in self._messages))
        self._chunk, self._messages = None, []
        await self._background.run(lambda: self._days.acknowledge(chunk, self._anchors.to_note))
        self._figures.late_rows += chunk.late
        for symbol in chunk.anew:
            log.warning("publish_symbol_anew", day=chunk.day, symbol=symbol, rows=chunk.sent[symbol].rows)
            self._figures.anew_rows += chunk.sent[symbol].rows

    async def _drop_chunk(self) -> None:
        """The ticks of the chunk that is being sent are read again."""
        chunk, self._chunk, self._messages = self._chunk, None, []
        if chunk is not None:
            await self._background.run(lambda: self._days.drop(chunk.day))

    def _acknowledged(self, message: OutgoingMessage, seconds: float) -> None:
        self._figures.acknowledged(message.rows, seconds, self._clock_ms())

    async def _send_sums(self, connection: Connection, day: str) -> None:
        """Publishes how many ticks of a day were sent, when that is due and all that is stored has been sent."""
        due = await self._background.run(lambda: self._days.due_sums(day, self._clock_ms()))
        if not self._days.is_sent(day) or not (due or day in self._sums_wanted):
            return
        wrong = await self._background.run(lambda: self._days.wrong_symbols(day))
        if wrong is None:
            return
        if wrong:
            self._figures.checks_failed += len(wrong)
            log.error("publish_check_failed", day=day, symbols=len(wrong), first=wrong[0])
            return  # they are sent again first
        await self._publish_sums(connection, day)
        self._sums_wanted.discard(day)
        if due:
            await self._background.run(lambda: self._days.told(day, due))

    async def _publish_sums(
        self, connection: Connection, day: str, *, is_over: bool = False, read_seq: int | None = None
    ) -> None:
        """`is_over`: no more follows, whatever is stored. `read_seq`: up to which requests were read, if not noted."""
        sums, is_sealed = await self._background.run(lambda: self._days.sums(day))
        is_sealed = is_sealed or is_over
        answered = self._read_seq() + 1 if read_seq is None else read_seq + 1
        said = SumsMessage(self._options.source, day, self._clock_ms(), is_sealed, sums, answered_before=answered)
        path = path_of(self._options.data_root, day)
        payload, compared = await self._background.run(lambda: sums_payload(path, said))
        number = message_id(self._options.source, day, self._ours.token, next(self._numbers))
        message = OutgoingMessage(sums_subject(day, self._options.source), payload, number, 0)
        await send(connection, [message], lambda *_: None)
        self._anchors.acknowledged(message.anchor)
        await self._background.run(lambda: self._days.note(self._anchors.to_note))
        rows = sum(rows for rows, _ in sums.values())
        log.info("publish_sums", day=day, sealed=is_sealed, symbols=len(sums), rows=rows, compared=compared)

    async def _watch(self, connection: Connection) -> None:
        """Every few seconds: checks the anchors, the name and that the stream exists; answers requests."""
        now_s = time.monotonic()
        if now_s < self._next_watch_s:
            return
        if self._asking is not None and self._asking.done():
            self._check_name(self._asking.result())
            self._asking = None
        if self._asking is None:  # in a task of its own: without another publisher the answer may take a second
            self._asking = asyncio.create_task(other_publisher(connection, self._ours))
        await self._check_anchors(connection)
        self._figures.connected(connection, await ensure_stream(connection))  # it may have been deleted just now
        await self._send_due_sums(connection)
        await self._answer_requests(connection)
        self._next_watch_s = now_s + self._options.watch_s

    def _check_name(self, other: Publisher | None) -> None:
        """Raises NameTakenError if an earlier publisher has our name. A later one is logged, and ends by itself."""
        self._figures.name_taken_by = other.words() if other else ""
        if other is not None:
            demand_name(self._ours, other)
            log.error("publish_name_taken", source=self._options.source, by=other.words())

    async def _check_anchors(self, connection: Connection) -> None:
        lost = await self._anchors.first_lost(connection)
        if lost is not None:
            await asyncio.sleep(_CONFIRM_S)
            lost = await self._anchors.first_lost(connection)
        if lost is None:
            self._anchors.keep()
            return
        log.error("publish_lost_data", anchor=lost.seq, message_id=lost.message_id, days=self._days.newest or "none")
        self._figures.losses += 1
        self._figures.loss_ms = self._clock_ms()
        self._figures.loss_detail = f"message {lost.seq} ({lost.message_id})"
        await self._drop_chunk()
        self._anchors.forget()
        await self._background.run(self._lost)

    def _lost(self) -> None:
        """In the background thread: the days being sent are sent again; of finished days the sums are sent."""
        finished = self._days.lost(self._clock_ms())
        self._days.note({**self._anchors.to_note, "again_seq": "0", _SUMS_DUE: " ".join(finished)})
        self._sums_wanted.update(self._days.newest_first())

    async def _send_due_sums(self, connection: Connection) -> None:
        """Publishes the sums of finished days after a loss. The days are noted, so a restart continues with them."""
        while due := self._days.noted(_SUMS_DUE).split():
            await self._publish_sums(connection, due[0])
            await self._background.run(lambda due=due: self._days.note({_SUMS_DUE: " ".join(due[1:])}))  # type: ignore[misc]

    def _read_seq(self) -> int:
        """Up to which sequence of the stream the requests of readers were read."""
        noted = self._days.noted("again_seq")
        return int(noted) if noted.isascii() and noted.isdigit() and len(noted) < _DIGITS else 0

    async def _answer_requests(self, connection: Connection) -> None:
        """Ticks that readers want again count as not sent, so they are sent; a day at most once a minute."""
        seq = self._read_seq()
        found = await read_requests(connection, self._options.source, seq)
        if found.seq == seq:
            return
        now_s = time.monotonic()
        last_s = max((self._again_s.get(each.day, float("-inf")) for each in found.wanted), default=float("-inf"))
        if now_s - last_s < self._options.again_apart_s:
            return  # the requests stay in the stream
        missing = []
        for wanted in found.wanted:
            rows = await self._background.run(lambda wanted=wanted: self._days.send_again(wanted))  # type: ignore[misc]
            if rows < 0:
                missing.append(wanted.day)
                continue
            self._again_s[wanted.day] = now_s
            self._sums_wanted.add(wanted.day)
            self._figures.anew_rows += rows
            log.warning("publish_again", day=wanted.day, symbols=len(wanted.symbols) or "all", rows=rows)
        if missing:
            log.warning("publish_again_refused", day=missing[0], reason="no file of that day", count=len(missing))
        for day in missing:
            if await self._background.run(lambda day=day: is_past(self._options.data_root, day, self._clock_ms())):  # type: ignore[misc]
                # Nothing more will come: a merge that waits for this day can stop waiting.
                await self._publish_sums(connection, day, is_over=True, read_seq=found.seq)
        if found.unreadable:
            log.warning("publish_again_refused", reason="not a request", count=found.unreadable)
        self._figures.requests += found.count
        self._figures.request_ms = self._clock_ms()
        await self._drop_chunk()  # its ticks may now count as not sent
        await self._background.run(lambda: self._days.note({"again_seq": str(found.seq)}))

    async def _count(self) -> None:
        stored, unsent = await self._background.run(self._days.figures)
        self._figures.newest_day = self._days.newest
        self._figures.days_unread = dict(self._days.unread)
        self._figures.cursors_unsaved = self._days.unsaved
        self._figures.behind(stored, unsent, self._clock_ms())
