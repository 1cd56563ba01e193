"""Reading a day file: what is in it, in order, while another writes; one clear error where that cannot be."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.others import open_to_others

from hk_tick_collector.errors import ForeignFileError, NoDayError, StoreError
from hk_tick_collector.model import Tick
from hk_tick_collector.store.follow import Follower
from hk_tick_collector.store.query import Completeness, DayReader, list_days, path_of
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]
    MakeDay = Callable[..., Any]

SYMBOLS = ("HK.00005", "HK.00700", "HK.09988")


def shuffled(tick: MakeTick, count: int = 300) -> list[TickRow]:
    """Ticks of three symbols in no order, several at the same moment."""
    ticks = [tick(symbol, seq, 1_795_138_200_000 + seq // 5) for symbol in SYMBOLS for seq in range(count)]
    random.Random(7).shuffle(ticks)
    return ticks


def in_time(ticks: list[TickRow]) -> list[TickRow]:
    return sorted(ticks, key=lambda row: (row[2], row[0], row[1]))


def test_ticks_come_in_the_order_of_time(make_day: MakeDay, tick: MakeTick) -> None:
    """In any order of arrival: by (ts_ms, symbol, seq), every column as stored; of all symbols or the given ones."""
    day = make_day()
    stored = shuffled(tick)
    day.add(stored)
    with DayReader(day.path) as reader:
        assert list(reader.ticks()) == in_time(stored)
        assert all(isinstance(found, Tick) for found in reader.ticks())
        assert list(reader.ticks(["HK.00005", "HK.12345"])) == in_time([row for row in stored if row[0] == "HK.00005"])


@pytest.mark.parametrize("count", [0, 1, 7, 299, 5000])
@pytest.mark.parametrize("symbols", [(), ("HK.00700",), ("HK.12345",)])
def test_latest_are_the_last_of_all(make_day: MakeDay, tick: MakeTick, count: int, symbols: tuple[str, ...]) -> None:
    """The latest N found without a scan are the last N of the whole day in order, also when symbols end apart."""
    day = make_day()
    stored = [*shuffled(tick), tick("HK.00001", 1, 1_795_138_000_000), tick("HK.00002", 1, 1_795_139_000_000)]
    day.add(stored)
    wanted = [row for row in in_time(stored) if not symbols or row[0] in symbols]
    with DayReader(day.path) as reader:
        assert reader.latest(count, symbols) == (wanted[-count:] if count else [])


def test_counters_need_no_count(make_day: MakeDay, tick: MakeTick) -> None:
    """Counters of symbols and the day's totals agree with the ticks; an empty day has totals too."""
    day = make_day()
    with DayReader(day.path) as reader:
        assert reader.totals() == (0, 0, None, None, 0, 0.0, 0, 0)
        assert reader.symbols() == []
    day.add([tick("HK.00700", 5), tick("HK.00700", 9), tick("HK.00005", 1)])
    day.execute("INSERT INTO gaps VALUES ('HK.00700', 6, 8, 1, 2, 3, 'disconnect', 'open', 4, NULL, NULL)")
    day.execute("INSERT INTO gaps VALUES ('HK.00005', 2, NULL, 1, 2, NULL, 'kicked_out', 'open', 5, NULL, NULL)")
    day.execute("INSERT INTO gaps VALUES ('HK.00005', 2, 3, 1, 2, 0, 'disconnect', 'healed', 6, 7, NULL)")
    with DayReader(day.path) as reader:
        five, tencent = reader.symbols()
        assert (five.symbol, five.rows) == ("HK.00005", 1)
        assert (tencent.rows, tencent.max_seq, tencent.volume, tencent.expected) == (2, 9, 200, None)
        assert reader.symbols(["HK.00700"]) == [tencent]
        totals = reader.totals()
        assert (totals.symbols, totals.rows, totals.gaps_open, totals.missing) == (2, 3, 2, 3)
        assert (totals.first_ts_ms, totals.last_ts_ms) == (five.first_ts_ms, tencent.last_ts_ms)
        assert [gap.status for gap in reader.gaps()] == ["open", "open", "healed"]
        assert reader.gaps()[1].missing is None
        assert [gap.symbol for gap in reader.gaps(only_open=True)] == ["HK.00700", "HK.00005"]
        assert [gap.status for gap in reader.gaps(["HK.00005"])] == ["open", "healed"]
        assert [gap.cause for gap in reader.gaps(["HK.00005", "HK.00001"], only_open=True)] == ["kicked_out"]


