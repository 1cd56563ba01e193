"""The import of the predecessor's files, with a test writer that commits at once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.predecessor_files import SHIFT_MS, as_predecessors, write_file

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.loading.load import load_day
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.writing.predecessor_days import PredecessorDays
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal
from hk_tick_collector.store.query import DayReader

from .days import TODAY, TODAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.collect.writing.current_writer import CurrentWriter
    from hk_tick_collector.collect.writing.thread_handover import Beside
    from hk_tick_collector.model import TickRow

NUMBER = TODAY - 1
DAY = market.day_name(NUMBER)
OPEN_MS = market.day_start_ms(NUMBER) + 34_200_000  # 09:30
NAME = f"{DAY}.db.predecessor-20261120T013000Z"


def tick(counter: int, price: float = 388.2) -> TickRow:
    """A tick of yesterday."""
    ts_ms = OPEN_MS + counter * 1000
    seq = (ts_ms // 1000 << 32) | counter
    return ("HK.00700", seq, ts_ms, price, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms, None, None)


class AtOnce:
    """Stores what it is given, in the place of the service's writer; without the ticks of which `loses` says so."""

    def __init__(self, data_root: Path, loses: Callable[[TickRow], bool] = lambda _: False) -> None:
        self._data_root = data_root
        self.queue = TickQueue(100_000)
        self.beside: list[Beside] = []
        self._loses = loses

    @cached_property
    def file(self) -> DayFile:
        """Our file of the day, made for the first rows as by the service's writer."""
        options = StoreOptions(synchronous="OFF")
        return DayFile(self._data_root / f"{DAY}.db", DAY, "run", TODAY_MS, "test", options)

    def keep_beside(self, beside: Beside) -> None:
        """Rows that are no ticks of ours."""
        self.beside.append(beside)
        self.file.write(Batch(beside=beside.rows, meta=beside.meta), TODAY_MS)
        beside.on_commit()

    async def run(self) -> None:
        """Ticks, until it is cancelled."""
        while True:
            chunks = await asyncio.to_thread(self.queue.take, 1000, 0.0, 0.2)
            rows = [row for chunk in chunks for row in chunk.rows if not self._loses(row)]
            if chunks:
                self.file.write(Batch(rows=rows), TODAY_MS)
            self.queue.done(chunks)


class Import:
    """Imports what waits in a directory, until a line is logged."""

    def __init__(self, data_root: Path, journal: Journal, writer: AtOnce | None = None) -> None:
        self.data_root, self.journal = data_root, journal
        self.stats = Stats()
        self.writer = writer or AtOnce(data_root)
        self.seen: list[tuple[str, int, int, int]] = []
        self.on_imported: Callable[[], None] = self._look

    def _look(self) -> None:
        stats = self.stats
        self.seen.append((stats.importing, stats.importing_rows, stats.importing_done, stats.importing_checked))

    def run(self, event: str) -> dict[str, str]:
        """The fields of that line, the newest of it."""
        queue = self.writer.queue
        tracker = GapTracker(lambda number: load_day(self.data_root, number), lambda: TODAY_MS)
        intake = Intake(queue, tracker, OpenDState(), self.stats, time.monotonic)
        writer = cast("CurrentWriter", self.writer)
        days = PredecessorDays(self.data_root, intake, queue, writer, self.stats, self.on_imported)

        async def story() -> None:
            tasks = [asyncio.create_task(days.run()), asyncio.create_task(self.writer.run())]
            await asyncio.to_thread(self.journal.wait_for, event)
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

        asyncio.run(story())
        return self.journal.events(event)[-1].fields


def query(path: Path, columns: str, table: str) -> list[Any]:
    """What a file has beside its ticks."""
    with DayReader(path) as reader:
        return list(reader._rows(f"SELECT {columns} FROM {table}"))  # noqa: SLF001 - not worth a method


