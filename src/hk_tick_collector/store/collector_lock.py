"""One collector a DATA_ROOT, one a SPOOL_DIR: locks that the kernel lets go of when their holder dies, in any way.

The lock files are for their owner alone: with a right to read, somebody else could take a lock and keep us out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import OwnedError, StoreError

from .locks import Holder, describe, holders
from .rights import refused, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = ".collector.lock"
SPOOL_LOCK_NAME: Final = ".spool.lock"  # another name: SPOOL_DIR may be DATA_ROOT itself
_MODE: Final = 0o600
SERVICE_ACCOUNT: Final = "hkcollector"  # of an installation
_SERVICE_STATUS: Final = "sudo systemctl status hk-tick-collector --no-pager"
_SERVICE_START: Final = "sudo systemctl start hk-tick-collector"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_PID: Final = re.compile(r"pid (\d+)")


class OwnerLock:
    """Holds DATA_ROOT for this process from construction to `release`.

    `who` begins with `pid N` and is written into the lock file for the one who comes second. Raises OwnedError when
    another process holds it, StoreError when the file cannot be written.
    """

    def __init__(self, data_root: Path, who: str) -> None:
        self._fd = _lock("DATA_ROOT", data_root, data_root / LOCK_NAME, who)

    def release(self) -> None:
        """Lets the next collector in. The file stays: removing it would let two in."""
        os.close(self._fd)


@contextmanager
def spool_owned(spool_dir: Path, who: str) -> Iterator[None]:
    """Holds SPOOL_DIR for this process; another collector's rows there would be taken for an earlier run's.

    Raises as OwnerLock.
    """
    path = spool_dir / SPOOL_LOCK_NAME
    try:
        fd = _lock("SPOOL_DIR", spool_dir, path, who)
    except StoreError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_ROOM or path.exists():
            raise
        fd = _lock("SPOOL_DIR", spool_dir, spool_dir, "")  # no file can be made there now: the directory will do
    try:
        yield
    finally:
        os.close(fd)


def _lock(setting: str, directory: Path, path: Path, who: str) -> int:
    """A descriptor that holds the lock; it is for reading alone, so that a disk can be made read-only beside it."""
    try:
        fd = os.open(path, os.O_CLOEXEC | os.O_RDONLY | (os.O_CREAT if who else os.O_DIRECTORY), _MODE)
    except OSError as error:
        if isinstance(error, PermissionError) and (owned := _of_another_account(setting, directory, path)):
            raise owned from error
        raise refused(f"{setting}'s lock file" if who else setting, path, error) from error
    try:
        if who and os.fstat(fd).st_uid == os.geteuid():
            os.fchmod(fd, _MODE)  # an earlier version's may be read by the group
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if who:
            _sign(setting, path, who)
    except BlockingIOError:
        named = os.pread(fd, 200, 0).decode(errors="replace").strip() if who else ""
        os.close(fd)
        raise _owned(f"{setting} {directory}", path, "".join(filter(str.isprintable, named))) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _sign(setting: str, path: Path, who: str) -> None:
    """Writes the holder into its lock file. On a full disk the lock is held all the same, without a name in it."""
    try:
        fd = os.open(path, os.O_CLOEXEC | os.O_WRONLY)
    except OSError as error:
        if error.errno in _NO_ROOM:
            return
        raise refused(f"{setting}'s lock file", path, error) from error
    try:
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{who}\n".encode(), 0)
    finally:
        os.close(fd)


def _owned(what: str, path: Path, named: str) -> OwnedError:
    """Whose the lock is: the collector's that is `named` in it, or somebody's who only keeps us out."""
    match, found = _PID.match(named), holders(path)
    pid = int(match[1]) if match else None
    if pid in [holder.pid for holder in found or ()] or (not found and pid is not None and _is_collector(pid)):
        return _of_another(what, named)
    holder = found[0] if found else Holder(-1)
    if holder.is_collector:
        return _of_another(what, f"{holder.words()}, which is just starting")
    text = f"{what} is locked by {holder.words()}, which holds {path}: no collector"
    if holder.pid > 0:
        return OwnedError(text, hint=f"sudo kill -TERM {holder.pid}")
    return OwnedError(text, hint=f"sudo fuser -v {shlex.quote(str(path))}")


def _of_another_account(setting: str, directory: Path, path: Path) -> StoreError | None:
    """Who collects there, where this account is the wrong one: it may not even write in the directory.

    Nothing is to be given to it then. None for a lock file that is not the directory's owner's, as a run as root leaves
    it.
    """
    try:
        owner = directory.stat().st_uid
        ours = path.stat().st_uid == owner
    except FileNotFoundError:
        ours = user_name(owner) == SERVICE_ACCOUNT
    except OSError:
        return None
    if not ours or owner == os.geteuid() or os.access(directory, os.W_OK):
        return None
    found = [holder for holder in holders(path) or () if holder.is_collector or not holder.command]
    text = f"{setting} {directory} belongs to {user_name(owner)}, and this runs as {user_name(os.geteuid())}"
    if found:
        return StoreError(f"{text}: another collector is at work there, {found[0].words()}", hint=_SERVICE_STATUS)
    return StoreError(f"{text}: the service is started by systemd, not by hand", hint=_SERVICE_START)


def _of_another(what: str, who: str) -> OwnedError:
    return OwnedError(
        f"{what} belongs to another collector: {who}",
        hint="stop that one first, or give this one a directory of its own",
    )


def _is_collector(pid: int) -> bool:
    """Whether a process with this number lives that may be a collector: what it runs may be hidden from us."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    holder = describe(pid)
    return not holder.command or holder.is_collector
