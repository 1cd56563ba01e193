"""Rows 10, 13 and 22: what is found only by waiting, half a minute and more. All at once, each on an OpenD of its own.

The deadlines themselves are proved with an injected clock in tests/opend/test_protocol.py; here they pass for real.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import pytest

from .trial import Market, Trial, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .nursery import Nursery

NOTICED_S: Final = 35.0
SLACK: Final = 5
FOUND_S: Final = 50.0  # a symbol is looked at when it has been quiet for 30 s
STOPPED: Final = ("HK.00700", "HK.00005")
SYMBOLS: Final = "HK.00700,HK.00005,HK.00939,HK.09988"
DEAD: Final = {
    "mute": "silent for 33 s",
    "half-open": "silent for 33 s",
    "trickle 1": "silent for 33 s",
    "no-reply InitConnect": "did not answer message 1001",
}


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

    def close(self) -> None:
        """Leaves no process behind."""
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
    assert DEAD[fault] in event.fields["reason"]
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
