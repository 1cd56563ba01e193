"""`snapshot`: while the real collector writes, on a terminal and in a pipe; one line for every obstacle."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.bigday import make_big_day
from tests.preloaded.wrong_clock import Clock, moment_s

from hk_tick_collector import market
from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, write_status
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAY: Final = "20261120"
OPEN_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 34_200_000
CAP_S: Final = 300.0


@pytest.fixture
def root(workdir: Path) -> Path:
    """DATA_ROOT of the settings in force."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nDISK_MIN_FREE_MB=1\n")
    return workdir


@pytest.fixture
def day(root: Path, tick: Callable[..., TickRow]) -> Path:
    """A day file with 300 ticks up to 09:34:59."""
    path = root / f"{DAY}.db"
    file = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    file.write(Batch(rows=[tick("HK.00700", n, OPEN_MS + n * 1000) for n in range(300)]), OPEN_MS)
    file.close()
    return path


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def test_it_prints_what_it_copied(cli: Cli, day: Path, root: Path) -> None:
    """One line with rows, newest time and size, one with the SHA-256; nothing on stderr in a pipe; exit code 0."""
    done = cli("snapshot", "--day", DAY)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{root}/{DAY}.snapshot.db: 300 ticks of 1 symbols up to 09:34:59 HKT, ")
    digest = hashlib.sha256((root / f"{DAY}.snapshot.db").read_bytes()).hexdigest()
    assert second == f"SHA-256 {digest}; after copying it: sha256sum -c {DAY}.snapshot.db.sha256"


def test_json_is_one_document(cli: Cli, day: Path, root: Path) -> None:
    """To another directory, for a program."""
    (root / "backup").mkdir()
    done = cli("snapshot", "--day", DAY, "--to", "backup", "--json")
    document = json.loads(done.stdout)
    copy = Path("backup", f"{DAY}.snapshot.db")
    assert document.pop("seconds") >= 0
    assert document == {
        "day": DAY, "file": str(copy), "bytes": (root / copy).stat().st_size,
        "sha256": hashlib.sha256((root / copy).read_bytes()).hexdigest(), "sha256_file": f"{copy}.sha256",
        "symbols": 1, "rows": 300, "newest_ts_ms": OPEN_MS + 299_000, "replaced": False,
    }  # fmt: skip


def test_snapshot_dir_is_the_setting(cli: Cli, day: Path, root: Path) -> None:
    """SNAPSHOT_DIR is used without --to; a missing directory is named."""
    done = cli("snapshot", "--day", DAY, SNAPSHOT_DIR=str(root / "away"))
    assert done.returncode == 1
    assert f"there is no directory {root}/away: create it, or name another" in only_line(done)
    (root / "away").mkdir()
    assert cli("snapshot", "--day", DAY, SNAPSHOT_DIR=str(root / "away")).returncode == 0
    assert (root / "away" / f"{DAY}.snapshot.db").exists()


@pytest.mark.parametrize(
    ("day_asked", "code", "says"),
    [
        ("20261332", 2, "--day 20261332 is not a date: write a day like 20261120"),
        ("99991231", 2, "99991231 is in the future: days with a file: 20261120 to 20261120"),
        ("20261115", 1, "20261115.db: 20261115 was a Sunday, not a trading day"),
        ("20261119", 1, "20261119.db: a holiday, or the collector did not run that day"),
    ],
)
def test_a_missing_file_has_a_reason(cli: Cli, day: Path, day_asked: str, code: int, says: str) -> None:
    """One line with the cause; exit code 2 if it can never work."""
    done = cli("snapshot", "--day", day_asked)
    assert done.returncode == code
    assert says in only_line(done)


@pytest.fixture
def on_thursday(root: Path, build_library: Callable[[str], Path]) -> dict[str, str]:
    """The environment of a process in which it is 10:00 on the trading day before DAY."""
    clock = Clock(build_library("wrong_clock"), root / "offset")
    clock.stop_at(moment_s("20261119", "10:00:00"))
    return clock.environ


