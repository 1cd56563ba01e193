"""A disk that fails on request: an APSW VFS under SQLite, whose faults are switched on and off while it runs.

SQLite gets the errors that os_unix.c makes of an errno, so a test gets the same error as an operator. Some are not
obvious: a failing write may have written a part; a write to a file system that became read-only is an I/O error; and a
database that may not be opened for writing (EROFS, EACCES) is opened for reading, so its first write has the error.

A VFS in Python does not control the `-shm` file: SQLite maps it into memory.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from .quiet_file import QuietFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_SECTOR: Final = 512
OPERATIONS: Final = ("open", "read", "write", "sync", "truncate", "delete")
KINDS: Final = ("db", "wal", "journal")

# What os_unix.c reports for a failed operation, and for the errno where it looks at that.
_CODES: Final = {
    "open": apsw.SQLITE_CANTOPEN,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "delete": apsw.SQLITE_IOERR_DELETE,
}
_SPECIAL_CODES: Final = {
    ("write", "ENOSPC"): apsw.SQLITE_FULL,
    ("read", "EIO"): apsw.SQLITE_IOERR_CORRUPTFS,
}
_READABLE: Final = ("EROFS", "EACCES")
_KIND_OF_FLAG: Final = {
    apsw.SQLITE_OPEN_MAIN_DB: "db",
    apsw.SQLITE_OPEN_WAL: "wal",
    apsw.SQLITE_OPEN_MAIN_JOURNAL: "journal",
}


@dataclass(eq=False, slots=True, kw_only=True)
class Fault:
    """A fault, from `inject` until it is lifted or used up. Raises ValueError for an unknown name.

    `delay_s` comes before the error, or before the operation if there is no error; with `math.inf` the operation blocks
    until the fault is lifted, which also ends every other delay.
    """

    operations: Sequence[str] = ("write",)
    files: Sequence[str] = KINDS
    error: str = ""  # ENOSPC, EIO, EROFS, EACCES, EMFILE, …; none: the operation is only late
    delay_s: float = 0.0
    after: int = 0  # so many operations pass unharmed first
    in_kernel: bool = False  # the delay is spent in a system call that writes, as on a disk that is slow for real
    times: int | None = None  # so many operations are hit; None: all, until lifted
    chance: float = 1.0  # of each operation to be hit
    hits: int = field(default=0, init=False)  # how many operations it has hit so far
    lifted: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        unknown = {*self.operations} - {*OPERATIONS} | {*self.files} - {*KINDS}
        if unknown or (self.error and not hasattr(errno, self.error)):
            raise ValueError(f"no such fault: {sorted(unknown) or self.error}")


class FaultyDisk(apsw.VFS):
    """The VFS `name` on top of `base`. Safe to use from any thread; a context manager that lifts every fault.

    `seed` decides which operations fail at random, and how much of a failing write is written.
    """

    def __init__(self, name: str, base: str = "unix", *, seed: int = 0, default: bool = False) -> None:
        super().__init__(name, base, makedefault=default)
        self.name = name
        self.operations: Counter[tuple[str, str]] = Counter()  # (operation, kind of file) → how many were begun
        self._base = base
        self._random = random.Random(seed)
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def __enter__(self) -> FaultyDisk:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.lift()

    def inject(self, fault: Fault) -> Fault:
        """From now on operations meet this fault; of those that match, the earliest counts."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def lift(self, fault: Fault | None = None) -> None:
        """Ends one fault, or all; operations that it delays continue at once."""
        with self._lock:
            ended = list(self._faults) if fault is None else [fault]
            self._faults = [other for other in self._faults if other not in ended]
        for other in ended:
            other.lifted.set()

    def fault_of(self, operation: str, kind: str) -> str:
        """One operation passes here: delayed as a fault says, and the name of the errno it fails with, or nothing."""
        with self._lock:
            self.operations[operation, kind] += 1
            fault = next((fault for fault in self._faults if self._strikes(fault, operation, kind)), None)
        if fault is None:
            return ""
        if fault.delay_s:
            timeout_s = None if math.isinf(fault.delay_s) else fault.delay_s
            (_wait_in_kernel if fault.in_kernel else threading.Event.wait)(fault.lifted, timeout_s)
            if fault.lifted.is_set():
                return ""
        return fault.error

    def written_part(self, offset: int, size: int) -> int:
        """How many bytes of a failing write reach the file: it stops before one of its sectors."""
        with self._lock:
            stop = self._random.randrange(offset // _SECTOR, -(-(offset + size) // _SECTOR)) * _SECTOR
        return max(0, stop - offset)

    def _strikes(self, fault: Fault, operation: str, kind: str) -> bool:
        if operation not in fault.operations or kind not in fault.files or fault.times == 0:
            return False
        if fault.after:
            fault.after -= 1
            return False
        if self._random.random() >= fault.chance:
            return False
        fault.hits += 1
        if fault.times is not None:
            fault.times -= 1
        return True

    # What SQLite calls.

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Opens a file of SQLite's; temporary ones never fail."""
        kind = next((kind for flag, kind in _KIND_OF_FLAG.items() if flags[0] & flag), "")
        if not kind:
            return apsw.VFSFile(self._base, name, flags)
        error = self.fault_of("open", kind)
        if kind != "db" or error not in _READABLE:
            _raise("open", error)
            return _File(self, kind, self._base, name, flags)
        wanted = [flags[0] & ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) | apsw.SQLITE_OPEN_READONLY, 0]
        opened = _File(self, kind, self._base, name, wanted)
        flags[1] = wanted[1]
        return opened

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        """Deletes a journal or a WAL."""
        _raise("delete", self.fault_of("delete", kind_of(name)))
        super().xDelete(name, syncdir)


class _File(QuietFile):
    """One open file; each operation asks the disk for faults."""

    def __init__(
        self, disk: FaultyDisk, kind: str, base: str, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        self._kind = kind

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        _raise("read", self._disk.fault_of("read", self._kind))
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        error = self._disk.fault_of("write", self._kind)
        if error and (part := self._disk.written_part(offset, len(data))):
            super().xWrite(data[:part], offset)
        _raise("write", error)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        _raise("truncate", self._disk.fault_of("truncate", self._kind))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        _raise("sync", self._disk.fault_of("sync", self._kind))
        super().xSync(flags)


def kind_of(name: str) -> str:
    """The kind of a file by its name; empty for a file that is not ours."""
    for suffix, kind in ((".db", "db"), ("-wal", "wal"), ("-journal", "journal")):
        if name.endswith(suffix):
            return kind
    return ""


def _wait_in_kernel(lifted: threading.Event, timeout_s: float | None) -> None:
    """Waits in write(2) on a full pipe."""
    reading, writing = os.pipe()

    def make_room() -> None:
        lifted.wait(timeout_s)
        os.read(reading, size)

    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1)  # a page is the least
    os.write(writing, bytes(size))
    thread = threading.Thread(target=make_room, name="slow-disk", daemon=True)
    thread.start()
    os.write(writing, b"x")
    thread.join()
    os.close(reading)
    os.close(writing)


def _raise(operation: str, error: str) -> None:
    if error:
        failure = apsw.exception_for(_SPECIAL_CODES.get((operation, error), _CODES[operation]))
        failure.args = (f"{operation}: {os.strerror(getattr(errno, error))}",)
        raise failure
