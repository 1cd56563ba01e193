"""What is told of rejected ticks: a hundred of a cause whole, the others as a count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.collect.buffer.rejection_log import Rejections, Tally

if TYPE_CHECKING:
    from tests.collect.conftest import Journal


def test_a_hundred_of_each_cause_are_told_whole() -> None:
    """One cause does not use up what another may tell."""
    rejections = Rejections(lambda: 0.0)
    assert [rejections.whole("bad_time", 60) for _ in range(3)] == [60, 40, 0]
    assert rejections.whole("conflict", 5) == 5


def test_the_others_are_one_line_a_minute(journal: Journal) -> None:
    """With their number, how many symbols they are of, and which has the most."""
    now_s = [0.0]
    rejections = Rejections(lambda: now_s[0])
    rejections.count("bad_time", ["HK.00700"])
    rejections.count("bad_time", ["HK.00700", "HK.00005", "HK.00700"])
    now_s[0] = 59.9
    rejections.log_due()
    assert len(journal.events("ticks_rejected")) == 1
    now_s[0] = 60.0
    rejections.log_due()
    _, line = journal.events("ticks_rejected")
    assert {name: line.fields[name] for name in ("ticks", "symbols", "most")} == {
        "ticks": "3",
        "symbols": "2",
        "most": "HK.00700:2",
    }


def test_a_tally_names_the_symbol_with_the_most() -> None:
    """Since the start."""
    tally = Tally()
    assert tally.most() == ("", 0)
    tally.add(["HK.00700", "HK.00005", "HK.00700"])
    assert (tally.symbols, tally.most()) == (2, ("HK.00700", 2))
