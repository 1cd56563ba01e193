"""The health lines, which an operator reads first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.reporting.health_lines import HealthLines
from hk_tick_collector.collect.writing.thread_handover import Commit
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from tests.collect.conftest import Journal


class Rig:
    """Health lines of a service that has stored some commits."""

    def __init__(self, *commits: Commit, synchronous: str = "FULL") -> None:
        self.stats, self.opend, self.queue = Stats(symbols=2), OpenDState(), TickQueue(10)
        live = SimpleNamespace(
            latest=None, rows_per_min=7, market_state=lambda: "morning", pop_commits=lambda: list(commits)
        )
        neighbours: tuple[Any, ...] = (
            SimpleNamespace(store=SimpleNamespace(synchronous=synchronous)),
            self.stats,
            self.opend,
            self.queue,
            live,
        )
        self.lines = HealthLines(*neighbours)


def test_three_lines_report_the_health(journal: Journal) -> None:
    """Connection and queue, the commits since the last time, and whether the writer runs."""
    rig = Rig(Commit(5, 2.0, 8), Commit(7, 4.0, 9))
    rig.opend.connected, rig.opend.subscribed = True, 2
    rig.lines.log()
    (health,), (persisted,), (beat,) = (
        journal.events(name) for name in ("health", "persist_summary", "persist_loop_heartbeat")
    )
    assert {name: health.fields[name] for name in ("connected", "subscribed", "queue_rows", "market")} == {
        "connected": "True",
        "subscribed": "2/2",
        "queue_rows": "0/10",
        "market": "morning",
    }
    assert {name: persisted.fields[name] for name in ("rows", "batches", "socket_to_commit_ms_max")} == {
        "rows": "12",
        "batches": "2",
        "socket_to_commit_ms_max": "9",
    }
    assert (beat.fields["alive_age_s"], beat.fields["trouble"]) == ("none", "none")


def test_the_line_says_why_no_tick_comes() -> None:
    """Without a connection its reason; otherwise OpenD's notice, what the writer waits for, days that wait."""
    rig = Rig()
    assert rig.lines.trouble() == {"link": "starting"}
    rig.opend.connected, rig.opend.trouble = True, {"kicked_out": "elsewhere"}
    rig.queue.storing.writer_trouble = "disk_full"
    rig.stats.held_rows = {"20261119": 3}
    assert rig.lines.trouble() == {"opend": "kicked_out", "writer": "disk_full", "held": "20261119"}


def test_only_with_synchronous_normal_a_power_cut_loses_commits() -> None:
    """With FULL a commit is on the disk when it returns."""
    for synchronous, expected in (("FULL", 0.0), ("NORMAL", 3.0)):
        rig = Rig(synchronous=synchronous)
        rig.stats.wal_bytes = 3 << 20
        assert rig.lines.health()["power_cut_mb"] == expected
