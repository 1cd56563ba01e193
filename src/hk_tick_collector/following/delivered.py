"""Which ticks of a symbol and day were delivered, as stretches of sequences. No I/O.

A sequence is `epoch second << 32 | counter`, and the counter increases by one with each tick. So no tick can lie
between two sequences whose counters follow each other, and a whole day of a symbol is one stretch, or one more for each
gap.
Without such a counter each sequence is a stretch of its own: that needs more memory, and nothing else changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from hk_tick_collector.store.live_reading import LOWEST_SEQ

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COUNTER: Final = 0xFFFFFFFF  # the low 32 bits of a sequence


def is_next(seq: int, following: int) -> bool:
    """Whether the counter shows that no tick lies between these two sequences."""
    return following & COUNTER == (seq & COUNTER) + 1


def _is_one_more(seq: int, following: int) -> bool:
    return following == seq + 1


class Delivered(NamedTuple):
    """The delivered ticks of one symbol and day. A value: every change makes a new one, so a position can keep it."""

    firsts: tuple[int, ...] = ()
    lasts: tuple[int, ...] = ()
    ticks: int = 0

    @property
    def highest(self) -> int:
        """The highest delivered sequence; LOWEST_SEQ before the first."""
        return self.lasts[-1] if self.lasts else LOWEST_SEQ

    def __contains__(self, seq: object) -> bool:
        if not isinstance(seq, int):
            return False
        place = bisect_right(self.firsts, seq) - 1
        return place >= 0 and seq <= self.lasts[place]

    def spaces(self) -> Iterator[tuple[int, int]]:
        """Ranges between stretches: one below the first and the last sequence; newest first, none above the highest."""
        for place in range(len(self.firsts) - 1, 0, -1):
            yield self.lasts[place - 1], self.firsts[place] - 1
        if self.firsts:
            yield LOWEST_SEQ, self.firsts[0] - 1

    def with_higher(self, seqs: Sequence[int]) -> Self:
        """With sequences in ascending order that are all higher than the highest."""
        firsts, lasts = list(self.firsts), list(self.lasts)
        for seq in seqs:
            if lasts and is_next(lasts[-1], seq):
                lasts[-1] = seq
            else:
                firsts.append(seq)
                lasts.append(seq)
        return self._replace(firsts=tuple(firsts), lasts=tuple(lasts), ticks=self.ticks + len(seqs))

    def with_any(self, seqs: Sequence[int], *, exact: bool = False) -> Self:
        """With sequences of which none is delivered yet; within a stretch they change only the number of ticks.

        `exact`: the sequences have no counter, so only those of which one is the other plus one stand together.
        """
        firsts, lasts = list(self.firsts), list(self.lasts)
        stand_together = _is_one_more if exact else is_next
        for seq in seqs:
            place = bisect_left(firsts, seq)
            if place and seq <= lasts[place - 1]:
                continue  # its counter is wrong: it lies within a stretch
            joins_left = place > 0 and stand_together(lasts[place - 1], seq)
            joins_right = place < len(firsts) and stand_together(seq, firsts[place])
            if joins_left and joins_right:
                lasts[place - 1] = lasts.pop(place)
                firsts.pop(place)
            elif joins_left:
                lasts[place - 1] = seq
            elif joins_right:
                firsts[place] = seq
            else:
                firsts.insert(place, seq)
                lasts.insert(place, seq)
        return self._replace(firsts=tuple(firsts), lasts=tuple(lasts), ticks=self.ticks + len(seqs))


NOTHING: Final = Delivered()
