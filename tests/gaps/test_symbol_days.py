"""Doubts: ticks may be missing, and their number is unknown."""

from __future__ import annotations

from hk_tick_collector import market
from hk_tick_collector.model import GAP_OPEN

from .table import DAY, SYMBOL, TEN_MS, Table, at, heard, odd, row, unknown


def test_without_the_rule_an_interruption_opens_a_doubt() -> None:
    """None without an interruption, one for any number of them; it begins some seconds before the last known tick."""
    table = Table()
    heard(table, 7, 90, 3)
    assert table.open() == []
    table.tracker.interrupt("disconnected")
    table.tracker.interrupt("quote_link_lost")
    (doubt,) = unknown(table)
    assert (doubt.from_seq, doubt.to_seq) == (None, None)
    assert (doubt.from_ts_ms, doubt.cause) == (TEN_MS + 2_000 - 10_000, "disconnected")
    assert doubt.to_ts_ms == market.day_start_ms(DAY + 1) - 1


def test_without_the_rule_the_start_of_the_service_opens_a_doubt() -> None:
    """Ticks may be missing before the first one; several answers, or ticks of the day before, end the doubt."""
    for first, answers in (([], 3), ([row(5, TEN_MS - market.DAY_MS)], 1)):
        table = Table()
        ticks = [odd(number, 1) for number in (70, 20, 90, 10)]
        table.see(*ticks)
        assert table.open() == [(None, "before_start")]
        for _ in range(answers):
            assert table.open() == [(None, "before_start")]
            table.answer(*first, *ticks)
        assert [gap for (day, _), gap in table.rows.items() if day == DAY and gap.status == GAP_OPEN] == []


def test_without_the_rule_dropped_ticks_open_a_doubt() -> None:
    """It ends when an answer reaches back to a tick that was known before them."""
    table = Table()
    ticks = heard(table, 7, 90, 3)
    table.tracker.lose([odd(20, 4), odd(30, 5)])
    assert [gap.cause for gap in unknown(table)] == ["dropped"]
    table.answer(*ticks, odd(20, 4), odd(30, 5))
    assert table.open() == []


def test_stopped_pushes_open_a_doubt_only_without_the_rule() -> None:
    """With the rule the sequence shows which ticks are missing."""
    table = Table()
    table.tracker.end_interruption()
    table.see(at(1), *[row(number, TEN_MS, "HK.00005") for number in (5, 2, 9)])
    for symbol in (SYMBOL, "HK.00005", "HK.99999"):
        table.tracker.doubt(symbol, TEN_MS, "push_lost")
    assert [gap.symbol for gap in unknown(table)] == ["HK.00005"]
