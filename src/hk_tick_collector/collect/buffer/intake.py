"""The intake: counts every received tick and puts it into the queue.

Enters: Ticks events of the protocol core. Leaves: chunks in the queue, each with the rows of `gaps` that its ticks open
or fill. If there is no space, ticks are dropped: the ledger has the exact number, and a gap is opened. Nothing here
waits, because the event loop that calls it also reads the socket.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.gaps.push_watch import PushWatch
from hk_tick_collector.gaps.symbol_day import CAUSE_FUTURE
from hk_tick_collector.model import Rejected, Tick, ts_ms_of
from hk_tick_collector.opend.convert import DETAILS_MOST
from hk_tick_collector.store.dayfile import ConnectionChange

from .chunk import Chunk
from .rejection_log import Refused, Rejections

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.gaps.tracker import GapTracker
    from hk_tick_collector.model import TickRow
    from hk_tick_collector.opend.protocol import Ticks
    from hk_tick_collector.stats import Stats

    from .tick_queue import TickQueue

_LOG_EVERY_S: Final = 10.0
_NAMED: Final = 100  # symbols not in FUTU_SYMBOLS that are logged by name, each once
_NOT_SUBSCRIBED: Final = "not_subscribed"


class Intake:
    """Counts received ticks and puts them into the queue. `now_s` is a monotonic clock in seconds.

    `pushes` records every push. `dropped` is the number of rows dropped for lack of space.
    """

    def __init__(
        self, queue: TickQueue, tracker: GapTracker, opend: OpenDState, stats: Stats, now_s: Callable[[], float]
    ) -> None:
        self.dropped = 0
        self._queue = queue
        self._tracker = tracker
        self._opend = opend
        self._stats = stats
        self._now_s = now_s
        self._rejections = Rejections(now_s)
        self._refused = Refused()
        self._drops = log.Repeated(_LOG_EVERY_S)
        self._dropped_unlogged = 0
        self._newest_ms = 0  # ticks up to this time need no check for a future date, UTC epoch ms
        self._named: set[str] = set()  # symbols not in FUTU_SYMBOLS that were logged by name
        self._unwanted = 0  # ticks of such symbols that no chunk has counted yet
        self.pushes: Final = PushWatch()

    def ticks(self, event: Ticks, recv_ts_ms: int | None, on_commit: Callable[[], None] | None = None) -> None:
        """Processes ticks that were decoded together, the last of them received at `recv_ts_ms`.

        `recv_ts_ms` is None for ticks that were read from a file on disk. That file keeps them until they are
        committed; the writer thread calls `on_commit` after the commit.
        """
        stats, rows, rejected = self._stats, event.rows, event.rejected
        if not rows and not rejected:
            return
        if rows and self._newest_ms < max(map(ts_ms_of, rows)):
            rows, rejected = self._without_future(rows, rejected)
        if event.requested_by is None:
            self.pushes.note(rows, rejected)
            if recv_ts_ms is not None:
                stats.last_tick_ms = recv_ts_ms
        received = len(rows) + len(rejected)
        stats.received += received
        self._opend.received += received
        dropped = 0
        if self._queue.has_room(len(rows)):
            self._tracker.see(rows)
            if recv_ts_ms is None:
                self._tracker.recall(rows)
        else:
            self._tracker.lose(rows)
            dropped, rows = len(rows), []
            self._note_drop(dropped)
        if rejected:
            self._tracker.reject(rejected)
            self._note_rejects(rejected, backfilled=event.requested_by is not None)
        gaps, rules = self._tracker.take_changes(), self._tracker.take_rules()
        chunk = Chunk(rows=rows, dropped=dropped, gaps=gaps, rules=rules, on_commit=on_commit)
        chunk.rejected = len(rejected) + self._take_unwanted()
        chunk.on_disk = recv_ts_ms is None
        self._queue.put(chunk)

    def unwanted(self, symbol: str, ticks: int) -> None:
        """Counts a push of a symbol that is not in FUTU_SYMBOLS, and logs the symbol once. The ticks are not stored."""
        stats = self._stats
        stats.received += ticks
        self._opend.received += ticks
        stats.not_subscribed += ticks
        self._unwanted += ticks
        if symbol not in self._named and len(self._named) < _NAMED:
            if not self._named:
                stats.not_subscribed_first = symbol
            self._named.add(symbol)
            log.warning("symbol_not_subscribed", symbol=symbol, ticks=ticks, hint="it is not in FUTU_SYMBOLS")
        else:
            self._rejections.add(_NOT_SUBSCRIBED, {symbol: ticks})

    def _take_unwanted(self) -> int:
        unwanted, self._unwanted = self._unwanted, 0
        return unwanted

    def _without_future(self, rows: list[TickRow], rejected: list[Rejected]) -> tuple[list[TickRow], list[Rejected]]:
        """Rejects ticks dated later than the day after OpenD's date. While OpenD's date is unknown, none are rejected.

        For speed the caller runs this check only for a tick that is later than all before it.
        """
        opend_ms = self._opend.opend_time_ms
        if opend_ms is None:
            return rows, rejected
        self._newest_ms = market.day_start_ms(market.day_number(opend_ms) + 2) - 1
        future = [Tick._make(row) for row in rows if ts_ms_of(row) > self._newest_ms]
        if not future:
            return rows, rejected
        refused = [
            Rejected(tick.symbol, tick.seq, CAUSE_FUTURE, str(tick) if told else "", tick.recv_ts_ms)
            for told, tick in zip(chain(repeat(True, DETAILS_MOST), repeat(False)), future, strict=False)
        ]
        return [row for row in rows if ts_ms_of(row) <= self._newest_ms], [*rejected, *refused]

    def flush_gaps(self) -> None:
        """Puts changes of `gaps` into the queue that did not come with a tick."""
        self._rejections.log_due()
        gaps, rules = self._tracker.take_changes(), self._tracker.take_rules()
        if gaps or rules or self._unwanted:
            self._queue.put(Chunk(rejected=self._take_unwanted(), gaps=gaps, rules=rules))

    def committed_s(self) -> float:
        """Everything that entered before this time is committed; monotonic seconds."""
        return self._queue.committed_s()

    def held_rows(self, day: int) -> list[TickRow] | None:
        """The uncommitted rows. None while some of them, or rows that wait for this day, are in the spool."""
        if self._queue.spooled_rows or day in self._queue.spooled_days():
            return None
        return [row for chunk in self._queue.held_in_memory() for row in chunk.rows]

    def link(self, at_ms: int, *, connected: bool, conn_id: int | None, reason: str) -> None:
        """Records that a connection to OpenD began or ended."""
        self._queue.put(
            Chunk(rejected=self._take_unwanted(), connections=[ConnectionChange(at_ms, connected, conn_id, reason)])
        )

    def _note_rejects(self, rejected: list[Rejected], *, backfilled: bool) -> None:
        stats, news = self._stats, self._refused.ticks(rejected, backfilled=backfilled)
        stats.rejected += len(news)
        stats.rejected_pulled_again += len(rejected) - len(news)
        by_cause: dict[str, list[Rejected]] = {}
        for tick in news:
            by_cause.setdefault(tick.cause, []).append(tick)
        stats.future_date += len(by_cause.get(CAUSE_FUTURE, ()))
        for cause, ticks in by_cause.items():
            whole = self._rejections.whole(cause, len(ticks))
            for tick in ticks[:whole]:
                log.warning(
                    "tick_rejected",
                    cause=cause,
                    symbol=tick.symbol,
                    seq=tick.seq,
                    rejected_total=stats.rejected,
                    tick=tick.detail,
                )
            if ticks[whole:]:
                self._rejections.count(cause, (tick.symbol for tick in ticks[whole:]))

    def _note_drop(self, rows: int) -> None:
        self.dropped += rows
        self._stats.no_room += rows
        self._dropped_unlogged += rows
        if self._drops.allow(self._now_s()) is not None:
            log.error(
                "ticks_dropped",
                rows=self._dropped_unlogged,
                dropped_total=self._stats.dropped,
                queue_rows=self._queue.rows,
                max_queue_rows=self._queue.max_rows,
                cause=self._queue.storing.writer_trouble or "queue_full",
            )
            self._dropped_unlogged = 0
