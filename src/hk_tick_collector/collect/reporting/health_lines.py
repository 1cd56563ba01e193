"""The health lines of the log, and their values for `systemctl status`.

Enters: figures, OpenD's state, the queue, the live state. Leaves: log lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import log, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.ops.findings.health import lag_s
from hk_tick_collector.stats import percentile

if TYPE_CHECKING:
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.collect.options import ServiceOptions
    from hk_tick_collector.stats import Stats

    from .live_state import LiveState


class HealthLines:
    """The lines that are logged every HEALTH_INTERVAL_SEC."""

    def __init__(
        self, options: ServiceOptions, stats: Stats, opend: OpenDState, queue: TickQueue, live: LiveState
    ) -> None:
        self._synchronous = options.store.synchronous
        self._stats = stats
        self._opend = opend
        self._queue = queue
        self._live = live

    def trouble(self) -> dict[str, str]:
        """Why the connection is down, what OpenD reports, what the writer waits for, which days are held."""
        link = "" if self._opend.connected else self._opend.link_reason
        named = {
            "link": link,
            "opend": self._opend_trouble(),
            "writer": self._queue.storing.writer_trouble,
            "held": ",".join(self._stats.held_rows),
        }
        return {part: why for part, why in named.items() if why}

    def _opend_trouble(self) -> str:
        """The trouble that OpenD reported, while it is connected; empty without any."""
        return ",".join(self._opend.trouble) if self._opend.connected else ""

    def health(self) -> dict[str, object]:
        """The values of the health line, also used for `systemctl status`."""
        stats, queue = self._stats, self._queue
        behind_s = lag_s(self._live.latest, now_ms()) if self._live.latest else None
        return {
            "connected": self._opend.connected,
            "subscribed": f"{self._opend.subscribed}/{stats.symbols}",
            "persisted_rows_per_min": self._live.rows_per_min,
            "lag_s": "none" if behind_s is None else round(behind_s, 1),
            "queue_rows": f"{queue.rows}/{queue.max_rows}",
            "gaps_open": stats.gaps_open,
            "gaps_missing": stats.gaps_missing,
            "exposed_rows": queue.exposed_rows,
            "exposed_s": round(queue.oldest_age_s(), 1),
            "synchronous": self._synchronous,
            "power_cut_mb": round(self._power_cut_bytes() / 2**20, 1),
            "dropped": stats.dropped,
            "rejected": stats.rejected_total,
            "market": self._live.market_state(),
            **({"opend": trouble} if (trouble := self._opend_trouble()) else {}),
            **self._copying(),
        }

    def _copying(self) -> dict[str, str]:
        """Since when another program is making a copy of the day file; empty when none is."""
        since_ms = self._stats.copy_since_ms
        return {} if since_ms is None else {"copying_since": f"{market.hkt(since_ms):%H:%M:%S}"}

    def log(self) -> None:
        """Logs the lines."""
        commits = self._live.pop_commits()
        stats, queue = self._stats, self._queue
        log.info("health", **self.health())
        log.info(
            "persist_summary",
            rows=sum(commit.rows for commit in commits),
            batches=len(commits),
            commit_ms_p50=percentile([commit.write_ms for commit in commits], 50),
            commit_ms_p99=percentile([commit.write_ms for commit in commits], 99),
            socket_to_commit_ms_max=max((commit.age_ms for commit in commits), default=None),
            stored_total=stats.stored,
            duplicate_total=stats.duplicate,
        )
        alive_ms, commit_ms = self._queue.storing.writer_alive_ms, stats.last_commit_ms
        log.info(
            "persist_loop_heartbeat",
            queue_rows=queue.rows,
            alive_age_s="none" if alive_ms is None else round((now_ms() - alive_ms) / 1000, 1),
            last_commit_age_s="none" if commit_ms is None else round((now_ms() - commit_ms) / 1000, 1),
            wal_mb=round(stats.wal_bytes / 2**20, 1),
            trouble=self._queue.storing.writer_trouble or "none",
        )

    def _power_cut_bytes(self) -> int:
        """How many committed bytes a power cut can lose: the WAL, if only a checkpoint syncs it."""
        return self._stats.wal_bytes if self._synchronous == "NORMAL" else 0
