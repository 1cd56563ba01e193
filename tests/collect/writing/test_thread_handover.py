"""Events from the writer to the event loop are passed once, whichever thread writes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.collect.conftest import CAP_S

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange

from .conflicts import DAY, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def test_each_gap_event_and_commit_is_passed_on_once(make_rig: MakeRig, tick: MakeTick) -> None:
    """While the writer commits and another thread takes events, both at full speed, none is lost or passed twice."""
    rig = make_rig(batch_rows=1, max_wait_ms=1)
    number = market.parse_day(DAY)
    popped_gaps: list[Gap] = []
    popped_rows = 0
    done = threading.Event()

    def pop() -> None:
        nonlocal popped_rows
        while True:
            last = done.is_set()
            popped_gaps.extend(rig.writer.pop_gap_events())
            popped_rows += sum(commit.rows for commit in rig.writer.pop_commits())
            if last:
                return

    popper = threading.Thread(target=pop)
    popper.start()
    events = []
    for gap_id in range(300):
        opened = Gap("HK.00700", gap_id, gap_id, 1, 2, 1, "restart", GAP_OPEN, 5, None, gap_id)
        closed = opened._replace(missing=0, status=GAP_HEALED, closed_ms=6)
        events += [opened, closed]
        rig.queue.put(Chunk(rows=[tick("HK.00700", 2 * gap_id)], gaps=[GapChange(number, opened)]))
        rig.queue.put(Chunk(rows=[tick("HK.00700", 2 * gap_id + 1)], gaps=[GapChange(number, closed)]))
    rig.writer.start()
    rig.wait_stored(600)
    stop(rig)
    done.set()
    popper.join(CAP_S)
    assert popped_gaps == events
    assert popped_rows == 600
    assert (rig.stats.gaps_open, rig.stats.gaps_missing) == (0, 0)


def test_a_new_writer_passes_on_the_events_of_the_old_one(make_rig: MakeRig, tick: MakeTick) -> None:
    """Commits of a replaced writer are logged through its successor, once."""
    old, new = make_rig(), make_rig()
    old.put([tick("HK.00700", 1)])
    old.writer.start()
    stop(old)
    new.writer.take_over(old.writer)
    assert [commit.rows for commit in new.writer.pop_commits()] == [1]
    assert old.writer.pop_commits() == []
