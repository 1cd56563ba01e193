"""`db_health_check.sh "$DB"`: one verdict that names the cause, from real day files, with only the stock sqlite3."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import apsw
import pytest
from tests.bigday import make_big_day
from tests.cpu import cpu_of_children_s
from tests.live_state import leave_live_state
from tests.others import open_to_others
from tests.predecessor_files import as_predecessors, write_file
from tests.preloaded.wrong_clock import moment_s
from tests.reliability.disks import disk_of_its_own, frozen, small_disk

from hk_tick_collector import market
from hk_tick_collector.model import Gap, RuleChange
from hk_tick_collector.store import schema
from hk_tick_collector.store.collector_lock import OwnerLock
from hk_tick_collector.store.dayfile import Batch, ConnectionChange, DayFile, StoreOptions, seal
from hk_tick_collector.store.foreign import keep, kept_path
from hk_tick_collector.store.locks import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import Check

DAY: Final = "20261120"  # a Friday
START_MS: Final = market.day_start_ms(market.parse_day(DAY))
OPEN_MS: Final = START_MS + 34_200_000  # 09:30
SEQ: Final = (OPEN_MS // 1000) << 32
NOBODY: Final = 65_534
CAP_S: Final = 5.0  # of a core


def at(clock: str) -> int:
    """That time of DAY in Hong Kong, in seconds since 1970."""
    return moment_s(DAY, clock)


def fill(path: Path, tick: Callable[..., TickRow], *, count: int = 5, **batch: Any) -> DayFile:
    """A day file with `count` ticks of HK.00700 from 09:30:00 on, a second apart, open as a collector has it."""
    day = DayFile(path, path.stem, "run", OPEN_MS, "1.2.3", StoreOptions())
    rows = [tick("HK.00700", ((OPEN_MS // 1000 + n) << 32) | (n + 1), OPEN_MS + n * 1000) for n in range(count)]
    rules = [RuleChange(market.parse_day(DAY), symbol, "counter", 0) for symbol in {row[0] for row in rows}]
    day.write(Batch(rows=rows, rules=rules, **batch), OPEN_MS + 60_000)
    return day


@contextmanager
def collecting(directory: Path) -> Iterator[None]:
    """The lock of DATA_ROOT is held, as a running collector holds it."""
    lock = OwnerLock(directory, "pid 1")
    try:
        yield
    finally:
        lock.release()


def test_a_day_that_is_collected_is_ok(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """While the writer has the file open and the newest ticks are only in the WAL: OK, exit 0, every figure."""
    path = tmp_path / f"{DAY}.db"
    link = ConnectionChange(OPEN_MS, connected=True, conn_id=1, reason="")
    with closing(fill(path, tick, count=1200, connections=[link], duplicate=3)), collecting(tmp_path):
        found = check(path, at_s=at("09:50:30"))
    assert (found.code, found.verdict) == (0, "OK: 1,200 ticks of 1 symbols, collecting, nothing to do")
    assert found.figures["rows"] == "1,200 of 1 symbols"
    assert found.figures["lag"].startswith("3")
    assert "newest tick 2026-11-20 09:49:59 HKT (judged in 09:30 to 12:00" in found.figures["lag"]
    assert found.figures["complete"] == "100.00000 %, 1,200 of 1,200 ticks of 1 symbols"
    assert found.figures["gaps"] == "0 open, 0 ticks missing"
    account = "1,203 received = 1,200 stored + 3 duplicate + 0 rejected + 0 dropped + 0 waiting"
    assert found.figures["ledger"] == account
    assert found.figures["last commit"].endswith("2026-11-20 09:31:00 HKT")
    assert found.figures["file"] == f"{path}, schema {schema.VERSION}, written by 1.2.3, being written"
    assert "MB free" in found.figures["disk"]


@pytest.mark.parametrize(
    ("clock", "code", "says"),
    [
        ("09:31:00", 0, "OK: 5 ticks"),
        ("09:31:30", 1, "s old while the market trades -> sudo journalctl"),
        ("09:41:00", 2, "s old while the market trades -> sudo journalctl"),
        ("12:30:00", 0, "not judged: the market does not trade now"),
        ("13:00:30", 0, "OK: 5 ticks"),
        ("13:10:00", 2, "s old while the market trades"),
        ("16:05:00", 0, "not judged: the market does not trade now"),
    ],
)
def test_lag_is_judged_in_trading_hours_alone(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check, clock: str, code: int, says: str
) -> None:
    """The newest tick is of 09:30:04: OK within a minute, critical after five, not judged outside the sessions."""
    with closing(fill(tmp_path / f"{DAY}.db", tick)), collecting(tmp_path):
        found = check(tmp_path / f"{DAY}.db", at_s=at(clock))
    assert found.code == code, found.lines
    assert says in "\n".join(found.lines)


def test_limits_are_the_settings_of_the_environment(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """LAG_CRITICAL_SEC counts if it is a number; otherwise the default stays."""
    with closing(fill(tmp_path / f"{DAY}.db", tick)), collecting(tmp_path):
        for value, code in (("100", 2), ("100.5", 2), ("many", 1), ("x[$(touch /tmp/no)]", 1)):
            assert check(tmp_path / f"{DAY}.db", at_s=at("09:33:00"), LAG_CRITICAL_SEC=value).code == code


def test_the_market_state_has_priority_over_the_clock(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check
) -> None:
    """On a half day the current live state says that the market is closed: no alarm. An old one: a hung service."""
    path, now_s = tmp_path / f"{DAY}.db", at("13:10:00")
    live = leave_live_state(tmp_path, connected=True, trading=False, day_expected=True)
    with closing(fill(path, tick)), collecting(tmp_path):
        os.utime(live, (now_s, now_s))
        found = check(path, at_s=now_s)
        assert (found.code, found.verdict) == (0, "OK: 5 ticks of 1 symbols, collecting, nothing to do")
        os.utime(live, (now_s - 100, now_s - 100))
        found = check(path, at_s=now_s)
    assert found.code == 2
    assert found.verdict.startswith("CRITICAL: the collector has not reported for 10")
    assert "sudo systemctl restart hk-tick-collector" in found.verdict


def test_while_opend_is_away_the_clock_says_whether_the_market_trades(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check
) -> None:
    """The live state then never says that it trades. Only a day that the calendar does not expect has no session."""
    path, now_s = tmp_path / f"{DAY}.db", at("10:00:00")
    with closing(fill(path, tick)), collecting(tmp_path):
        for day_expected, says in ((True, "judged in 09:30 to 12:00"), (False, "not judged: the market does not")):
            state = {"connected": False, "trading": False, "market_state": "morning", "day_expected": day_expected}
            live = leave_live_state(tmp_path, **state)
            os.utime(live, (now_s, now_s))
            assert says in check(path, at_s=now_s).figures["lag"]


def test_the_cause_of_a_lag_is_the_verdict(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """No collector runs, or OpenD is not connected: each is the verdict, and the lag that it causes is shown below."""
    path = tmp_path / f"{DAY}.db"
    link = ConnectionChange(OPEN_MS + 5000, connected=False, conn_id=None, reason="connection refused")
    with closing(fill(path, tick, connections=[link])):
        found = check(path, at_s=at("10:00:00"))
        assert found.code == 2
        assert found.verdict == (
            f"CRITICAL: no collector runs on {tmp_path} (and 1 more, below) -> sudo systemctl start hk-tick-collector"
        )
        assert "s old while the market trades" in found.lines[2]
        with collecting(tmp_path):
            found = check(path, at_s=at("10:00:00"))
    assert found.verdict.startswith("CRITICAL: OpenD is away since 09:30:05: connection refused (and 1 more, below)")
    assert found.verdict.endswith("-> sudo systemctl status futu-opend --no-pager")


def test_missing_ticks_are_reported(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """Open gaps with their sizes, lost ticks, low disk space; a small loss long ago is a figure and no alarm."""
    path, opened_ms = tmp_path / f"{DAY}.db", OPEN_MS + 10_000
    gaps = [
        Gap("HK.00700", SEQ | 9, SEQ | 1208, OPEN_MS, OPEN_MS, 1200, "disconnected", "open", opened_ms, None, 1),
        Gap("HK.00005", None, None, OPEN_MS, OPEN_MS, None, "kicked_out", "open", opened_ms, None, 2),
        Gap("HK.00005", SEQ | 2, SEQ | 2, OPEN_MS, OPEN_MS, 0, "push_lost", "healed", opened_ms, opened_ms, 3),
    ]
    with closing(fill(path, tick, gaps=gaps)), collecting(tmp_path):
        lately = check(path, at_s=at("09:30:30"))
        assert (lately.code, lately.verdict) == (
            1,
            "WARNING: 2 gaps are open, the last since 09:30:10 (and 1 more, below) -> hk-tick-collector gaps --open",
        )
        assert lately.figures["gaps"] == "2 open, 1,200 ticks missing, 1 of unknown size"
        later = check(path, at_s=at("12:30:00"))
        assert (later.code, later.verdict) == (
            1, f"WARNING: 1,200 ticks of {DAY} are lost -> hk-tick-collector gaps --open --day {DAY}",
        )  # fmt: skip
        waiting = tmp_path / f"{DAY}.db.predecessor-{DAY}T020304Z.not-imported"
        waiting.touch()  # what is missing may be in the predecessor's file
        assert "are lost" not in check(path, at_s=at("12:30:00")).verdict
        waiting.unlink()
        full = check(path, at_s=at("12:30:00"), DISK_MIN_FREE_MB="999999999")
    assert full.code == 2
    assert f"MB are free in {tmp_path} (and 1 more, below) -> df -h {tmp_path};" in full.verdict


@pytest.mark.parametrize("limit_mb", [1, 3, 40, 2048])
def test_a_full_disk_is_critical_as_for_status(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check, limit_mb: int
) -> None:
    """A quarter of DISK_MIN_FREE_MB is not rounded down to nothing."""
    with small_disk(tmp_path / "HK", "size=16m") as disk:
        path = disk / f"{DAY}.db"
        fill(path, tick).close()
        if limit_mb < 16:
            assert check(path, DISK_MIN_FREE_MB=str(limit_mb)).code == 0
        with (disk / "full").open("wb", buffering=0) as full, suppress(OSError):
            while True:
                full.write(b"x" * 65_536)
        said = check(path, DISK_MIN_FREE_MB=str(limit_mb))
    assert said.verdict.startswith(f"CRITICAL: 0 MB are free in {disk} -> df -h {disk};")


def test_the_limits_are_those_of_the_settings_file(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """`status` reads DISK_MIN_FREE_MB in .env, and so does the script."""
    fill(tmp_path / f"{DAY}.db", tick).close()
    (tmp_path / ".env").write_text("DISK_MIN_FREE_MB=999999999\n")
    (tmp_path / f"{DAY}.db").chmod(0o644)
    open_to_others(tmp_path)
    user = NOBODY if os.geteuid() == 0 else None  # root does not read the .env of any directory
    said = check(tmp_path / f"{DAY}.db", user=user, DISK_MIN_FREE_MB="")
    assert (said.code, "MB are free" in said.verdict) == (2, True)


def test_dropped_ticks_and_a_wrong_account(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """Dropped ticks are a warning; a file whose counters and ledger disagree is critical."""
    path = tmp_path / f"{DAY}.db"
    fill(path, tick, dropped=7).close()
    assert "7 received ticks were dropped" in check(path).verdict
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE symbols SET rows = 4")
    found = check(path)
    assert (found.code, "the ledger has 5 ticks stored and the symbols 4" in found.verdict) == (2, True)


def test_a_past_day_closed_sealed_or_copied(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """The file is read in any state, its lag is not judged, and a snapshot is read as a day file too."""
    path = tmp_path / f"{DAY}.db"
    fill(path, tick).close()
    found = check(path)
    assert (found.code, found.verdict) == (0, "OK: 5 ticks of 1 symbols, nothing to do")
    assert found.figures["file"].endswith("closed, one plain file")
    assert f"(not judged: {DAY} is not today)" in found.figures["lag"]
    assert seal(path, OPEN_MS, StoreOptions())
    assert check(path).figures["file"].endswith("sealed")
    shutil.copy(path, tmp_path / f"{DAY}.snapshot.db")
    assert check(f"{DAY}.snapshot.db", at_s=at("10:00:00")).figures["file"].endswith("snapshot")


@pytest.mark.parametrize(
    ("name", "clock", "code", "says"),
    [
        ("20261121", "10:00:00", 2, "20261121 is in the future, today is 20261120 in Hong Kong"),
        ("20261115", "10:00:00", 0, "none is expected: 20261115 is a Sunday, not a trading day"),
        ("20261119", "10:00:00", 1, "a holiday, or the collector did not run that day"),
        ("20261120", "10:00:00", 2, "no collector runs on"),
        ("20261119.snapshot", "10:00:00", 1, "hk-tick-collector snapshot --day 20261119"),
    ],
)
def test_a_missing_file_has_a_reason(tmp_path: Path, check: Check, name: str, clock: str, code: int, says: str) -> None:
    """It depends on the calendar and on whether a collector runs; if no file is expected, it is no fault."""
    found = check(tmp_path / f"{name}.db", at_s=at(clock))
    assert found.code == code
    assert f"there is no {tmp_path}/{name}.db" in found.only_line() or "snapshot" in name
    assert says in found.only_line()


def test_a_missing_file_of_today_has_a_reason(tmp_path: Path, check: Check) -> None:
    """If a collector runs, the day is a holiday in OpenD's calendar, or `status` shows the cause."""
    path, now_s = tmp_path / f"{DAY}.db", at("10:00:00")
    with collecting(tmp_path):
        found = check(path, at_s=now_s)
        assert (found.code, "though a collector runs" in found.only_line()) == (2, True)
        live = leave_live_state(tmp_path, trading=False, day_expected=False)
        os.utime(live, (now_s, now_s))
        found = check(path, at_s=now_s)
    assert found.code == 0
    assert f"by OpenD's calendar {DAY} is not a trading day" in found.only_line()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["a", "b"], "one day file at most, 2 given"),
        ([""], "the path is empty"),
        (["/data/20261332.db"], "20261332 is not a date"),
        (["/data/ticks.db"], "/data/ticks.db has not the name of a day file"),
        (["/nowhere/at/all/20261120.db"], "-> hk-tick-collector config | grep DATA_ROOT"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(check: Check, args: list[str], says: str) -> None:
    """It says what was wrong, and how the script is called."""
    found = check(*args)
    assert found.code == 2
    assert says in found.only_line()


def test_without_an_argument_it_takes_today(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """Today's file of DATA_ROOT: from the environment, else from the settings here, which root does not read."""
    root = tmp_path / "HK"
    root.mkdir()
    with closing(fill(root / f"{DAY}.db", tick)), collecting(root):
        found = check(at_s=at("09:30:30"), DATA_ROOT=str(root))
        assert (found.code, found.verdict) == (0, "OK: 5 ticks of 1 symbols, collecting, nothing to do")
    (root / f"{DAY}.db").unlink()
    (tmp_path / ".env").write_text(f"# DATA_ROOT=/x\nDATA_ROOT='{root}'  \n")
    open_to_others(tmp_path)
    root.chmod(0o755)
    assert f"there is no {root}/2" in check(user=NOBODY).verdict
    assert str(root) not in check().verdict


def test_each_symbol_is_shown_with_its_newest_tick(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """The symbol with the oldest tick comes first; if there are many, the others are counted."""
    path = tmp_path / f"{DAY}.db"
    with closing(fill(path, tick)) as day, collecting(tmp_path):
        day.write(Batch(rows=[tick("HK.00005", SEQ | 1, OPEN_MS - 20_000)]), OPEN_MS + 60_000)
        found = check(path, at_s=at("09:30:30"))
        assert found.lines[-2:] == [
            "  HK.00005   newest tick 09:29:40, 50 s ago, 1 rows",
            "  HK.00700   newest tick 09:30:04, 26 s ago, 5 rows",
        ]
        day.write(Batch(rows=[tick(f"HK.{n:05d}", SEQ | 1, OPEN_MS) for n in range(10_000, 10_100)]), OPEN_MS + 60_000)
        assert check(path, at_s=at("09:30:30")).lines[-1] == "  and 62 more symbols, all with newer ticks"


LIVE: Final = {
    "a lock": (
        {"writer_trouble": "busy", "writer_detail": "database is locked", "writer_trouble_since_ms": -9000},
        (
            "WARNING: the writer waits for 9 s: busy (database is locked); stop the other program that writes it"
            " -> sudo fuser -v {db} {db}-wal {db}-shm"
        ),
    ),
    "a lock for a minute, by a process that is known": (
        {
            "writer_trouble": "busy",
            "writer_detail": "database is locked",
            "writer_trouble_since_ms": -61_000,
            "writer_holder_pid": 1,
        },
        (
            f"CRITICAL: the writer waits for 61 s: busy (database is locked), locked by {describe(1).words()};"
            " end that process; writing resumes by itself -> sudo kill -TERM 1"
        ),
    ),
    "kicked out": (
        {"trouble": {"kicked_out": "elsewhere"}, "trouble_since_ms": {"kicked_out": -65_000}},
        (
            "CRITICAL: OpenD reports: kicked out since 09:29:25; another terminal of this account took its quotes,"
            " this takes them back -> echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222"
        ),
    ),
    "a code": ({"program": "needs_sms_code"}, "CRITICAL: OpenD is not ready, needs sms code"),
    "a crash loop": ({"unplanned_ms": [-3000, -2000]}, "WARNING: the collector ended by itself 2 times in the last"),
    "a day": ({"held_rows": {"20261119": 5}}, "CRITICAL: ticks of 20261119 wait"),
    "hostile words": ({"trouble": {"kicked\x1b[2J\n|rm": ""}}, "CRITICAL: OpenD reports: kicked?[2J /rm"),
}


@pytest.mark.parametrize(("changes", "says"), LIVE.values(), ids=LIVE)
def test_problems_of_the_live_state_are_named_as_in_status(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check, changes: dict[str, Any], says: str
) -> None:
    """A lock, a lost right, a login code, a crash loop: cause and command; OpenD's text is only text."""
    path, now_s = tmp_path / f"{DAY}.db", at("09:30:30")

    def moved(value: Any) -> Any:
        """Times are moved to now."""
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        if isinstance(value, list):
            return [moved(each) for each in value]
        return now_s * 1000 + value if isinstance(value, int) and value < 0 else value

    state = {"data_root": str(tmp_path), "state": "running", "trading": True, "connected": True, "program": "ready"}
    state |= {"quote_logged_in": True, **moved(changes)}
    live = tmp_path / "status.json"
    live.write_text(json.dumps(state, separators=(",", ":")))
    os.utime(live, (now_s, now_s))
    with closing(fill(path, tick)), collecting(tmp_path):
        found = check(path, at_s=now_s)
    assert found.verdict.startswith(says.format(db=path))
    assert all(line.isprintable() for line in found.lines)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("stopped", "it was stopped at 09:25:30 -> sudo systemctl start hk-tick-collector"),
        ("running", "it died without a word, last seen at 09:25:30 -> sudo journalctl"),
    ],
)
def test_a_stop_and_a_crash_are_distinguished(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check, state: str, says: str
) -> None:
    """From what the collector left in its files."""
    path, now_s = tmp_path / f"{DAY}.db", at("09:30:30")
    fill(path, tick).close()
    live = tmp_path / "status.json"
    live.write_text(f'{{"data_root":"{tmp_path}","state":"{state}"}}')
    os.utime(live, (now_s - 300, now_s - 300))
    found = check(path, at_s=now_s)
    assert found.verdict.startswith(f"CRITICAL: no collector runs on {tmp_path}: {says}")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("sqlite3", "gave no answer within seconds: another process keeps it, or its disk hangs -> sudo dmesg"),
        ("df", "does not answer within 20 s: its disk hangs"),
    ],
)
def test_a_disk_that_does_not_answer_is_named(
    tmp_path: Path, tick: Callable[..., TickRow], check: Check, program: str, says: str
) -> None:
    """In every case the script answers, and its output is not kept open."""
    path = tmp_path / f"{DAY}.db"
    fill(path, tick).close()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / program).write_text("#!/bin/sh\nexec sleep 240\n")
    (programs / program).chmod(0o755)
    found = check(path, PATH=f"{programs}:{os.defpath}")
    assert (found.code, says in found.only_line()) == (2, True), found.lines


