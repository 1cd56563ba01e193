"""What takes half a minute and more to be found, begun all at once, while other tests run. See test_long_waits."""

from __future__ import annotations

import socket
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.descriptors import descriptors
from tests.e2e.conftest import Start

from hk_tick_collector.ops.health import check
from hk_tick_collector.ops.status import STATUS_NAME, read_status

from .trial import LIMITS, Market, Trial, now_ms, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from hk_tick_collector.ops.health import Finding

    from .nursery import Nursery

STOPPED: Final = ("HK.00700", "HK.00005")
SYMBOLS: Final = "HK.00700,HK.00005,HK.00939,HK.09988"
RATE: Final = 8.0  # of each market: little enough that nothing leaves OpenD's window, however late a test looks
DEAD: Final = ("mute for 45s", "half-open", "trickle 1 for 45s", "no-reply InitConnect for 45s")

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
        self.start = Start(directory)
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
        """What the verb `status` says at this moment, by code."""
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


class Waits:
    """The trials, each with the moment when its fault began."""

    def __init__(self, nursery: Nursery, factory: pytest.TempPathFactory) -> None:
        self.trials: dict[str, Trial] = {}
        self.began_ms: dict[str, int] = {}
        self.sockets: dict[str, int] = {}
        for number, name in enumerate((*DEAD, "stop-pushes")):
            directory = factory.mktemp(f"wait-{number}")
            (directory / ".env").touch()
            trial = Trial(nursery, directory, Market(nursery, directory, symbols=SYMBOLS, rate=RATE))
            self.trials[name] = trial
            trial.run()
            trial.wait_stored(10)
        for name, trial in self.trials.items():
            self.sockets[name] = sockets(trial.collector.pid)
            self.began_ms[name] = now_ms()
            trial.market.tell(f"stop-pushes {','.join(STOPPED)}" if name == "stop-pushes" else name)
        self.trials["no-reply InitConnect for 45s"].market.tell("cut")
        directory = factory.mktemp("loop")
        self.loop = Loop(nursery, directory)

    def close(self) -> None:
        """Leaves no process behind."""
        self.loop.close()
        for trial in self.trials.values():
            trial.close()
            trial.market.close()


def sockets(pid: int) -> int:
    """How many sockets a process holds."""
    return sum(what.startswith("socket:") for what in descriptors(pid).values())
