"""The demo without a terminal: one plain line a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.ops.findings.health import lag_s

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus


def plain_line(live: LiveStatus, file_bytes: int) -> str:
    """One moment as one line, for pipes and logs."""
    behind_s = lag_s(live, live.written_ms)
    rate = live.rows_per_s[-1] if live.rows_per_s else 0
    return (
        f"{market.hkt(live.written_ms):%H:%M:%S} HKT  rate {rate:,}/s  stored {live.stored:,}"
        f"  lag {'-' if behind_s is None else f'{behind_s:.1f} s'}  queue {live.waiting:,}"
        f"  commit p99 {live.commit_ms_p99 or 0} ms  file {file_bytes / 2**20:.1f} MB"
        f" + WAL {live.wal_bytes / 2**20:.1f} MB"
    )