def test_help_says_what_it_does(check: Check) -> None:
    """The comment at the top of the script, exit 0."""
    found = check("--help")
    assert found.code == 0
    assert 'bash scripts/db_health_check.sh "$DB"' in found.verdict


def _text(path: Path) -> None:
    path.write_text("no database " * 1000)


def _foreign(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE ticks (a)")


def _other_schema(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("application_id", 1212896323)
        db.pragma("user_version", 9)
        db.execute("CREATE TABLE meta (key, value)")


def _zeros_inside(path: Path) -> None:
    DayFile(path, DAY, "run", OPEN_MS, "1", StoreOptions()).close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def test_a_day_of_the_predecessor(tmp_path: Path, check: Check, tick: Callable[..., TickRow]) -> None:
    """It is named as such, with the command that imports it, both in its place and set aside."""
    path = write_file(tmp_path / f"{DAY}.db", [as_predecessors(tick("HK.00700", 1), DAY)])
    found = check(path)
    assert (found.code, found.only_line()) == (
        1,
        f"WARNING: {path} is a day file of the predecessor -> sudo hk-tick-collector import {path}",
    )
    waiting = kept_path(path, 0, waiting=True)
    keep(path, waiting)
    found = check(path)
    assert found.code == 1
    assert found.only_line().endswith(f"is not imported yet -> sudo hk-tick-collector import {waiting}")


def test_the_printed_command_moves_a_foreign_file(tmp_path: Path, check: Check) -> None:
    """The command that is printed for another program's file can be pasted, and the file is kept."""
    path = tmp_path / f"{DAY}.db"
    _foreign(path)
    command = check(path).only_line().partition(" -> ")[2].replace("sudo ", "")
    subprocess.run(["bash", "-c", command], check=True)
    [aside] = tmp_path.iterdir()
    assert [moved.name for moved in aside.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_text, "is not an SQLite file -> d="),
        (_foreign, "is another program's database -> d="),
        (_other_schema, "has another schema (symbols); use the scripts of the version that wrote it"),
        (_zeros_inside, "is damaged; keep it, see docs/sqlite-wal.md"),
        (lambda path: path.touch(), "is empty: it was truncated (docs/sqlite-wal.md)"),
        (lambda path: path.mkdir(), "is no regular file -> d="),
    ],
)
def test_a_file_that_is_no_complete_day_file_is_one_line(
    tmp_path: Path, check: Check, make: Callable[[Path], object], says: str
) -> None:
    """One line with cause and remedy, exit 2."""
    make(tmp_path / f"{DAY}.db")
    found = check(tmp_path / f"{DAY}.db")
    assert found.code == 2
    assert says in found.only_line()


