"""The thread with which the service follows the file of mutes. No other thread waits for its disk.

Input: the path of the file. Output: `now(...)`, the mutes in force, and a log line for each that begins or ends.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.errors import StoreError

from .mutes import in_force, read_mutes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .mutes import Mute

_EVERY_S: Final = 1.0
_LOG_EVERY_S: Final = 60.0


class MuteWatch:
    """Start it, ask `now` from any thread, stop it."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._now_ms = now_ms
        self._mutes: list[Mute] = []
        self._logged: dict[str, Mute] = {}  # the mutes whose begin is in the log
        self._stopped = threading.Event()
        self._failures = log.Repeated(_LOG_EVERY_S)
        self._thread = threading.Thread(target=self._run, name="alerts mutes", daemon=True)

    def start(self) -> None:
        """Reads the file once, then starts the thread: a mute is in force from the first second on."""
        self.poll()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, without waiting for it."""
        self._stopped.set()

    def now(self, now_ms: int) -> list[Mute]:
        """The mutes in force at a time, as the file had them when it was last read."""
        return in_force(self._mutes, now_ms)

    def poll(self) -> None:
        """Reads the file. One that cannot be read mutes nothing: a message too many is better than a missing one."""
        try:
            self._mutes = read_mutes(self._path)
        except StoreError as error:
            self._mutes = []
            held_back = self._failures.allow(time.monotonic())
            if held_back is not None:
                log.warning("mutes_not_read", detail=error.one_line(), repeats=held_back)
        present = {mute.code: mute for mute in self.now(self._now_ms())}
        for code, mute in present.items():
            if self._logged.get(code) != mute:
                until = market.hkt(mute.until_ms).isoformat(timespec="seconds")
                log.info("alerts_muted", finding=code, until=until, by=mute.by)
        for code in self._logged.keys() - present.keys():
            log.info("alerts_unmuted", finding=code)
        self._logged = present

    def _run(self) -> None:
        try:
            while not self._stopped.wait(_EVERY_S):
                self.poll()
        except Exception:  # noqa: BLE001 - the thread's boundary
            self._mutes = []
            log.bug("bug", detail="mutes are not read any more; nothing is muted")
