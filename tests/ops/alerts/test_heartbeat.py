"""When a heartbeat message is due, by a clock that the test sets, and what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector.ops.alerts.heartbeat import HeartbeatClock, heartbeat
from hk_tick_collector.ops.alerts.mutes import EVERYTHING, Mute
from hk_tick_collector.ops.findings.health import Limits, check

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

LIMITS = Limits(drift_warn_s=2, lag_critical_s=300, disk_min_free_mb=100, queue_warn_rows=1000)
CLOSED: dict[str, Any] = {"market_state": "closed", "trading": False}


def due(clock: HeartbeatClock, make_status: MakeStatus, minutes: range, **changes: Any) -> list[int]:
    """The minutes after NOW_MS at which one is due, checked every second."""
    found = []
    for second in range(minutes.start * 60, minutes.stop * 60):
        now_ms = NOW_MS + second * 1000
        if clock.due(make_status(written_ms=now_ms, **changes), now_ms):
            found.append(second // 60)
    return found


def test_it_is_due_every_so_many_minutes_of_trading(make_status: MakeStatus) -> None:
    """At the begin of trading, then by the setting; not while the market is closed; 0 is never."""
    clock = HeartbeatClock(15, 0)
    assert due(clock, make_status, range(5), **CLOSED) == []
    assert due(clock, make_status, range(5, 40)) == [5, 20, 35]
    assert due(HeartbeatClock(0, 0), make_status, range(5)) == []


def test_a_restart_does_not_repeat_it(make_status: MakeStatus) -> None:
    """The time of the last one is remembered."""
    assert due(HeartbeatClock(15, NOW_MS - 60_000), make_status, range(20)) == [14]


@pytest.mark.parametrize("state", ["morning", "waiting_open", "unknown"])
def test_it_goes_on_while_opend_is_away(make_status: MakeStatus, state: str) -> None:
    """The clock tells the trading hours then: silence would mean that the collector is down.

    The collector keeps the last market state, and `trading` is False without a connection.
    """
    away = {"connected": False, "market_state": state, "trading": False}
    assert due(HeartbeatClock(15, 0), make_status, range(16), **away) == [0, 15]
    assert due(HeartbeatClock(15, 0), make_status, range(16), **away, day_kind="holiday") == []


def test_what_it_says(make_status: MakeStatus) -> None:
    """One line in the operator's language: verdict, rate, lag, gaps, what is muted."""
    figures = {"persisted_rows_per_min": 12_345, "gaps_open": 2, "gaps_missing": 1_388}
    status = make_status(written_ms=NOW_MS, newest_ts_ms=NOW_MS - 900, **figures)
    assert heartbeat(status, [], [], "en") == "OK: 12,345 rows/min, lag 0.9 s, 2 gaps open, 1,388 ticks missing"
    away = replace(status, connected=False, trading=False)
    assert heartbeat(away, [], [], "en") == "OK: 12,345 rows/min, 2 gaps open, 1,388 ticks missing"
    assert heartbeat(away, [], [], "zh-Hant") == "OK：每分鐘 12,345 筆，未補的缺口 2 個，欠 1,388 筆"
    wrong = make_status(writer_trouble="disk_full", writer_detail="x", writer_trouble_since_ms=NOW_MS, disk_free_mb=1)
    mutes = [Mute(EVERYTHING, NOW_MS, NOW_MS + 3_600_000, "duty"), Mute("lag", NOW_MS, NOW_MS + 90_000_000, "duty")]
    line = heartbeat(wrong, check(wrong, NOW_MS, LIMITS), mutes, "en")
    assert line.startswith("CRITICAL writer_disk_full (and 1 more): 0 rows/min, ")
    assert line.endswith("; muted: all findings until 11:00 HKT, lag until 2026-11-21 11:00 HKT")
    chinese = heartbeat(wrong, check(wrong, NOW_MS, LIMITS), mutes, "zh-Hant")
    assert chinese.startswith("CRITICAL writer_disk_full（另有 1 項）：每分鐘 0 筆")
    assert chinese.endswith("；已靜音：所有問題 至 11:00 HKT、lag 至 2026-11-21 11:00 HKT")
