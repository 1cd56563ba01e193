"""Reads day files in separate threads: a file may be large, and the event loop must not wait.

Enters: the numbers of days to read, or to read again. Leaves: days, which are given to the tracker on the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hk_tick_collector import log, market
from hk_tick_collector.background import in_thread
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import NoDayError, PredecessorFileError
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.store.query import DayReader, path_of

from .load import is_over, load, load_day
from .recount import rebuild_day
from .seen_while_unread import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hk_tick_collector.collect.buffer.intake import Intake
    from hk_tick_collector.gaps.tracker import GapTracker
    from hk_tick_collector.model import TickRow


def load_late(data_root: Path, old: Day, held: Iterable[TickRow], at_ms: int) -> Day:
    """The day from its file, joined with `old`: what was seen while the file could not be read.

    `held` are the uncommitted rows. Raises the errors of DayReader; `old` is then unchanged. Any thread may call it, if
    no other thread uses `old` meanwhile.
    """
    try:
        with DayReader(path_of(data_root, market.day_name(old.number))) as reader, reader.snapshot():
            if is_over(old.number, reader):
                return Day(old.number, sealed=True)
            return load(old.number, reader, Seen(old, held, at_ms))
    except (NoDayError, PredecessorFileError):  # then the writer creates a new file
        day = Day(old.number)
        Seen(old, held, at_ms).keep_others(day)
        return day


class DayLoader:
    """Loads days for the tracker that is given to `serve`. Call every method on the event loop."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._tracker: GapTracker | None = None
        self._intake: Intake | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rebuilt: dict[int, Exception | None] = {}  # day → its error, or None; until `rebuild` is called again

    def serve(self, tracker: GapTracker, intake: Intake) -> None:
        """Sets the tracker and the intake that receive the days."""
        self._tracker, self._intake = tracker, intake

    def __call__(self, number: int) -> None:
        """Starts to read the file of a day."""
        self._begin(number, None, load_day, self._data_root, number)

    async def wait(self, numbers: list[int]) -> None:
        """Returns once these days have been read."""
        tasks = [task for number in numbers if (task := self._tasks.get(number)) is not None]
        if tasks:
            await asyncio.wait(tasks)

    def rebuild(self, number: int) -> bool:
        """Reads a day's file again and rebuilds the day. Call it until it returns True. Raises the reader's errors."""
        if number in self._rebuilt:
            error = self._rebuilt.pop(number)
            if error is not None:
                raise error
            return True
        assert self._tracker is not None
        assert self._intake is not None
        if number not in self._tasks:
            held = self._intake.held_rows(number)
            if held is None:
                return False
            old = self._tracker.begin_rebuild(number)
            self._begin(number, old, self._rebuild, old, held)
        return False

    def _rebuild(self, old: Day, held: list[Any]) -> Day:
        """Runs in the thread. Returns the new day, or the old one if the file cannot be read."""
        try:
            if old.unread:
                day = load_late(self._data_root, old, held, now_ms())
            elif old.tracks:
                day = rebuild_day(self._data_root, old, held, now_ms())
            else:  # nothing is known of it in memory: only its file counts
                day = load_day(self._data_root, old.number)
        except Exception as error:  # noqa: BLE001 - `rebuild` raises it
            self._rebuilt[old.number] = error
            return old
        self._rebuilt[old.number] = None
        return day

    def _begin(self, number: int, old: Day | None, what: Callable[..., Day], *args: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._bring(number, old, in_thread(what, *args)))
        self._tasks[number] = task

    async def _bring(self, number: int, old: Day | None, reading: asyncio.Future[Day]) -> None:
        try:
            day = await reading
        except OSError as error:  # no thread could be started: it is tried again like a file that cannot be read
            if old is None:
                log.error("day_not_resumed", day=market.day_name(number), detail=error)
            else:
                self._rebuilt[number] = error
            day = old or Day(number, unread=True)
        except Exception as bug:  # noqa: BLE001 - a task's boundary: the day continues without its file
            log.bug("bug", bug)
            day = Day(number, next_gap_id=now_ms())  # higher than every id in its file
        finally:
            self._tasks.pop(number, None)
        assert self._tracker is not None
        assert self._intake is not None
        self._tracker.adopt(day)
        self._intake.flush_gaps()
