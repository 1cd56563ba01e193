"""Rows 17 and 21: a burst behind a blocked disk, bounds that are reached, and stops in the middle of that."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import TYPE_CHECKING, Final

import pytest
from tests.faults.faulty_disk import Fault

from hk_tick_collector.clock import now_ms

from .disks import remount, small_disk
from .trial import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Begin
    from .trial import FaultyCollector, Trial

BURST: Final = 100_000
BLOCKED_S: Final = 10
GATE: Final = Fault(operations=("write", "sync"), delay_s=math.inf)
STOP_S: Final = 10.0  # time enough to spool it all on a slow machine
SLACK: Final = 10  # a stop that waited for the disk would not end at all
SIGNALS: Final = (1, 2)  # SIGTERMs


def behind(trial: Trial, rows: int) -> None:
    """Returns when this many ticks wait for the disk."""
    wait_until(lambda: trial.live().waiting >= rows, lambda: f"{rows} rows wait\n{trial.tail()}")


def blocked(begin: Begin, rows: int, rate: float = 200) -> tuple[Trial, FaultyCollector]:
    """A trial with a blocked disk, this many waiting ticks, and its collector."""
    trial = begin("--wait", "--within-window", symbols="20", rate=rate)
    collector = trial.run_on_faulty_disk(STOP_FLUSH_TIMEOUT_SEC=str(STOP_S))
    trial.wait_stored(200)
    collector.inject(GATE)
    trial.market.tell(f"burst {rows}")
    behind(trial, rows)
    return trial, collector


def stop_in_time(collector: FaultyCollector, signals: int = 1) -> int:
    """The exit code after this many SIGTERMs, within STOP_FLUSH_TIMEOUT_SEC and a margin for a slow machine."""
    stopped_s = time.monotonic()
    for _ in range(signals):
        collector.signal(signal.SIGTERM)
    code = collector.finish()
    took_s = time.monotonic() - stopped_s
    print(f"out after {took_s:.2f} s")
    assert took_s < STOP_S * SLACK
    return code


# --- row 17 ---


def test_a_burst_of_100_000_pushes_with_the_disk_blocked_for_10_s_is_stored_whole(begin: Begin) -> None:
    """Row 17 and the issue: 100,000 pushes of one tick at line speed over 300 symbols, the disk blocked for 10 s in the
    middle: every one is stored, none had to be backfilled.
    """
    trial = begin("--wait", "--within-window", symbols="300", rate=200)
    collector = trial.run_on_faulty_disk()
    trial.wait_stored(200)
    gate = collector.inject(GATE)
    blocked_s = time.monotonic()
    trial.market.tell(f"burst {BURST}")
    behind(trial, BURST)
    taken_s = time.monotonic() - blocked_s
    wait_until(lambda: time.monotonic() - blocked_s >= BLOCKED_S, "the ten seconds")
    assert trial.live().dropped == 0
    assert "queue" in trial.findings()
    collector.lift(gate)
    stored_s = trial.wait_stored(BURST)
    print(f"{BURST} pushes received within {taken_s:.1f} s, stored {stored_s:.1f} s after the disk came back")
    trial.finish()
    assert collector.shutdown()["dropped"] == "0"
    assert not collector.events("gap_opened")


def test_a_burst_larger_than_memory_waits_in_the_spool(begin: Begin) -> None:
    """Row 17: memory for 2,000 rows, the disk of the day file blocked: the rest goes to the spool and comes back."""
    trial = begin("--wait", "--within-window", symbols="50", rate=200)
    collector = trial.run_on_faulty_disk(MAX_QUEUE_ROWS="2000")
    trial.wait_stored(200)
    gate = collector.inject(GATE)
    trial.market.tell("burst 30000")
    assert collector.wait_for("spool_started").level == "WARNING"
    behind(trial, 30_000)
    assert trial.live().dropped == 0
    wait_until(lambda: trial.live().exposed_rows < 3000, "what is spooled is safe")
    assert trial.live().waiting >= 30_000
    collector.lift(gate)
    trial.wait_stored(30_000)
    trial.finish()
    assert collector.events("spool_drained")
    assert [path for path in (trial.data_root / ".spool").iterdir() if path.is_dir()] == []


@pytest.fixture
def spool_disk(workdir: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small disk for the spool, two megabytes by default."""
    with small_disk(workdir / "spool", f"size={getattr(request, 'param', '2m')}") as place:
        yield place


