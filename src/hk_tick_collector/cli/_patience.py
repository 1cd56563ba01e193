"""Reads in a child process, so that the command always returns: a read that waits for a disk cannot be interrupted.

When a file system is frozen (fsfreeze, used by backups of virtual machines) or a disk does not answer, a process that
opens the `-shm` of a day file blocks in the kernel and receives no signal. So a child process reads, and this process
reports the result. Only waiting is limited, not work: on a busy machine an answer may take long, and the reader itself
limits how much work a file can cause.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
import traceback
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from hk_tick_collector.errors import BusyFileError, CollectorError, DiskHangsError, StoreError
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.host import FROZEN_DISK, SILENT_DISK
from hk_tick_collector.ops.live import kernel_wait
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY, STATUS_NAME, read_status
from hk_tick_collector.store.locks import closed_by, pids_holding
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

_T = TypeVar("_T")

_ALL_WAITS_S: Final = 2.5  # for locks, in many short waits
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_EVERY_S: Final = 0.05
_LATE_S: Final = 0.25  # one check adds at most this time to a wait: this process itself may have been delayed
_READ_BYTES: Final = 2**20
_SIZE_BYTES: Final = 8
_BATCH: Final = 500


def in_child(work: Callable[[], _T], path: Path, *, network: bool = False) -> _T:
    """Returns what `work` returns, or raises its CollectorError. `work` must not print; its result must be picklable.

    `path` is the day file or directory that `work` reads. Raises DiskHangsError if the disk does not answer within
    seconds, BusyFileError if a lock keeps the file closed for as long. With `network` it may also wait for a server,
    whose requests have limits of their own.
    """
    (result,) = each_in_child(lambda: [work()], path, network=network)
    return result


def each_in_child(
    work: Callable[[], Iterable[_T]], path: Path, *, at_once: int = _BATCH, network: bool = False
) -> Generator[_T, None, None]:
    """Yields what `work` yields, while it is read: like `in_child`, for more than fits into memory.

    The wait for each part is limited; a part is at most `at_once` items. The child ends when the iterator is closed.
    """
    child = _Child(work, path, at_once, network=network)
    try:
        while batch := child.receive():
            yield from batch
    except BusyFileError:
        _raise_if_holder_waits_for_disk(path)
        raise
    finally:
        child.end()


class Disk:
    """The disk of one directory, for a verb that reads it several times: after the first hang it is not asked again."""

    def __init__(self) -> None:
        self.error: DiskHangsError | None = None  # the error of the first hang

    def read(self, work: Callable[[], _T], path: Path) -> _T:
        """Like `in_child`, but raises the same DiskHangsError at once if the disk has already hung."""
        if self.error is not None:
            raise self.error
        try:
            return in_child(work, path)
        except DiskHangsError as error:
            self.error = error
            raise


def demand_readable(path: Path) -> None:
    """Opens and closes a day file; raises the errors of opening, and DiskHangsError or BusyFileError within seconds."""

    def opens() -> None:
        with DayReader(path) as reader, reader.snapshot():
            reader.schema_version()

    in_child(opens, path)


def demand_writable(directory: Path) -> None:
    """Creates an unnamed file in a directory to test its disk; DiskHangsError if the disk does not answer.

    Other errors are left to the caller, who will meet them when it creates its file.
    """

    def makes() -> None:
        with suppress(OSError):
            os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    in_child(makes, directory)


def disk_error(path: Path, how: str) -> DiskHangsError:
    """The error to raise for a disk that does not answer; `how` is `frozen` if the kernel says so."""
    place = str(path.parent if path.suffix == ".db" else path)
    is_frozen = how == "frozen"
    text = FROZEN_DISK if is_frozen else SILENT_DISK
    hint = remedies.for_frozen_disk(place) if is_frozen else remedies.DISK_MESSAGES
    error = DiskHangsError(text.en.format(place=place), hint=hint, zh=text.zh.format(place=place))
    error.place, error.is_frozen = place, is_frozen
    return error


class _Child:
    """A child process that sends what `work` yields, in batches; the last batch is empty."""

    def __init__(self, work: Callable[[], Iterable[object]], path: Path, at_once: int, *, network: bool) -> None:
        self._path = path
        self._network = network
        reading, writing = os.pipe()
        # A signal during the fork would be lost: an exception in the code that Python runs after it is ignored.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reading)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # signals belong to the parent, which ends its child
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _work(work, writing, at_once)
        os.close(writing)
        self._reading = reading
        self._works = True  # it may be waiting for the disk
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except KeyboardInterrupt:
            self.end()
            raise

    def receive(self) -> list[Any]:
        """The next batch; empty after the last. Raises the error of `work`, or one if the child waits for too long."""
        said = self._read(_SIZE_BYTES)
        ok, content = pickle.loads(self._read(int.from_bytes(said, "little")))  # noqa: S301 - written by our own child
        if not ok or not content:  # the last that it sends
            self._await_end()
        if ok:
            return content  # type: ignore[no-any-return]
        if isinstance(content, BaseException):
            raise content
        raise RuntimeError(f"in the child that reads {self._path}:\n{content}")

    def _ended(self) -> Exception:
        """The error for a child that ended without an answer: libraries abort at some damaged files."""
        self._works = False
        status = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        if status is None or status.si_code == os.CLD_EXITED:
            return RuntimeError(f"the child that reads {self._path} ended without an answer")
        name = signal.Signals(status.si_status).name
        if status.si_status == signal.SIGKILL:
            return StoreError(f"the system killed the process that reads {self._path}", hint="sudo dmesg | tail")
        return StoreError(
            f"the process that reads {self._path} ended with {name}: a file there is damaged",
            hint="hk-tick-collector certificate --check; see docs/sqlite-wal.md for what can be saved",
        )

    def end(self) -> None:
        """Ends the child. One that waits for the disk ends only when the disk answers again, so nobody waits for it."""
        os.close(self._reading)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, os.WNOHANG if self._works else 0)

    def _await_end(self) -> None:
        watch = self._watch()
        while not select.select([self._reading], [], [], _LOOK_EVERY_S)[0]:
            watch.check()
        self._works = False

    def _watch(self) -> _Watch:
        return _Watch(self._pid, self._path, network=self._network)

    def _read(self, size: int) -> bytes:
        said, watch = bytearray(), self._watch()
        while len(said) < size:
            if not select.select([self._reading], [], [], _LOOK_EVERY_S)[0]:
                watch.check()
            elif part := os.read(self._reading, min(size - len(said), _READ_BYTES)):
                said += part
                watch = self._watch()
            else:
                raise self._ended()
        return bytes(said)


def _work(work: Callable[[], Iterable[object]], writing: int, at_once: int) -> NoReturn:
    """The child process. It closes the standard streams: a reader of them must not wait for a child that hangs."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    with suppress(OSError):  # the parent has ended
        try:
            items = iter(work())
            while batch := list(islice(items, at_once)):
                _send(writing, ok=True, said=batch)
            _send(writing, ok=True, said=[])
        except CollectorError as error:
            _send(writing, ok=False, said=error)
        except BaseException:  # noqa: BLE001 - the boundary of the child: the parent raises the error
            _send(writing, ok=False, said=traceback.format_exc())
    os._exit(0)


