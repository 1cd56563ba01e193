"""The runbook's own copy during trading: `sqlite3` with `.backup`, on a large day file that is being written."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import statistics
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import apsw
import pytest
from tests.bigday import make_big_day

from .conftest import PROGRAM, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Collector, OpenD, Start

ROWS: Final = 3_600_000
LEAST_BYTES: Final = 250 * 2**20
SYMBOLS: Final = "HK.09988,HK.03690,HK.01810"  # none of those that fill the large file
RATE: Final = 5_000
LONG_CAP_S: Final = 150.0  # to open and to copy a quarter of a GB on a loaded machine
CAP_TIMES: Final = 5  # a loaded machine may be so much slower; what was measured is printed


@pytest.fixture
def large_day(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """Today's file with millions of ticks, as a collector leaves it after a clean stop; a copy of the test's own."""
    day = f"{datetime.now(UTC) + timedelta(hours=8):%Y%m%d}"
    place = tmp_path_factory.getbasetemp()
    made = (place.parent if place.name.startswith("popen-") else place) / f"large-{day}"  # one for all workers
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            draft = made.with_suffix(".draft")
            draft.mkdir()
            make_big_day(draft / f"{day}.db", ROWS)
            draft.rename(made)
    path = tmp_path / "large" / f"{day}.db"
    path.parent.mkdir()
    subprocess.run(["cp", "--reflink=auto", str(made / path.name), str(path)], check=True)
    assert path.stat().st_size >= LEAST_BYTES
    return path


@contextmanager
def copying(source: Path, directory: Path) -> Iterator[None]:
    """Runs the runbook's line again and again, and kills the last one in the middle."""
    target = directory / f"{source.stem}.snapshot.db"
    script = """while sqlite3 "$0" ".backup '$1'"; do :; done"""
    shell = subprocess.Popen(["bash", "-c", script, str(source), str(target)], start_new_session=True)
    try:
        yield
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def backup(source: Path, target: Path, cap_s: float = LONG_CAP_S) -> float:
    """Runs the runbook's line to its end; returns its duration in seconds."""
    started_s = time.monotonic()
    command = ["sqlite3", str(source), f".backup '{target}'"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        words, _ = process.communicate(timeout=cap_s)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, words) == (0, "")
    return time.monotonic() - started_s


