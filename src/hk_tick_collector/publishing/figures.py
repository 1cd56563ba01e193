"""Counters and states of the publisher, for publish.json and the log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.live.publish_state import PublishState
from hk_tick_collector.stats import percentile

if TYPE_CHECKING:
    from hk_tick_collector.errors import StreamError
    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.jetstream.streams import StreamState

_WINDOW_MS: Final = 60_000
_ACKS_KEPT: Final = 4096  # of the last minute, or less


@dataclass(slots=True)
class Figures:
    """Counters and states. Times are UTC epoch ms."""

    started_ms: int
    pid: int
    version: str
    source: str
    data_root: str
    state: str = "connecting"  # connecting, publishing, stopping, stopped
    server: str = ""
    server_version: str = ""
    away_since_ms: int | None = None
    fault: StreamError | None = None
    refused: bool = False
    stream: StreamState | None = None
    newest_day: str = ""
    stored_rows: int = 0
    behind_rows: int = 0
    behind_since_ms: int | None = None
    published_rows: int = 0
    published_messages: int = 0
    late_rows: int = 0
    anew_rows: int = 0
    last_ack_ms: int | None = None
    losses: int = 0
    loss_ms: int | None = None
    loss_detail: str = ""
    requests: int = 0
    request_ms: int | None = None
    name_taken_by: str = ""
    days_unread: dict[str, str] = field(default_factory=dict)
    cursors_unsaved: str = ""
    checks_failed: int = 0
    unsynced: bool = False
    acks_ms: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_ACKS_KEPT))

    def connected(self, connection: Connection, stream: StreamState) -> None:
        """There is a connection, and the stream exists."""
        self.state = "publishing"
        self.server, self.server_version = connection.url, ".".join(map(str, connection.version))
        self.stream = stream
        self.away_since_ms = self.fault = None
        self.refused = False

    def disconnected(self, fault: StreamError | None, refused: bool, now_ms: int) -> None:
        """There is no connection, because of `fault`; `refused`: an operator must act."""
        self.server = self.server_version = ""
        self.fault, self.refused = fault, refused
        self.state = "connecting"
        if self.away_since_ms is None:
            self.away_since_ms = now_ms

    def acknowledged(self, rows: int, seconds: float, now_ms: int) -> None:
        """A message of ticks was acknowledged."""
        self.published_rows += rows
        self.published_messages += 1
        self.last_ack_ms = now_ms
        self.acks_ms.append((now_ms, seconds * 1000))

    def behind(self, stored: int, unsent: int, now_ms: int) -> None:
        """How many ticks are stored and how many of them are not sent."""
        self.stored_rows, self.behind_rows = stored, unsent
        if not self.behind_rows:
            self.behind_since_ms = None
        elif self.behind_since_ms is None:
            self.behind_since_ms = now_ms

    def ack_ms(self, percent: int, now_ms: int) -> float | None:
        """A percentile of the times that the acknowledgements of the last minute took, in ms; None without any."""
        return percentile((ms for at_ms, ms in self.acks_ms if now_ms - at_ms <= _WINDOW_MS), percent)

    def record(self, now_ms: int) -> PublishState:
        """The live state."""
        stream, fault = self.stream, self.fault
        return PublishState(
            written_ms=now_ms,
            started_ms=self.started_ms,
            pid=self.pid,
            version=self.version,
            source=self.source,
            data_root=self.data_root,
            state=self.state,
            server=self.server,
            server_version=self.server_version,
            away_since_ms=self.away_since_ms,
            fault=str(fault) if fault else "",
            fault_hint=fault.hint if fault else "",
            refused=self.refused,
            stream_bytes=stream.bytes if stream else 0,
            stream_max_bytes=stream.max_bytes if stream else -1,
            stream_max_age_s=stream.max_age_s if stream else 0.0,
            stream_replicas=stream.replicas if stream else 0,
            stream_servers=stream.servers_current if stream else 0,
            stream_differences=list(stream.differences) if stream else [],
            unsynced=self.unsynced,
            newest_day=self.newest_day,
            stored_rows=self.stored_rows,
            behind_rows=self.behind_rows,
            behind_since_ms=self.behind_since_ms,
            published_rows=self.published_rows,
            published_messages=self.published_messages,
            late_rows=self.late_rows,
            anew_rows=self.anew_rows,
            last_ack_ms=self.last_ack_ms,
            ack_ms_p50=self.ack_ms(50, now_ms),
            ack_ms_p99=self.ack_ms(99, now_ms),
            losses=self.losses,
            loss_ms=self.loss_ms,
            loss_detail=self.loss_detail,
            requests=self.requests,
            request_ms=self.request_ms,
            name_taken_by=self.name_taken_by,
            days_unread=dict(self.days_unread),
            cursors_unsaved=self.cursors_unsaved,
            checks_failed=self.checks_failed,
        )
