"""Lost ticks: the gaps that OpenD can no longer fill, summed per second. No I/O.

A bad day can have hundreds of thousands of gaps. With one sum per second, memory and time stay small.
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
    """The gaps that were found to be lost within some time. Times are UTC epoch ms, 0 when there are no gaps."""

    gaps: int
    ticks: int  # in the gaps of known size
    found_ms: int  # when the first of the gaps was found to be lost
    from_ts_ms: int  # time range of the missing trades
    to_ts_ms: int
    unknown: int = 0  # how many of the gaps have an unknown size


class Losses:
    """Counts lost ticks. `ticks` is how many were lost since the start of the service, and `unknown` how many gaps of
    unknown size. Neither ever decreases.

    `late_start` means that the service should have been running earlier: then ticks before its start count as lost too.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self.unknown = 0
        self.late_start = False
        self._seconds: dict[int, Lost] = {}

    def add(self, gaps: Iterable[OpenGap], now_ms: int) -> None:
        """Adds lost gaps. The time of a loss is the gap's `lost_ms`, or now if that is 0."""
        for gap in gaps:
            if not self._counts(gap):
                continue
            if gap.lost_ms and now_ms - gap.lost_ms > _ANEW_MS:
                continue  # counted before: it was asked for again after a reconnect, and is still lost
            self.ticks += gap.missing or 0
            self.unknown += gap.missing is None
            self._note(gap, gap.lost_ms or now_ms)

    def recall(self, gaps: Iterable[OpenGap], after_ms: int) -> None:
        """Adds the lost gaps of a day file to the sums per second, except gaps that opened before `after_ms`."""
        for gap in gaps:
            if gap.lost_ms:
                continue  # found in this run
            if gap.opened_ms > after_ms and self._counts(gap):
                self._note(gap, gap.opened_ms)

    def recount(self, gaps: Iterable[OpenGap]) -> None:
        """Replaces the sums per second: only these gaps are still open. The sums since the start do not decrease."""
        self._seconds = {}
        for gap in sorted(gaps, key=_found_ms):
            if self._counts(gap):
                self._note(gap, _found_ms(gap))

    def since(self, moment_ms: int) -> Lost:
        """The sum of the gaps that were found to be lost since `moment_ms` (UTC epoch ms)."""
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
        """Whether a gap counts as a loss. Ticks from before the first start of the service do not."""
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
