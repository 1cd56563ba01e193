"""Reads `status.json` once a second, in a thread of its own: one reader, however many browsers look.

If the disk hangs, only this thread waits, and everything else says since when nothing was read.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import clock
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.live.record import newest_of
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY, STATUS_NAME, LiveStatus, read_status

if TYPE_CHECKING:
    from pathlib import Path

_EVERY_S: Final = 0.5


class Read(NamedTuple):
    """What was read last: the live state, or why there is none; and when, by a monotonic clock (s)."""

    live: LiveStatus | None
    error: StoreError | None
    at_s: float
    is_first: bool = False  # nothing was read yet


class LiveFile:
    """The thread. It ends with the process: a read that hangs cannot be ended."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._stopping = threading.Event()
        self.latest = Read(None, None, time.monotonic(), is_first=True)
        self._thread = threading.Thread(target=self._run, name="live-file", daemon=True)

    def start(self) -> None:
        """Reads now, and then every half second."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it after the present read."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.latest = read_newest(self._data_root)
            self._stopping.wait(_EVERY_S)


def read_newest(data_root: Path) -> Read:
    """The live state of the service that writes to this DATA_ROOT, as the verb `status` finds it."""
    found: list[LiveStatus] = []
    errors: list[StoreError] = []
    for directory in (RUNTIME_DIRECTORY, data_root):
        try:
            live = read_status(directory / STATUS_NAME)
        except StoreError as error:
            errors.append(error)
            continue
        if live and (live.data_root == str(data_root) or _is_same(live.data_root, data_root)):
            found.append(live)
    newest = newest_of(found, clock.now_ms())
    return Read(newest, None if newest or not errors else errors[0], time.monotonic())


def _is_same(written: str, data_root: Path) -> bool:
    return os.path.realpath(written) == os.path.realpath(data_root)
