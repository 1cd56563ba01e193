"""The values that the intake passes to the writer, and the part of them for one day file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import Gap, GapChange, RuleChange, TickRow
    from hk_tick_collector.store.dayfile import ConnectionChange


class Part(NamedTuple):
    """The rows and changes for one day file, written in one transaction."""

    rows: list[TickRow]
    gaps: list[Gap]
    rules: list[RuleChange]

    @classmethod
    def of(cls, rows: list[TickRow]) -> Part:
        """A part with only rows."""
        return cls(rows, [], [])


@dataclass(slots=True)
class Chunk:
    """Ticks that were decoded together, or one event for the day file."""

    rows: list[TickRow] = field(default_factory=list)
    rejected: int = 0  # number of ticks that cannot be stored; they are already logged
    dropped: int = 0  # number of rows dropped for lack of space
    connections: list[ConnectionChange] = field(default_factory=list)
    gaps: list[GapChange] = field(default_factory=list)  # gaps that these rows open or fill: same transaction
    rules: list[RuleChange] = field(default_factory=list)  # changes of the symbols' rules: same transaction
    on_disk: bool = False  # the rows stay in a spool until `on_commit`: a stop need not save them
    on_commit: Callable[[], None] | None = None  # called by the writer thread after the commit

    def is_count_alone(self) -> bool:
        """Whether it has only a count of rejected ticks, which can be added to another chunk."""
        return bool(self.rejected) and not (self.rows or self.on_commit or self.has_more_than_rejected())

    def has_more_than_rejected(self) -> bool:
        """Whether it has anything except rows and a count of rejected ticks."""
        return bool(self.dropped or self.connections or self.gaps or self.rules)

    def has_more_than_rows(self) -> bool:
        """Whether it has anything except rows."""
        return bool(self.rejected) or self.has_more_than_rejected()
