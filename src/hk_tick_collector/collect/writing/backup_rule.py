"""Whether commits wait for a copy that somebody makes of the day file. No I/O: observations and time in, decision out.

SQLite's `.backup` starts over at each commit of ours, so while ticks arrive it would never end. Commits wait for it as
long as it goes on, and never longer than LIMIT_S: then ticks are stored again, and a copy that is not done by then is
not waited for any more, until it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hk_tick_collector.store.copies import Mark

LIMIT_S: Final = 60.0
STILL_S: Final = 2.0  # a copy that does not change for so long is left behind by a dead process, or waits for the disk
# One copy after the other: commits wait for so long in all before everything that waits must be stored once.
TOTAL_S: Final = 3 * LIMIT_S

ENDED: Final = "copy_ended"
STILL: Final = "copy_stands_still"
LIMIT: Final = "limit"


@dataclass(slots=True)
class _Copy:
    mark: Mark
    moved_s: float  # when it was last seen to have changed
    refused: bool = False  # commits have waited for it long enough


class CopyRule:
    """Call `judge` about twice a second. `held` is the copy that commits wait for, `ended` why they last stopped to.

    `unfinished` is a copy that goes on although commits do not wait for it any more. Both are "" where there is none.
    """

    def __init__(self) -> None:
        self.held = ""
        self.ended = ""
        self.unfinished = ""
        self._copies: dict[str, _Copy] = {}
        self._looked = False
        self._since_s = 0.0  # when the wait that lasts began
        self._waited_s = 0.0  # in all, before it
        self._spent = False  # no other wait before everything is stored

    def judge(self, seen: Mapping[str, Mark], now_s: float, *, all_stored: bool) -> str:
        """The copy that commits have to wait for now, "" where they have not to.

        `seen` is every copy with its mark, `now_s` a monotonic clock, `all_stored` whether nothing waits in the spool.
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
        """A copy as it was seen before, with what is new of it; what lies there at the first look is not moving."""
        copy = self._copies.get(path)
        if copy is None:
            return _Copy(mark, now_s if self._looked else float("-inf"))
        if copy.mark != mark:
            copy.mark, copy.moved_s = mark, now_s
        return copy

    def _end(self, why: str, waits_s: float) -> None:
        self.held, self.ended = "", why
        self._waited_s += waits_s
