"""The intake: every tick that reached the socket passes here, and is counted here.

Enters: Ticks events of the protocol core. Leaves: chunks in the queue. What finds no place there is dropped, with an
exact count in the ledger; nothing waits, because the loop that calls this also reads the socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.store.dayfile import Link

from .queue import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import Stats
    from hk_tick_collector.opend.protocol import Ticks

    from .queue import TickQueue

_LOG_EVERY_S: Final = 10.0


class Intake:
    """Counts what is received and passes it on. `now_s` is a monotonic clock in seconds."""

    def __init__(self, queue: TickQueue, stats: Stats, now_s: Callable[[], float]) -> None:
        self._queue = queue
        self._stats = stats
        self._now_s = now_s
        self._rejects = log.Repeated(_LOG_EVERY_S)
        self._drops = log.Repeated(_LOG_EVERY_S)
        self._dropped_unlogged = 0

    def ticks(self, event: Ticks, recv_ts_ms: int) -> None:
        """Takes what one reading of the socket brought."""
        stats = self._stats
        rows, rejected = event.rows, event.rejected
        if not rows and not rejected:
            return
        stats.received += len(rows) + len(rejected)
        stats.last_tick_ms = recv_ts_ms
        if rejected:
            stats.rejected += len(rejected)
            held_back = self._rejects.allow(self._now_s())
            if held_back is not None:
                first = rejected[0]
                log.warning(
                    "tick_rejected",
                    cause=first.cause,
                    symbol=first.symbol,
                    seq=first.seq,
                    rejected_total=stats.rejected,
                    tick=first.detail,
                )
        if not self._queue.put(Chunk(rows=rows, rejected=rejected)):
            self._queue.put(Chunk(rejected=rejected, dropped=len(rows)))
            self._drop(len(rows))

    def link(self, at_ms: int, *, connected: bool, conn_id: int | None, reason: str) -> None:
        """Takes note that a stretch of time with or without OpenD begins."""
        self._queue.put(Chunk(links=[Link(at_ms, connected, conn_id, reason)]))

    def _drop(self, rows: int) -> None:
        self._stats.dropped += rows
        self._dropped_unlogged += rows
        if self._drops.allow(self._now_s()) is not None:
            log.error(
                "ticks_dropped",
                rows=self._dropped_unlogged,
                dropped_total=self._stats.dropped,
                queue_rows=self._queue.rows,
                max_queue_rows=self._queue.max_rows,
                cause=self._stats.writer_trouble or "queue_full",
            )
            self._dropped_unlogged = 0
