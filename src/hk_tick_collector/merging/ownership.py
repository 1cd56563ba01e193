"""Whether the day files of a directory are those of a merge.

The lock of a directory does not show it, because a stopped collector holds none. Ticks of others must not get into its
unfinished days, and these must not be sealed before it has closed them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hk_tick_collector.errors import StoreError, UsageError
from hk_tick_collector.store.day_connection import list_days, path_of
from hk_tick_collector.store.query import DayReader

from .parts import META_POSITION, sources_in

if TYPE_CHECKING:
    from pathlib import Path


def demand_merged(root: Path) -> None:
    """UsageError for a directory with an unsealed day file that no merge has written. Sealed days may be anybody's.

    A file that cannot be read now is passed over here; the merge waits for it later.
    """
    with suppress(StoreError, OSError):
        for name in list_days(root):
            path = path_of(root, name)
            with suppress(StoreError, OSError), DayReader(path) as reader:
                meta = reader.meta()
                is_ours = META_POSITION in meta or sources_in(meta)
                if not is_ours and "sealed_ms" not in meta and reader.totals().rows:
                    raise UsageError(
                        f"{path} was written by a collector, not by a merge",
                        hint="name another directory: MERGE_ROOT or --to",
                    )