def test_ticks_from_before_the_first_start_are_counted_separately(make_day: MakeDay, tick: MakeTick) -> None:
    """What was traded before the service began counts as missing, unless it is the first day of all, or the symbol was
    added by a later run of the day.
    """
    day = make_day()
    with DayReader(day.path) as reader:
        assert reader.incomplete(first_day=True) == (0, 0, 0, "", "")
    day.add([tick("HK.00700", 5), tick("HK.00005", 1)])
    day.execute("INSERT INTO ledger VALUES ('b', 500, 0, 1, 1, 1, 0, 0, 0, 0), ('a', 100, 0, 1, 1, 1, 0, 0, 0, 0)")
    day.execute("INSERT INTO gaps VALUES ('HK.00700', 1, 4, 1, 2, 4, 'before_start', 'open', 200, NULL, NULL)")
    day.execute("INSERT INTO gaps VALUES ('HK.00005', 1, 9, 1, 2, 9, 'before_start', 'open', 600, NULL, NULL)")
    day.execute("INSERT INTO gaps VALUES ('HK.00005', 20, 21, 1, 2, 2, 'disconnected', 'open', 700, NULL, NULL)")
    with DayReader(day.path) as reader:
        assert reader.incomplete(first_day=True) == (15, 13, 0, "", "HK.00005")
        assert reader.incomplete(first_day=False) == (15, 9, 0, "", "HK.00005")
    day.execute("UPDATE symbols SET expected = 0 WHERE symbol = 'HK.00700'")
    with DayReader(day.path) as reader:
        assert reader.incomplete(first_day=True)[2:4] == (1, "HK.00700")


def test_connections_runs_and_meta_are_read(make_day: MakeDay) -> None:
    """Connections, runs and meta are returned with their types and in order."""
    day = make_day()
    day.execute("INSERT INTO connections VALUES (20, NULL, 1, 99, ''), (10, 20, 0, NULL, 'refused')")
    day.execute("INSERT INTO ledger VALUES ('b', 2, 3, 4, 10, 5, 2, 1, 1, 1), ('a', 1, 2, 0, 0, 0, 0, 0, 0, 0)")
    day.execute("INSERT INTO meta VALUES ('trading_day', '20261120')")
    with DayReader(day.path) as reader:
        assert reader.connections() == [(10, 20, False, None, "refused"), (20, None, True, 99, "")]
        assert [run.run_id for run in reader.ledger()] == ["a", "b"]
        assert reader.ledger()[1].received == 10
        assert reader.meta() == {"trading_day": "20261120"}


def test_a_reader_sees_the_live_wal_and_changes_nothing(make_day: MakeDay, tick: MakeTick) -> None:
    """Ticks only in the WAL are read at once; a snapshot does not change; the reader cannot write."""
    day = make_day()
    day.add([tick("HK.00700", 1)])
    before = day.path.read_bytes()
    with DayReader(day.path) as reader:
        with reader.snapshot():
            assert reader.totals().rows == 1
            day.add([tick("HK.00700", 2)])
            assert reader.totals().rows == 1
        assert reader.totals().rows == 2
        with pytest.raises(apsw.ReadOnlyError):
            reader._db.execute("DELETE FROM ticks")  # noqa: SLF001 - proves that no statement could
    assert day.path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_group_member_reads_without_write_access(make_day: MakeDay, tick: MakeTick, tmp_path: Path) -> None:
    """While the service runs, a process that may read but not write sees the newest commit."""
    day = make_day()
    day.add([tick("HK.00700", 1)])
    for path in tmp_path.iterdir():
        path.chmod(0o640)
        os.chown(path, 0, 12345)
    open_to_others(tmp_path.parent)
    os.chown(tmp_path, 0, 12345)
    tmp_path.chmod(0o750)
    code = f"""
import os, pathlib
from hk_tick_collector.store.query import DayReader  # before the rights go: this Python may be root's own
os.setgroups([]); os.setgid(12345); os.setuid(12345)
with DayReader(pathlib.Path({str(day.path)!r})) as reader:
    print(reader.totals().rows)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("kind", ["text", "empty", "foreign", "older", "directory", "fifo"])
def test_what_is_no_day_file_is_named(tmp_path: Path, kind: str) -> None:
    """A text, an empty file, another program's database, a directory and a pipe: one error with the path and a hint."""
    path = tmp_path / "20261120.db"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("foreign", "older"):
        db = apsw.Connection(str(path))
        db.execute("CREATE TABLE ticks (x)")
        db.pragma("application_id", APPLICATION_ID if kind == "older" else 1)
        db.close()
    else:
        path.write_text("hello, I am no database\n" * 100 if kind == "text" else "")
    with pytest.raises(ForeignFileError, match=str(path)) as caught:
        DayReader(path)
    assert caught.value.hint


