"""Explains why this account may not use a file or directory, and gives the command that corrects it.

Enters: a path that the system refused. Leaves: its owner, its mode, and a command to paste. Nothing is changed.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

JOIN_GROUP: Final = "sudo usermod -aG hkcollector $USER && newgrp hkcollector"  # members of the group may read


def account() -> str:
    """The `user:group` of this process for chown: names, or numbers that have no name on this host."""
    return f"{user_name(os.geteuid())}:{_group_name(os.getegid())}"


def user_name(uid: int) -> str:
    """The name of a user, or the number if it has no name on this host."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def refused(what: str, path: Path, error: OSError) -> StoreError:
    """The error when the system refused to open or create `path`; `what` is its name for the operator.

    If permissions are the cause, it has the owner, and as a hint the command that gives the path to this account.
    """
    reason = f"cannot write {what} {path}: {error.strerror}"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return StoreError(reason, hint=f"ls -ld {shlex.quote(str(path.parent))} {shlex.quote(str(path))}")
    denied = path if _stat(path) is not None else _nearest(path.parent)
    found = _stat(denied)
    if found is None:
        return StoreError(reason, hint=f"ls -ld {shlex.quote(str(path.parent))}")
    bits = 7 if stat.S_ISDIR(found.st_mode) else 6
    which = "it" if denied == path else str(denied)
    whose = f"{which} belongs to {user_name(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"
    return StoreError(
        f"cannot write {what} {path}: {whose}, and the collector runs as {user_name(os.geteuid())}",
        hint=give(denied, account(), writable=(found.st_mode >> 6) & bits == bits),
    )


def give(path: Path, owner: str, *, writable: bool = True) -> str:
    """The command that gives a path to `owner` (`user:group`), and write permission if it is not `writable`."""
    quoted = shlex.quote(str(path))
    return f"sudo chown {owner} {quoted}" + ("" if writable else f" && sudo chmod u+rwX {quoted}")


def _nearest(path: Path) -> Path:
    """The path, or its nearest parent that can be accessed."""
    return next((each for each in (path, *path.parents) if _stat(each) is not None), path)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
