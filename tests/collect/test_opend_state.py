"""Which day it is: by OpenD's clock if OpenD has reported it, whatever this host's clock shows."""

from __future__ import annotations

from hk_tick_collector import market
from hk_tick_collector.collect.opend_state import ExchangeClock, OpenDState

DAY = market.parse_day("20261120")
TEN_MS = market.day_start_ms(DAY) + 36_000_000


def test_the_hosts_clock_is_used_until_opend_reports_its_time() -> None:
    """While OpenD is not connected, it is used with the last known difference."""
    opend, host_ms = OpenDState(), [TEN_MS - 3 * market.DAY_MS]
    clock = ExchangeClock(opend, lambda: host_ms[0])
    assert clock.today() == DAY - 3
    opend.opend_time_ms = TEN_MS
    assert clock.today() == DAY
    opend.opend_time_ms = None
    assert clock.today() == DAY
    host_ms[0] += market.DAY_MS
    assert clock.today() == DAY + 1


def test_a_time_reported_by_opend_advances_with_the_hosts_clock() -> None:
    """OpenD reports only every few seconds: in between the day still changes."""
    opend, host_ms = OpenDState(), [TEN_MS]
    clock = ExchangeClock(opend, lambda: host_ms[0])
    opend.opend_time_ms = market.day_start_ms(DAY + 1) - 1_000
    assert clock.today() == DAY
    host_ms[0] += 1_000
    assert clock.today() == DAY + 1
