"""What travels from the intake to the writer, and what of it belongs to one day."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import Gap, GapChange, RuleChange, TickRow
    from hk_tick_collector.store.dayfile import Link


class Part(NamedTuple):
    """What belongs into the file of one day, in one transaction."""

    rows: list[TickRow]
    gaps: list[Gap]
    rules: list[RuleChange]

    @classmethod
    def of(cls, rows: list[TickRow]) -> Part:
        """Rows alone."""
        return cls(rows, [], [])


@dataclass(slots=True)
class Chunk:
    """Ticks that were understood together, or one event that belongs into the day file."""

    rows: list[TickRow] = field(default_factory=list)
    rejected: int = 0  # ticks that cannot be stored: told, and now only counted
    dropped: int = 0  # rows that found no place, counted where they would have been stored
    links: list[Link] = field(default_factory=list)
    gaps: list[GapChange] = field(default_factory=list)  # what these rows open and fill: one transaction with them
    rules: list[RuleChange] = field(default_factory=list)  # what they show of the rule of their sequences
    on_disk: bool = False  # the rows are in a spool until `on_commit`: a stop need not save them, nor can it lose them
    on_commit: Callable[[], None] | None = None  # called by the writer's thread once all of it is committed

    def is_count_alone(self) -> bool:
        """Whether it holds a count of rejected ticks and nothing else: another chunk can take that along."""
        return bool(self.rejected) and not (self.rows or self.on_commit or self.has_more_than_rejected())

    def has_more_than_rejected(self) -> bool:
        """Whether it holds anything but rows and a count of rejected ticks."""
        return bool(self.dropped or self.links or self.gaps or self.rules)

    def has_more_than_rows(self) -> bool:
        """Whether it holds anything but rows."""
        return bool(self.rejected) or self.has_more_than_rejected()
