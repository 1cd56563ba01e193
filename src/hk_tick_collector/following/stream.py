"""`Stream`: batches in a `for` loop or an `async for` loop. Only this module waits.

In a `for` loop files are read in the caller's thread, in an `async for` loop in one thread of its own. It ends with the
stream; if its disk does not answer, the event loop is not blocked.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from .batch import Batch
from .engine import batches
from .local_days import LocalDays
from .pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from .arguments import Asked
    from .engine import Source
    from .position import Position

_AT_MOST_S: Final = 0.25  # how long the thread waits at once, and so how long an exit waits for it


class Stream:
    """A stream of batches; `hk_tick_collector.stream` makes it. A context manager, also an asynchronous one.

    It begins when it is entered or when the first batch is asked for. Use it in one loop at a time. Errors of files
    are StoreErrors. After an error, and after the loop was left, it can be asked again and goes on where it was.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._source: Source | None = None
        self._items: Iterator[Batch | float] | None = None
        self._position = asked.position
        self._is_over = False  # the only day has ended
        self._stopping = threading.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._asking: Future[Batch | None] | None = None  # what the thread does; its batch is not lost if a task ends

    @property
    def position(self) -> Position:
        """The place after the last batch: what `batch.position` was; before the first, where the stream begins."""
        return self._position

    def begin(self) -> Self:
        """Begins now, so that `start="new"` means from now on. StoreError if the files cannot be read."""
        if self._source is None:
            asked, source = self._asked, self._make_source()
            try:
                source.begin()
            except BaseException:
                source.close()
                raise
            self._source, self._items = source, batches(source, Pace(asked.speed))
            self._position = source.position
        return self

    def close(self) -> None:
        """Closes all files. Asking for a batch again goes on at `position`."""
        self._stopping.set()
        source, self._source, self._items = self._source, None, None
        if self._thread is not None:
            if source is not None:
                self._thread.submit(source.close)  # after what it is reading
            self._thread.shutdown(wait=False)
            self._thread = self._asking = None
        elif source is not None:
            source.close()

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        """The next batch; waits until there is one. StopIteration at the end of the only day."""
        self._stopping.clear()
        found = None
        while found is None:
            if self._is_over:
                raise StopIteration
            found = self._next(None)
        self._position = found.position
        return found

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().run_in_executor(self._own_thread(), self.begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        """The same without blocking the event loop. A cancelled wait loses no batch."""
        self._stopping.clear()
        found = None
        while found is None:
            if self._is_over:
                raise StopAsyncIteration
            if self._asking is None:
                self._asking = self._own_thread().submit(self._next, _AT_MOST_S)
            try:
                found = await asyncio.shield(asyncio.wrap_future(self._asking))
            except asyncio.CancelledError:
                raise  # what the thread finds is for the next one that asks
            except BaseException:
                self._asking = None
                raise
            self._asking = None
        self._position = found.position
        return found

    def _make_source(self) -> Source:
        asked = self._asked
        if asked.servers is None:
            return LocalDays(asked.data_root, asked.archive, self._position, only=asked.only)
        from .published import PublishedTicks  # needs the extra `stream`

        return PublishedTicks(asked.servers, self._position, only=asked.only)

    def _own_thread(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tick-stream")
        return self._thread

    def _next(self, at_most_s: float | None) -> Batch | None:
        """The next batch; None if there was none in that time, if the stream was closed, or if it is over."""
        self.begin()
        items = self._items
        end_s = None if at_most_s is None else time.monotonic() + at_most_s
        while items is not None and not self._stopping.is_set():
            try:
                found = next(items, None)
            except BaseException:
                if self._source is not None:  # the generator is over: the next request begins again at the position
                    self._source.close()
                self._source = self._items = None
                raise
            if found is None:
                self._is_over = True
                if self._source is not None:
                    self._source.close()
                return None
            if isinstance(found, Batch):
                return found
            if end_s is not None and time.monotonic() + found > end_s:
                self._stopping.wait(max(0.0, end_s - time.monotonic()))
                return None
            self._stopping.wait(found)
        return None