def quiet_s(source: Path) -> tuple[float, float]:
    """The duration of the copy while nobody writes, measured just before: to a new file, and over an earlier one."""
    new, again = [], []
    for _ in range(3):
        target = source.with_name("quiet.db")
        new.append(backup(source, target))
        again.append(backup(source, target))
        target.unlink()
    return statistics.median(new), statistics.median(again)


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """The ticks of the simulated symbols in a file, with all their fields, in the order of the key."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    marks = ",".join("?" * len(SYMBOLS.split(",")))
    sql = f"SELECT symbol, seq, ts_ms, price, volume FROM ticks WHERE symbol IN ({marks}) ORDER BY 1, 2"
    rows = list(db.execute(sql, tuple(SYMBOLS.split(","))))
    db.close()
    return rows


def state(collector: Collector) -> dict[str, Any]:
    """The last live state of the collector."""
    found: dict[str, Any] = json.loads((collector.data_root / "status.json").read_bytes())
    return found


def begin(start: Start, large_day: Path, settings: dict[str, str]) -> tuple[OpenD, Collector, Path]:
    """A collector that writes to a copy of the large file, at 5,000 ticks a second."""
    opend = start.simulate("--rate", str(RATE), "--wait", symbols=SYMBOLS)
    root = large_day.parent / f"HK-{os.getpid()}-{time.monotonic_ns()}"
    root.mkdir()
    source = root / large_day.name
    subprocess.run(["cp", str(large_day), str(source)], check=True)
    collector = start.run(opend.port, {"FUTU_SYMBOLS": SYMBOLS} | settings, data_root=root)
    wait_until(
        lambda: "persisted_rows_per_min" in collector.output and state(collector)["stored"] > RATE, "ticks", LONG_CAP_S
    )
    return opend, collector, source


def finish(opend: OpenD, collector: Collector, source: Path) -> None:
    """Every tick that was made is in the file once; nothing was dropped, and nothing waits in the spool."""
    collector.read_all_from(opend)
    wait_until(lambda: state(collector)["waiting"] == 0, "everything stored", LONG_CAP_S)
    assert collector.stop() == 0
    end = collector.shutdown()
    assert (end["left_rows"], end["dropped"], end["lost_rows"]) == ("0", "0", "0")
    made = sorted({(tick.symbol, tick.seq, tick.ts_ms, tick.price, tick.volume) for tick in opend.truth()})
    assert rows_of(source) == made
    db = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("PRAGMA integrity_check").get == "ok"
    assert db.execute("SELECT count(*) FROM gaps").get == 0
    db.close()
    assert not collector.events("WATCHDOG")


@pytest.mark.parametrize("max_queue_rows", ["1000000", "2000"])
def test_the_runbooks_backup_ends_in_time_and_loses_no_tick(start: Start, large_day: Path, max_queue_rows: str) -> None:
    """At 5,000 ticks/s `.backup` of 250 MB takes no longer than 1.5 × its quiet time + 2 s: it is not made to start
    over. Also when it is run again over the copy that it left, and when memory holds fewer ticks than arrive meanwhile.
    """
    quiet = quiet_s(large_day)
    opend, collector, source = begin(start, large_day, {"MAX_QUEUE_ROWS": max_queue_rows})
    target = source.with_name(f"{source.stem}.snapshot.db")
    for turn in (1, 2):
        allowed_s = 1.5 * quiet[turn - 1] + 2
        took_s = backup(source, target, CAP_TIMES * allowed_s)
        print(f"copy {turn}: {took_s:.1f} s, quiet {quiet[turn - 1]:.1f} s, allowed {allowed_s:.1f} s")
        wait_until(lambda: not state(collector)["copy_held"], "commits again", LONG_CAP_S)
        assert not {line.fields["why"] for line in collector.events("commits_resumed")} & {"limit", "spool"}
        db = apsw.Connection(str(target))
        assert db.execute("PRAGMA integrity_check").get == "ok"
        db.close()
    assert set(rows_of(target)) <= set(rows_of(source))
    finish(opend, collector, source)


def ask_status(collector: Collector) -> dict[str, Any]:
    """The document of `status --json`, as soon as it mentions a copy."""
    command, environ = [*PROGRAM, "status", "--json"], os.environ | {"DATA_ROOT": str(collector.data_root)}
    answer: dict[str, Any] = {}

    def tells() -> bool:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        answer.update(json.loads(done.stdout))
        return bool(answer["live"]["copy_held"])

    wait_until(tells, "a copy told by status", LONG_CAP_S)
    return answer


def test_status_and_health_report_the_copy_and_its_end(start: Start, large_day: Path) -> None:
    """During the copy `status` reports it and is OK; the health line has the start time; afterwards both are silent."""
    opend, collector, source = begin(start, large_day, {})
    with copying(source, source.parent):
        answer = ask_status(collector)
        wait_until(
            lambda: any("copying_since" in line.fields for line in collector.events("health")),
            "a health line",
            LONG_CAP_S,
        )
    found = {finding["code"]: finding for finding in answer["findings"]}
    assert found["day_being_copied"]["severity"] == "OK"
    assert f"{source.stem}.snapshot.db" in found["day_being_copied"]["text"]
    assert "spooling" not in found
    wait_until(
        lambda: not state(collector)["copy_held"] and "copying_since" not in collector.events("health")[-1].fields,
        "the end of the copy told by status.json and the health line",
        LONG_CAP_S,
    )
    finish(opend, collector, source)


def test_a_stop_during_a_copy_writes_at_once(start: Start, large_day: Path, tmp_path: Path) -> None:
    """SIGTERM has priority: ticks that wait for the copy to SNAPSHOT_DIR are stored; nothing is left behind."""
    opend, collector, source = begin(start, large_day, {"SNAPSHOT_DIR": str(tmp_path)})
    with copying(source, tmp_path):
        wait_until(lambda: collector.events("commits_held"), "a wait told in the log", LONG_CAP_S)
        assert collector.stop() == 0
    assert collector.events("commits_resumed")[-1].fields["why"] in {"stop", "copy_ended"}
    end = collector.shutdown()
    assert (end["left_rows"], end["dropped"], end["lost_rows"]) == ("0", "0", "0")
    opend.kill()
    made = {(tick.symbol, tick.seq) for tick in opend.truth()}
    stored = [row[:2] for row in rows_of(source)]
    assert len(stored) == int(end["stored"])
    assert set(stored) <= made
