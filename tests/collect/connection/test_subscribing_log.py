"""Log lines of subscribing: each refused symbol once, and the progress from time to time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.collect.connection.subscribing_log import SubscribingLog
from hk_tick_collector.collect.opend_state import OpenDState

if TYPE_CHECKING:
    from tests.collect.conftest import Journal


def test_a_refused_symbol_is_logged_once_while_symbols_are_requested(journal: Journal) -> None:
    """It is logged again with the next round if OpenD still refuses it."""
    told = SubscribingLog(3, OpenDState())
    told.begin()
    told.refused({"HK.00001": "Unknown stock"})
    told.refused({"HK.00001": "Unknown stock", "HK.00002": "Unknown stock"})
    assert [event.fields["symbols"] for event in journal.events("symbols_refused")] == ["HK.00001", "HK.00002"]
    told.begin()
    told.refused({"HK.00001": "Unknown stock"})
    assert len(journal.events("symbols_refused")) == 3


def test_many_different_reasons_are_few_lines(journal: Journal) -> None:
    """OpenD's text may differ for each symbol."""
    SubscribingLog(20, OpenDState()).refused({f"HK.{number:05d}": f"words {number * 'x'}" for number in range(20)})
    assert len(journal.events("symbols_refused")) == 6


def test_progress_is_logged_from_time_to_time(journal: Journal) -> None:
    """With the numbers of subscribed, refused and remaining symbols."""
    opend = OpenDState(subscribed=5, refused={"HK.00001": "Unknown stock"})
    told = SubscribingLog(10, opend)
    told.progress()
    told.progress()
    (event,) = journal.events("subscribing")
    assert (event.fields["symbols"], event.fields["refused"], event.fields["left"]) == ("5", "1", "4")


def test_reasons_that_differ_by_numbers_are_one_line(journal: Journal) -> None:
    """A hundred refusals, each with the number of its request: the reason is logged once for all."""
    SubscribingLog(100, OpenDState()).refused({f"HK.{n:05}": f"unknown stock, request {n * 7}" for n in range(1, 101)})
    (event,) = journal.events("symbols_refused")
    assert (event.fields["count"], event.fields["reason"]) == ("100", "unknown stock, request 7")