def _send(writing: int, *, ok: bool, said: object) -> None:
    data = pickle.dumps((ok, said))
    view = memoryview(len(data).to_bytes(_SIZE_BYTES, "little") + data)
    while view:
        view = view[os.write(writing, view) :]


class _Watch:
    """How long a child has been waiting since its last answer, as the kernel reports it."""

    def __init__(self, child: int, path: Path, *, network: bool) -> None:
        self._child = child
        self._path = path
        self._network = network
        self._last_s = time.monotonic()
        self._disk = kernel_wait.OneWait()
        self._slept_s = 0.0  # in all, outside the disk: for a lock

    def check(self) -> None:
        """Raises DiskHangsError or BusyFileError if the child has waited for too long, by the checks so far."""
        now_s = time.monotonic()
        passed_s, self._last_s = min(now_s - self._last_s, _LATE_S), now_s
        threads = kernel_wait.threads(self._child)  # all: those of Arrow read files while the first one waits for them
        self._disk.look(threads, passed_s)
        self._slept_s += passed_s if threads and all(state == "S" for state, _ in threads.values()) else 0.0
        if self._disk.seconds >= kernel_wait.ONE_WAIT_S:
            raise disk_error(self._path, kernel_wait.waits_for_disk(self._child))
        if self._slept_s >= _ALL_WAITS_S and not self._network:
            raise _locked(self._path)


def _locked(path: Path) -> BusyFileError:
    """The error for a lock that lasts: it names the file and the process, if the kernel shows them."""
    found = closed_by([path] if path.suffix == ".db" else sorted(path.glob("*.db")))
    if found is None:
        return BusyFileError(f"{path} stays locked", zh=f"{path} 一直被鎖住", hint=remedies.for_lock(str(path)))
    file, holder = found
    zh = f"{file} 一直被 {holder.words()} 鎖住"
    return BusyFileError(f"{file} stays locked by {holder.words()}", hint=holder.end_command(file), zh=zh)


def _raise_if_holder_waits_for_disk(path: Path) -> None:
    """Raises DiskHangsError if the holder of the lock itself waits for the disk, by the kernel's or its own report."""
    is_file = path.suffix == ".db"
    beside = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")] if is_file else path.glob("*.db*")
    for pid in pids_holding(beside):
        if how := kernel_wait.waits_for_disk(pid):
            raise disk_error(path, "frozen" if _collector_waits(path) else how)


def _collector_waits(path: Path) -> bool:
    """Whether the collector reports that this disk is frozen: the kernel may not show it to the current user."""
    try:
        live = read_status(RUNTIME_DIRECTORY / STATUS_NAME)
    except StoreError:
        return False
    return live is not None and live.disk_frozen and path.is_relative_to(live.data_root)
