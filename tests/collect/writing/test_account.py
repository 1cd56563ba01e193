"""What the writer rejects: other content under a stored key, ticks of sealed days. Counted, logged, no flood."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.collect.conftest import wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.model import GAP_OPEN, Gap, GapChange, Tick
from hk_tick_collector.store.dayfile import StoreOptions, seal

from .conflicts import ACCOUNT, DAY, other, settled, stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def test_other_content_under_one_key_is_rejected_and_logged(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """The first stays; the others are rejected with their cause, each whole in the log; sequence 0 has its own."""
    rig = make_rig()
    first, nameless = tick("HK.00700", 7), tick("HK.00005", 0)
    rig.put([first, other(first), nameless])
    rig.writer.start()
    wait_until(lambda: settled(rig) == 3, "the first batch")
    rig.put([other(first), first, other(nameless)])
    wait_until(lambda: settled(rig) == 6, "the second batch")
    stop(rig)
    told = [(event.fields["cause"], event.fields["symbol"]) for event in journal.events("tick_rejected")]
    assert told == [("conflict", "HK.00700"), ("conflict", "HK.00700"), ("no_sequence", "HK.00005")]
    whole = journal.events("tick_rejected")[0].fields
    assert set(Tick._fields) <= set(whole)
    assert (whole["volume"], whole["day"]) == ("7700", DAY)
    stats = rig.stats
    assert (stats.conflicts, stats.conflicts_symbols, stats.conflicts_most, stats.conflicts_most_ticks) == (
        2, 1, "HK.00700", 2,
    )  # fmt: skip
    assert (stats.no_sequence, stats.no_sequence_most, stats.no_sequence_most_ticks) == (1, "HK.00005", 1)
    assert rig.query(DAY, ACCOUNT) == [(6, 2, 1, 3, 0, 0)]


def test_a_conflict_that_is_backfilled_again_is_not_logged_again(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """OpenD returns it with every answer: logged and counted as a conflict once, and in the ledger each time."""
    rig = make_rig()
    first, nameless = tick("HK.00700", 7), tick("HK.00005", 0)
    again = [
        Tick(*row)._replace(push_type="backfill", recv_ts_ms=row[9] + 5) for row in (other(first), other(nameless))
    ]
    rig.put([first, other(first), nameless, other(nameless)])
    rig.writer.start()
    wait_until(lambda: settled(rig) == 4, "the pushes")
    rig.put([*again])
    rig.put([*again])
    rig.put([*again])
    wait_until(lambda: settled(rig) == 10, "three answers")
    rig.put([Tick(*again[0])._replace(price=1.5)])
    wait_until(lambda: settled(rig) == 11, "another trade under the same key")
    stop(rig)
    assert [event.fields["symbol"] for event in journal.events("tick_rejected")] == ["HK.00700", "HK.00005", "HK.00700"]
    assert (rig.stats.conflicts, rig.stats.no_sequence, rig.stats.rejected_again) == (2, 1, 6)
    assert rig.query(DAY, ACCOUNT) == [(11, 2, 0, 9, 0, 0)]


def test_a_flood_of_conflicts_is_a_hundred_lines_and_a_count(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """A counter that restarts during the day: thousands of ticks, each in the ledger, not each in the log."""
    rig = make_rig()
    rows = [tick("HK.00700", seq) for seq in range(1, 3001)]
    rig.put(rows)
    rig.put([other(row) for row in rows])
    rig.writer.start()
    wait_until(lambda: settled(rig) == 6000, "all")
    stop(rig)
    assert len(journal.events("tick_rejected")) == 100
    (count,) = journal.events("ticks_rejected")
    assert count.fields == {"cause": "conflict", "ticks": "2900", "symbols": "1", "most": "HK.00700:2900"}
    assert rig.query(DAY, ACCOUNT) == [(6000, 3000, 0, 3000, 0, 0)]


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
def test_conflicts_of_a_commit_reported_as_failed_are_counted_once(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk, *, reader: bool
) -> None:
    """Whether the commit turns out to be there or not: figures, log lines and gap events are those of one commit."""
    rig = make_rig(vfs=disk.name)
    rig.writer.prepare(market.parse_day(DAY))
    held = apsw.Connection(str(rig.data_root / f"{DAY}.db"), flags=apsw.SQLITE_OPEN_READONLY) if reader else None
    if held:
        held.execute("SELECT count(*) FROM ticks").get  # noqa: B018 - a property that reads
    disk.fail("sync", apsw.IOError)
    rows = [tick("HK.00700", seq) for seq in range(1, 101)]
    gap = Gap("HK.00700", 1, 2, 3, 4, 2, "restart", GAP_OPEN, 5, None, 1)
    rig.queue.put(Chunk(rows=[*rows, *rows[:10], *map(other, rows[:5])], gaps=[GapChange(market.parse_day(DAY), gap)]))
    rig.writer.start()
    journal.wait_for("persist_failed")
    disk.repair()
    wait_until(lambda: settled(rig) == 115, "all")
    if held:
        held.close()
    stop(rig)
    assert (rig.stats.stored, rig.stats.duplicate, rig.stats.conflicts) == (100, 10, 5)
    assert len(journal.events("tick_rejected")) == 5
    assert rig.writer.pop_gap_events() == [gap]
    assert rig.query(DAY, ACCOUNT) == [(115, 100, 10, 5, 0, 0)]


# --- sealed days ---


def sealed(make_rig: MakeRig, tick: MakeTick, root: Path) -> None:
    """A sealed day with the ticks 1 to 100."""
    rig = make_rig()
    rig.put([tick("HK.00700", seq) for seq in range(1, 101)])
    rig.writer.start()
    stop(rig)
    assert seal(root / f"{DAY}.db", rig.now_ms, StoreOptions())


def test_a_backfill_that_reaches_back_to_a_sealed_day_is_one_line(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """Symbols that were added in the morning: yesterday's ticks are counted, with one log line a minute."""
    sealed(make_rig, tick, tmp_path)
    rig = make_rig()
    rig.now_ms += market.DAY_MS
    rig.writer.prepare(market.parse_day(DAY) + 1)
    rig.writer.start()
    for number in range(20):
        symbol = f"HK.{number:05}"
        rig.put([Tick(*tick(symbol, seq))._replace(push_type="backfill") for seq in range(1, 1001)])
    wait_until(lambda: settled(rig) == 20_000, "all")
    stop(rig)
    assert journal.events("tick_rejected") == []
    lines = journal.events("ticks_rejected")
    assert [line.fields["cause"] for line in lines] == ["sealed_day_backfill"]
    assert (rig.stats.sealed_day, rig.stats.sealed_day_backfill) == (0, 20_000)
    assert rig.query("20261121", ACCOUNT) == [(20_000, 0, 0, 20_000, 0, 0)]


