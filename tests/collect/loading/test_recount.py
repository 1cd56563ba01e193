"""The real content of a day's file, if its counters cannot be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from hk_tick_collector import market
from hk_tick_collector.collect.loading.load import load_day
from hk_tick_collector.collect.loading.recount import rebuild_day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import Rejected
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAY = market.parse_day("20261120")
NAME = market.day_name(DAY)
OPEN_S = market.day_start_ms(DAY) // 1000 + 34_200
NOW_MS = OPEN_S * 1000 + 3_600_000


def row(symbol: str, counter: int) -> TickRow:
    second = OPEN_S + counter
    seq, ts_ms = second << 32 | counter, second * 1000
    return (symbol, seq, ts_ms, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", ts_ms, None, None)


def store(path: Path, rows: list[TickRow]) -> None:
    """A day file that holds these rows, written as the service writes, gaps included."""
    tracker = GapTracker(lambda number: load_day(path.parent, number), lambda: NOW_MS)
    day = DayFile(path, NAME, "run", NOW_MS, "test", StoreOptions())
    tracker.see(rows)
    gaps = [change.gap for change in tracker.take_changes()]
    day.write(Batch(rows=rows, gaps=gaps, rules=tracker.take_rules()), NOW_MS)
    day.close()


def open_gaps(tracker: GapTracker) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for track, open_gap in tracker.known.open_gaps():
        found.setdefault(track.symbol, []).append((open_gap.first, open_gap.last))
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"{NAME}.db"


def test_rows_missing_from_the_file_are_found_at_the_next_start(path: Path) -> None:
    """A file that lost rows behind its counters' back (a WAL removed, a spool record lost) shows them as gaps."""
    store(path, [row("HK.00700", n) for n in range(1, 21)] + [row("HK.00005", n) for n in (1, 2, 5)])
    db = apsw.Connection(str(path))
    db.execute("DELETE FROM ticks WHERE symbol = 'HK.00700' AND seq & 0xFFFFFFFF IN (4, 5, 11)")
    db.execute("UPDATE symbols SET rows = rows - 3 WHERE symbol = 'HK.00700'")
    db.close()

    tracker = GapTracker(lambda number: load_day(path.parent, number), lambda: NOW_MS)
    tracker.resume(DAY)

    assert open_gaps(tracker) == {"HK.00700": [(4, 5), (11, 11)], "HK.00005": [(3, 4)]}
    changed = {(change.gap.symbol, change.gap.missing) for change in tracker.take_changes()}
    assert changed == {("HK.00700", 2), ("HK.00700", 1)}


def test_a_file_with_matching_counters_is_not_read_tick_by_tick(path: Path) -> None:
    """Counters that explain every row change nothing: its gaps are those that were written."""
    store(path, [row("HK.00700", n) for n in (1, 2, 6)])
    tracker = GapTracker(lambda number: load_day(path.parent, number), lambda: NOW_MS)
    tracker.resume(DAY)
    assert open_gaps(tracker) == {"HK.00700": [(3, 5)]}
    assert tracker.take_changes() == []


def test_everything_but_rows_in_memory_is_missing_from_a_new_file(path: Path) -> None:
    """After a damaged file was renamed: everything seen before is a gap, except rows on their way."""
    seen = [row("HK.00700", n) for n in range(1, 101)]
    tracker = GapTracker(lambda number: load_day(path.parent, number), lambda: NOW_MS)
    tracker.see(seen)
    tracker.take_changes()
    store(path, seen[89:95])  # the fresh file took the batch that met the damage
    held = seen[95:]

    tracker.adopt(rebuild_day(path.parent, tracker.begin_rebuild(DAY), held, NOW_MS))

    assert open_gaps(tracker) == {"HK.00700": [(1, 89)]}
    tracker.see([row("HK.00700", 101)])
    assert open_gaps(tracker) == {"HK.00700": [(1, 89)]}


def test_only_symbols_that_lost_rows_are_counted_again(path: Path) -> None:
    """The spool lost rows of one symbol: they are gaps. The gap of another symbol and a rejected tick do not change."""
    stored = [row("HK.00700", n) for n in (1, 2, 3, 5)] + [row("HK.00005", n) for n in (1, 2, 5)]
    tracker = GapTracker(lambda number: load_day(path.parent, number), lambda: NOW_MS)
    tracker.see(stored[:3])
    refused = row("HK.00700", 4)
    tracker.reject([Rejected("HK.00700", refused[1], "non_finite", "", refused[2])])
    tracker.see(stored[3:])
    day = DayFile(path, NAME, "run", NOW_MS, "test", StoreOptions())
    gaps = [change.gap for change in tracker.take_changes()]
    day.write(Batch(rows=stored, gaps=gaps, rules=tracker.take_rules()), NOW_MS)
    day.close()
    tracker.see([row("HK.00700", n) for n in range(6, 9)])  # these the spool had

    tracker.adopt(rebuild_day(path.parent, tracker.begin_rebuild(DAY), [], NOW_MS))

    assert open_gaps(tracker) == {"HK.00700": [(6, 8)], "HK.00005": [(3, 4)]}
    changed = [(change.gap.symbol, change.gap.missing, change.gap.cause) for change in tracker.take_changes()]
    assert sorted(changed) == [("HK.00005", 2, "push_lost"), ("HK.00700", 3, "damaged")]


def test_everything_but_rows_in_memory_is_missing_without_a_file(path: Path) -> None:
    """The spool lost all rows of a day: the recount does not wait for a file that is never created."""
    tracker = GapTracker(lambda number: load_day(path.parent, number), lambda: NOW_MS)
    tracker.see([row("HK.00700", n) for n in range(1, 6)])
    tracker.adopt(rebuild_day(path.parent, tracker.begin_rebuild(DAY), [row("HK.00700", 5)], NOW_MS))
    assert open_gaps(tracker) == {"HK.00700": [(1, 4)]}
