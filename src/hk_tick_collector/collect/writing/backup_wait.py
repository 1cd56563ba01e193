"""Lets the writer wait while another program copies a day file, and spools the ticks that wait meanwhile.

Enters: the files in DATA_ROOT and SNAPSHOT_DIR. Leaves: whether the writer must wait, two log lines, the copy in Stats.
Ticks that wait for longer than a second go to the spool, which syncs them to disk.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.store.copies import find_copies

from .backup_rule import LIMIT, CopyRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.collect.buffer.tick_queue import TickQueue
    from hk_tick_collector.stats import Stats
    from hk_tick_collector.store.copies import Mark

POLL_S: Final = 0.05  # how long the writer waits before it asks again
_LOOK_EVERY_S: Final = 0.5  # between searches for copies; a new copy may start over once within this time
_LOOK_AGAIN_S: Final = 0.1  # the same while commits wait, to detect the end of the copy soon
_IN_MEMORY_S: Final = 1.0  # ticks that wait longer than this are spooled
_NO_SPOOL: Final = "spool"
_STOP: Final = "stop"


class OtherDirectory:
    """Searches a directory on another disk in a separate thread, because a network disk may hang without limit."""

    def __init__(self, search: Callable[[], dict[str, Mark]]) -> None:
        self._search = search
        self._found: dict[str, Mark] = {}
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="copies", daemon=True)

    def latest(self) -> dict[str, Mark]:
        """The result of the last search. Starts the next one."""
        if self._thread.ident is None:
            self._thread.start()
        self._wanted.set()
        return self._found

    def close(self) -> None:
        """Ends the thread after its current search."""
        self._closed = True
        self._wanted.set()

    def _run(self) -> None:
        while self._wanted.wait() and not self._closed:
            self._wanted.clear()
            self._found = self._search()


class CopyWait:
    """The writer thread calls `lasts` before it takes the next batch.

    `places` are DATA_ROOT and SNAPSHOT_DIR; both are searched for copies. `is_written` returns whether a day's file is
    open for writing. `now_ms` is the wall clock in UTC epoch ms.
    """

    def __init__(
        self,
        queue: TickQueue,
        stats: Stats,
        places: tuple[Path, Path | None],
        is_written: Callable[[int], bool],
        now_ms: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        data_root, snapshot_dir = places
        self._queue = queue
        self._stats = stats
        self._search = partial(find_copies, (data_root,), self._writes)
        self._other = None
        if snapshot_dir not in (None, data_root):
            self._other = OtherDirectory(partial(find_copies, (snapshot_dir,), self._writes))
        self._is_written = is_written
        self._now_ms = now_ms
        self._now_s = now_s
        self._rule = CopyRule()
        self._look_at_s = float("-inf")
        self._since_s = 0.0
        self._waits = False  # commits wait
        self._path = ""  # of the copy in progress
        self._is_logged = False  # the current wait was logged

    def lasts(self) -> bool:
        """Whether commits must wait for a copy."""
        now_s = self._now_s()
        if now_s >= self._look_at_s:
            seen = self._search() | (self._other.latest() if self._other else {})
            self._rule.judge(seen, now_s, all_stored=not self._queue.spooled_rows)
            self._look_at_s = now_s + (_LOOK_AGAIN_S if self._rule.held else _LOOK_EVERY_S)
        held = self._rule.held
        safe = bool(held) and self._queue.wait_safely(_IN_MEMORY_S)
        if safe:
            self._go_on(held, now_s)
        else:
            self._end(_NO_SPOOL if held else self._rule.ended, now_s)
        self._note(held or self._rule.unfinished)
        return safe

    def close(self) -> None:
        """Ends the wait because the service stops. May be called more than once."""
        self._end(_STOP, self._now_s())
        self._note("")
        if self._other:
            self._other.close()

    def _writes(self, day_name: str) -> bool:
        try:
            return self._is_written(market.parse_day(day_name))
        except ValueError:
            return True  # not the name of a day

    def _go_on(self, path: str, now_s: float) -> None:
        """Commits wait. This is logged once ticks have waited long enough to be spooled."""
        if not self._waits:
            self._waits = self._queue.storing.copy_held = True
            self._since_s, self._is_logged = now_s, False
        if not self._is_logged and now_s - self._since_s >= _IN_MEMORY_S:
            self._is_logged = True
            log.info("commits_held", copy=path, queue_rows=self._queue.rows)

    def _end(self, why: str, now_s: float) -> None:
        if not self._waits:
            return
        self._waits = self._queue.storing.copy_held = False
        if self._is_logged:
            say = log.warning if why in (LIMIT, _NO_SPOOL) else log.info
            say("commits_resumed", why=why, held_s=round(now_s - self._since_s, 1), queue_rows=self._queue.rows)

    def _note(self, path: str) -> None:
        """Writes the copy in progress, and when it began, to Stats."""
        stats = self._stats
        path = "".join(char if char.isprintable() else "?" for char in path)  # a file name may have any characters
        if path != self._path:
            self._path = stats.copy_path = path
            stats.copy_since_ms = self._now_ms() if path else None