def test_a_locked_file(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """Another process has an exclusive lock: a command shows which."""
    path = tmp_path / f"{DAY}.db"
    fill(path, tick).close()
    with closing(apsw.Connection(str(path))) as db:
        db.execute("BEGIN EXCLUSIVE")
        found = check(path)
    assert (found.code, found.only_line()) == (
        2, f"CRITICAL: {path} stays locked by another program -> sudo lsof {path}"
    )  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_without_the_right_the_group_is_named(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """A file or a directory that the caller may not read: the message names the group to join."""
    open_to_others(tmp_path)
    root = tmp_path / "HK"
    root.mkdir()
    path = root / f"{DAY}.db"
    with closing(fill(path, tick)):
        path.chmod(0o640)
        assert f"no right to read {path}; join its group -> sudo usermod -aG" in check(path, user=NOBODY).only_line()
        root.chmod(0o750)
        found = check(path, user=NOBODY)
        assert (found.code, f"no right to look into {root}; join its group -> sudo" in found.only_line()) == (2, True)
        os.chown(root, 0, NOBODY)
        for part in root.iterdir():
            os.chown(part, 0, NOBODY)
        assert check(path, user=NOBODY).verdict == "OK: 5 ticks of 1 symbols, nothing to do"


def test_without_sqlite3_the_package_is_named(tmp_path: Path, check: Check) -> None:
    """On a host without it, the message says what to install."""
    (tmp_path / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    found = check(tmp_path / f"{DAY}.db", PATH=str(tmp_path))
    assert (found.code, found.only_line()) == (
        2, "CRITICAL: there is no sqlite3 on this host -> sudo apt-get install sqlite3"
    )  # fmt: skip


def test_a_path_with_odd_characters(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """Blanks, and characters that have a meaning in a URI, are parts of the name."""
    odd = tmp_path / "a b?c#d%20'e"
    odd.mkdir()
    fill(odd / f"{DAY}.db", tick).close()
    assert check(odd / f"{DAY}.db").verdict == "OK: 5 ticks of 1 symbols, nothing to do"


HOSTILE: Final = "訂阅\x1b[2J\x1b]0;t\x07\x9b1A\u202e\u2066\u200b\r\x7f|\ndone\nOK: nothing to do"
ACTS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def test_text_from_outside_is_cleaned(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """OpenD's reason, a file's version, the path: control and bidi characters, newlines are replaced; Chinese stays."""
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    path = folder / f"{DAY}.db"
    fill(path, tick, connections=[ConnectionChange(OPEN_MS, connected=False, conn_id=None, reason=HOSTILE)]).close()
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'software_version'", (HOSTILE,))
    with collecting(folder):
        checked = check(path, at_s=at("09:40:00"))
    text = "\n".join(checked.lines)
    assert checked.code == 2
    assert "訂阅?[2J?]0;t??1A" in text
    assert ACTS.findall(text) == []
    assert not any(line.startswith(("OK:", "done")) for line in checked.lines)
    for arguments in (["\x1b[2J"], ["a\nb.db"], [f"\x1b[2J/{DAY}.db"]):
        assert ACTS.findall(check(*arguments).only_line()) == []


def test_five_million_rows_take_no_longer(
    tmp_path_factory: pytest.TempPathFactory, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads counters and no tick: a day of five million rows, while it is written."""
    path = tmp_path_factory.mktemp("big") / f"{DAY}.db"
    rows = make_big_day(path, 5_000_000)
    with closing(DayFile(path, DAY, "run", OPEN_MS, "1", StoreOptions())):
        before_s = cpu_of_children_s()
        found = check(path)
        took_s = cpu_of_children_s() - before_s
    path.unlink()
    with capsys.disabled():
        print(f" [{rows:,} rows: {took_s:.2f} s of a core]", end="")
    assert (found.code, found.verdict) == (0, f"OK: {rows:,} ticks of 900 symbols, nothing to do")
    assert took_s < CAP_S


def test_a_frozen_disk(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """sqlite3 cannot be killed there: the script answers, and names the disk and the command to unfreeze it."""
    with disk_of_its_own(tmp_path / "disk") as root:
        path = root / f"{DAY}.db"
        with closing(fill(path, tick)), frozen(root):
            found = check(path)
    assert found.code == 2
    assert found.only_line().startswith(f"CRITICAL: the disk of {root} is frozen (fsfreeze)")
    assert found.only_line().endswith(f" -> sudo fsfreeze --unfreeze $(findmnt -n -o TARGET -T {root})")


def test_an_endless_view_is_stopped(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """A file whose `symbols` never ends: the script stops after seconds of CPU time, and says what to look at."""
    path = tmp_path / f"{DAY}.db"
    fill(path, tick).close()
    with closing(apsw.Connection(str(path))) as db:
        db.execute("ALTER TABLE symbols RENAME TO others")
        db.execute(
            "CREATE VIEW symbols AS WITH RECURSIVE n (rows) AS (SELECT 1 UNION ALL SELECT rows + 1 FROM n)"
            " SELECT '' AS symbol, rows, 0 AS last_ts_ms, 0 AS expected FROM n"
        )
    began_s = cpu_of_children_s()
    found = check(path)
    assert found.code == 2
    words = f"CRITICAL: {path} asks for more work than a day file does: others changed its tables"
    late = f"CRITICAL: {tmp_path} does not answer within 20 s"  # on a machine that gives it no two seconds of a core
    assert found.only_line() == f"{words} -> sqlite3 {path} .schema" or found.only_line().startswith(late)
    assert cpu_of_children_s() - began_s < CAP_S


def test_a_sqlite3_that_is_too_old(tmp_path: Path, tick: Callable[..., TickRow], check: Check) -> None:
    """Before 3.37 there were no STRICT tables, and it calls the schema malformed: its age is named, not damage."""
    path = tmp_path / f"{DAY}.db"
    fill(path, tick).close()
    old = tmp_path / "sqlite3"
    told = 'Error: malformed database schema (meta) - near "STRICT": syntax error'
    old.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo 3.34.1 2021-01-20 && exit\necho '{told}'\nexit 1\n")
    old.chmod(0o755)
    found = check(path, PATH=f"{tmp_path}:{os.defpath}")
    words = "CRITICAL: sqlite3 of this host is 3.34.1, too old for day files: they need 3.37 or later"
    assert (found.code, found.only_line()) == (2, f"{words} -> hk-tick-collector status")
