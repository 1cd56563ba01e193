"""Rules of symbols that have no row in their day's file yet, kept while that file is closed.

Enters: a day file that is closed, and the same one when it is open again. Leaves: its waiting rules, in the open file.
Only the writer thread uses this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hk_tick_collector.model import RuleChange
    from hk_tick_collector.store.dayfile import DayFile


class _Kept(NamedTuple):
    commits: int  # those of the ledger that the file knew of
    rules: dict[str, RuleChange]
    attempted: dict[str, RuleChange]  # those that wait if the last commit happened although it returned an error


class WaitingRules:
    """The rules, by day number."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}

    def keep(self, day: int, file: DayFile) -> None:
        """Keeps the rules of a file that is being closed."""
        attempted = file.rules if file.attempted is None else file.attempted.rules
        if file.rules or attempted:
            self._kept[day] = _Kept(file.ledger.commits, file.rules, attempted)

    def give(self, day: int, file: DayFile) -> None:
        """Gives the rules to the file, which has been opened again."""
        kept = self._kept.pop(day, None)
        if kept is not None:
            file.rules = kept.rules if file.ledger.commits == kept.commits else kept.attempted

    def forget(self, day: int) -> None:
        """The file of a day is gone or sealed."""
        self._kept.pop(day, None)
