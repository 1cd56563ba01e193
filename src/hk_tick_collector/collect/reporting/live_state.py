"""Creates the live state of one second from the figures of all parts.

Enters: figures, OpenD's state, the queue. Leaves: LiveStatus.
"""

from __future__ import annotations

import errno
import os
import resource
import time
from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.model import LATELY_MS
from hk_tick_collector.ops.live.status import LiveStatus
from hk_tick_collector.stats import percentile
from hk_tick_collector.store.rights import account

from .free_space import FreeSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.day_turn import DayTurn
    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.options import ServiceOptions
    from hk_tick_collector.collect.writing.current_writer import CurrentWriter
    from hk_tick_collector.collect.writing.thread_handover import Commit
    from hk_tick_collector.stats import Stats

    from .gap_log import GapLog

_MINUTE: Final = 60
_TRIES: Final = 5
_TRY_AGAIN_S: Final = 0.001
_LATELY_BEATS: Final = LATELY_MS // 1000
_COUNTED_LATELY: Final = (
    "dropped",
    "rejected",
    "sealed_day",
    "sealed_day_backfill",
    "conflicts",
    "no_sequence",
    "future_date",
    "not_subscribed",
    "stalls",
    "link_breaks",
    "protocol_errors",
    "skipped_messages",
)
# Fields that have the same name in the live state and in their source.
_OF_STATS: Final = (
    "symbols",
    "quota_used",
    "quota_remaining",
    "connects",
    "skipped_messages",
    "received",
    "stored",
    "duplicate",
    "newest_day",
    "newest_ts_ms",
    "last_tick_ms",
    "last_commit_ms",
    "writer_detail",
    "writer_day",
    "writer_trouble_since_ms",
    "writer_holder_pid",
    "writer_holder",
    "copy_path",
    "copy_since_ms",
    "wal_bytes",
    "damaged_files",
    "gone_files",
    "held_rows",
    "held_again",
    "held_causes",
    "held_details",
    "not_sealed",
    "predecessor_days",
    "predecessor_files",
    "predecessor_remedies",
    "stalls",
    "gaps_open",
    "gaps_missing",
    "sealed_day",
    "sealed_day_backfill",
    "conflicts",
    "conflicts_symbols",
    "conflicts_most",
    "conflicts_most_ticks",
    "no_sequence",
    "no_sequence_symbols",
    "no_sequence_most",
    "no_sequence_most_ticks",
    "not_subscribed",
    "not_subscribed_first",
    "link_break_ms",
    "link_break_reason",
    "protocol_error",
    "skipped_message",
    "questions_failed",
    "backfill_failing_ms",
    "backfill_failed_ms",
    "backfill_reason",
    "bad_symbols",
    "unplanned_ms",
    "alerts_muted",
    "alerts_failing",
    "alerts_error",
    "deadman_failing_ms",
    "deadman_error",
    "disk_frozen",
    "importing",
    "importing_rows",
    "importing_done",
    "importing_checked",
)
_OF_OPEND: Final = (
    "drift_s",
    "connected",
    "link_since_ms",
    "link_reason",
    "program",
    "program_detail",
    "quote_logged_in",
    "subscribed",
    "refused",
    "trouble",
    "link_hint",
    "trouble_since_ms",
)
_OF_STORING: Final = (
    "writer_alive_ms",
    "writer_trouble",
    "copy_held",
)


