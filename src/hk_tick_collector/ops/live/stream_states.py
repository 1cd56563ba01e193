"""The live states of `publish` and `merge` on this host, as the service reads them for its metrics and its alerts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.errors import StoreError

from .merge_state import MERGE_DIRECTORY, MERGE_NAME, read_merge_state
from .publish_state import PUBLISH_DIRECTORY, PUBLISH_NAME, read_publish_state
from .record import newest_of

if TYPE_CHECKING:
    from .merge_state import MergeState
    from .publish_state import PublishState


class StreamStates(NamedTuple):
    """None for a process without a live state: it never ran here, or was removed."""

    publish: PublishState | None
    merge: MergeState | None


def read_stream_states(data_root: str, now_ms: int) -> StreamStates:
    """That of the publish of a DATA_ROOT, and that of the merge of this host, at `now_ms`, UTC epoch ms.

    A file that cannot be read counts as none: `status` says what is wrong with it.
    """
    published, merge = [], None
    for directory in (PUBLISH_DIRECTORY, Path(data_root)):
        with suppress(StoreError):
            found = read_publish_state(directory / PUBLISH_NAME)
            if found is not None and found.data_root == data_root:
                published.append(found)
    with suppress(StoreError):
        merge = read_merge_state(MERGE_DIRECTORY / MERGE_NAME)
    return StreamStates(newest_of(published, now_ms), merge)
