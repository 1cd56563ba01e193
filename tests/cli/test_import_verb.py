"""`import`: a day file of the predecessor is imported; no row is lost, changed or guessed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.others_lock import in_transaction
from tests.predecessor_files import SHIFT_MS, as_predecessors, begin_file, insert, write_file

from hk_tick_collector import market
from hk_tick_collector.store.collector_lock import OwnerLock
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAY = "20261118"
SCRIPT = Path(__file__).parents[2] / "scripts" / "db_health_check.sh"
OPEN_MS = 1_794_965_400_000  # 2026-11-18 09:30 in Hong Kong


def tick(symbol: str, counter: int, **changed: Any) -> TickRow:
    """A tick that follows the rule of the sequence, one second after the previous one."""
    ts_ms = OPEN_MS + counter * 1000 + 250
    row = {
        "symbol": symbol,
        "seq": (ts_ms // 1000 << 32) | counter,
        "ts_ms": ts_ms,
        "price": 388.2,
        "volume": 100,
        "turnover": 38_820.0,
        "direction": "BUY",
        "tick_type": "AUTO_MATCH",
        "push_type": "realtime",
        "recv_ts_ms": ts_ms + 30,
        "opend_recv_ts_ms": None,  # the predecessor has neither
        "type_sign": None,
    }
    return tuple((row | changed).values())  # type: ignore[return-value]


def ours(path: Path) -> list[TickRow]:
    """All ticks of a day file of ours."""
    with DayReader(path) as reader:
        return [found[:] for found in reader.ticks_by_key()]


def beside(path: Path, table: str, columns: str = "cause, symbol, seq, ts_ms, price") -> list[Any]:
    """Rows of the tables for rows that are not ticks."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT {columns} FROM {table} ORDER BY source_rowid").fetchall()


