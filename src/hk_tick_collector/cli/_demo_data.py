"""Where a demo's data goes: each demo begins its own day, and no day of a real collector is touched.

A simulated exchange begins to number its ticks anew each time. Two of them in one day file would be one day in which
most is missing, so what an earlier demo left of today is moved to a directory beside it.
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
_MARK: Final = ".demo"  # in every directory that a demo began
_BESIDE: Final = (".spool", STATUS_NAME)  # what belongs to the day that was collected last


def begin(root: Path) -> Path | None:
    """Makes `root` ready for a demo. Returns where an earlier demo of today is now, None where there was none.

    Raises UsageError for a directory that cannot be made or used, and for one whose days no demo made; OwnedError
    while another collector runs there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        mark = root / _MARK
        if list_days(root) and not mark.exists() and root.name != DEFAULT_NAME:
            raise UsageError(
                f"{root} has day files that no demo made", hint="name a directory of its own for the demo: --data DIR"
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
        raise OwnedError(str(error), hint="end that demo first, or name another directory: --data DIR") from None


def _move_aside(root: Path, day: str) -> Path | None:
    path = path_of(root, day)
    if not path.exists():
        return None
    directory = root / f"earlier-{market.hkt(now_ms()):%Y%m%d-%H%M%S}"
    directory.mkdir()
    # The file itself last: a fresh one must not meet its WAL.
    names = [*_BESIDE, f"{path.name}-wal", f"{path.name}-shm", path.name]
    for name in names:
        if (root / name).exists():
            (root / name).rename(directory / name)
    return directory