class LiveState:
    """Creates LiveStatus objects. `latest` is the last one."""

    def __init__(
        self,
        options: ServiceOptions,
        stats: Stats,
        opend: OpenDState,
        queue: TickQueue,
        day_turn: DayTurn,
        gaps: GapLog,
        current_writer: CurrentWriter,
    ) -> None:
        self.latest: LiveStatus | None = None
        self._options = options
        self._free_space = FreeSpace(options.data_root)
        self._stats = stats
        self._opend = opend
        self._queue = queue
        self._day_turn = day_turn
        self._gaps = gaps
        self._current_writer = current_writer
        self._started_ms = now_ms()
        self._account = account()
        self._per_second: deque[int] = deque(maxlen=_MINUTE)
        self._stored_before = 0
        self._counted = deque([self._counts()], maxlen=_LATELY_BEATS)
        self._disk_waits_ms: deque[int] = deque(maxlen=_MINUTE)
        self._disk_frozen: deque[bool] = deque(maxlen=_MINUTE)
        self._recent: deque[Commit] = deque(maxlen=1000)  # commits for the percentiles
        self._interval: list[Commit] = []  # commits since the last health lines
        self._trading_since_ms: int | None = None  # start of the current trading state
        self._trading_state: int | None = None
        self._ticks_expected_since_ms: int | None = None

    def take(self, state: str) -> LiveStatus:
        """Measures one second and returns the new live state. `state` is the state of the service."""
        stats = self._stats
        commits = self._current_writer.writer.pop_commits()
        self._recent.extend(commits)
        self._interval += commits
        self._per_second.append(stats.stored - self._stored_before)
        self._stored_before = stats.stored
        self._counted.append(self._counts())
        self._disk_waits_ms.append(stats.disk_wait_ms)
        self._disk_frozen.append(stats.disk_frozen and stats.disk_wait_ms > 0)
        self._note_trading()
        self.latest = taken_evenly(lambda: self._status(state))
        return self.latest

    def pop_commits(self) -> list[Commit]:
        """The commits since the last call."""
        commits, self._interval = self._interval, []
        return commits

    @property
    def rows_per_min(self) -> int:
        """Rows stored within the last minute."""
        return sum(self._per_second)

    def _trading(self) -> bool:
        state = self._opend.market_state
        return self._opend.connected and self._opend.state_known and state is not None and market.is_trading(state)

    def _note_trading(self) -> None:
        state = self._opend.market_state if self._trading() else None
        if state != self._trading_state:
            self._trading_state = state
            self._trading_since_ms = None if state is None else now_ms()
        told = self._opend.market_state if self._opend.state_known else None
        if told is not None and not market.is_continuous(told):
            self._ticks_expected_since_ms = None
        elif self._ticks_expected_since_ms is None:
            self._ticks_expected_since_ms = now_ms()

    def market_state(self) -> str:
        """The name of the market's state; `unknown` if OpenD has not reported it recently.

        While OpenD is away it is the last one reported, until that session or the day is over.
        """
        opend = self._opend
        if opend.market_state is None or not opend.state_known:
            return "unknown"
        if not opend.connected:
            moment_ms = self._exchange_ms()
            told_ms = opend.opend_time_ms or opend.link_since_ms or moment_ms
            if market.is_outdated(opend.market_state, told_ms, moment_ms):
                return "unknown"
        return market.state_name(opend.market_state)

    def _exchange_ms(self) -> int:
        """OpenD's clock now, as far as its difference from this host's clock is known."""
        return now_ms() - int((self._opend.drift_s or 0.0) * 1000)

    def _day_kind(self) -> str:
        """The kind of today in OpenD's calendar, by OpenD's date; empty while the calendar does not tell it."""
        opend, calendar = self._opend, self._opend.calendar
        if not calendar or (opend.connected and opend.opend_time_ms is None):
            return ""
        told_ms = opend.opend_time_ms if opend.connected else None  # without a connection it is the last answer's
        day = market.day_name(market.day_number(self._exchange_ms() if told_ms is None else told_ms))
        if not opend.connected and day > max(calendar):
            return ""  # OpenD has been away for longer than its calendar covers
        return calendar.get(day, "holiday")

    def _status(self, state: str) -> LiveStatus:
        options, stats, queue = self._options, self._stats, self._queue
        write_ms = [commit.write_ms for commit in self._recent]
        stopped = self._stopped_lately()
        descriptors, descriptors_limit = _descriptors()
        return LiveStatus(
            written_ms=now_ms(),
            started_ms=self._started_ms,
            pid=os.getpid(),
            version=__version__,
            instance=options.instance,
            account=self._account,
            state=state,
            data_root=str(options.data_root),
            address=f"{options.feed.host}:{options.feed.port}",
            market_state=self.market_state(),
            trading=self._trading(),
            trading_since_ms=self._trading_since_ms,
            ticks_expected_since_ms=self._ticks_expected_since_ms,
            rejected=stats.rejected_total,
            dropped=stats.dropped,
            waiting=queue.rows,
            max_queue_rows=queue.max_rows,
            persisted_rows_per_min=self.rows_per_min,
            rows_per_s=list(self._per_second),
            wal_autocheckpoint_bytes=options.store.wal_autocheckpoint_bytes,
            spooled=queue.spooled_rows,
            commit_ms_p50=percentile(write_ms, 50),
            commit_ms_p99=percentile(write_ms, 99),
            day_kind=self._day_kind(),
            day_expected=self._day_turn.expects_today,
            disk_free_mb=self._free_space.mb(),
            synchronous=options.store.synchronous,
            exposed_rows=queue.exposed_rows,
            exposed_s=queue.oldest_age_s(),
            pushes_stopped_lately=len(stopped),
            pushes_stopped_first=stopped[0] if stopped else "",
            disk_wait_s=stats.disk_wait_ms / 1000,
            disk_wait_max_s=max(self._disk_waits_ms, default=0) / 1000,
            disk_waits=sum(wait_ms > 0 for wait_ms in self._disk_waits_ms),
            disk_waits_frozen=sum(self._disk_frozen),
            descriptors=descriptors,
            descriptors_limit=descriptors_limit,
            **{name: copy(getattr(stats, name)) for name in _OF_STATS},
            **{name: copy(getattr(self._opend, name)) for name in _OF_OPEND},
            **{name: getattr(queue.storing, name) for name in _OF_STORING},
            **self._grown_lately(),
            **self._gaps.summary(),
        )

    def _counts(self) -> tuple[int, ...]:
        return tuple(getattr(self._stats, name) for name in _COUNTED_LATELY)

    def _grown_lately(self) -> dict[str, Any]:
        """The increase of the counters within the last 15 minutes."""
        growth = zip(_COUNTED_LATELY, self._counts(), self._counted[0], strict=True)
        return {f"{name}_lately": now - before for name, now, before in growth}

    def _stopped_lately(self) -> list[str]:
        """Symbols whose pushes were found to be stopped within the last 15 minutes, in order of finding."""
        since_ms = now_ms() - LATELY_MS
        return [symbol for symbol, found_ms in self._stats.pushes_stopped.items() if found_ms > since_ms]


def taken_evenly(take: Callable[[], LiveStatus], sleep: Callable[[float], None] = time.sleep) -> LiveStatus:
    """The live state, taken again if the writer was between counting a batch as stored and taking it out of the queue:
    the batch would be counted twice. Counts that stay uneven are returned as they are.
    """
    for _ in range(_TRIES):
        status = take()
        settled = status.stored + status.duplicate + status.rejected + status.dropped
        if status.received == settled + status.waiting:
            break
        sleep(_TRY_AGAIN_S)  # lets the writer go on
    return status


def _descriptors() -> tuple[int | None, int]:
    """How many descriptors this process has open, and its limit. When none is left, both are the limit."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return len(os.listdir("/proc/self/fd")) - 1, limit  # noqa: PTH208 - names are enough; minus the one of this listing
    except OSError as error:
        return limit if error.errno == errno.EMFILE else None, limit
