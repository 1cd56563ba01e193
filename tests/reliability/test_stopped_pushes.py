"""Row 26: pushes of a symbol stop on an open connection, at several rates: subscribed again, nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from .trial import wait_until

if TYPE_CHECKING:
    from .conftest import Begin

RATES: Final = (1.0, 12.0, 50.0, 150.0, 500.0)
SYMBOL: Final = "HK.00700"
WARM_ROWS: Final = 12  # stored before pushes stop, and those of two seconds: how busy the symbol is must be known
FOUND_S: Final = 300.0  # only ends a test that would wait for ever: 20 s are proved in tests/gaps/test_push_watch.py


@pytest.mark.parametrize("rate", RATES)
def test_stopped_pushes_are_found_at_any_rate_and_every_tick_is_accounted_for(begin: Begin, rate: float) -> None:
    """Logged once, subscribed again, backfilled; ticks beyond OpenD's 1,000 are a gap of known size."""
    trial = begin(symbols=SYMBOL, rate=rate)
    collector = trial.run()
    trial.wait_stored(max(WARM_ROWS, int(2 * rate)))
    trial.market.tell(f"stop-pushes {SYMBOL}")
    event = collector.wait_for_long("pushes_stopped", 1, FOUND_S)
    assert (event.level, event.fields["symbol"], event.fields["count"]) == ("ERROR", SYMBOL, "1")
    wait_until(lambda: trial.market.tell("stats")["subscribed"] == "1", "it is subscribed again")
    trial.wait_finding("pushes_stopped", SYMBOL)
    trial.wait_more(int(rate) + 1)
    verdict = trial.finish(complete=rate <= WARM_ROWS)  # a loaded machine may come late for a window of 2 s
    print(verdict.line())
    assert not collector.events("futu_disconnected")


def test_all_symbols_stop_at_once(begin: Begin) -> None:
    """All of them are subscribed again, and every tick is stored or known to be missing."""
    trial = begin(symbols="60", rate=600)
    collector = trial.run()
    trial.wait_stored(6000)
    trial.market.tell("stop-pushes all")
    collector.wait_for_long("pushes_stopped", 1, FOUND_S)
    trial.wait_finding("pushes_stopped")
    trial.wait_more(3000)
    trial.finish(complete=False)
    print([line.fields["count"] for line in collector.events("pushes_stopped")])
    assert not collector.events("futu_disconnected")


def test_a_lost_subscription_is_noticed_when_opend_refuses_a_request(begin: Begin) -> None:
    """OpenD answers only for subscribed symbols: after a refusal the subscriptions are compared at once, not with the
    next comparison of each minute. At 20 ticks/s OpenD's window holds 50 s, less than that minute.
    """
    trial = begin(symbols=SYMBOL, rate=20.0)
    collector = trial.run()
    trial.wait_stored(100)
    trial.market.tell(f"lose-subscriptions {SYMBOL}")
    collector.wait_for_long("subscriptions_lost", 1, FOUND_S)
    trial.wait_more(60)
    trial.finish(complete=True)
