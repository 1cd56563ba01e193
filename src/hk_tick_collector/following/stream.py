"""`Stream`: batches in a `for` loop or an `async for` loop.

In a `for` loop files are read in the caller's thread, in an `async for` loop in one thread of its own. It ends with the
stream; if its disk does not answer, the event loop is not blocked.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from .reading import Reading, two_loops

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .arguments import Asked
    from .batch import Batch
    from .position import Position

_AT_MOST_S: Final = 0.25  # how long the thread waits at once, and so how long an exit waits for it


class Stream:
    """A stream of batches; `hk_tick_collector.stream` makes it. A context manager, also an asynchronous one.

    It begins when it is entered or when the first batch is asked for. Use it in one loop at a time. Errors of files
    are StoreErrors. After an error, and after the loop was left, it can be asked again and goes on where it was.
    `close` ends a loop that waits, from any thread or task.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._reading = Reading(asked, asked.position)
        self._thread: ThreadPoolExecutor | None = None
        self._asking: Future[Batch | None] | None = None  # what the thread does; its batch is not lost if a task ends
        self._is_awaited = False

    @property
    def position(self) -> Position:
        """The place after the last batch: what `batch.position` was; before the first, where the stream begins."""
        return self._reading.position

    def begin(self) -> Self:
        """Begins now, so that `start="new"` means from now on. StoreError if the files cannot be read."""
        self._current().begin()
        return self

    def close(self) -> None:
        """Closes all files, and ends a loop that waits. Asking for a batch again goes on at `position`."""
        reading, thread = self._reading, self._thread
        self._thread = self._asking = None
        if thread is None:
            reading.close()
            return
        reading.stop()
        thread.submit(reading.close)  # there, after what it is reading: a disk may not answer
        thread.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        """The next batch; waits until there is one. StopIteration at the end of the only day, or if it was closed."""
        reading, asking = self._current(), self._asking
        if self._is_awaited:
            raise two_loops()
        self._asking = None
        found = None if asking is None else asking.result()  # of a wait that was cancelled: its batch, or its error
        found = found or reading.next(None)
        if found is None:
            raise StopIteration
        reading.position = found.position
        return found

    async def __aenter__(self) -> Self:
        try:
            beginning = self._own_thread().submit(self.begin)
            await _end_of(beginning)
            beginning.result()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        """The same without blocking the event loop. A cancelled wait loses no batch."""
        if self._is_awaited:
            raise two_loops()
        self._is_awaited = True
        try:
            reading = self._current()
            found = None
            while found is None:
                if reading.is_over or reading.is_stopped:
                    raise StopAsyncIteration
                found = await self._ask(reading)
        finally:
            self._is_awaited = False
        reading.position = found.position
        return found

    async def _ask(self, reading: Reading) -> Batch | None:
        if self._asking is None:
            self._asking = self._own_thread().submit(reading.next, _AT_MOST_S)
        asking = self._asking
        await _end_of(asking)  # if it is cancelled, what the thread finds is for the next one that asks
        if self._asking is asking:
            self._asking = None
        return asking.result()

    def _current(self) -> Reading:
        """The reading in use; a new one, at the same position, after it was closed."""
        if self._reading.is_stopped and not self._reading.is_over:
            self._reading = Reading(self._asked, self._reading.position)
        return self._reading

    def _own_thread(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tick-stream")
        return self._thread


async def _end_of(asking: Future[Any]) -> None:
    """Waits for a thread. Nothing goes wrong if this task, or its event loop, ends before it does."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell_loop(_: object) -> None:
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(done.set)

    asking.add_done_callback(tell_loop)
    await done.wait()
