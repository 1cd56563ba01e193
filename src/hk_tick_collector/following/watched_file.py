"""A day file that is open while it changes and closed while it is idle, and whether something new may be in it.

While it is open, SQLite's own counter of commits says so (10 µs). While it is closed, the kernel's sizes and times of
the file and its WAL do. They change before the commit can be seen, so a change only opens the file again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import BusyFileError, NoDayError, StoreError
from hk_tick_collector.store.file_identity import Identity, identity
from hk_tick_collector.store.live_reading import LiveReader
from hk_tick_collector.store.query import demand_own_day

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_IDLE_S: Final = 1.0  # longer than a commit takes on a slow disk; a connection that stays open keeps a day unsealed
_PATIENCE_S: Final = 5.0  # a file that a collector is opening, closing or setting aside is readable again within this
_OF_ANY_LENGTH: Final = (NoDayError, BusyFileError)


class WatchedFile:
    """The file at one path. `is_replaced` is set when another file is there; `Day` clears it."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.is_replaced = False
        self._clock = clock
        self._reader: LiveReader | None = None
        self._inode: int | None = None
        self._closed_at: Identity | None = None  # what the file was when it was closed as idle
        self._changed_s = 0.0
        self._failing_since_s: float | None = None
        self._failure: StoreError | None = None  # of the last look

    @property
    def is_failing(self) -> bool:
        """Whether the last look failed, so that it is not known what the file has. The next look tries again."""
        return self._failure is not None

    @property
    def is_failing_briefly(self) -> bool:
        """Whether the last look failed with an error that is raised if it lasts for seconds."""
        return self.is_failing and not isinstance(self._failure, _OF_ANY_LENGTH)

    @property
    def is_open(self) -> bool:
        """Whether the file is open, as it is while it changes."""
        return self._reader is not None

    def reader(self, *, demanded: bool = False) -> LiveReader | None:
        """A reader if there may be something new, or if it is `demanded` and there is a file; else None.

        StoreError if the file could not be read for five seconds.
        """
        try:
            found = self._look(demanded=demanded)
        except StoreError as error:
            self.failed(error)
            return None
        if found is None:
            self.succeeded()
        return found

    def succeeded(self) -> None:
        """The reader was used without an error."""
        self._failing_since_s, self._failure = None, None

    def failed(self, error: StoreError) -> None:
        """Closes the file, to be tried again at the next look.

        Raises the error if it has lasted for longer than a collector needs to open, close or replace its file. A lock
        and a missing file may last for any time.
        """
        self.close()
        self._failure = error
        if isinstance(error, _OF_ANY_LENGTH):
            return
        now_s = self._clock()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if self._inode is None or now_s - self._failing_since_s >= _PATIENCE_S:
            raise error

    def close(self) -> None:
        """Closes the connection; the next look opens it again."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._closed_at = None, None

    def _look(self, *, demanded: bool) -> LiveReader | None:
        now_s, there = self._clock(), identity_of(self.path)
        if there is None or (self._reader is not None and there.inode != self._inode):
            self.close()
        if there is None:
            return None
        if self._reader is None:
            if there == self._closed_at and not demanded:
                return None
            self._open(there)
            self._changed_s = now_s
        reader = self._reader
        assert reader is not None
        if reader.changed():
            self._changed_s = now_s
            return reader
        if not demanded and now_s - self._changed_s >= _IDLE_S:
            self._close_as_idle(reader)
        return reader if demanded else None

    def _open(self, there: Identity) -> None:
        self._reader = LiveReader(self.path)
        demand_own_day(self._reader)
        if self._inode is not None and there.inode != self._inode:
            self.is_replaced = True
        self._inode = there.inode

    def _close_as_idle(self, reader: LiveReader) -> None:
        """Closes it, unless something was committed after its identity was read."""
        there = identity_of(self.path)
        if not reader.unchanged():
            return
        self.close()
        self._closed_at = there


def identity_of(path: Path) -> Identity | None:
    """The identity of a file; None if there is none. StoreError if the disk or a right prevents to know it."""
    try:
        return identity(path)
    except OSError as error:
        raise StoreError(
            f"cannot access {path} ({error.strerror})", hint="check the disk: sudo dmesg | tail"
        ) from error
