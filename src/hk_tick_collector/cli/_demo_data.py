"""Prepares the directory of a demo: each demo starts a new day file and never writes to a real collector's files.

A simulated exchange starts its sequence again each time. With two of them in one day file most of the day would seem to
be missing. So the files that an earlier demo of today left are moved to a directory beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import OwnedError, UsageError
from hk_tick_collector.ops.live.status import STATUS_NAME
from hk_tick_collector.store.collector_lock import OwnerLock
from hk_tick_collector.store.query import list_days, path_of

from ._options import today

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_NAME: Final = "demo-data"
_MARK: Final = ".demo"  # marks a demo's directory
_BESIDE: Final = (".spool", STATUS_NAME)  # the files that belong to the latest day


def begin(root: Path) -> Path | None:
    """Prepares `root` for a demo. Returns the directory with the files of an earlier demo of today, or None.

    Raises UsageError if the directory cannot be made or used, or has day files that no demo made; OwnedError if
    another collector runs there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        mark = root / _MARK
        if list_days(root) and not mark.exists() and root.name != DEFAULT_NAME:
            raise UsageError(
                f"{root} has day files that no demo made", hint="name another directory for the demo: --data DIR"
            )
        _refuse_owned(root)
        mark.touch()
        return _move_aside(root, today())
    except OSError as error:
        raise UsageError(f"cannot use {root}: {error.strerror}", hint="name a writable directory: --data DIR") from None


def _refuse_owned(root: Path) -> None:
    try:
        OwnerLock(root, "demo").release()
    except OwnedError as error:
        raise OwnedError(str(error), hint="stop that demo first, or name another directory: --data DIR") from None


def _move_aside(root: Path, day: str) -> Path | None:
    path = path_of(root, day)
    if not path.exists():
        return None
    directory = root / f"earlier-{market.hkt(now_ms()):%Y%m%d-%H%M%S}"
    directory.mkdir()
    # The database is moved last: a new one must not find the old WAL.
    names = [*_BESIDE, f"{path.name}-wal", f"{path.name}-shm", path.name]
    for name in names:
        if (root / name).exists():
            (root / name).rename(directory / name)
    return directory
