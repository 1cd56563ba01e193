"""Gaps of one symbol that nobody asks for, in few bytes: a bad day may have hundreds of thousands.

They are those that OpenD can no longer give, and those without a tick. The ticks of the former may come all the same,
from the spool of an earlier run for example: `take` gives back the gap that a counter lies in. No I/O.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from .gap import OpenGap

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIGURES: Final = 9  # of each gap, 8 bytes each


class LostGaps:
    """Sorted by counter; they do not overlap. Made empty."""

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
        """The one with the highest counters, None without any; it stays here."""
        return self._make(len(self._firsts) - 1) if self._firsts else None

    def add(self, gap: OpenGap) -> None:
        """Takes a gap of known size."""
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
        """The gap that a counter lies in, which is no longer held here then."""
        index = self._index_of(counter)
        return None if index < 0 else self._pop(index)

    def take_from(self, counter: int) -> list[OpenGap]:
        """All that reach to this counter or beyond, in order; they are no longer held here then."""
        taken: list[OpenGap] = []
        while self._firsts and self.last >= counter:
            taken.append(self._pop(len(self._firsts) - 1))
        return taken[::-1]

    def holds(self, counter: int) -> bool:
        """Whether a counter lies in one of them."""
        return self._index_of(counter) >= 0

    def missing_between(self, first: int, last: int) -> int:
        """How many of their ticks have counters from `first` to `last`."""
        index = max(0, bisect_right(self._firsts, first) - 1)
        missing = 0
        while index < len(self._firsts) and self._firsts[index] <= last:
            missing += max(0, min(last, self._figures[index * _FIGURES + 1]) - max(first, self._firsts[index]) + 1)
            index += 1
        return missing

    def missing(self) -> int:
        """How many ticks all of them miss."""
        return sum(self._figures[1::_FIGURES]) - sum(self._firsts) + len(self._firsts)

    def clear(self) -> list[OpenGap]:
        """Gives all of them back, in order."""
        gaps = list(self)
        self._firsts, self._figures, self._causes = array("q"), array("q"), []
        return gaps

    def _index_of(self, counter: int) -> int:
        """Where the gap stands that a counter lies in; -1 when it lies in none."""
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