def test_a_hundred_pushed_ticks_of_a_sealed_day_are_logged_whole(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """A tick that the day has is a duplicate, one that differs is a conflict, a missing one is rejected."""
    sealed(make_rig, tick, tmp_path)
    rig = make_rig()
    rig.now_ms += market.DAY_MS
    rig.writer.prepare(market.parse_day(DAY) + 1)
    rig.writer.start()
    rig.put([tick("HK.00700", 5), other(tick("HK.00700", 6)), *(tick("HK.00700", seq) for seq in range(200, 400))])
    wait_until(lambda: settled(rig) == 202, "all")
    stop(rig)
    causes = [event.fields["cause"] for event in journal.events("tick_rejected")]
    assert sorted(causes) == ["conflict"] + ["sealed_day"] * 100
    assert [event.fields["ticks"] for event in journal.events("ticks_rejected")] == ["100"]
    assert (rig.stats.duplicate, rig.stats.conflicts, rig.stats.sealed_day) == (1, 1, 200)
    assert rig.query("20261121", ACCOUNT) == [(202, 0, 1, 201, 0, 0)]


# --- tables that others change ---


def stock(path: Path, sql: str) -> None:
    """A change by another program, with the system's sqlite3."""
    subprocess.run(["sqlite3", str(path), ".timeout 10000", sql], check=True, timeout=30)


def test_a_changed_schema_is_waited_for(make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path) -> None:
    """A table is renamed in the live file: named, ticks wait and are stored when that is undone; also at a start."""
    rig = make_rig()
    rig.put([tick("HK.00700", 1)])
    rig.writer.start()
    rig.wait_stored(1)
    stock(tmp_path / f"{DAY}.db", "ALTER TABLE ticks RENAME TO trades")
    rig.put([tick("HK.00700", 2)])
    assert journal.wait_for("day_held").fields["cause"] == "schema_changed"
    wait_until(lambda: rig.stats.held_causes == {DAY: "schema_changed"}, "the day among those that wait")
    assert "ticks is missing" in rig.stats.held_details[DAY]
    stock(tmp_path / f"{DAY}.db", "ALTER TABLE trades RENAME TO ticks")
    rig.wait_stored(2)
    stop(rig)

    stock(tmp_path / f"{DAY}.db", "ALTER TABLE ticks RENAME TO trades")
    again = make_rig()
    again.writer.prepare(market.parse_day(DAY))  # no error: the service starts
    assert again.stats.held_causes == {DAY: "schema_changed"}
    again.writer.start()
    again.put([tick("HK.00700", 3)])
    stock(tmp_path / f"{DAY}.db", "ALTER TABLE trades RENAME TO ticks")
    again.wait_stored(1)
    stop(again)
    assert rig.query(DAY, "SELECT sum(rows) FROM symbols") == [(3,)]


def test_a_trigger_that_was_dropped_is_logged(
    make_rig: MakeRig, tick: MakeTick, journal: Journal, tmp_path: Path
) -> None:
    """The trigger is restored before the next tick, and logged."""
    rig = make_rig()
    rig.put([tick("HK.00700", 1)])
    rig.writer.start()
    rig.wait_stored(1)
    stock(tmp_path / f"{DAY}.db", "DROP TRIGGER ticks_counted")
    rig.put([tick("HK.00700", 2)])
    rig.wait_stored(2)
    fields = journal.wait_for("day_schema_mended").fields
    assert fields == {"day": DAY, "what": "trigger ticks_counted was missing"}
    stop(rig)
    assert rig.query(DAY, "SELECT sum(rows) FROM symbols") == [(2,)]
