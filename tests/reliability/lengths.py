"""Rows 6 and 7 at their full length, beside the soak: each a collector of its own on the soak's market, with the
watchdog as it comes. Each function leads a collector that runs through its fault and returns the verdict's words;
it raises AssertionError when the verdict is bad. `full` asks for the lengths of the table, else for a cut.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw
from tests.faults.faulty_disk import Fault

from hk_tick_collector.store.query import list_days, path_of

from .trial import now_ms, wait_until

if TYPE_CHECKING:
    from .trial import Trial

SLOW_S: Final = {True: ((1.0, 3), (10.0, 3), (60.0, 2)), False: ((1.0, 2), (4.0, 1))}  # seconds a sync takes, how often
HELD_S: Final = {True: (8.0, 150.0), False: (3.0,)}  # below WATCHDOG_STALL_SEC, which is 180
CUT_SETTINGS: Final = {"SQLITE_BUSY_TIMEOUT_MS": "100", "SQLITE_WAL_AUTOCHECKPOINT": "50"}
GROWN_TIMES: Final = 8
QUIET_S: Final = 240.0  # the longest that nothing may be written: a lunch at the speed of a soak, OpenD killed on top
CATCH_UP_S: Final = 120.0
CAUGHT_UP_ROWS: Final = 3000


def slow_syncs(trial: Trial, *, full: bool) -> str:
    """Row 6: a sync takes 1, 10, 60 s: the queue is bounded, nothing dropped, no watchdog, no restart."""
    collector, most = trial.collector, 0
    for delay_s, times in SLOW_S[full]:
        fault = collector.inject(Fault(operations=("sync",), files=("wal",), delay_s=delay_s, times=times))
        hit_ms: list[int] = []  # when the last of them began

        def committed(fault: int = fault, times: int = times, hit_ms: list[int] = hit_ms) -> bool:
            nonlocal most
            status = trial.live()
            most = max(most, status.waiting)
            if not hit_ms and collector.hits(fault) >= times:
                hit_ms.append(now_ms())
            return bool(hit_ms) and (status.last_commit_ms or 0) > hit_ms[0]

        wait_until(committed, lambda: f"a commit after the slow sync\n{trial.tail()}", QUIET_S + 2 * delay_s * times)
    status = trial.live()
    _no_watchdog(trial)
    assert (status.dropped, status.spooled) == (0, 0), status
    told = ", ".join(f"{delay_s:.0f} s × {times}" for delay_s, times in SLOW_S[full])
    return f"syncs of {told}: at most {most} of {status.max_queue_rows} rows waited, none spooled or dropped"


def foreign_lock(trial: Trial, *, full: bool) -> str:
    """Row 7: another program's write lock for seconds, for minutes: named, and caught up with afterwards."""
    collector, told = trial.collector, []
    for number, held_s in enumerate(HELD_S[full], start=1):
        lines = len(collector.events("sqlite_busy_backoff"))
        with trial.locked():
            collector.wait_for_long("sqlite_busy_backoff", lines + 1, QUIET_S)
            until_s = time.monotonic() + held_s
            trial.wait_finding("writer_busy")
            time.sleep(max(0.0, until_s - time.monotonic()))  # how long it is held is what is tried
            waited = trial.live().waiting
        collector.wait_for_long("writer_recovered", number, CATCH_UP_S)
        behind_s = wait_until(lambda: trial.live().waiting < CAUGHT_UP_ROWS, trial.tail, CATCH_UP_S)
        told.append(f"{held_s:.0f} s ({waited} rows waited, caught up within {behind_s:.1f} s)")
    _no_watchdog(trial)
    assert trial.live().dropped == 0
    return f"write lock held for {', '.join(told)}"


def lasting_reader(trial: Trial, *, full: bool, until_s: float) -> str:
    """Row 7: a reader that stays until a monotonic second: the WAL grows and is warned of, then is cut."""
    path = path_of(trial.data_root, list_days(trial.data_root)[0])
    began_s, found_s, most = time.monotonic(), 0.0, 0
    checkpoint = trial.live().wal_autocheckpoint_bytes
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM ticks").get > 0
        while time.monotonic() < until_s:
            assert trial.collector.alive, trial.tail()
            most = max(most, trial.live().wal_bytes)
            if not found_s and "wal_large" in trial.findings():
                found_s = time.monotonic() - began_s
            time.sleep(0.5)
        held_s = time.monotonic() - began_s
    cut_s = wait_until(
        lambda: trial.live().wal_bytes <= 4 * checkpoint and "wal_large" not in trial.findings(),
        lambda: f"a WAL that is cut: {trial.live().wal_bytes}\n{trial.tail()}",
        CATCH_UP_S,
    )
    assert most > GROWN_TIMES * checkpoint, most
    assert found_s or not full, f"no finding wal_large with {most} bytes"
    warned = f"warned of after {found_s:.0f} s" if found_s else "not long enough to be warned of"
    return f"reader held for {held_s:.0f} s: WAL of {most / 2**20:.0f} MiB, {warned}, cut {cut_s:.1f} s after its end"


def _no_watchdog(trial: Trial) -> None:
    assert trial.collector.alive, trial.tail()
    assert len(trial.collectors) == 1
    assert "WATCHDOG" not in trial.collector.output, trial.tail()
