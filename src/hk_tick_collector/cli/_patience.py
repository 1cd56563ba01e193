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
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from hk_tick_collector.errors import BusyFileError, CollectorError, DiskHangsError, StoreError
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.live import kernel_wait
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY, STATUS_NAME, read_status
from hk_tick_collector.store.locks import pids_holding
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = tuple[bool, object]  # (True, the result), or (False, the error or the text of a bug)

_T = TypeVar("_T")

ONE_WAIT_S: Final = 2.5  # in one uninterrupted wait in the kernel: a working disk never takes so long
_ALL_WAITS_S: Final = 2.5  # for locks, in many short waits
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_EVERY_S: Final = 0.05
_LATE_S: Final = 0.25  # one check adds at most this time to a wait: this process itself may have been delayed
_READ_BYTES: Final = 2**20


def in_child(work: Callable[[], _T], path: Path) -> _T:
    """Returns what `work` returns, or raises its CollectorError. `work` must not print; its result must be picklable.

    `path` is the day file or directory that `work` reads. Raises DiskHangsError if the disk does not answer within
    seconds, BusyFileError if a lock keeps the file closed for as long.
    """
    reading, writing = os.pipe()
    # A signal during the fork would be lost: an exception in the code that Python runs after it is ignored.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child == 0:
        os.close(reading)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # signals belong to the parent, which ends its child
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _work(work, writing)
    os.close(writing)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        answer = _await(child, reading, path)
    except BusyFileError:
        _blame_the_disk(path)
        raise
    except KeyboardInterrupt:
        _end(child)
        raise
    finally:
        os.close(reading)
    ok, result = answer
    if ok:
        return result  # type: ignore[return-value]
    if isinstance(result, BusyFileError):
        _blame_the_disk(path)
    if isinstance(result, BaseException):
        raise result
    raise RuntimeError(f"in the child that reads {path}:\n{result}")


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
    path = path.parent if path.suffix == ".db" else path
    if how == "frozen":
        text = (
            f"the disk of {path} is frozen (fsfreeze): backups of this machine do that for a few seconds;"
            " if no backup is running, unfreeze it"
        )
        return DiskHangsError(text, hint=remedies.for_frozen_disk(str(path)))
    return DiskHangsError(f"the disk of {path} does not answer", hint=remedies.DISK_MESSAGES)


def _work(work: Callable[[], object], writing: int) -> None:
    """The child process. It closes the standard streams: a reader of them must not wait for a child that hangs."""
    answer: Answer
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        answer = True, work()
        said = pickle.dumps(answer)
    except CollectorError as error:
        said = pickle.dumps((False, error))
    except BaseException:  # noqa: BLE001 - the boundary of the child: the parent raises the error
        said = pickle.dumps((False, traceback.format_exc()))
    view = memoryview(said)
    with suppress(OSError):  # the parent has ended
        while view:
            view = view[os.write(writing, view) :]
    os._exit(0)


def _await(child: int, reading: int, path: Path) -> Answer:
    """The child's answer; raises an error if the child waits too long for the disk or for a lock."""
    said = bytearray()
    waited, watch = 0.0, _Watch(child)
    while True:
        if select.select([reading], [], [], _LOOK_EVERY_S)[0]:
            part = os.read(reading, _READ_BYTES)
            if not part:
                break
            said += part
            waited, watch = 0.0, _Watch(child)
            continue
        if watch.one_wait_s() >= ONE_WAIT_S:
            how = "frozen" if kernel_wait.is_frozen(Path(f"/proc/{child}")) else "in_kernel"
            _end(child)
            raise disk_error(path, how)
        waited += watch.slept_s
        if waited >= _ALL_WAITS_S:
            _end(child)
            raise BusyFileError(f"{path} stays locked", hint=remedies.for_lock(str(path)))
    os.waitpid(child, 0)
    if not said:
        raise RuntimeError(f"the child that reads {path} ended without an answer")
    answer: Answer = pickle.loads(said)  # noqa: S301 - written by our own child
    return answer


class _Watch:
    """How long a child has been waiting, as the kernel reports it."""

    def __init__(self, child: int) -> None:
        self.slept_s = 0.0  # since the last check, outside the disk: for a lock
        self._child = child
        self._last_s = time.monotonic()
        self._switches = ""
        self._one_wait_s = 0.0

    def one_wait_s(self) -> float:
        """How long the child's present wait for the disk has lasted, as far as the checks show."""
        now_s = time.monotonic()
        passed_s, self._last_s = min(now_s - self._last_s, _LATE_S), now_s
        state, switches = kernel_wait.state(Path(f"/proc/{self._child}")), kernel_wait.switches(self._child)
        is_same, self._switches = switches == self._switches, switches
        self._one_wait_s = self._one_wait_s + passed_s if state == "D" and is_same else 0.0
        self.slept_s = passed_s if state == "S" else 0.0
        return self._one_wait_s


def _end(child: int) -> None:
    """The child ends when the disk answers again, not before."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, os.WNOHANG)


def _blame_the_disk(path: Path) -> None:
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
