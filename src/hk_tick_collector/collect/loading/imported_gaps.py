"""Finds the gaps of a day that was imported from the predecessor, which did not record gaps.

The new file with its ticks is read like any file at a start. The gaps and rules found in its sequences are written to
it, for `gaps`, `status` and a later backfill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.clock import now_ms
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.store.dayfile import Batch

from .load import load_day

if TYPE_CHECKING:
    from pathlib import Path

CAUSE_PREDECESSOR: Final = "predecessor"  # the ticks are not in the predecessor's file


def missing_of(directory: Path, number: int) -> Batch:
    """The gaps and rules to write to the file of a day in `directory`."""
    day = load_day(directory, number)
    tracker = GapTracker(lambda _: day, now_ms)
    tracker.open(number)
    gaps = [change.gap._replace(cause=CAUSE_PREDECESSOR) for change in tracker.take_changes()]
    return Batch(gaps=gaps, rules=tracker.take_rules())
