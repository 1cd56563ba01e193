"""What the watchdog does with a stuck writer, and with a writer that waits for a known reason."""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.collect.conftest import CAP_S, NOW_MS, wait_until

from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.current_writer import CurrentWriter
from hk_tick_collector.collect.writing.recovery import Recovery
from hk_tick_collector.collect.writing.watchdog import Action, Pressure, Verdict, Watchdog
from hk_tick_collector.collect.writing.writer import Writer
from hk_tick_collector.errors import StoreError
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import StoreOptions
from hk_tick_collector.store.spool import Spool

from .work import COUNT, DAY, at_work, hundred

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Disk, Journal, MakeRig, Rig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

STALL_S: Final = 0.02


class Scripted(Watchdog):
    """Judges as it is told, and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(STALL_S, threshold_rows=1, max_failures=1)
        self.verdict: Verdict | None = None
        self.shown: list[Pressure] = []

    def judge(self, pressure: Pressure, now_s: float) -> Verdict | None:
        """The verdict that was set."""
        _ = now_s
        self.shown.append(pressure)
        return self.verdict


class Scene:
    """Who watches a rig's writer; another one takes its place when it is replaced."""

    def __init__(self, rig: Rig, writer: Any = None) -> None:
        self.rig = rig
        self._first: Writer = writer or rig.writer
        self.current = CurrentWriter(rig.queue, self._appoint)
        self.watchdog = Scripted()
        self.recovery = Recovery(self.watchdog, rig.queue, rig.opend, rig.stats, self.current)

    def _appoint(self, number: int, _on_fresh: Callable[[int], None]) -> Writer:
        if number == 1:
            return self._first
        rig = self.rig
        options = WriterOptions(rig.data_root, f"run-{number}", "test", 100, 20, StoreOptions(busy_timeout_ms=10))
        return Writer(rig.queue, rig.stats, options, ExchangeClock(rig.opend, lambda: NOW_MS))

    def look(self, action: Action | None = None, failures: int = 0) -> Pressure:
        """One look, which is judged so; what the watchdog was shown."""
        self.watchdog.verdict = None if action is None else Verdict(action, failures)
        self.recovery.check(NOW_MS)
        return self.watchdog.shown[-1]


def test_a_writer_that_waits_for_a_copy_is_no_stall(
    make_rig: MakeRig, journal: Journal, tick: Callable[..., TickRow]
) -> None:
    """However short WATCHDOG_STALL_SEC is, and however long ticks wait: no recovery is tried."""
    rig = make_rig()
    current_writer = CurrentWriter(rig.queue, lambda _number, _fresh: rig.writer)
    watchdog = Watchdog(STALL_S, threshold_rows=1, max_failures=1)
    recovery = Recovery(watchdog, rig.queue, rig.opend, rig.stats, current_writer)
    rig.put([tick("HK.00700", 1)])
    wait_until(lambda: rig.queue.oldest_age_s() > 2 * STALL_S, "a tick that waits")
    rig.queue.storing.copy_held = True
    recovery.check(NOW_MS)
    assert not journal.events("WATCHDOG")
    rig.queue.storing.copy_held = False
    rig.opend.received += 1
    recovery.check(NOW_MS)
    assert "WATCHDOG persistent_stall" in journal.getvalue()


