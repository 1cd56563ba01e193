"""`Reading`: reads a source from a position until it is closed, and waits for ticks. Any thread may close it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hk_tick_collector.errors import UsageError

from .batch import Batch
from .engine import batches
from .local_days import LocalDays
from .pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .arguments import Asked
    from .engine import Source
    from .position import Position


def two_loops() -> UsageError:
    """The error for a stream of which two loops ask for a batch at the same time."""
    return UsageError("this stream is used in two loops at once", hint="make a stream for each of them")


class Reading:
    """One source. After an error it is closed: the next reading begins again at `position`."""

    def __init__(self, asked: Asked, position: Position) -> None:
        self.position = position  # after `begin` that of the source; after each batch the caller sets it
        self.is_over = False  # the only day has ended
        self._asked = asked
        self._source: Source | None = None
        self._items: Iterator[Batch | float] | None = None
        self._stopping = threading.Event()
        self._in_use = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        """Whether it gives no more batches: it was closed, had an error, or is over."""
        return self._stopping.is_set()

    def begin(self) -> None:
        """Begins now, once. StoreError if the files cannot be read."""
        if not self._use():
            return
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise
        finally:
            self._leave()

    def next(self, at_most_s: float | None) -> Batch | None:
        """The next batch; None if there was none in that time, if it was closed, or if it is over."""
        end_s = None if at_most_s is None else time.monotonic() + at_most_s
        if not self._use():
            return None
        try:
            return self._next(end_s)
        except BaseException:
            self.stop()  # the generator is over
            raise
        finally:
            self._leave()

    def stop(self) -> None:
        """Ends a `next` that waits in another thread."""
        self._stopping.set()

    def close(self) -> None:
        """Closes all files; while another thread reads, that thread does it, soon."""
        self.stop()
        if self._in_use.acquire(blocking=False):
            self._leave()

    def _begin(self) -> None:
        if self._source is None and not self.is_stopped:
            self._source = self._make_source()
            self._source.begin()
            self.position = self._source.position
            self._items = batches(self._source, Pace(self._asked.speed))

    def _next(self, end_s: float | None) -> Batch | None:
        self._begin()
        while self._items is not None and not self.is_stopped:
            found = next(self._items, None)
            if found is None:
                self.is_over = True
                self.stop()
            elif isinstance(found, Batch):
                return found
            elif end_s is not None and time.monotonic() + found > end_s:
                self._stopping.wait(max(0.0, end_s - time.monotonic()))
                return None
            else:
                self._stopping.wait(min(found, threading.TIMEOUT_MAX))
        return None

    def _make_source(self) -> Source:
        asked = self._asked
        if asked.servers is None:
            return LocalDays(asked.data_root, asked.archive, self.position, only=asked.only)
        from .published import PublishedTicks  # needs the extra `stream`

        return PublishedTicks(asked.servers, self.position, only=asked.only)

    def _use(self) -> bool:
        """Begins a use; False while another thread closes this. UsageError while another thread reads."""
        if self._in_use.acquire(blocking=False):
            return True
        if self.is_stopped:
            return False
        raise two_loops()

    def _leave(self) -> None:
        """Ends the use. Whoever is the last one here closes the files of what was stopped."""
        while True:
            is_stopped = self.is_stopped
            if is_stopped and self._source is not None:
                self._source.close()
                self._source = self._items = None
            self._in_use.release()
            if is_stopped or not self.is_stopped or not self._in_use.acquire(blocking=False):
                return  # else it was stopped while we still had the lock
