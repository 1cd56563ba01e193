"""Everything that the page knows in one second: the value from which the view *Now* is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.live.status import LiveStatus

    from .busiest import Busy
    from .site import Examination
    from .today import Episode


@dataclass(frozen=True, slots=True)
class Moment:
    """One second. Times are UTC epoch ms by this host's clock."""

    now_ms: int
    started_ms: int  # when the page started: it knows nothing from before
    live: LiveStatus | None
    silent: bool  # no service reports: the live state is its last one, or there is none
    unread_s: float  # for how long `status.json` could not be read
    findings: list[Finding]
    examined: Examination | None
    unexamined: str  # why the last examination failed; empty if it did not
    hour: dict[str, list[float | None]]  # figure → its last hour, see history.py
    known_s: float  # how much of the hour the page has watched
    busiest: list[Busy]
    counted_s: int  # how much of the ten minutes it has counted
    episodes: list[Episode]
    dropped: int  # episodes of today that are not in the list