def leave_live_state(root: Path, day_expected: bool) -> None:
    """Writes the live state of a collector that runs at that moment."""
    at_ms = market.day_start_ms(market.parse_day("20261119")) + 36_000_000 + 3_000
    live = LiveStatus(
        written_ms=at_ms, started_ms=at_ms, pid=1, version="1", instance="one", state="running", data_root=str(root),
        address="127.0.0.1:11111", connected=True, link_since_ms=at_ms, link_reason="", program="ready",
        program_detail="", quote_logged_in=True, market_state="closed", trading=False, trading_since_ms=None,
        drift_s=0.0, symbols=1, subscribed=1, refused={}, quota_used=1, quota_remaining=99, trouble={}, connects=1,
        skipped_messages=0, received=0, stored=0, duplicate=0, rejected=0, dropped=0, waiting=0, max_queue_rows=100,
        persisted_rows_per_min=0, day_expected=day_expected,
    )  # fmt: skip
    write_status(root / STATUS_NAME, live)


def test_a_missing_file_of_today_has_a_reason(cli: Cli, day: Path, root: Path, on_thursday: dict[str, str]) -> None:
    """No collector, a collector without the file, a holiday: in the last case the newest day is copied."""
    day.rename(root / "20261118.db")
    done = cli("snapshot", **on_thursday)
    assert done.returncode == 1
    assert "20261119.db: no collector runs here: sudo systemctl start hk-tick-collector" in only_line(done)
    leave_live_state(root, day_expected=True)
    done = cli("snapshot", **on_thursday)
    assert done.returncode == 1
    assert "20261119.db, although the collector runs: hk-tick-collector status" in only_line(done)
    leave_live_state(root, day_expected=False)
    done = cli("snapshot", "--day", "20261119", **on_thursday)
    assert (done.returncode, "by OpenD's calendar 20261119 is not a trading day" in only_line(done)) == (1, True)
    done = cli("snapshot", **on_thursday)
    assert done.returncode == 0
    assert done.stderr == "warning: 20261119 is not a trading day: this is a snapshot of 20261118\n"
    assert (root / "20261118.snapshot.db").exists()


def test_what_is_no_day_file_or_has_no_room(cli: Cli, root: Path, day: Path) -> None:
    """A text file named like a day; a disk with less space than must stay free."""
    (root / "20261118.db").write_text("no database " * 1000)
    done = cli("snapshot", "--day", "20261118")
    assert (done.returncode, "20261118.db is not an SQLite file" in only_line(done)) == (1, True)
    done = cli("snapshot", "--day", DAY, DISK_MIN_FREE_MB="2000000000")
    assert (done.returncode, f"no room in {root}: " in only_line(done)) == (1, True)


def start(root: Path, **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hk_tick_collector", "snapshot", "--day", DAY], cwd=root, env={**os.environ}, **streams
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_half_copy(root: Path, number: signal.Signals) -> None:
    """Ended during the copy: only the day file is left."""
    make_big_day(root / f"{DAY}.db", 1_000_000)
    before = {path.name for path in root.iterdir()}
    process = start(root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    partial, end_s = root / f".{DAY}.snapshot.db.partial", time.monotonic() + CAP_S
    while not partial.exists():
        assert process.poll() is None
        assert time.monotonic() < end_s
    process.send_signal(number)
    out, errors = process.communicate(timeout=CAP_S)
    assert process.returncode == 128 + number
    assert (out, errors) == (b"", f"hk-tick-collector: ended by {number.name}, no copy was left\n".encode())
    assert {path.name for path in root.iterdir()} == before


def test_a_terminal_shows_how_far_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar while it works, and a clear line for the final output."""
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has no bar
    make_big_day(root / f"{DAY}.db", 100_000)
    ours, theirs = pty.openpty()
    process = start(root, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # how a terminal says that nobody writes to it any more
            break
    os.close(ours)
    assert process.communicate(timeout=CAP_S)[0].count(b"\n") == 2
    assert process.returncode == 0
    text = shown.decode()
    assert text.index("copy  [") < text.index("read  [") < text.index("check [")
    assert "[##############################] " in text
    assert text.endswith("\r\033[K")
