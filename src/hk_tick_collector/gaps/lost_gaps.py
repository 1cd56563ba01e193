"""Gaps of one symbol that no request is made for, stored compactly: a bad day may have hundreds of thousands.

They are lost gaps, and ranges that the counter skipped without a tick. Ticks of a lost gap can still arrive, for
example from the spool of an earlier run: `take` removes and returns the gap that contains a counter. No I/O.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from .gap import OpenGap

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIGURES: Final = 9  # integers for each gap, 8 bytes each


class LostGaps:
    """Gaps sorted by counter, without overlaps. Empty at first."""

    __slots__ = ("_causes", "_figures", "_firsts")

    def __init__(self) -> None:
        self._firsts = array("q")
        self._figures = array("q")  # _FIGURES for each of `_firsts`
        self._causes: list[str] = []

    def __len__(self) -> int:
        return len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __iter__(self) -> Iterator[OpenGap]:
        for index in range(len(self._firsts)):
            yield self._make(index)

    @property
    def last(self) -> int:
        """The highest counter in any of them; 0 without any."""
        return self._figures[-_FIGURES + 1] if self._firsts else 0

    def newest(self) -> OpenGap | None:
        """The gap with the highest counters, None if there is none. It is not removed."""
        return self._make(len(self._firsts) - 1) if self._firsts else None

    def add(self, gap: OpenGap) -> None:
        """Adds a gap of known size."""
        if gap.cause not in self._causes:
            self._causes.append(gap.cause)
        assert gap.from_seq is not None
        assert gap.to_seq is not None
        figures = array(
            "q",
            (
                gap.id,
                gap.last,
                gap.from_seq,
                gap.to_seq,
                gap.from_ts_ms,
                gap.to_ts_ms,
                self._causes.index(gap.cause),
                gap.opened_ms,
                gap.lost_ms,
            ),
        )
        if not self._firsts or gap.first > self._firsts[-1]:
            self._firsts.append(gap.first)
            self._figures.extend(figures)
            return
        index = bisect_left(self._firsts, gap.first)
        self._firsts.insert(index, gap.first)
        self._figures[index * _FIGURES : index * _FIGURES] = figures

    def take(self, counter: int) -> OpenGap | None:
        """Removes and returns the gap that contains a counter, None if no gap does."""
        index = self._index_of(counter)
        return None if index < 0 else self._pop(index)

    def take_from(self, counter: int) -> list[OpenGap]:
        """Removes and returns all gaps that end at this counter or above, in order."""
        taken: list[OpenGap] = []
        while self._firsts and self.last >= counter:
            taken.append(self._pop(len(self._firsts) - 1))
        return taken[::-1]

    def holds(self, counter: int) -> bool:
        """Whether one of the gaps contains a counter."""
        return self._index_of(counter) >= 0

    def missing_between(self, first: int, last: int) -> int:
        """How many missing ticks have counters from `first` to `last`."""
        index = max(0, bisect_right(self._firsts, first) - 1)
        missing = 0
        while index < len(self._firsts) and self._firsts[index] <= last:
            missing += max(0, min(last, self._figures[index * _FIGURES + 1]) - max(first, self._firsts[index]) + 1)
            index += 1
        return missing

    def missing(self) -> int:
        """How many ticks are missing in all gaps together."""
        return sum(self._figures[1::_FIGURES]) - sum(self._firsts) + len(self._firsts)

    def clear(self) -> list[OpenGap]:
        """Removes and returns all gaps, in order."""
        gaps = list(self)
        self._firsts, self._figures, self._causes = array("q"), array("q"), []
        return gaps

    def _index_of(self, counter: int) -> int:
        """The index of the gap that contains a counter; -1 if no gap does."""
        index = bisect_right(self._firsts, counter) - 1
        return index if index >= 0 and self._figures[index * _FIGURES + 1] >= counter else -1

    def _pop(self, index: int) -> OpenGap:
        gap = self._make(index)
        del self._firsts[index], self._figures[index * _FIGURES : (index + 1) * _FIGURES]
        return gap

    def _make(self, index: int) -> OpenGap:
        id_, last, from_seq, to_seq, from_ts_ms, to_ts_ms, cause, opened_ms, lost_ms = self._figures[
            index * _FIGURES : (index + 1) * _FIGURES
        ]
        return OpenGap(
            id_,
            self._firsts[index],
            last,
            from_seq,
            to_seq,
            from_ts_ms,
            to_ts_ms,
            self._causes[cause],
            opened_ms,
            final=True,
            lost_ms=lost_ms,
            written=True,
        )