@pytest.mark.parametrize(
    "spool_disk",
    [
        pytest.param("2m", id="a spool that takes some"),
        pytest.param("1m", id="a spool too small for one append"),
    ],
    indirect=True,
)
def test_beyond_memory_and_spool_drops_are_exact_and_backfilled(begin: Begin, spool_disk: Path) -> None:
    """Rows 3 and 17: memory is full, and the spool too, for real: ticks without space are counted, logged and become a
    gap of exact size; when the disk works again, OpenD's latest 1,000 ticks are backfilled and the rest stays open.
    """
    trial = begin("--wait", symbols="20", rate=200)
    collector = trial.run_on_faulty_disk(MAX_QUEUE_ROWS="2000", SPOOL_DIR=str(spool_disk))
    trial.wait_stored(200)
    gate = collector.inject(GATE)
    trial.market.tell(f"burst {BURST}")
    told = collector.wait_for("ticks_dropped")
    assert told.level == "ERROR"
    assert collector.wait_for("spool_failed", cause="disk_full").level == "ERROR"
    assert trial.wait_finding("dropped").remedy
    wait_until(lambda: trial.live().received >= BURST, "the burst")
    collector.lift(gate)
    trial.wait_more(200)
    verdict = trial.finish(complete=False)
    dropped, last = trial.stored.ledger()["dropped"], collector.shutdown()
    print(f"dropped {dropped}, missing for good {verdict.days[0].missing}")
    assert dropped == int(last["dropped"]) > 0
    assert 0 < verdict.days[0].missing == verdict.days[0].in_gaps < dropped
    assert {cause for _, _, cause in trial.stored.gaps()} == {"dropped"}
    assert trial.stored.ledger()["waiting"] == 0


