"""The runbook's commands, word for word, while the collector writes: only the directory is another one.

They run in bash with the stock `sqlite3`, as an operator would paste them.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from tests.preloaded.library import suite_clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Collector, OpenD, Start

# From `runbook.seed.md`, sections 2, 4 A, 4 D and 5.
DAY_AND_DB: Final = """\
DAY=$(TZ=Asia/Hong_Kong date +%Y%m%d)
DB=/data/sqlite/HK/${DAY}.db
"""
LAG: Final = """
sqlite3 "file:${DB}?mode=ro" \\
  "SELECT ROUND(strftime('%s','now')-MAX(ts_ms)/1000.0,3) AS lag_sec, COUNT(*) AS rows FROM ticks;"
"""
SYMBOLS: Final = """
sqlite3 "file:${DB}?mode=ro" \\
  "SELECT symbol, COUNT(*) AS rows, MAX(seq) AS max_seq FROM ticks GROUP BY symbol ORDER BY rows DESC;"
"""
ADVANCING: Final = """
sqlite3 "file:${DB}?mode=ro" "SELECT COUNT(*), MAX(ts_ms) FROM ticks;"
"""
EIGHT_HOURS: Final = """
sqlite3 "file:${DB}?mode=ro" \\
  "SELECT datetime(MAX(ts_ms)/1000,'unixepoch') AS ts_utc, datetime(MAX(ts_ms)/1000,'unixepoch','localtime') AS ts_local FROM ticks;"
"""  # noqa: E501 - as it is written there
SNAPSHOT: Final = """
SNAP=/data/sqlite/HK/${DAY}.snapshot.db
sqlite3 "$DB" ".backup '${SNAP}'"
"""


def paste(commands: str, data_root: Path) -> str:
    """The output of bash for the runbook's lines; AssertionError if one of them fails."""
    script = (DAY_AND_DB + commands).replace("/data/sqlite/HK", str(data_root))
    done = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "Asia/Hong_Kong", **suite_clock()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.fixture
def running(start: Start) -> Iterator[tuple[OpenD, Collector]]:
    """A collector that is running."""
    opend = start.simulate("--rate", "1000", "--wait")
    collector = start.run(opend.port)
    collector.wait_stored(500)
    yield opend, collector
    assert collector.stop() == 0
    assert not collector.events("sqlite_busy_backoff")
    assert not collector.events("persist_failed")


def test_the_questions_are_answered_while_ticks_arrive(running: tuple[OpenD, Collector]) -> None:
    """Lag in seconds, rows by symbol, progress, and a time that is not eight hours off."""
    _, collector = running
    lag_s, rows = paste(LAG, collector.data_root).split("|")
    assert -2 < float(lag_s) < 60
    assert int(rows) >= 500
    by_symbol = [line.split("|") for line in paste(SYMBOLS, collector.data_root).splitlines()]
    assert {name for name, _, _ in by_symbol} == {"HK.00005", "HK.00700", "HK.09988"}
    counts = [int(count) for _, count, _ in by_symbol]
    assert counts == sorted(counts, reverse=True)
    count, newest_ms = map(int, paste(ADVANCING, collector.data_root).split("|"))
    collector.wait_stored(count + 1)
    later, later_ms = map(int, paste(ADVANCING, collector.data_root).split("|"))
    assert later > count
    assert later_ms >= newest_ms
    utc, local = paste(EIGHT_HOURS, collector.data_root).split("|")
    assert paste(f"date -u -d '{local} +0800' '+%F %T'", collector.data_root) == utc


def test_a_backup_is_taken_while_ticks_arrive(running: tuple[OpenD, Collector]) -> None:
    """`.backup` makes a valid copy; the collector continues, and does not take the copy for a day file."""
    opend, collector = running
    before = collector.stored()
    paste(SNAPSHOT, collector.data_root)
    snapshot = next(collector.data_root.glob("*.snapshot.db"))
    ask = ["sqlite3", str(snapshot), "PRAGMA integrity_check; SELECT count(*) FROM ticks;"]
    verdict, rows = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()
    assert verdict == "ok"
    assert before <= int(rows) <= len(opend.truth())
    collector.wait_stored(int(rows) + 100)