def test_a_writer_that_takes_nothing_from_the_spool_is_stalled(
    tmp_path: Path, tick: MakeTick, journal: Journal
) -> None:
    """All rows are in the spool, and the read of its disk does not return: the watchdog sees how long that lasts."""
    entered, answers = threading.Event(), threading.Event()

    class Stuck(Spool):
        def first(self, max_rows: int = 1, *, patient: bool = False) -> list[TickRow] | None:
            entered.set()
            assert answers.wait(CAP_S)
            return super().first(max_rows, patient=patient)

    stats, opend = Stats(), OpenDState()
    queue = TickQueue(1, Overflow(Stuck(tmp_path / "spool"), 1_000, stats))
    current: Any = SimpleNamespace(writer=SimpleNamespace(native_id=None), retired_is_alive=False)
    watchdog = Scripted()
    recovery = Recovery(watchdog, queue, opend, stats, current)
    queue.put(Chunk(rows=hundred(tick)))
    taken: list[list[Chunk]] = []
    taking = threading.Thread(target=lambda: taken.append(queue.take(1_000, 0.0, 0.0)))
    taking.start()
    assert entered.wait(CAP_S)

    def stalled_s() -> float:
        recovery.check(NOW_MS)
        return watchdog.shown[-1].commit_age_s

    wait_until(lambda: stalled_s() > STALL_S, "the stall")
    assert queue.oldest_age_s() == 0.0, "no row is exposed"
    before_s = time.monotonic()
    queue.storing.copy_held = True
    assert stalled_s() == 0.0
    queue.storing.copy_held = False
    assert stalled_s() <= time.monotonic() - before_s, "the wait for a copy does not count"
    answers.set()
    taking.join(CAP_S)
    while not taken[-1]:
        taken.append(queue.take(1_000, 0.0, 0.0))
    queue.done(taken[-1])
    assert (queue.rows, stalled_s()) == (0, 0.0)


def test_the_watchdog_is_shown_what_waits(make_rig: MakeRig, tick: MakeTick) -> None:
    """The number of rows, how long they have waited since the last commit, how long no tick arrived, and the known
    cause. Before the first tick of a run the last two are unknown.
    """
    rig = make_rig()
    scene = Scene(rig)
    nothing = scene.look()
    assert (nothing.queue_rows, nothing.commit_age_s, nothing.upstream_age_s, nothing.cause) == (
        0,
        0.0,
        float("inf"),
        "",
    )
    rig.put(hundred(tick))
    wait_until(lambda: rig.queue.oldest_age_s() > 0.05, "ticks that wait")
    before = rig.queue.oldest_age_s()
    waits = scene.look()
    assert waits.queue_rows == 100
    assert before <= waits.commit_age_s <= rig.queue.oldest_age_s()
    assert waits.upstream_age_s < before, "they were heard of just now"
    rig.queue.storing.commits += 1
    rig.queue.storing.writer_trouble = "disk_full"
    committed = scene.look()
    assert committed.commit_age_s < before, "since the commit"
    assert committed.cause == "disk_full"
    assert rig.stats.stalls == 0


def test_a_stall_is_logged_with_its_recovery(make_rig: MakeRig, tick: MakeTick, journal: Journal) -> None:
    """One line for each decision, followed by the stacks of all threads unless the writer waits for a known cause."""
    rig = make_rig()
    scene = Scene(rig)
    rig.put(hundred(tick))
    wait_until(lambda: rig.queue.oldest_age_s() > 0.06, "ticks that wait")
    rig.queue.storing.writer_trouble = "disk_full"
    scene.look(Action.WAIT, 2)
    (told,) = journal.events("WATCHDOG persistent_stall")
    assert told.level == "ERROR"
    assert {name: told.fields[name] for name in ("queue_rows", "cause", "action", "failed_recoveries")} == {
        "queue_rows": "100",
        "cause": "disk_full",
        "action": "wait",
        "failed_recoveries": "2",
    }
    assert 0.1 <= float(told.fields["last_commit_age_s"]) < CAP_S
    ages = (told.fields["last_commit_age_s"], told.fields["upstream_age_s"])
    assert all(re.fullmatch(r"\d+(\.\d)?", age) for age in ages), "in tenths of a second"
    assert not journal.events("thread_stacks")
    rig.queue.storing.writer_trouble = ""
    scene.look(Action.INTERRUPT)
    assert journal.events("WATCHDOG persistent_stall")[1].fields["cause"] == "unknown"
    assert len(journal.events("thread_stacks")) == 1
    assert rig.stats.stalls == 2


def test_what_cannot_be_recovered_ends_the_service(make_rig: MakeRig, tick: MakeTick) -> None:
    """With an error that says what starts it again."""
    scene = Scene(make_rig())
    scene.rig.put(hundred(tick))
    with pytest.raises(StoreError, match="the writer is blocked and did not recover") as caught:
        scene.look(Action.EXIT)
    assert caught.value.hint == "systemd restarts the service"