def waiting(root: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of the predecessor that was set aside."""
    return write_file(root / f"{NAME}.not-imported", rows)


def test_every_row_of_a_file_is_stored_or_kept_apart(tmp_path: Path, journal: Journal) -> None:
    """New ticks are stored, known ones are duplicates, different ones with a known key and those without a sequence are
    kept apart; a time that is eight hours off is corrected. Then the file gets its final name, which ours records.
    """
    rows = [as_predecessors(tick(counter), DAY) for counter in range(1, 20)]
    rows.append(as_predecessors(tick(30), DAY, seq=None))
    rows.append(as_predecessors(tick(25, 1.0), DAY))
    rows.append(as_predecessors(tick(26), DAY, ts_ms=tick(26)[2] + SHIFT_MS))
    kept = waiting(tmp_path, rows)
    importing = Import(tmp_path, journal)
    importing.writer.file.write(Batch(rows=[tick(25), tick(3)]), TODAY_MS)
    fields = importing.run("predecessor_imported")
    assert fields == {
        "day": DAY,
        "rows": "22",
        "stored": "19",
        "duplicate": "1",
        "beside": "2",
        "shifted": "1",
        "kept_as": str(tmp_path / NAME),
    }
    (begun,) = journal.events("predecessor_import")
    assert begun.fields == {"file": kept.name, "day": DAY, "rows": "22"}
    assert importing.seen == [(kept.name, 22, 22, 22)], "and told while it lasts"
    assert importing.stats.importing == ""
    assert importing.stats.received == 19
    assert importing.stats.last_tick_ms is None
    path = tmp_path / f"{DAY}.db"
    with DayReader(path) as reader:
        assert list(reader.ticks()) == [tick(counter) for counter in (*range(1, 20), 25, 26)]
        assert reader.meta()["predecessor"].startswith(NAME)
    assert query(path, "symbol, ts_ms", "ticks_without_seq") == [("HK.00700", tick(30)[2])]
    assert query(path, "cause, price", "rows_not_imported") == [("conflict", 1.0)]
    assert not kept.exists()
    assert (tmp_path / NAME).exists()


def test_without_a_free_thread_a_file_is_imported_later(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of threads was reached for a moment: the same run imports the file."""
    waiting(tmp_path, [as_predecessors(tick(counter), DAY) for counter in range(1, 4)])
    importing, start, refused = Import(tmp_path, journal), threading.Thread.start, set[str]()
    importing.stats.predecessor_days = [DAY]
    monkeypatch.setattr("hk_tick_collector.collect.writing.predecessor_days._LOOK_EVERY_S", 0.01)

    def limited(thread: threading.Thread) -> None:
        if thread.name in {"list_waiting", "still_predecessors"} - refused:
            refused.add(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert importing.run("predecessor_imported")["stored"] == "3"
    assert refused == {"list_waiting", "still_predecessors"}
    assert importing.stats.predecessor_days == []


def test_a_row_that_the_file_has_twice_is_stored_once_and_counted_once(tmp_path: Path, journal: Journal) -> None:
    """Files of early versions have no unique index: identical rows are duplicates, a contradiction is a conflict."""
    rows = [as_predecessors(tick(counter), DAY) for counter in range(1, 11)]
    rows += [*rows[:4], as_predecessors(tick(1, price=1.0), DAY), rows[0]]
    write_file(tmp_path / f"{NAME}.not-imported", rows, indexes=False)
    done = Import(tmp_path, journal).run("predecessor_imported")
    assert {name: done[name] for name in ("rows", "stored", "duplicate", "beside")} == {
        "rows": "16", "stored": "10", "duplicate": "5", "beside": "1",
    }  # fmt: skip


def test_a_file_without_rows_for_us_is_imported_too(tmp_path: Path, journal: Journal) -> None:
    """We already have all of its ticks: none is stored, and the file gets its final name."""
    waiting(tmp_path, [as_predecessors(tick(counter), DAY) for counter in (1, 2)])
    importing = Import(tmp_path, journal)
    importing.writer.file.write(Batch(rows=[tick(1), tick(2)]), TODAY_MS)
    fields = importing.run("predecessor_imported")
    assert (fields["stored"], fields["duplicate"], fields["beside"]) == ("0", "2", "0")
    assert importing.stats.received == 0
    assert [beside.rows for beside in importing.writer.beside] == [[]]


def test_a_file_waits_until_each_of_its_ticks_is_stored(tmp_path: Path, journal: Journal) -> None:
    """The first such tick is named in the log and in `status`, and the file is tried again later."""
    kept = waiting(tmp_path, [as_predecessors(tick(counter), DAY) for counter in range(1, 6)])
    importing = Import(tmp_path, journal, AtOnce(tmp_path, loses=lambda row: row[1] & 0xFF in (3, 4)))
    fields = importing.run("predecessor_not_imported")
    why = f"2 of its ticks are not stored, HK.00700 {tick(3)[1]} first"
    assert fields == {"file": str(kept), "detail": why, "hint": ""}
    assert importing.stats.predecessor_files == {kept.name: why}
    assert importing.seen == []
    assert (kept.exists(), importing.stats.importing) == (True, "")


def test_nothing_is_added_to_a_sealed_day(tmp_path: Path, journal: Journal) -> None:
    """The file waits, and says why."""
    kept = waiting(tmp_path, [as_predecessors(tick(1), DAY)])
    importing = Import(tmp_path, journal)
    importing.writer.file.close()
    assert seal(tmp_path / f"{DAY}.db", TODAY_MS, StoreOptions())
    fields = importing.run("predecessor_not_imported")
    assert fields["detail"] == f"{DAY}.db is sealed: no ticks can be added to a finished day"
    assert kept.exists()
    assert importing.stats.received == 0


def test_one_file_that_cannot_be_read_delays_no_other(tmp_path: Path, journal: Journal) -> None:
    """Each has its own reason; a removed file no longer waits, and an imported day is no finding."""
    (tmp_path / f"{NAME}.not-imported").write_text("notes\n")
    good = write_file(tmp_path / f"{DAY}.db.predecessor-20261120T020000Z.not-imported", [as_predecessors(tick(1), DAY)])
    importing = Import(tmp_path, journal)
    importing.stats.predecessor_days = [DAY]
    fields = importing.run("predecessor_imported")
    assert fields["kept_as"] == str(good).removesuffix(".not-imported")
    (told,) = journal.events("predecessor_not_imported")
    assert (told.level, told.fields["file"]) == ("ERROR", str(tmp_path / f"{NAME}.not-imported"))
    assert importing.stats.predecessor_files[f"{NAME}.not-imported"] == told.fields["detail"]
    assert importing.stats.predecessor_days == []


def test_a_bug_in_an_import_does_not_end_collection(tmp_path: Path, journal: Journal) -> None:
    """A traceback in the log, the file waits with the reason, and collection continues."""
    kept = waiting(tmp_path, [as_predecessors(tick(1), DAY)])
    importing = Import(tmp_path, journal)

    def wrong() -> None:
        raise ZeroDivisionError("of ours")

    importing.on_imported = wrong
    fields = importing.run("bug")
    assert fields["file"] == str(kept)
    assert "ZeroDivisionError: of ours" in journal.getvalue()
    assert importing.stats.predecessor_files[kept.name] == "a bug: ZeroDivisionError('of ours')"
    assert importing.stats.importing == ""


@pytest.mark.parametrize("rows", [0, 5_001])
def test_any_number_of_rows_is_imported(tmp_path: Path, journal: Journal, rows: int) -> None:
    """None, or more rows than one batch has."""
    waiting(tmp_path, [as_predecessors(tick(counter), DAY) for counter in range(1, rows + 1)])
    importing = Import(tmp_path, journal)
    fields = importing.run("predecessor_imported")
    assert (fields["rows"], fields["stored"]) == (str(rows), str(rows))
    assert importing.seen == [(f"{NAME}.not-imported", rows, rows, rows)]