def test_a_newer_schema_is_read(make_day: MakeDay, tick: MakeTick) -> None:
    """Columns and tables that a later version added do not matter to a reader of today."""
    day = make_day()
    day.add([tick("HK.00700", 1)])
    day.execute("PRAGMA user_version = 99")
    day.execute("ALTER TABLE ticks ADD COLUMN venue TEXT")
    day.execute("ALTER TABLE symbols ADD COLUMN note TEXT")
    with DayReader(day.path) as reader:
        assert list(reader.ticks()) == [tick("HK.00700", 1)]
        assert reader.totals().rows == 1


def test_a_damaged_file_is_named(make_day: MakeDay, tick: MakeTick, tmp_path: Path) -> None:
    """A page overwritten with rubbish is an error with the path and what to do, when it is met."""
    day = make_day()
    day.add(shuffled(tick))
    day.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = tmp_path / "20261121.db"
    data = bytearray(day.path.read_bytes())
    for page in range(12, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    damaged.write_bytes(data)
    with DayReader(damaged) as reader, pytest.raises(StoreError, match="damaged") as caught:
        list(reader.ticks())
    assert str(damaged) in str(caught.value)


def test_a_missing_day_names_those_that_are_there(make_day: MakeDay, tmp_path: Path) -> None:
    """The error says which days there are and the nearest one before."""
    with pytest.raises(NoDayError) as caught:
        DayReader(path_of(tmp_path / "nowhere", "20261120"))
    assert "no day was collected" in caught.value.hint
    for name in ("20261118", "20261119", "20261123"):
        make_day(name)
    with pytest.raises(NoDayError) as caught:
        DayReader(path_of(tmp_path, "20261121"))
    assert caught.value.hint == "3 days from 20261118 to 20261123 are there, the nearest is 20261119"


def test_days_are_files_with_a_date(tmp_path: Path) -> None:
    """Snapshots, WALs and renamed files are not days; a missing directory has none."""
    for name in (
        "20261120.db",
        "20261119.db",
        "20261120.db-wal",
        "20261120.snapshot.db",
        "20261120.damaged-1.db",
        "x.db",
        "00000000.db",
        "20260000.db",
        "20261332.db",
    ):
        (tmp_path / name).touch()
    assert list_days(tmp_path) == ["20261119", "20261120"]
    assert list_days(tmp_path / "nowhere") == []


# --- following ---


def test_following_returns_late_ticks_too(make_day: MakeDay, tick: MakeTick) -> None:
    """After the latest ticks: new ones above, between and below the known sequences, and new symbols, each once."""
    day = make_day()
    day.add([tick("HK.00700", seq) for seq in range(0, 10_000, 2)])
    follower = Follower(day.path)
    assert follower.begin(3) == [tick("HK.00700", seq) for seq in (9994, 9996, 9998)]
    assert follower.poll() == []
    late = [tick("HK.00700", 9_997), tick("HK.00700", 3), tick("HK.00700", 10_000), tick("HK.00005", 1)]
    day.add(late)
    assert follower.poll() == in_time(late)
    assert follower.poll() == []


def test_one_poll_is_bounded(make_day: MakeDay, tick: MakeTick) -> None:
    """After a backfill one poll returns at most the given number, and later polls the rest."""
    day = make_day()
    day.add([tick("HK.00700", 1000)])
    follower = Follower(day.path, most_ticks=7)
    follower.begin(0)
    new = [tick("HK.00700", seq) for seq in range(990, 1011) if seq != 1000] + [tick("HK.00005", 1)]
    day.add(new)
    looks = []
    while found := follower.poll():
        looks.append(found)
    assert all(len(found) <= 7 for found in looks)
    assert in_time([row for found in looks for row in found]) == in_time(new)


def test_following_survives_a_replaced_file(make_day: MakeDay, tick: MakeTick, tmp_path: Path) -> None:
    """When a damaged file was renamed and a new one created, nothing is returned twice and nothing new is missed."""
    day = make_day()
    day.add([tick("HK.00700", seq) for seq in range(50)])
    follower = Follower(day.path)
    follower.begin(0)
    fresh = make_day("fresh")
    fresh.add([tick("HK.00700", seq) for seq in (5, 6, 60)])
    fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in tmp_path.glob("20261120.db*"):
        path.unlink()
    (tmp_path / "fresh.db").rename(day.path)
    (tmp_path / "fresh.db-wal").rename(tmp_path / "20261120.db-wal")
    (tmp_path / "fresh.db-shm").unlink()
    assert follower.poll() == [tick("HK.00700", 60)]
    assert follower.poll() == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_following_misses_nothing_in_any_order(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is stored between polls, in any order: every tick is returned exactly once."""
    db = apsw.Connection(str(path := tmp_path_factory.mktemp("follow") / "20261120.db"))
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("journal_mode", "wal")
    db.execute(MIGRATIONS[0])
    ticks = [(symbol, seq) for symbol in SYMBOLS for seq in range(12)]
    order = data.draw(st.permutations(ticks))
    follower = Follower(path, most_ticks=data.draw(st.integers(1, 9)))
    begun = data.draw(st.integers(0, len(order)))
    told: list[tuple[str, int]] = []
    for position, (symbol, seq) in enumerate(order):
        if position == begun:
            follower.begin(0)
        db.execute("INSERT INTO ticks VALUES (?, ?, ?, 1, 1, 1, 'BUY', 'X', 'realtime', 1)", (symbol, seq, seq))
        if position >= begun and data.draw(st.booleans()):
            told += [(found.symbol, found.seq) for found in follower.poll()]
    if begun == len(order):
        follower.begin(0)
    while found := follower.poll():
        told += [(tick.symbol, tick.seq) for tick in found]
    db.close()
    assert sorted(told) == sorted(order[begun:])


def test_what_is_not_stored_yet(make_day: MakeDay, tick: MakeTick) -> None:
    """Of a batch, the ticks whose (symbol, seq) the day does not have, and those that differ from what it has there."""
    day = make_day()
    day.add([tick("HK.00700", 1), tick("HK.00700", 2)])
    with DayReader(day.path) as reader:
        batch = [tick("HK.00700", 2), tick("HK.00700", 3), tick("HK.00005", 1)]
        other = ("HK.00700", 1, *tick("HK.00700", 9_999)[2:])
        assert reader.compare([*batch, other]) == (batch[1:], [other])


def test_completeness_counts_symbols_with_the_pattern_alone(make_day: MakeDay, tick: MakeTick) -> None:
    """The number of rows against the number by the sequences, exactly; symbols without the rule are separate."""
    day, start_ms = make_day(), 1_795_138_200_000
    seqs = [(start_ms // 1000) << 32 | counter for counter in (1, 2, 5)]
    day.add([tick("HK.00700", seq, start_ms) for seq in seqs])
    day.add([tick("HK.00005", seqs[0], start_ms), tick("HK.00388", 77)])
    with DayReader(day.path) as reader:
        assert reader.completeness() == Completeness(symbols=2, rows=4, expected=6, without_pattern=1, counted=4)
        assert [(symbol.symbol, symbol.rows, symbol.expected) for symbol in reader.least_complete(3)] == [
            ("HK.00700", 3, 5)
        ]


def test_completeness_is_never_above_a_hundred_percent(make_day: MakeDay, tick: MakeTick) -> None:
    """More rows than the counter allows, as with two simulated exchanges in one file: no other loss is hidden."""
    day = make_day()
    day.add([tick("HK.00700", seq) for seq in range(254)] + [tick("HK.00005", 1)])
    day.execute("UPDATE symbols SET expected = 100")
    with DayReader(day.path) as reader:
        complete = reader.completeness()
    assert (complete.rows, complete.expected, complete.counted) == (255, 200, 101)
    assert complete.percent == 50.5
    assert Completeness(1, 254, 100, 0, 100).percent == 100.0
    assert Completeness(1, 254, 100, 0, 254).percent == 100.0
    assert Completeness(2, 5, 0, 2, 0).percent is None
    assert Completeness(1, 9_999_999, 10_000_000, 0, 9_999_999).percent == 99.99999


def test_sums_of_one_type(make_day: MakeDay, tick: MakeTick) -> None:
    """Volume and turnover of a type's ticks, by symbol; symbols without one are left out."""
    day = make_day()
    odd = [Tick(*tick("HK.00700", n))._replace(tick_type="ODD_LOT", volume=n, turnover=n / 2) for n in (1, 2)]
    day.add([*odd, tick("HK.00700", 3), tick("HK.00005", 1)])
    with DayReader(day.path) as reader:
        assert reader.sums_of_type("ODD_LOT") == {"HK.00700": (3, 1.5)}


def test_the_latest_reconciliation_is_read(make_day: MakeDay) -> None:
    """That of the lunch break, until the close has its own; none in a file of the first schema."""
    day = make_day()
    values = "1, 100, 1.5, 0, 0.0, 0, 0.0, 100, 1.5, 'match')"
    with DayReader(day.path) as reader:
        assert reader.reconciliation() == []
        for session in ("lunch", "close"):
            day.execute(f"INSERT INTO reconciliation VALUES ('{session}', 'HK.00700', {values}")
            assert [row.session for row in reader.reconciliation()] == [session]
    day.execute("DROP TABLE reconciliation")
    with DayReader(day.path) as reader:
        assert reader.reconciliation() == []
