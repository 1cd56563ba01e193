"""For the tests of collect/: a log whose lines can be waited for, a disk that fails on request, a writer."""

from __future__ import annotations

import io
import os
import threading
import time
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.log_lines import Event, events_in

from hk_tick_collector import log
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState
from hk_tick_collector.collect.options import WriterOptions
from hk_tick_collector.collect.writing.writer import Writer
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import TickRow

CAP_S = float(os.environ.get("TESTS_CAP_S", "300"))  # make mutants sets less, for events that a mutant never causes
NOW_MS = 1_795_140_000_000  # 2026-11-20 10:00 in Hong Kong


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Returns when `condition()` is true; fails with `what` if that takes longer than the cap."""
    deadline_s = time.monotonic() + CAP_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {CAP_S:.0f} s: {what}"
        time.sleep(0.005)


class Journal(io.StringIO):
    """The log of a test, as an operator would grep it."""

    def events(self, name: str = "") -> list[Event]:
        """The lines so far, of one event or of all."""
        return events_in(self.getvalue(), name)

    def wait_for(self, name: str) -> Event:
        """The first line of an event; waits for it."""
        wait_until(lambda: self.events(name), f"a line {name} in\n{self.getvalue()}")
        return self.events(name)[0]


@pytest.fixture
def journal() -> Iterator[Journal]:
    """Every event from now on."""
    stream = Journal()
    log.configure("DEBUG", stream)
    yield stream
    log.configure("INFO")


class Disk(apsw.VFS):
    """A disk that fails on request. `error` is raised by every `operation` (`write`, `sync`, `open`) while set.

    A sync fails after the real one: the bytes are on the disk although an error is reported.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.operation = ""
        self.error: Callable[[], Exception] | None = None
        self.met = 0
        self.blocked = threading.Event()  # set while a write waits
        self._free = threading.Event()
        self._free.set()
        self.slow_for = ""  # the name of a thread whose every read takes a while
        self.reading_slowly = threading.Event()
        super().__init__(name, base="")

    def fail(self, operation: str, error: Callable[[], Exception]) -> None:
        """From now on `operation` fails."""
        self.operation, self.error, self.met = operation, error, 0

    def repair(self) -> None:
        """Everything works again."""
        self.error = None
        self._free.set()

    def block(self) -> None:
        """Writes wait until the disk works again."""
        self._free.clear()

    def fail_if_set(self, operation: str) -> None:
        """Every file operation calls this."""
        if operation == "write" and not self._free.is_set():
            self.blocked.set()
            self._free.wait()
        if self.error is not None and operation == self.operation:
            self.met += 1
            raise self.error()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's
        """Opens a file of this disk."""
        self.fail_if_set("open")
        return DiskFile(self, name, flags)


class DiskFile(apsw.VFSFile):
    """A file on such a disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Reads, slowly for one thread."""
        if threading.current_thread().name == self._disk.slow_for:
            self._disk.reading_slowly.set()
            time.sleep(0.2)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Writes, or fails."""
        self._disk.fail_if_set("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Syncs, and then may report an error."""
        super().xSync(flags)
        self._disk.fail_if_set("sync")


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk that works until a fault is set."""
    disk = Disk("faulty")
    yield disk
    disk.repair()
    disk.unregister()


class Rig:
    """A writer with its queue, on a directory of its own."""

    def __init__(
        self, data_root: Path, vfs: str | None, max_queue_rows: int, batch_rows: int, max_wait_ms: int
    ) -> None:
        self.data_root = data_root
        self.stats = Stats()
        self.opend = OpenDState()
        self.queue = TickQueue(max_queue_rows)
        self.now_ms = NOW_MS
        store = StoreOptions(busy_timeout_ms=10, vfs=vfs)
        options = WriterOptions(data_root, "run", "test", batch_rows, max_wait_ms, store)
        self.writer = Writer(self.queue, self.stats, options, ExchangeClock(self.opend, lambda: self.now_ms))

    def put(self, rows: list[TickRow]) -> None:
        """As the intake does."""
        self.stats.received += len(rows)
        self.opend.received += len(rows)
        self.queue.put(Chunk(rows=rows))

    def wait_stored(self, rows: int) -> None:
        """Returns when this many rows are committed, including duplicates."""
        wait_until(lambda: self.stats.stored + self.stats.duplicate == rows, f"{rows} rows: {self.stats}")

    def query(self, day: str, sql: str) -> list[tuple[object, ...]]:
        """The result of a reader's query on a day file."""
        db = apsw.Connection(str(self.data_root / f"{day}.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return list(db.execute(sql))
        finally:
            db.close()


class MakeRig:
    """Makes rigs, and ends them with the test."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self.made: list[Rig] = []

    def __call__(
        self, *, vfs: str | None = None, max_queue_rows: int = 100_000, batch_rows: int = 12_000, max_wait_ms: int = 20
    ) -> Rig:
        """A writer that has not been started."""
        self.made.append(Rig(self._data_root, vfs, max_queue_rows, batch_rows, max_wait_ms))
        return self.made[-1]


@pytest.fixture
def make_rig(tmp_path: Path, journal: Journal) -> Iterator[MakeRig]:  # writers log into the test's journal
    """Writers on the test's directory; the clock stands at 10:00 of a trading day."""
    rigs = MakeRig(tmp_path)
    yield rigs
    for rig in rigs.made:
        if rig.writer.alive:
            rig.writer.stop(time.monotonic() + CAP_S)
