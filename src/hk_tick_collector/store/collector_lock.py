"""Locks for DATA_ROOT and SPOOL_DIR, so that only one collector uses each. The kernel releases a lock when its process
ends, however it ends.

Only the owner of a lock file can read it: anyone who can read it could also lock it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import OwnedError, StoreError

from .locks import Holder, describe, holders
from .rights import refused, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = ".collector.lock"
SPOOL_LOCK_NAME: Final = ".spool.lock"  # a different name, because SPOOL_DIR may be DATA_ROOT itself
_MODE: Final = 0o600
SERVICE_ACCOUNT: Final = "hkcollector"  # the account that the installer creates
_SERVICE_STATUS: Final = "sudo systemctl status hk-tick-collector --no-pager"
_SERVICE_START: Final = "sudo systemctl start hk-tick-collector"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_PID: Final = re.compile(r"pid (\d+)")


class OwnerLock:
    """Locks DATA_ROOT for this process from construction to `release`.

    `setting` names the directory in an error. `who` begins with `pid N` and is written into the lock file, for the
    error message of a second collector. Raises OwnedError when another process holds the lock, StoreError when the
    file cannot be written.
    """

    def __init__(self, data_root: Path, who: str, setting: str = "DATA_ROOT") -> None:
        self._fd = _lock(setting, data_root, data_root / LOCK_NAME, who)

    def release(self) -> None:
        """Releases the lock. The file is not removed: otherwise two collectors could lock an old and a new file."""
        os.close(self._fd)


@contextmanager
def spool_owned(spool_dir: Path, who: str) -> Iterator[None]:
    """Locks SPOOL_DIR for this process. Otherwise this run would replay the spool of another running collector.

    Raises the same errors as OwnerLock.
    """
    path = spool_dir / SPOOL_LOCK_NAME
    try:
        fd = _lock("SPOOL_DIR", spool_dir, path, who)
    except StoreError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_ROOM or path.exists():
            raise
        fd = _lock("SPOOL_DIR", spool_dir, spool_dir, "")  # the disk is full: the directory itself is locked
    try:
        yield
    finally:
        os.close(fd)


def _lock(setting: str, directory: Path, path: Path, who: str) -> int:
    """A descriptor that holds the lock. It is read-only, so that the file system can be remounted read-only."""
    try:
        fd = os.open(path, os.O_CLOEXEC | os.O_RDONLY | (os.O_CREAT if who else os.O_DIRECTORY), _MODE)
    except OSError as error:
        if isinstance(error, PermissionError) and (owned := _of_another_account(setting, directory, path)):
            raise owned from error
        raise refused(f"{setting}'s lock file" if who else setting, path, error) from error
    try:
        if who and os.fstat(fd).st_uid == os.geteuid():
            os.fchmod(fd, _MODE)  # in an earlier version the group could read it
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
    """Writes the holder into the lock file. On a full disk the file stays empty, and the lock is still held."""
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
    """The error for a lock that another process holds: the collector `named` in it, or another program."""
    match, found = _PID.match(named), holders(path)
    pid = int(match[1]) if match else None
    if pid in [holder.pid for holder in found or ()] or (not found and pid is not None and _is_collector(pid)):
        return _of_another(what, named)
    holder = found[0] if found else Holder(-1)
    if holder.is_collector:
        return _of_another(what, f"{holder.words()}, which is just starting")
    text = f"{what} is locked by {holder.words()}, which holds {path} and is not a collector"
    return OwnedError(text, hint=holder.end_command(path))


def _of_another_account(setting: str, directory: Path, path: Path) -> StoreError | None:
    """The error when this account may not write in the directory because another account collects there.

    In that case the remedy is not to change the owner of the files. None if the lock file does not belong to the owner
    of the directory, for example after a run as root.
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
        return StoreError(f"{text}: another collector is running there, {found[0].words()}", hint=_SERVICE_STATUS)
    return StoreError(f"{text}: the service is started by systemd, not by hand", hint=_SERVICE_START)


def _of_another(what: str, who: str) -> OwnedError:
    return OwnedError(
        f"{what} belongs to another collector: {who}",
        hint="stop that one first, or give this one a directory of its own",
    )


def _is_collector(pid: int) -> bool:
    """Whether a process with this id runs and may be a collector; its command may be hidden from us."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    holder = describe(pid)
    return not holder.command or holder.is_collector
