"""Rows 10, 13 and 22: faults that are found only after half a minute or more.

The deadlines themselves are proved with an injected clock in tests/opend/test_protocol.py; here they pass for real.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import pytest
from tests.descriptors import descriptors

from .stuck_loop import RATE, SYMBOLS
from .trial import now_ms, wait_until

if TYPE_CHECKING:
    from tests.log_lines import Event

    from .conftest import Begin
    from .stuck_loop import Loop

pytestmark = pytest.mark.early

STOPPED: Final = ("HK.00700", "HK.00005")
DEAD: Final = ("mute for 45s", "half-open", "trickle 1 for 45s", "no-reply InitConnect for 45s")
NOTICED_S: Final = 35.0
FOUND_S: Final = 20.0
SLACK: Final = 5  # times a figure: the cap of a test
WORDS: Final = ("silent for", "did not answer")  # silence, or the question for OpenD's state that is asked every 3 s


def named(events: list[Event]) -> set[str]:
    """The symbols that lines `pushes_stopped` name, one by one or together."""
    return {symbol for event in events for symbol in event.fields.get("symbols", event.fields["symbol"]).split(",")}


def sockets(pid: int) -> int:
    """The number of sockets of a process."""
    return sum(what.startswith("socket:") for what in descriptors(pid).values())


def seconds_after(began_ms: int, event: Event) -> float:
    """When a line was logged, from the moment at which its cause began."""
    return datetime.fromisoformat(event.time).timestamp() - began_ms / 1000


@pytest.mark.parametrize("fault", DEAD)
def test_a_dead_connection_is_noticed_closed_and_replaced(begin: Begin, fault: str) -> None:
    """Row 10: a mute OpenD, a half-open connection, one byte a second, a reply that never comes: noticed within 35 s,
    named, the socket closed, connected again, and the missed ticks backfilled.
    """
    trial = begin("--within-window", symbols=SYMBOLS, rate=RATE)
    collector = trial.run()
    trial.wait_stored(10)
    held = sockets(collector.pid)
    began_ms = now_ms()
    trial.market.tell(fault)
    known = 1
    if fault.startswith("no-reply"):
        trial.market.tell("cut")
        known = 2
    event = collector.wait_for_long("futu_disconnected", known, NOTICED_S * SLACK)
    noticed_s = seconds_after(began_ms, event)
    print(f"{fault}: noticed after {noticed_s:.1f} s: {event.fields['reason']}")
    assert noticed_s < NOTICED_S * SLACK
    assert any(words in event.fields["reason"] for words in WORDS)
    collector.wait_for_long("subscribed", 2, 60 * SLACK)
    assert any(line.fields["connected"] == "False" for line in collector.events("health")) or fault == "half-open"
    wait_until(lambda: sockets(collector.pid) == held, lambda: f"{sockets(collector.pid)} sockets")
    trial.finish()


def test_pushes_that_stop_are_found_by_asking(begin: Begin) -> None:
    """Row 13: two symbols are no longer pushed on an open connection: found by comparison with GetTicker, named,
    subscribed again, and nothing is missing.
    """
    trial = begin("--within-window", symbols=SYMBOLS, rate=RATE)
    collector = trial.run()
    trial.wait_stored(10)
    began_ms = now_ms()
    trial.market.tell(f"stop-pushes {','.join(STOPPED)}")
    collector.wait_for_long("pushes_stopped", 1, FOUND_S * SLACK)
    wait_until(lambda: named(collector.events("pushes_stopped")) == set(STOPPED), "both are named", FOUND_S * SLACK)
    for event in collector.events("pushes_stopped"):
        assert event.level == "ERROR"
        found_s = seconds_after(began_ms, event)
        print(f"{event.fields['symbol']}: found after {found_s:.1f} s")
        assert found_s < FOUND_S * SLACK
    assert not collector.events("futu_disconnected")
    finding = trial.wait_finding("pushes_stopped", "2 symbols")
    assert collector.events("pushes_stopped")[0].fields["symbol"] in finding.text
    assert "restart futu-opend after the close" in finding.text
    wait_until(lambda: trial.market.tell("stats")["subscribed"] == "4", "both are subscribed again")
    trial.finish()


def test_a_stuck_event_loop_misses_systemds_watchdog_and_logs_its_stack(loop: Loop) -> None:
    """Row 22: the event loop hangs in a callback: systemd gets no more messages, `status` reports a hung service, after
    20 s the stack of every thread is logged. When the callback ends, ticks that waited in the socket are stored.
    """
    collector = loop.collector
    wait_until(lambda: "Timeout (0:00:20)!" in collector.output, lambda: collector.output, NOTICED_S * SLACK)
    assert "most recent call first" in collector.output
    wait_until(lambda: loop.longest_hunger_s() > 30, "the loop turns again, and the watchdog is fed")
    print(f"systemd heard nothing for {loop.longest_hunger_s():.1f} s")
    assert loop.hung, "`status` said so"
    assert "systemctl restart hk-tick-collector" in loop.hung[0].remedy
    assert "journalctl" in loop.hung[0].remedy, "where the stacks are"
    wait_until(lambda: not loop.findings().get("service_hung"), "`status` says so no more")
    loop.market.tell("pause")
    made = loop.market.made()
    collector.wait_stored(made)
    assert collector.stop() == 0
    assert {tuple(tick[:8]) for tick in collector.ticks()} == {tuple(tick) for tick in loop.market.process.truth()}