def test_a_live_state_on_a_hanging_disk_delays_no_tick(begin: Begin) -> None:
    """Without systemd `status.json` is in DATA_ROOT: a pipe in place of its draft blocks the thread that writes it,
    like a frozen file system. Every tick is stored, and the live state is written again when that is possible.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=300)
    collector = trial.run()
    trial.wait_stored(200)
    pipe = trial.data_root / f".status.json.{collector.pid}"
    while True:
        try:
            os.mkfifo(pipe)
        except FileExistsError:  # a draft that is about to become the file
            continue
        break
    left = trial.data_root / "status.json"
    wait_until(lambda: now_ms() - trial.live().written_ms > 3000, "the live state is not written any more")
    trial.wait_more(1500)
    assert pipe.is_fifo()
    with pipe.open("rb") as reader:
        reader.read()
    wait_until(lambda: not pipe.is_fifo(), "the pipe has become the live state")
    wait_until(lambda: left.is_file() and trial.live().received > 1500, "the live state is written again")
    trial.finish()


# --- row 21 ---


@pytest.mark.early
@pytest.mark.parametrize("signals", SIGNALS)
def test_a_stop_with_a_blocked_disk_spools_what_it_holds(begin: Begin, signals: int) -> None:
    """Row 21: SIGTERM, once or twice, with a full queue and a disk that does not answer: the service ends within
    STOP_FLUSH_TIMEOUT_SEC with exit 0, all rows are spooled; the next start stores them, without OpenD.
    """
    trial, collector = blocked(begin, 20_000)
    made = trial.pause()
    assert stop_in_time(collector, signals) == 0
    last = trial.ended()
    assert int(last["spooled_rows"]) >= 20_000
    assert last["lost_rows"] == "0"
    trial.market.tell("window 1")
    collector = trial.run()
    collector.wait_for("spool_replayed")
    trial.wait_stored(made)
    trial.market.tell("end window")  # one tick is no witness that none passed between the two runs
    trial.finish()


def test_a_stop_under_load_with_a_full_queue_flushes_it(begin: Begin) -> None:
    """Row 21: SIGTERM while 30,000 rows wait behind a lock that another program has just let go of: all are stored."""
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    collector = trial.run(SQLITE_BUSY_TIMEOUT_MS="20")
    trial.wait_stored(200)
    with trial.locked():
        trial.market.tell("burst 30000")
        behind(trial, 30_000)
        collector.signal(signal.SIGTERM)
        collector.wait_for("signal")
    assert collector.finish() == 0
    last = trial.ended()
    assert last["left_rows"] == "0"
    assert int(last["flushed_rows"]) >= 30_000
    trial.run()
    trial.finish()


def test_a_stop_that_can_store_nothing_reports_the_loss(begin: Begin, spool_disk: Path) -> None:
    """Row 21: neither the day file nor the spool takes anything: out in time, exit 1, the loss told to the row."""
    trial = begin("--wait", symbols="20", rate=200)
    collector = trial.run_on_faulty_disk(SPOOL_DIR=str(spool_disk), STOP_FLUSH_TIMEOUT_SEC=str(STOP_S))
    trial.wait_stored(200)
    remount(spool_disk, "ro")
    collector.inject(GATE)
    trial.market.tell("burst 5000")
    behind(trial, 5000)
    trial.market.tell("pause")
    assert stop_in_time(collector) == 1
    last = trial.ended()
    assert int(last["lost_rows"]) >= 5000
    assert last["spooled_rows"] == "0"
    trial.run(SPOOL_DIR=str(trial.data_root / ".spool"))
    trial.finish(complete=False)


def test_spooled_rows_are_replayed_with_little_memory(begin: Begin) -> None:
    """Row 21: a spool that was left with memory for many rows is replayed by a run that has memory for few."""
    trial, collector = blocked(begin, 20_000)
    trial.pause()
    collector.signal(signal.SIGTERM)
    assert collector.finish() == 0
    assert int(trial.ended()["spooled_rows"]) >= 20_000
    trial.market.tell("window 1")
    trial.run(MAX_QUEUE_ROWS="2000")
    wait_until(lambda: trial.stored.rows() >= trial.market.made(), "all is replayed")
    trial.market.tell("end window")
    trial.finish()


def test_a_spool_of_small_records_is_replayed_soon(begin: Begin) -> None:
    """Rows 1 and 21: killed while 3,000 rows that came one by one are in the spool: stored within 20 s of the start."""
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    collector = trial.run_on_faulty_disk(MAX_QUEUE_ROWS="100")
    trial.wait_stored(200)
    collector.inject(GATE)
    behind(trial, 3000)
    trial.market.tell("pause")
    wait_until(lambda: trial.live().exposed_rows <= 400, "the others are in the spool")
    collector.kill()
    collector = trial.run()
    replayed_s = wait_until(lambda: collector.events("spool_replayed"), "the spool is replayed")
    print(f"replayed in {replayed_s:.1f} s")
    assert int(collector.wait_for("spool_replayed").fields["rows"]) > 2500, "memory had 100 of them, or a few more"
    trial.market.tell("resume")
    trial.finish()


def test_spooled_rows_are_replayed_while_live_ticks_never_stop(begin: Begin) -> None:
    """Row 21: with memory for few rows every live tick goes through the spool, from the start and without an end. The
    rows of an earlier run are still stored, and no live tick is dropped because of them.
    """
    trial, collector = blocked(begin, 5000, rate=200)
    trial.market.tell("window 1")
    collector.signal(signal.SIGTERM)
    assert collector.finish() == 0
    left = trial.ended()["spooled_rows"]
    trial.market.tell("end window")
    collector = trial.run(MAX_QUEUE_ROWS="1")
    collector.wait_for("spool_started")
    replayed_s = wait_until(lambda: collector.events("spool_replayed"), lambda: f"a turn\n{trial.tail()}")
    print(f"replayed in {replayed_s:.1f} s; {trial.live().waiting} live ticks on their way")
    assert collector.wait_for("spool_replayed").fields["rows"] == left
    assert trial.live().dropped == 0
    trial.finish()