@pytest.mark.parametrize("action", [Action.INTERRUPT, Action.NEW_CONNECTION])
def test_a_writer_in_a_long_statement_is_interrupted(
    make_rig: MakeRig, tick: MakeTick, disk: Disk, action: Action
) -> None:
    """It tries again by itself, and all is stored once the disk answers."""
    rig = at_work(make_rig(vfs=disk.name), tick)
    scene = Scene(rig)
    disk.block()
    rig.put(hundred(tick, 100))
    assert disk.blocked.wait(CAP_S)
    scene.look(action)
    disk.repair()
    rig.wait_stored(200)
    assert rig.query(DAY, COUNT) == [(200,)]


def test_a_writer_that_stays_stuck_is_replaced(make_rig: MakeRig, tick: MakeTick, journal: Journal, disk: Disk) -> None:
    """The new writer stores the rows that the old one had taken, and new rows. The old one may continue later, and each
    tick is stored once. While the old one is blocked, a lock may be its own, so it does not count as a known cause.
    """
    rig = make_rig(vfs=disk.name)
    rig.writer.start()
    scene = Scene(rig)
    before = scene.current.retired_is_alive
    assert not before
    disk.block()
    rig.put(hundred(tick))
    assert disk.blocked.wait(CAP_S)
    rig.queue.storing.writer_trouble = "busy"
    scene.look(Action.NEW_WRITER)
    (told,) = journal.events("writer_replaced")
    assert (told.level, told.fields) == ("ERROR", {"writers": "2"})
    assert scene.current.writer is not rig.writer
    assert scene.current.retired_is_alive
    assert scene.look().cause == ""
    disk.repair()
    rig.put(hundred(tick, 100))
    wait_until(lambda: rig.queue.rows == 0, "all stored")
    wait_until(lambda: not scene.current.retired_is_alive, "the end of the old one")
    scene.current.demand_alive()
    assert scene.current.writer.stop(time.monotonic() + CAP_S) == 0
    assert rig.query(DAY, COUNT) == [(200,)]


@pytest.fixture
def in_a_write() -> Any:
    """A writer whose thread waits inside the kernel in `write`, as on a disk that does not answer."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    os.write(writing, bytes(size))
    thread = threading.Thread(target=os.write, args=(writing, b"x"), daemon=True)
    thread.start()
    yield SimpleNamespace(native_id=thread.native_id, alive=True)
    os.read(reading, size)
    thread.join(CAP_S)
    os.close(reading)
    os.close(writing)


def test_a_disk_that_does_not_answer_is_logged(make_rig: MakeRig, journal: Journal, in_a_write: Any) -> None:
    """The kernel shows that the writer thread waits for the disk: logged after half a second and from time to time, and
    in `status` while it lasts. A stall with this cause is waited for. A cause that the writer knows has priority.
    """
    scene = Scene(make_rig(), in_a_write)
    storing, stats = scene.rig.queue.storing, scene.rig.stats
    storing.writer_alive_ms = NOW_MS - 499
    wait_until(lambda: scene.look().cause == "slow_disk", "the thread in its call")
    assert (stats.disk_wait_ms, stats.disk_frozen, journal.events("disk_slow")) == (0, False, [])
    storing.writer_alive_ms = NOW_MS - 1_230
    for _ in range(2):
        scene.look()
    assert stats.disk_wait_ms == 1_230
    (told,) = journal.events("disk_slow")
    assert (told.level, told.fields) == (
        "WARNING",
        {"waits_s": "1.2", "frozen": "False", "queue_rows": "0", "repeats": "0"},
    )
    storing.writer_trouble = "disk_full"
    assert scene.look().cause == "disk_full"
    assert stats.disk_wait_ms == 0


def test_a_writer_that_works_or_has_not_begun_waits_for_no_disk(make_rig: MakeRig, tick: MakeTick) -> None:
    """A thread that waits for ticks is no slow disk, however long ago it was alive."""
    rig = make_rig()
    scene = Scene(rig)
    rig.queue.storing.writer_alive_ms = NOW_MS - 60_000
    assert scene.look().cause == ""
    at_work(rig, tick)
    rig.queue.storing.writer_alive_ms = NOW_MS - 60_000
    wait_until(lambda: scene.look().cause == "", "its wait for ticks")
    assert rig.stats.disk_wait_ms == 0
