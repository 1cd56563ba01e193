"""`tail`: each tick once as it is stored, also over being killed; finished days; one line for a wrong option."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector import market
from hk_tick_collector.model import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

TIME_MS = 1_795_138_200_000  # 2026-11-20 09:30 in Hong Kong


@pytest.fixture
def today(make_day: Callable[..., Any], one_day: None) -> Any:
    """Today's day file, as a collector has it open."""
    return make_day(datetime.now(market.HKT).strftime("%Y%m%d"))


@contextmanager
def tailing(workdir: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """The verb as a process; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hk_tick_collector", "tail", *args],
        cwd=workdir,
        env={**os.environ, "DATA_ROOT": str(workdir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_prints_what_is_stored_and_tells_gaps(workdir: Path, today: Any, tick: Callable[..., TickRow]) -> None:
    """From the day's begin: stored ticks, then new and late ones in the columns of `ticks`; gaps on stderr."""
    today.add([tick("HK.00700", n, TIME_MS + n) for n in (1, 2, 5)])
    with tailing(workdir, "HK.00700", "--start", "day", "--format", "csv") as process:
        assert process.stdout
        assert process.stderr
        rows = csv.reader(process.stdout)
        assert tuple(next(rows)) == Tick._fields
        assert [next(rows)[1] for _ in range(3)] == ["1", "2", "5"]
        with today.db:
            today.db.execute(
                f"INSERT INTO gaps VALUES ('HK.00700', 3, 4, {TIME_MS}, 2, 2, 'disconnect', 'open', 4, NULL, 1)"
            )
            today.db.execute(
                "INSERT INTO ticks SELECT symbol, 9, ts_ms, 1, 1, 1, 'BUY', 'X', 'x', 1, 1, '' FROM ticks LIMIT 1"
            )
        assert next(rows)[1] == "9"
        line = process.stderr.readline()
        assert line == "warning: gap: 2 ticks of HK.00700 missing from 2026-11-20 09:30:00 HKT on (disconnect)\n"
        today.add([tick("HK.00700", 3, TIME_MS), tick("HK.00005", 3, TIME_MS)])
        assert next(rows)[1] == "3"


def test_after_a_kill_it_goes_on_without_a_seam(workdir: Path, today: Any, tick: Callable[..., TickRow]) -> None:
    """--position: SIGKILL at any moment, the same command again: what was saved is not printed again, the rest is."""
    today.add([tick("HK.00700", n, TIME_MS + n) for n in range(10)])
    args = ("--start", "day", "--format", "jsonl", "--position", "at")
    with tailing(workdir, *args) as process:
        assert process.stdout
        assert [json.loads(process.stdout.readline())["seq"] for _ in range(10)] == list(range(10))
        today.add([tick("HK.00700", 10, TIME_MS)])
        assert json.loads(process.stdout.readline())["seq"] == 10
        today.add([tick("HK.00700", 11, TIME_MS)])
        assert json.loads(process.stdout.readline())["seq"] == 11  # so that of 10 is saved
    today.add([tick("HK.00700", 12, TIME_MS)])
    with tailing(workdir, *args) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())["seq"]
        assert first in (11, 12)  # it was killed before or after it saved the place
        if first == 11:
            assert json.loads(process.stdout.readline())["seq"] == 12
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


@pytest.mark.usefixtures("workdir")
def test_a_finished_day_is_printed_and_ends(
    cli: Cli, make_day: Callable[..., Any], tick: Callable[..., TickRow], workdir: Path
) -> None:
    """--day of the past: its ticks in the order of time, exit code 0; at a speed too; a table of fixed widths."""
    day = make_day("20261119")
    day.add([tick(symbol, n, TIME_MS + n * 1000) for n in range(3) for symbol in ("HK.00700", "HK.00005")])
    day.execute("INSERT INTO meta VALUES ('sealed_ms', '1')")
    done = cli("tail", "--day", "20261119", DATA_ROOT=str(workdir))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()][:3] == [
        ["time", "symbol"],
        ["09:30:00.000", "HK.00005"],
        ["09:30:00.000", "HK.00700"],
    ]
    paced = cli("tail", "--day", "20261119", "--speed", "1000", DATA_ROOT=str(workdir))
    assert paced.stdout == done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--start", "yesterday"], "--start yesterday is not a time"),
        (["--day", "x"], "--day x is not a day"),
        (["--day", "20990101"], "--day 20990101 is in the future"),
        (["--speed", "2"], "--speed 2.0 is given together with"),
        (["--speed", "-1", "--start", "day"], "--speed -1.0 is not a speed"),
        (["700x"], "HK.00700, or @FILE"),
        (["--start", "5"], "--start 5 does not say which day it is of"),
        (["--position", "damaged"], "--position damaged is not a position of a stream"),
        (["--position", "empty"], "--position empty is not a position of a stream"),
        (["--start", "20991231"], "--start 20991231 is in the future"),
    ],
)
def test_a_wrong_option_is_one_line(cli: Cli, workdir: Path, args: list[str], says: str) -> None:
    """Exit code 2, nothing on stdout, one line that names the option and says what to write."""
    (workdir / "damaged").write_text("{}")
    (workdir / "empty").touch()  # as a power cut can leave it: to begin with new ticks would leave the others out
    done = cli("tail", *args, DATA_ROOT=str(workdir))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr
