"""Carries out the watchdog's decisions on a stalled writer.

Enters: the state of the queue, the writer and the connection, once a second. Leaves: the line `WATCHDOG
persistent_stall` with the action, the stacks of all threads in the log, and as the last action an error that ends the
service; all rows are then spooled.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.live import kernel_wait

from .watchdog import Action, Pressure, Verdict, Watchdog

if TYPE_CHECKING:
    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.stats import Stats

    from .current_writer import CurrentWriter

# System calls in which a thread waits for the disk: write, pwrite64, fsync, fdatasync, ftruncate, by architecture.
_DISK_CALLS: Final = {"x86_64": {1, 18, 74, 75, 77}, "aarch64": {64, 68, 82, 83, 46}}.get(os.uname().machine, set())

_SLOW_DISK_MS: Final = 500  # a write or a sync that takes longer is logged
_LOG_EVERY_S: Final = 30.0


class Recovery:
    """Watches the current writer. Call `check` once a second."""

    def __init__(
        self,
        watchdog: Watchdog,
        queue: TickQueue,
        opend: OpenDState,
        stats: Stats,
        current_writer: CurrentWriter,
    ) -> None:
        self._watchdog = watchdog
        self._queue = queue
        self._stats = stats
        self._current_writer = current_writer
        self._opend = opend
        self._slow_disk = log.Repeated(_LOG_EVERY_S)
        self._commits, self._committed_s = 0, time.monotonic()  # the count of commits, and when it last increased
        self._received, self._received_s = 0, float("-inf")  # the same for received ticks

    def check(self, now_ms: int) -> None:
        """Checks for a stall and acts. Raises StoreError when the process must be restarted."""
        queue = self._queue
        disk_cause = self._check_disk(now_ms)
        waited_s = queue.waited_s()  # there is no stall if rows wait only for a short time
        since_commit_s, since_tick_s = self._silence_s(time.monotonic())
        pressure = Pressure(
            queue_rows=queue.rows,
            # A writer that waits for a copy of the day is not stalled: that wait has its own time limit.
            commit_age_s=0.0 if queue.storing.copy_held else min(since_commit_s, waited_s),
            upstream_age_s=since_tick_s,
            # While a blocked, replaced writer of ours may hold the lock, a lock does not count as a known cause.
            cause="" if self._current_writer.retired_is_alive else queue.storing.writer_trouble or disk_cause,
        )
        verdict = self._watchdog.judge(pressure, time.monotonic())
        if verdict:
            self._stats.stalls += 1
            self._log(pressure, verdict)
            self._act(verdict)

    def _silence_s(self, now_s: float) -> tuple[float, float]:
        """How long ago the last commit and the last tick were. The wall clock is not used: it may be set back."""
        commits, received = self._queue.storing.commits, self._opend.received
        if commits != self._commits:
            self._commits, self._committed_s = commits, now_s
        if received != self._received:
            self._received, self._received_s = received, now_s
        return now_s - self._committed_s, now_s - self._received_s

    def _log(self, pressure: Pressure, verdict: Verdict) -> None:
        log.error(
            "WATCHDOG persistent_stall",
            queue_rows=pressure.queue_rows,
            last_commit_age_s=round(pressure.commit_age_s, 1),
            upstream_age_s=round(pressure.upstream_age_s, 1),
            cause=pressure.cause or "unknown",
            action=verdict.action,
            failed_recoveries=verdict.failures,
        )
        if verdict.action is not Action.WAIT:
            log.error("thread_stacks", why="the stacks of all threads follow")
            _dump_stacks()

    def _act(self, verdict: Verdict) -> None:
        match verdict.action:
            case Action.INTERRUPT:
                self._current_writer.writer.interrupt()
            case Action.NEW_CONNECTION:
                self._current_writer.writer.reopen()
            case Action.NEW_WRITER:
                self._current_writer.replace()
            case Action.EXIT:
                raise StoreError("the writer is blocked and did not recover", hint="systemd restarts the service")
            case Action.WAIT:
                pass

    def _check_disk(self, now_ms: int) -> str:
        """The cause if the writer waits for the disk, else "". Long waits are logged and written to Stats."""
        stats, storing, cause = self._stats, self._queue.storing, self._disk_cause()
        still_ms = now_ms - storing.writer_alive_ms if storing.writer_alive_ms is not None else 0
        frozen = stats.disk_frozen = cause == "frozen_disk"
        slow = cause and not storing.writer_trouble and still_ms >= _SLOW_DISK_MS
        stats.disk_wait_ms = still_ms if slow else 0
        held_back = self._slow_disk.allow(time.monotonic()) if slow else None
        if held_back is not None:
            waits_s = round(still_ms / 1000, 1)
            log.warning(
                "disk_slow",
                waits_s=waits_s,
                frozen=frozen,
                queue_rows=self._queue.rows,
                repeats=held_back,
            )
        return cause

    def _disk_cause(self) -> str:
        """`slow_disk` if the kernel shows that the writer thread waits for the disk, `frozen_disk` if it waits for a
        frozen file system, else "".
        """
        thread = self._current_writer.writer.native_id
        if thread is None:
            return ""
        task = Path(f"/proc/self/task/{thread}")
        if kernel_wait.state(task) == "D":  # in any call: opening a file also waits if its file system is frozen
            return "frozen_disk" if kernel_wait.is_frozen(task) else "slow_disk"
        try:
            call = (task / "syscall").read_text(encoding="ascii").split()[0]
        except (OSError, IndexError):
            return ""
        return "slow_disk" if call.isdigit() and int(call) in _DISK_CALLS else ""


def _dump_stacks() -> None:
    """Writes the stacks of all threads to stderr. If a thread writes the log, this does not wait for the reader."""
    with suppress(OSError), os.fdopen(os.memfd_create("stacks"), "r+b") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        if log.write_text(file.read().decode(errors="replace").rstrip()):
            return
    sys.stderr.flush()
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
