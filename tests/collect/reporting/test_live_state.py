"""The live state has the values of the parts, by name; and the market's state while OpenD is away."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.live_state import live_state as live

from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.reporting import live_state
from hk_tick_collector.collect.reporting.gap_log import Summary
from hk_tick_collector.collect.reporting.live_state import LiveState, taken_evenly
from hk_tick_collector.collect.storing_state import StoringState
from hk_tick_collector.model import Tick
from hk_tick_collector.ops.live.status import LiveStatus
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from pathlib import Path

NAMED = ((live_state._OF_STATS, Stats), (live_state._OF_OPEND, OpenDState), (live_state._OF_STORING, StoringState))  # noqa: SLF001


@pytest.mark.parametrize(("names", "source"), NAMED)
def test_fields_copied_by_name_exist_on_both_sides(names: tuple[str, ...], source: type) -> None:
    """And means the same there: the types agree."""
    told = {field.name: field.type for field in fields(LiveStatus)}
    here = {field.name: field.type for field in fields(source)}
    assert {name: told[name] for name in names} == {name: here[name] for name in names}


def test_no_field_is_copied_twice() -> None:
    """Each field has one source."""
    names = [name for each, _ in NAMED for name in each]
    assert len(names) == len(set(names))


def test_a_batch_that_is_just_committed_is_counted_once() -> None:
    """The writer has counted it as stored and not yet taken it out of the queue: the state is taken again."""
    stats, queue = Stats(received=10), TickQueue(100)
    queue.put(Chunk(rows=[Tick("HK.00700", n, n, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", n) for n in range(10)]))
    taken = queue.take(10, 0.0, 0.0)
    stats.stored = 10
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        queue.done(taken)

    status = taken_evenly(lambda: live(received=stats.received, stored=stats.stored, waiting=queue.rows), sleep)
    assert (status.received, status.stored, status.waiting, len(waited)) == (10, 10, 0, 1)


def test_counts_that_stay_uneven_are_shown() -> None:
    """A tick that is in no count must not be hidden."""
    waited: list[float] = []
    status = taken_evenly(lambda: live(received=10, stored=9), waited.append)
    assert (status.received, status.stored, status.waiting) == (10, 9, 0)
    assert 0 < sum(waited) < 0.05


def at(text: str) -> int:
    """A Hong Kong time, UTC epoch ms."""
    return int(datetime.fromisoformat(f"{text}+08:00").timestamp() * 1000)


def seen(tmp_path: Path, opend: OpenDState, now: str) -> LiveStatus:
    """The live state that the service takes when OpenD's clock is `now`: this host's clock is off by the difference."""
    opend.drift_s = (now_ms() - at(now)) / 1000
    writer = SimpleNamespace(pop_commits=list)
    options: Any = SimpleNamespace(
        data_root=tmp_path,
        instance="one",
        feed=SimpleNamespace(host="127.0.0.1", port=11111),
        store=SimpleNamespace(wal_autocheckpoint_bytes=1, synchronous="FULL"),
    )
    gaps: Any = SimpleNamespace(summary=lambda: dict.fromkeys(Summary.__annotations__, 0))
    turn: Any = SimpleNamespace(expects_today=True)
    current: Any = SimpleNamespace(writer=writer)
    return LiveState(options, Stats(), opend, TickQueue(10), turn, gaps, current).take("running")


LOST_ON_FRIDAY = {"state_known": True, "calendar": {"20261120": "whole", "20261123": "morning"}}


@pytest.mark.parametrize(
    ("told", "state", "now", "is_told", "kind"),
    [
        ("2026-11-20T10:00:00", 3, "2026-11-20T11:59:50", "morning", "whole"),
        ("2026-11-20T10:00:00", 3, "2026-11-20T12:00:10", "unknown", "whole"),  # that session is over
        ("2026-11-20T15:00:00", 5, "2026-11-20T15:59:50", "afternoon", "whole"),
        ("2026-11-20T15:00:00", 5, "2026-11-20T17:00:00", "unknown", "whole"),
        ("2026-11-20T17:00:00", 6, "2026-11-20T23:59:50", "closed", "whole"),
        ("2026-11-20T17:00:00", 6, "2026-11-21T00:00:10", "unknown", "holiday"),
        ("2026-11-20T15:00:00", 5, "2026-11-21T03:00:00", "unknown", "holiday"),
        ("2026-11-20T17:00:00", 6, "2026-11-23T10:00:00", "unknown", "morning"),
        ("2026-11-20T17:00:00", 6, "2026-11-24T10:00:00", "unknown", ""),  # later than the calendar
    ],
)
def test_what_opend_reported_grows_old_while_it_is_away(
    tmp_path: Path, told: str, state: int, now: str, is_told: str, kind: str
) -> None:
    """The market's state lasts as long as its session and its day; the kind of the day is that of today's date."""
    opend = OpenDState(opend_time_ms=at(told), market_state=state, **LOST_ON_FRIDAY)  # type: ignore[arg-type]
    status = seen(tmp_path, opend, now)
    assert (status.market_state, status.trading, status.day_kind) == (is_told, False, kind)


def test_while_connected_opend_decides(tmp_path: Path) -> None:
    """Its state and its date count, whatever the clocks show."""
    told_ms = at("2026-11-20T15:59:59")
    opend = OpenDState(connected=True, opend_time_ms=told_ms, market_state=5, **LOST_ON_FRIDAY)  # type: ignore[arg-type]
    status = seen(tmp_path, opend, "2026-11-21T16:00:30")
    assert (status.market_state, status.trading, status.day_kind) == ("afternoon", True, "whole")