@pytest.fixture
def root(workdir: Path) -> Path:
    """The DATA_ROOT of the settings."""
    place = workdir / "HK"
    place.mkdir()
    (workdir / ".env").write_text(f"DATA_ROOT={place}\nDISK_MIN_FREE_MB=1\n")
    return place


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("recv", [True, False])
def test_a_file_in_its_place_is_imported(cli: Cli, root: Path, version: int, recv: bool) -> None:
    """Every tick is unchanged, the old file is kept under a name that shows what it is, one line reports everything."""
    ticks = [tick(symbol, counter) for symbol in ("HK.00700", "HK.00981") for counter in range(1, 40)]
    path = write_file(root / f"{DAY}.db", [as_predecessors(row, DAY) for row in ticks], version=version, recv=recv)
    before = path.read_bytes()
    done = cli("import", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    [line] = done.stdout.splitlines()
    assert f"78 of 78 rows imported to {path}, checked row by row" in line
    expected = ticks if recv else [(*row[:9], row[9] + 40, *row[10:]) for row in ticks]
    assert ours(path) == sorted(expected)
    assert ("inserted_at_ms is used instead" in line) == (not recv)
    [kept] = root.glob(f"{DAY}.db.predecessor-*")
    assert str(kept) in line
    assert kept.read_bytes() == before
    assert sorted(entry.name for entry in root.iterdir()) == [path.name, kept.name]
    again = cli("import", str(path))
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


def test_the_verbs_read_it(cli: Cli, root: Path) -> None:
    """Before, each verb prints the command; afterwards `ticks`, `gaps`, `report` and the check work as usual."""
    ticks = [tick("HK.00700", counter) for counter in (1, 2, 3, 4, 7, 8, 9)]
    path = write_file(root / f"{DAY}.db", [as_predecessors(row, DAY) for row in ticks])
    command = f"sudo hk-tick-collector import {path}"
    for args in (["ticks", "--day", DAY], ["gaps", "--day", DAY], ["snapshot", "--day", DAY]):
        told = cli(*args)
        assert told.returncode == 1
        assert f"{path} is a day file of the predecessor: {command}" in told.stderr
    report = cli("report")
    assert report.stdout.startswith(f"WARNING: the day file of {DAY} belongs to the predecessor")
    assert f"sudo hk-tick-collector import {root}" in report.stdout
    doctor = cli("doctor").stdout
    assert f"WARNING     old day files   the day file of {DAY} belongs to the predecessor" in doctor
    today = market.day_name(market.day_number(time.time_ns() // 1_000_000))
    of_today = write_file(root / f"{today}.db", [as_predecessors(tick("HK.00700", 1), today)])
    told = cli("status")
    assert f"{of_today} is a day file of the predecessor -> sudo hk-tick-collector import {of_today}" in told.stdout
    of_today.unlink()
    assert cli("import", str(root)).returncode == 0
    assert "2 ticks missing" in cli("gaps", "--day", DAY).stdout
    assert "predecessor" in cli("gaps", "--day", DAY).stdout
    assert len(cli("ticks", "--day", DAY, "--format", "jsonl").stdout.splitlines()) == 7
    assert cli("snapshot", "--day", DAY).returncode == 0


def test_the_write_ahead_log_comes_with_it(cli: Cli, root: Path) -> None:
    """A killed predecessor left its newest ticks in the WAL, with or without its shm: they are imported."""
    for day, keeps_shm in (("20261117", True), (DAY, False)):
        path = root / f"{day}.db"
        at_work = root / "at_work.db"
        db = begin_file(at_work)
        db.execute("PRAGMA wal_autocheckpoint = 0")
        rows = [tick("HK.00700", counter) for counter in range(1, 10)]
        shift = 86_400 if day == "20261117" else 0
        rows = [(row[0], row[1] - (shift << 32), row[2] - shift * 1000, *row[3:]) for row in rows]
        insert(db, [as_predecessors(row, day) for row in rows])
        for suffix in ("", "-wal", "-shm") if keeps_shm else ("", "-wal"):
            path.with_name(path.name + suffix).write_bytes(at_work.with_name(at_work.name + suffix).read_bytes())
        db.close()
        at_work.unlink()
        wal = path.with_name(path.name + "-wal").read_bytes()
        done = cli("import", str(path))
        assert (done.returncode, done.stderr) == (0, "")
        assert ours(path) == rows
        [kept] = [file for file in root.glob(f"{day}.db.predecessor-*") if file.name[-1] == "Z"]
        assert kept.with_name(kept.name + "-wal").read_bytes() == wal
        assert not path.with_name(path.name + "-wal").exists()


def test_rows_that_are_no_ticks_are_kept_apart(cli: Cli, root: Path) -> None:
    """Rows without sequence, of another day, incomplete, wrong, doubtful or contradicting are stored unchanged."""
    good = [tick("HK.00700", counter) for counter in range(1, 6)]
    yesterday = tick("HK.00700", 6, seq=(OPEN_MS // 1000 - 86_400) << 32 | 6, ts_ms=OPEN_MS - 86_400_000)
    rows = [
        *(as_predecessors(row, DAY) for row in good),
        as_predecessors(tick("HK.00700", 7), DAY, seq=None),
        as_predecessors(tick("HK.00700", 8), DAY, seq=0),
        as_predecessors(yesterday, DAY),
        as_predecessors(tick("HK.00700", 9), DAY, price=None),
        as_predecessors(tick("HK.00700", 10), DAY, price="n/a"),
        as_predecessors(tick("HK.00700", 11), DAY, volume=1.5),
        as_predecessors(tick("US.AAPL", 12), DAY),
        as_predecessors(tick("HK.00700", 13, seq=13), DAY, recv_ts_ms=OPEN_MS - SHIFT_MS, inserted_at_ms=1),
        as_predecessors(good[4], DAY, price=1.0),
        as_predecessors(good[4], DAY),
    ]
    path = write_file(root / f"{DAY}.db", rows, indexes=False)
    done = cli("import", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    for told in (
        "5 of 15 rows imported",
        "1 are duplicates of stored ticks",
        "2 without a sequence, in the table ticks_without_seq",
        "3 with values of another type",
        "1 of another day",
        "1 without price",
        "1 with a doubtful time",
        "1 contradict a tick",
    ):
        assert told in done.stdout
    assert ours(path) == good
    assert [row[2] for row in beside(path, "ticks_without_seq", "'', symbol, seq")] == [None, 0]
    found = beside(path, "rows_not_imported")
    assert [row[0] for row in found] == [
        "other_day", "incomplete", "odd_type", "odd_type", "odd_type", "time_in_doubt", "conflict",
    ]  # fmt: skip
    assert found[2][4] == "n/a"
    assert found[6][4] == 1.0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_time_eight_hours_off_is_corrected_by_its_sequence(cli: Cli, root: Path, sign: int) -> None:
    """The second in the exchange's own sequence proves it row by row; a row without proof is not changed."""
    ticks = [tick("HK.00700", counter) for counter in range(1, 8)]
    rows = [as_predecessors(row, DAY, ts_ms=row[2] + sign * SHIFT_MS) for row in ticks[:4]]
    rows += [as_predecessors(row, DAY) for row in ticks[4:]]
    rows.append(as_predecessors(tick("HK.00981", 1, seq=77), DAY, ts_ms=OPEN_MS + sign * SHIFT_MS))
    path = write_file(root / f"{DAY}.db", rows, version=1)
    done = cli("import", str(path))
    assert done.returncode == 0
    assert "4 had a time eight hours off, shown by their own sequence: corrected" in done.stdout
    assert "1 with a doubtful time" in done.stdout
    assert ours(path) == ticks


def test_a_day_of_ours_gets_the_missing_ticks(cli: Cli, root: Path) -> None:
    """Our ticks are kept, the predecessor's are added, contradictions are stored apart, gaps are filled."""
    path = root / f"{DAY}.db"
    day = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    mine = [tick("HK.00700", counter) for counter in range(5, 9)]
    day.write(Batch(rows=mine), OPEN_MS)
    day.close()
    theirs = [tick("HK.00700", counter, recv_ts_ms=OPEN_MS) for counter in range(1, 7)]
    other = tick("HK.00700", 8, price=1.0)
    old = write_file(root.parent / f"{DAY}.db", [as_predecessors(row, DAY) for row in [*theirs, other]])
    done = cli("import", str(old))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"4 of 7 rows added to {path}" in done.stdout
    assert "2 are duplicates of stored ticks; 1 contradict" in done.stdout
    assert ours(path) == [*theirs[:4], *mine]
    assert old.exists()
    assert f"{DAY}: no gap" in cli("gaps", "--day", DAY).stdout
    assert "0 of 7 rows added" in cli("import", str(old)).stdout


def test_files_of_two_hosts_with_one_name(cli: Cli, root: Path, workdir: Path) -> None:
    """The second one is named and changes nothing; under another name all of its rows come in. Again is no fault."""
    olds = []
    for host, symbol in (("a", "HK.00700"), ("b", "HK.00005")):
        (workdir / host).mkdir()
        rows = [as_predecessors(tick(symbol, counter), DAY) for counter in range(1, 6 if host == "a" else 9)]
        odd = [as_predecessors(tick(symbol, 9, price=price), DAY, seq=None) for price in (1.0, 2.0)]
        olds.append(write_file(workdir / host / f"{DAY}.db", [*rows, *odd]))
    assert cli("import", str(olds[0])).returncode == 0
    before = (root / f"{DAY}.db").read_bytes()
    done = cli("import", str(olds[1]))
    assert done.returncode == 1
    assert f"another file named {DAY}.db was imported into this day before: rename it" in done.stderr
    assert (root / f"{DAY}.db").read_bytes() == before
    done = cli("import", str(olds[1].rename(olds[1].with_name(f"{DAY}.db.2"))))
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 of 10 rows added" in done.stdout
    assert len(beside(root / f"{DAY}.db", "ticks_without_seq", "symbol")) == 4
    assert "0 of 7 rows added" in cli("import", str(olds[0])).stdout


@pytest.mark.parametrize("change", ["tick_type = CAST(x'ff41' AS TEXT)", "seq = NULL, provider = CAST(x'ff' AS TEXT)"])
def test_text_that_is_not_utf_8(cli: Cli, root: Path, change: str) -> None:
    """The file is named in one line, and nothing is changed."""
    old = write_file(root.parent / f"{DAY}.db", [as_predecessors(tick("HK.00700", n), DAY) for n in range(1, 6)])
    with closing(sqlite3.connect(old)) as db, db:
        db.execute(f"UPDATE ticks SET {change} WHERE rowid = 3")
    done = cli("import", str(old))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert f"{old} has text that is not UTF-8 (invalid start byte): keep it; see docs/sqlite-wal.md" in line
    assert list(root.iterdir()) == []


def test_a_sealed_day_is_not_changed(cli: Cli, root: Path) -> None:
    """Nothing is added to a sealed day; --to writes the ticks to another file."""
    path = root / f"{DAY}.db"
    day = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    day.write(Batch(rows=[tick("HK.00700", 1)]), OPEN_MS)
    day.close()
    assert seal(path, OPEN_MS, StoreOptions())
    old = write_file(root.parent / f"{DAY}.db", [as_predecessors(tick("HK.00700", 2), DAY)])
    done = cli("import", str(old))
    assert done.returncode == 1
    assert "is sealed" in done.stderr
    (root / "other").mkdir()
    assert cli("import", str(old), "--to", str(root / "other")).returncode == 0
    assert len(ours(root / "other" / f"{DAY}.db")) == 1


def test_a_running_collector_is_given_the_file(cli: Cli, root: Path) -> None:
    """Its day file may be open, so the collector adds the ticks itself, from a copy with the name that it expects."""
    path = root / f"{DAY}.db"
    day = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    day.write(Batch(rows=[tick("HK.00700", 1)]), OPEN_MS)
    old = write_file(root.parent / f"{DAY}.db", [as_predecessors(tick("HK.00700", 2), DAY)])
    lock = OwnerLock(root, "a test")
    try:
        done = cli("import", str(old))
    finally:
        lock.release()
        day.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert "given to the running collector" in done.stdout
    [waiting] = root.glob(f"{DAY}.db.predecessor-*.not-imported")
    assert len(ours(path)) == 1
    assert "1 of 1 rows added" in cli("import", str(root)).stdout
    assert len(ours(path)) == 2
    assert not waiting.exists()


def test_a_running_predecessor_is_named(cli: Cli, root: Path) -> None:
    """The file is open in the predecessor, so it is not moved, and the process is named."""
    path = root / f"{DAY}.db"
    with closing(begin_file(path)) as db:
        insert(db, [as_predecessors(tick("HK.00700", 1), DAY)])
        done = cli("import", str(path))
        assert done.returncode == 1
        assert f"it is open in pid {os.getpid()} (" in done.stderr
        assert [entry.name for entry in root.glob("*.db")] == [path.name]


COLLECTOR = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT count(*) FROM ticks").fetchone()
print("open", flush=True)
sys.stdin.read()
"""


def test_every_verb_says_the_same_of_a_file_that_is_open(cli: Cli, root: Path) -> None:
    """Before the first start the predecessor's file of today may be locked: no verb advises what another refuses.

    `run` renames such a file, so it is no reason why the service cannot start.
    """
    day = market.day_name(market.day_number(int(time.time() * 1000)))
    path = write_file(root / f"{day}.db", [as_predecessors(tick("HK.00700", 1), day)])
    with (root.parent / ".env").open("a") as env:
        env.write("FUTU_SYMBOLS=HK.00700\nFUTU_PORT=1\n")
    with in_transaction(path, "BEGIN IMMEDIATE;") as other:
        steps = f"sudo kill -TERM {other.pid}; sudo hk-tick-collector import {path}"
        status = cli("status")
        assert "no collector is running" in status.stdout.splitlines()[0]
        assert "cannot start" not in status.stdout
        for verb in (["status"], ["gaps"], ["ticks"], ["snapshot"], ["import", str(path)], ["doctor"]):
            done = cli(*verb)
            assert f"open in pid {other.pid} (" in done.stdout + done.stderr, verb
            assert steps in done.stdout + done.stderr, verb
        directory = f"sudo kill -TERM {other.pid}; sudo hk-tick-collector import {root}"
        for name in ("report", "doctor"):
            assert directory in cli(name).stdout, name
        script = subprocess.run(["bash", str(SCRIPT), str(path)], capture_output=True, text=True, check=False)
        assert script.stdout.startswith(f"WARNING: {path} is a day file of the predecessor, open in pid {other.pid} (")
        assert script.stdout.endswith(f"-> {steps}\n")
        other.terminate()
        other.wait(300)
        assert cli("import", str(path)).returncode == 0
    assert cli("gaps").returncode == 0


def test_a_file_that_nobody_can_read_is_named_with_its_holder(cli: Cli, root: Path) -> None:
    """A lock that keeps every reader out: the file and the process are named, also for a whole directory."""
    path = write_file(root / f"{DAY}.db", [as_predecessors(tick("HK.00700", 1), DAY)])
    with in_transaction(path, "PRAGMA journal_mode = DELETE;", "BEGIN EXCLUSIVE;") as other:
        for verb in (["gaps", "--day", DAY], ["report"], ["doctor"]):
            done = cli(*verb)
            said = done.stdout + done.stderr
            assert f"{path} stays locked by pid {other.pid} (" in said, verb
            assert f"sudo kill -TERM {other.pid}" in said, verb


def test_a_file_that_the_collector_imports_is_not_imported_twice(cli: Cli, root: Path) -> None:
    """With the file's new name or the day's name: nothing to do, and the message does not ask to stop the service."""
    path = root / f"{DAY}.db"
    waiting = root / f"{DAY}.db.predecessor-20261118T020304Z.not-imported"
    write_file(waiting, [as_predecessors(tick("HK.00700", 1), DAY)])
    day = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    day.write(Batch(rows=[tick("HK.00700", 2)]), OPEN_MS)
    day.close()
    for opened, named, words in (
        (waiting, (str(waiting), str(root)), "adds it to"),
        (path, (str(path),), "nothing to do"),
    ):
        # What tells a collector is its command line.
        command = [sys.executable, "-c", COLLECTOR, str(opened), "hk-tick-collector"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as collector:
            assert collector.stdout
            assert collector.stdout.readline() == "open\n"
            for name in named:
                done = cli("import", name)
                assert (done.returncode, done.stderr) == (0, "")
                assert words in done.stdout
                assert opened == path or f"process {collector.pid}" in done.stdout
            collector.kill()
    assert waiting.exists()


def test_what_is_no_file_of_the_predecessor(cli: Cli, root: Path) -> None:
    """Each is refused with its cause, the others are still imported; exit code 1."""
    good = write_file(root / f"{DAY}.db", [as_predecessors(tick("HK.00700", 1), DAY)])
    text, other, damaged = root.parent / "20261101.db", root.parent / "20261102.db", root.parent / "20261103.db"
    text.write_text("no database\n" * 200)
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE orders (id INTEGER)")
    write_file(damaged, [as_predecessors(tick("HK.00700", counter), DAY) for counter in range(1, 900)])
    data = bytearray(damaged.read_bytes())
    data[8192:40_000] = b"\x5a" * (40_000 - 8192)
    damaged.write_bytes(data)
    missing, pipe = root.parent / "20261104.db", root.parent / "20261105.db"
    os.mkfifo(pipe)
    done = cli("import", *map(str, (text, other, damaged, missing, pipe, good)))
    assert done.returncode == 1
    told = dict(zip(("text", "other", "damaged", "missing", "pipe"), done.stderr.splitlines(), strict=True))
    assert "is not an SQLite file" in told["text"]
    assert "another program's database" in told["other"]
    assert "is damaged" in told["damaged"]
    assert "there is no" in told["missing"]
    assert "not a regular file" in told["pipe"]
    assert "1 of 1 rows imported" in done.stdout


@pytest.mark.parametrize(
    "sql",
    [
        (
            "DROP TABLE ticks; CREATE VIEW ticks AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq FROM n)"
            " SELECT 'HK' AS market, 'HK.00700' AS symbol, 1 AS ts_ms, 1 AS price, 1 AS volume, 1 AS turnover, seq,"
            " '20261118' AS trading_day FROM n"
        ),
        (
            "ALTER TABLE ticks RENAME TO old; CREATE TABLE ticks (market, symbol, ts_ms, price, volume, turnover, seq,"
            " trading_day, PRIMARY KEY (symbol, seq)) WITHOUT ROWID; INSERT INTO ticks (symbol, seq) VALUES (1, 1)"
        ),
        "UPDATE ticks SET provider = zeroblob(50000000)",
    ],
)
def test_a_hostile_file_is_named(cli: Cli, root: Path, sql: str) -> None:
    """An endless view, another kind of table, a value of 50 MB: one line, nothing changed, no traceback."""
    path = write_file(root / f"{DAY}.db", [as_predecessors(tick("HK.00700", 1), DAY)])
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
    done = cli("import", str(path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "another program's database" in done.stderr or "the tables of a predecessor's file" in done.stderr
    assert cli("ticks", "--day", DAY).returncode == 1
    assert [*root.glob("*.db"), *root.glob("*predecessor*")] == [path]


def test_the_day_comes_from_the_name_or_the_rows(cli: Cli, root: Path) -> None:
    """A file with any name is imported if its rows are of one day; with rows of two days it is refused."""
    one = write_file(root.parent / "copy.sqlite", [as_predecessors(tick("HK.00700", 1), DAY)])
    assert cli("import", str(one)).returncode == 0
    assert len(ours(root / f"{DAY}.db")) == 1
    two = write_file(
        root.parent / "two.sqlite",
        [as_predecessors(tick("HK.00700", 1), DAY), as_predecessors(tick("HK.00700", 2), "20261119")],
    )
    assert "the trading day is neither in the name of" in cli("import", str(two)).stderr
    assert "--to" in cli("import", str(one), "--to", str(root / "nowhere")).stderr


def test_a_full_disk_changes_nothing(root: Path, cli: Cli) -> None:
    """Too little space is reported before anything is written."""
    path = write_file(root / f"{DAY}.db", [as_predecessors(tick("HK.00700", 1), DAY)])
    before = path.read_bytes()
    done = cli("import", str(path), DISK_MIN_FREE_MB="2000000000")
    assert done.returncode == 1
    assert "no room in" in done.stderr
    assert path.read_bytes() == before
    assert [entry.name for entry in root.iterdir()] == [path.name]


def test_a_disk_that_fills_meanwhile_changes_nothing(root: Path, workdir: Path) -> None:
    """A failed write ends the import with its cause: the old file is unchanged, and no partial file remains."""
    rows = [as_predecessors(tick("HK.00700", counter), DAY) for counter in range(1, 5000)]
    path = write_file(root / f"{DAY}.db", rows)
    before = path.read_bytes()
    program = f"ulimit -f 100; exec {sys.executable} -m hk_tick_collector import {path}"
    done = subprocess.run(["bash", "-c", program], cwd=workdir, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be written (file_size_limit" in done.stderr
    assert path.read_bytes() == before
    assert [entry.name for entry in root.iterdir()] == [path.name]


def test_earlier_days_beside_a_running_collector(cli: Cli, root: Path) -> None:
    """A file of the predecessor in the day's place is imported without stopping the collector."""
    path = write_file(root / f"{DAY}.db", [as_predecessors(tick("HK.00700", 1), DAY)])
    lock = OwnerLock(root, "a test")
    try:
        assert cli("import", str(root)).returncode == 0
    finally:
        lock.release()
    assert len(ours(path)) == 1


def test_a_kill_at_any_moment_leaves_no_partial_file(root: Path, cli: Cli, workdir: Path) -> None:
    """After SIGKILL at any step no partial file is in use, and a second call completes the import."""
    ticks = [tick("HK.00700", counter) for counter in range(1, 60)]
    rows = [as_predecessors(row, DAY) for row in ticks]
    for step in ("_fill", "_judge", "_verify", "_give", "_publish", "os.link", "Path.replace", "foreign.keep"):
        shutil.rmtree(root)
        root.mkdir()
        path = write_file(root / f"{DAY}.db", rows)
        done = subprocess.run(
            [sys.executable, "-c", _KILLED_IN, step, str(path)], cwd=workdir, check=False, timeout=300
        )
        assert done.returncode == -signal.SIGKILL, step
        if path.exists():
            told = cli("ticks", "--day", DAY, "--format", "jsonl")
            assert "import" in told.stderr or len(told.stdout.splitlines()) == len(ticks), step
        again = cli("import", str(path))
        assert again.returncode == 0, (step, again.stderr)
        assert ours(path) == ticks, step
        kept = [entry for entry in root.glob("*predecessor-*") if not entry.name.endswith(("-wal", "-shm"))]
        assert len(kept) == 1, step
        assert not list(root.glob(".import-*")), step


_KILLED_IN = """
import os, signal, sys
from pathlib import Path
from hk_tick_collector import cli
from hk_tick_collector.store import foreign, importing

step, calls = sys.argv[1], 0
places = {"os.link": (os, "link"), "Path.replace": (Path, "rename"), "foreign.keep": (foreign, "keep")}
owner, name = places.get(step, (importing, step))
real = getattr(owner, name)

def killed(*args, **kwargs):
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, killed)
sys.exit(cli.main(["import", sys.argv[2]]))
"""


def test_memory_does_not_grow_with_the_rows(root: Path, workdir: Path) -> None:
    """Three hundred thousand rows need hardly more memory than a few."""
    peaks = []
    for rows in (2_000, 300_000):
        path = root / f"{DAY}.db"
        for entry in root.iterdir():
            entry.unlink()
        with closing(begin_file(path)) as db:
            db.execute(
                """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                   INSERT INTO ticks SELECT 'HK', 'HK.0070' || (i % 10), ? + i * 50, 388.2, 100, 38820.0, 'BUY',
                       ((? + i * 50) / 1000 << 32) | (i / 10 + 1), 'AUTO_MATCH', 'REALTIME', 'futu', ?, ? + i, ? + i
                   FROM n""",
                (rows, OPEN_MS, OPEN_MS, DAY, OPEN_MS, OPEN_MS),
            )
            db.commit()
        program = (
            "import resource, sys; from hk_tick_collector import cli; code = cli.main(['import', sys.argv[1]]);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
        )
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], cwd=workdir, capture_output=True, text=True, check=True
        )
        print(rows, time.monotonic() - started_s, done.stdout, done.stderr)
        assert f"{rows:,} of {rows:,} rows imported" in done.stdout
        peaks.append(int(done.stderr.split()[-1]) / 1024)
    assert peaks[1] < peaks[0] + 120
