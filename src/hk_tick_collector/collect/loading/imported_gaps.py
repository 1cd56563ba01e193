"""What is missing of a day that was imported from the predecessor: the gaps and rules that its sequences tell.

The predecessor wrote no gaps. A new file of its ticks is read as any other at a start, and what its counters lack is
written down, so that `gaps`, `status` and a later backfill go on from there.
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
    """The gaps and rules to be written to the file of a day in a directory."""
    day = load_day(directory, number)
    tracker = GapTracker(lambda _: day, now_ms)
    tracker.open(number)
    gaps = [change.gap._replace(cause=CAUSE_PREDECESSOR) for change in tracker.take_changes()]
    return Batch(gaps=gaps, rules=tracker.take_rules())
