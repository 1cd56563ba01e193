"""A collector whose event loop is stuck for 36 s. See test_long_waits."""

from __future__ import annotations

import socket
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.e2e.conftest import Start

from hk_tick_collector.ops.findings.health import check
from hk_tick_collector.ops.live.status import STATUS_NAME, read_status

from .trial import LIMITS, Market, now_ms, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nursery import Nursery

    from hk_tick_collector.ops.findings.health import Finding

SYMBOLS: Final = "HK.00700,HK.00005,HK.00939,HK.09988"
RATE: Final = 8.0  # little enough that nothing leaves OpenD's window, however late a test looks

# A callback that blocks the loop, once the file named first is there: what a bug in it would do.
STUCK_LOOP: Final = """
import gc, pathlib, sys, threading, time
import uvloop
from hk_tick_collector.cli import main

def stick(sign):
    while not sign.exists():
        time.sleep(0.05)
    gc.unfreeze()  # the service hides from the collector what it began with
    loop = next(each for each in gc.get_objects() if isinstance(each, uvloop.Loop))
    loop.call_soon_threadsafe(time.sleep, 36)

threading.Thread(target=stick, args=(pathlib.Path(sys.argv.pop(1)),), daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


class Loop:
    """A collector whose event loop is stuck for 36 s, under a systemd that listens."""

    def __init__(self, nursery: Nursery, directory: Path) -> None:
        (directory / ".env").touch()
        self.market = Market(nursery, directory, symbols=SYMBOLS, rate=RATE)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(directory / "notify"))
        self.fed_s: list[float] = []  # when systemd's watchdog was fed
        self._listener = threading.Thread(target=self._listen, name="systemd", daemon=True)
        self._listener.start()
        self.start = Start(directory, nursery)
        sign = directory / "stick"
        self.collector = self.start.run(
            self.market.port,
            {"FUTU_SYMBOLS": SYMBOLS, "NOTIFY_SOCKET": str(directory / "notify")},
            program=(sys.executable, "-c", STUCK_LOOP, str(sign)),
        )
        self.collector.wait_stored(10)
        wait_until(lambda: len(self.fed_s) >= 2, "a watchdog that is fed")
        sign.touch()
        self.hung: list[Finding] = []  # what `status` said meanwhile
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="operator", daemon=True)
        self._watcher.start()

    def findings(self) -> dict[str, Finding]:
        """The findings of `status` at this moment, by code."""
        status = read_status(self.collector.data_root / STATUS_NAME)
        return {finding.code: finding for finding in check(status, now_ms(), LIMITS)}

    def _watch(self) -> None:
        while not self.hung and not self._over.wait(0.5):
            finding = self.findings().get("service_hung")
            self.hung += [finding] if finding else []

    def longest_hunger_s(self) -> float:
        """For how long the watchdog was not fed."""
        return max((after - before for before, after in pairwise(self.fed_s)), default=0.0)

    def _listen(self) -> None:
        while message := self.notified.recv(4096):
            if b"WATCHDOG=1" in message:
                self.fed_s.append(time.monotonic())

    def close(self) -> None:
        """Leaves no process behind."""
        self._over.set()
        self._watcher.join()
        self.start.end()
        self.market.close()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.notified.getsockname())  # ends the listener
        self._listener.join()
        self.notified.close()
