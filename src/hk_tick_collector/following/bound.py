"""Where a stream begins: which ticks of the first day belong to it. A tick before the bound is never delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hk_tick_collector.model import Gap, Tick


class Bound(NamedTuple):
    """The first day, and the first moment or sequence of it. `only_new`: what is stored already is not delivered."""

    day: int  # day number
    from_ms: int | None = None  # UTC epoch ms
    from_seq: int | None = None
    only_new: bool = False

    def on(self, day: int) -> Bound:
        """The bound of one day: a later day has none, unless only new ticks are wanted."""
        return self if day <= self.day or self.only_new else Bound(day)

    def has(self, tick: Tick) -> bool:
        """Whether the tick is not before the bound."""
        return not (
            (self.from_ms is not None and tick.ts_ms < self.from_ms)
            or (self.from_seq is not None and tick.seq < self.from_seq)
        )

    def excludes(self, gap: Gap) -> bool:
        """Whether a gap ends before the bound; one whose end is unknown does not."""
        if self.from_seq is not None:
            return gap.to_seq is not None and gap.to_seq < self.from_seq
        return self.from_ms is not None and gap.to_ts_ms is not None and gap.to_ts_ms < self.from_ms

    @property
    def is_open(self) -> bool:
        """Whether it excludes no tick."""
        return self.from_ms is None and self.from_seq is None
