"""Rows 10, 13 and 22: what is found only by waiting, half a minute and more. All at once, each on an OpenD of its own.

The deadlines themselves are proved with an injected clock in tests/opend/test_protocol.py; here they pass for real.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from tests.e2e.conftest import Start

from .trial import Market, Trial, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .nursery import Nursery

NOTICED_S: Final = 35.0
SLACK: Final = 5
FOUND_S: Final = 50.0  # a symbol is looked at when it has been quiet for 30 s
STOPPED: Final = ("HK.00700", "HK.00005")
SYMBOLS: Final = "HK.00700,HK.00005,HK.00939,HK.09988"
DEAD: Final = ("mute", "half-open", "trickle 1", "no-reply InitConnect")
WORDS: Final = ("silent for", "did not answer")  # silence, or the question for OpenD's state that is asked every 3 s

# A callback that blocks the loop, once the file named first is there: what a bug in it would do.
STUCK_LOOP: Final = """
import gc, pathlib, sys, threading, time
import uvloop
from hk_tick_collector.cli import main

def stick(sign):
    while not sign.exists():
        time.sleep(0.05)
    loop = next(each for each in gc.get_objects() if isinstance(each, uvloop.Loop))
    loop.call_soon_threadsafe(time.sleep, 36)

threading.Thread(target=stick, args=(pathlib.Path(sys.argv.pop(1)),), daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


class Loop:
    """A collector whose event loop is stuck for 36 s, under a systemd that listens."""

    def __init__(self, directory: Path) -> None:
        (directory / ".env").touch()
        self.market = Market(directory, symbols=SYMBOLS, rate=20)
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
        self.collector.wait_stored(20)
        wait_until(lambda: len(self.fed_s) >= 2, "a watchdog that is fed")
        sign.touch()

    def longest_hunger_s(self) -> float:
        """For how long the watchdog was not fed."""
        return max((after - before for before, after in pairwise(self.fed_s)), default=0.0)

    def _listen(self) -> None:
        while message := self.notified.recv(4096):
            if b"WATCHDOG=1" in message:
                self.fed_s.append(time.monotonic())

    def close(self) -> None:
        """Leaves no process behind."""
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
        self.began_s: dict[str, float] = {}
        self.sockets: dict[str, int] = {}
        for number, name in enumerate((*DEAD, "stop-pushes")):
            directory = factory.mktemp(f"wait-{number}")
            (directory / ".env").touch()
            trial = Trial(nursery, directory, Market(directory, symbols=SYMBOLS, rate=20))
            self.trials[name] = trial
            trial.run()
            trial.wait_stored(20)
        for name, trial in self.trials.items():
            self.sockets[name] = sockets(trial.collector.pid)
            self.began_s[name] = time.monotonic()
            trial.market.tell(f"stop-pushes {','.join(STOPPED)}" if name == "stop-pushes" else name)
        self.trials["no-reply InitConnect"].market.tell("cut")
        directory = factory.mktemp("loop")
        self.loop = Loop(directory)

    def close(self) -> None:
        """Leaves no process behind."""
        self.loop.close()
        for trial in self.trials.values():
            trial.close()
            trial.market.close()


@pytest.fixture(scope="module")
def waits(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waits]:
    """All faults, begun at once."""
    waits = Waits(nursery, tmp_path_factory)
    yield waits
    waits.close()


def sockets(pid: int) -> int:
    """How many sockets a process holds."""
    names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    return sum(os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:") for name in names)  # noqa: PTH115


@pytest.mark.parametrize("fault", DEAD)
def test_a_dead_link_is_noticed_left_and_replaced(waits: Waits, fault: str) -> None:
    """Row 10: a mute OpenD, a half-open connection, one byte a second, a reply that never comes: noticed within 35 s,
    named, the socket closed, connected again, and what passed meanwhile fetched.
    """
    trial = waits.trials[fault]
    collector = trial.collector
    known = 2 if fault == "no-reply InitConnect" else 1  # that trial begins with a cut
    event = collector.wait_for_long("futu_disconnected", known, NOTICED_S * SLACK)
    noticed_s = time.monotonic() - waits.began_s[fault]
    print(f"{fault}: noticed after {noticed_s:.1f} s: {event.fields['reason']}")
    assert noticed_s < NOTICED_S * SLACK
    assert any(words in event.fields["reason"] for words in WORDS)
    if fault != "half-open":
        assert trial.wait_finding("opend_away").text
        trial.market.tell("end all")
    collector.wait_for("subscribed", count=2)
    wait_until(lambda: sockets(collector.pid) == waits.sockets[fault], lambda: f"{sockets(collector.pid)} sockets")
    trial.finish()


def test_pushes_that_stop_are_found_by_asking(waits: Waits) -> None:
    """Row 13: two symbols are pushed no more while the link lives: found by comparison with GetTicker, named,
    subscribed again, and nothing is missing.
    """
    trial = waits.trials["stop-pushes"]
    collector = trial.collector
    for number in (1, 2):
        event = collector.wait_for_long("pushes_stopped", number, FOUND_S)
        assert event.level == "ERROR"
        assert event.fields["symbol"] in STOPPED
        print(f"{event.fields['symbol']}: found after {time.monotonic() - waits.began_s['stop-pushes']:.1f} s")
    assert not collector.events("futu_disconnected")
    wait_until(lambda: trial.market.tell("stats")["subscribed"] == "4", "both are subscribed again")
    trial.finish()


def test_a_stuck_event_loop_starves_systemds_watchdog_and_shows_its_stack(waits: Waits) -> None:
    """Row 22: the loop hangs in a callback: systemd is told nothing more, after 30 s every thread's stack is logged;
    left alone it goes on, and what waited in the socket is stored.
    """
    loop, collector = waits.loop, waits.loop.collector
    wait_until(lambda: "Timeout (0:00:30)!" in collector.output, lambda: collector.output, NOTICED_S * SLACK)
    assert "most recent call first" in collector.output
    wait_until(lambda: loop.longest_hunger_s() > 30, "the loop turns again, and the watchdog is fed")
    print(f"systemd heard nothing for {loop.longest_hunger_s():.1f} s")
    loop.market.tell("pause")
    made = loop.market.made()
    collector.wait_stored(made)
    assert collector.stop() == 0
    assert {tuple(tick[:8]) for tick in collector.ticks()} == {tuple(tick) for tick in loop.market.process.truth()}
