"""Mutes: the findings about which nothing is sent until a given time. The verb `alerts` writes them to a small file.

Input: `alert_mutes.json`, in the directory of `status.json`. Output: the mutes in force at a time. The service reads
the file every second, so a mute needs no restart, and a restart keeps it. After a boot of the host the service writes
the file again from its own record. Each mute ends by itself. A file that is missing or invalid mutes nothing.

Only root and the account of the service may write to that directory. A mute withholds messages only: `status`, metrics
and the log show the finding as before.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.errors import BusyFileError, StoreError
from hk_tick_collector.store.small_file import read_small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

MUTES_NAME: Final = "alert_mutes.json"
EVERYTHING: Final = "all"  # the code of a mute for all findings, and for the notice that the service ended
LEAST_MS: Final = 60_000
MOST_MS: Final = 7 * 86_400_000
_MOST_BYTES: Final = 65_536
_MOST_MUTES: Final = 200
_MODE: Final = 0o640
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01
_CLOCK_MS: Final = 60_000  # a clock that was set back by more than this ends the mutes that were made before
_LOCK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Mute:
    """One mute. Times are UTC epoch ms; `by` is the account that made it."""

    code: str  # of a finding, or EVERYTHING
    from_ms: int
    until_ms: int
    by: str

    def in_force(self, now_ms: int) -> bool:
        """Whether it withholds messages at this time."""
        return self.from_ms - _CLOCK_MS <= now_ms < self.until_ms


def in_force(mutes: Iterable[Mute], now_ms: int) -> list[Mute]:
    """The mutes in force, by code."""
    return sorted((mute for mute in mutes if mute.in_force(now_ms)), key=lambda mute: mute.code)


def is_muted(mutes: Iterable[Mute], code: str) -> bool:
    """Whether one of these mutes is for this finding."""
    return any(mute.code in (EVERYTHING, code) for mute in mutes)


def read_mutes(path: Path) -> list[Mute]:
    """The mutes of the file, also those that have ended. StoreError if it cannot be read or is not such a file."""
    try:
        return _parsed(read_small(path, _MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"cannot read {path} ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path} is not a file of mutes, so nothing is muted: {error}",
            hint="sudo hk-tick-collector alerts --unmute",
        ) from None


def restore_mutes(path: Path, mutes: Sequence[Mute], now_ms: int) -> None:
    """Writes mutes that a service saved elsewhere, if there is no file: `/run` is empty after a boot of the host.

    Raises StoreError.
    """
    kept = in_force(mutes, now_ms)
    if kept and not os.path.lexists(path):
        change_mutes(path, lambda present: present or kept, now_ms)


def _parsed(content: bytes) -> list[Mute]:
    return mutes_of(json.loads(content)["mutes"])


def mutes_of(raw: list[dict[str, Any]]) -> list[Mute]:
    """Mutes from the fields of each. ValueError or TypeError if one is not valid."""
    if len(raw) > _MOST_MUTES:
        raise ValueError(f"more than {_MOST_MUTES} mutes")
    return [_valid(Mute(**fields)) for fields in raw]


def _valid(mute: Mute) -> Mute:
    if not isinstance(mute.code, str) or not _CODE.fullmatch(mute.code):
        raise ValueError("a code is not that of a finding")
    if not all(type(moment) is int and 0 <= moment < _LATEST_MS for moment in (mute.from_ms, mute.until_ms)):
        raise ValueError("a time is not UTC epoch ms")
    if not mute.from_ms < mute.until_ms <= mute.from_ms + MOST_MS:
        raise ValueError("a mute is longer than 7 days, or ends before it begins")
    if not isinstance(mute.by, str) or len(mute.by) > 64:
        raise ValueError("an account is not a name")
    return mute


def change_mutes(path: Path, edit: Callable[[list[Mute]], list[Mute]], now_ms: int) -> list[Mute]:
    """Replaces the mutes by what `edit` makes of those in force, in one step, and returns them.

    An invalid file is replaced. Two commands at the same time wait for each other. Raises StoreError.
    """
    try:
        with _locked(path.parent) as directory:
            try:
                present = read_mutes(path)
            except StoreError as error:
                if isinstance(error.__cause__, OSError):
                    raise
                present = []
            mutes = [_valid(mute) for mute in edit(in_force(present, now_ms))]
            if len(mutes) > _MOST_MUTES:
                raise StoreError(f"more than {_MOST_MUTES} mutes", hint="hk-tick-collector alerts --list")
            _replace(path, json.dumps({"mutes": [asdict(mute) for mute in mutes]}), directory)
    except OSError as error:
        raise StoreError(f"cannot write {path} ({error.strerror})") from error
    return mutes


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """The directory, open and locked against other commands; without a file that would remain."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline_s = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise BusyFileError(f"another process holds a lock on {directory}", hint="try again") from None
                time.sleep(0.02)
        yield fd
    finally:
        os.close(fd)


def _replace(path: Path, text: str, directory: int) -> None:
    """Writes a draft and renames it. A file that root writes belongs to the owner of the directory, who must read it.

    The draft is a new file, never a link that another account has put there.
    """
    draft = f".{path.name}.{secrets.token_hex(6)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(draft, flags, _MODE, dir_fd=directory)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(fd, _MODE)
            if os.geteuid() == 0:
                owner = os.fstat(directory)
                os.fchown(fd, owner.st_uid, owner.st_gid)
        os.rename(draft, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft, dir_fd=directory)
        raise
