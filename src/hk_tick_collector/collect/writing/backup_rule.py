"""Decides whether commits wait for a copy of the day file that another program makes. No I/O: observations and time
enter, a decision leaves.

SQLite's `.backup` starts over at each commit, so while ticks arrive it would never end. Commits wait while the copy
makes progress, but at most LIMIT_S. After that ticks are stored again, and commits no longer wait for this copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hk_tick_collector.store.copies import Mark

LIMIT_S: Final = 60.0
STILL_S: Final = 2.0  # a copy that has not changed for this time was left by a dead process, or waits for the disk
# With several copies in a row, commits wait for at most this time in total. Then all waiting rows must be stored once.
TOTAL_S: Final = 3 * LIMIT_S

ENDED: Final = "copy_ended"
STILL: Final = "copy_stands_still"
LIMIT: Final = "limit"


@dataclass(slots=True)
class _Copy:
    mark: Mark
    moved_s: float  # when it was last seen to have changed
    refused: bool = False  # commits no longer wait for it


class CopyRule:
    """Call `judge` about twice a second. `held` is the copy that commits wait for. `ended` is why the last wait ended.

    `unfinished` is a copy in progress that commits do not wait for. All are "" when there is none.
    """

    def __init__(self) -> None:
        self.held = ""
        self.ended = ""
        self.unfinished = ""
        self._copies: dict[str, _Copy] = {}
        self._looked = False
        self._since_s = 0.0  # start of the current wait
        self._waited_s = 0.0  # total of the earlier waits
        self._spent = False  # no further wait until all rows are stored

    def judge(self, seen: Mapping[str, Mark], now_s: float, *, all_stored: bool) -> str:
        """The copy that commits must wait for now, "" if there is none.

        `seen` is every copy with its mark, `now_s` a monotonic clock, `all_stored` whether the spool is empty.
        """
        self._copies = copies = {path: self._known(path, mark, now_s) for path, mark in seen.items()}
        self._looked = True
        if all_stored and not self.held:
            self._waited_s, self._spent = 0.0, False
        moving = [path for path, copy in copies.items() if now_s - copy.moved_s < STILL_S]
        wanted = [path for path in moving if not copies[path].refused]
        waits_s = now_s - self._since_s
        if not self.held:
            if wanted and not self._spent:
                self.held, self._since_s = wanted[0], now_s
        elif not wanted:
            self._end(STILL if self.held in seen else ENDED, waits_s)
        elif waits_s >= LIMIT_S or self._waited_s + waits_s >= TOTAL_S:
            for path in wanted:
                copies[path].refused = True
            self._spent = True
            self._end(LIMIT, waits_s)
        elif self.held not in wanted:
            self.held = wanted[0]
        self.unfinished = "" if self.held else next(iter(moving), "")
        return self.held

    def _known(self, path: str, mark: Mark, now_s: float) -> _Copy:
        """The known state of a copy, updated. A copy that exists at the first call counts as not in progress."""
        copy = self._copies.get(path)
        if copy is None:
            return _Copy(mark, now_s if self._looked else float("-inf"))
        if copy.mark != mark:
            copy.mark, copy.moved_s = mark, now_s
        return copy

    def _end(self, why: str, waits_s: float) -> None:
        self.held, self.ended = "", why
        self._waited_s += waits_s
