"""What was found to be lost: gaps that OpenD can no longer fill, summed by the second. No I/O.

A bad day has hundreds of thousands of gaps; of the last quarter of an hour it is at most as many sums as seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .symbol_day import CAUSE_BEFORE_START

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .gap import OpenGap

_KEPT_S: Final = 3600
_ANEW_MS: Final = 1000


class Lost(NamedTuple):
    """Gaps that were found to be lost within some time. Moments are UTC epoch ms, 0 where there are no gaps."""

    gaps: int
    ticks: int  # in those of known size
    found_ms: int  # when the first of them was found to be lost
    from_ts_ms: int  # from when to when their ticks were traded
    to_ts_ms: int
    unknown: int = 0  # of the gaps, those of unknown size


class Losses:
    """`ticks` is how many were lost since the start of the service, `unknown` how many gaps of unknown size: neither
    ever falls.

    `late_start` says that the service should have run before: then what it missed of the day is a loss like any other.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self.unknown = 0
        self.late_start = False
        self._seconds: dict[int, Lost] = {}

    def add(self, gaps: Iterable[OpenGap], now_ms: int) -> None:
        """Takes gaps that were found to be lost, at the moment that each names or else now."""
        for gap in gaps:
            if not self._counts(gap):
                continue
            if gap.lost_ms and now_ms - gap.lost_ms > _ANEW_MS:
                continue  # it was asked for again after a reconnect, and is lost as before
            self.ticks += gap.missing or 0
            self.unknown += gap.missing is None
            self._note(gap, gap.lost_ms or now_ms)

    def recall(self, gaps: Iterable[OpenGap], after_ms: int) -> None:
        """Gaps in a day's file that lie beyond OpenD's window: told again where they opened after a moment."""
        for gap in gaps:
            if gap.lost_ms:
                continue  # found in this run
            if gap.opened_ms > after_ms and self._counts(gap):
                self._note(gap, gap.opened_ms)

    def recount(self, gaps: Iterable[OpenGap]) -> None:
        """Only these are still there: the others were filled from elsewhere. Sums since the start do not fall."""
        self._seconds = {}
        for gap in sorted(gaps, key=_found_ms):
            if self._counts(gap):
                self._note(gap, _found_ms(gap))

    def since(self, moment_ms: int) -> Lost:
        """What was found to be lost since a moment (UTC epoch ms)."""
        found = [lost for second, lost in self._seconds.items() if second * 1000 > moment_ms]
        if not found:
            return Lost(0, 0, 0, 0, 0)
        return Lost(
            sum(lost.gaps for lost in found),
            sum(lost.ticks for lost in found),
            min(lost.found_ms for lost in found),
            min(lost.from_ts_ms for lost in found),
            max(lost.to_ts_ms for lost in found),
            sum(lost.unknown for lost in found),
        )

    def _counts(self, gap: OpenGap) -> bool:
        """Whether a gap is a loss: of what was traded before the service had begun nobody expects the ticks."""
        return gap.cause != CAUSE_BEFORE_START or self.late_start

    def _note(self, gap: OpenGap, at_ms: int) -> None:
        one = Lost(1, gap.missing or 0, at_ms, gap.from_ts_ms, gap.to_ts_ms, int(gap.missing is None))
        second = at_ms // 1000
        lost = self._seconds.get(second)
        if lost is None:
            self._seconds = {key: kept for key, kept in self._seconds.items() if key > second - _KEPT_S}
            self._seconds[second] = one
        else:
            self._seconds[second] = Lost(
                lost.gaps + 1,
                lost.ticks + one.ticks,
                min(lost.found_ms, at_ms),
                min(lost.from_ts_ms, one.from_ts_ms),
                max(lost.to_ts_ms, one.to_ts_ms),
                lost.unknown + one.unknown,
            )


def _found_ms(gap: OpenGap) -> int:
    return gap.lost_ms or gap.opened_ms
