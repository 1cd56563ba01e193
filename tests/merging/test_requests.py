"""Who is asked to send again: what is missing, not more often than it can help."""

from __future__ import annotations

from hk_tick_collector.jetstream.message import AgainMessage, SumsMessage
from hk_tick_collector.merging.requests import Requests

DAY = "20261120"


def sums(rows: int = 10) -> SumsMessage:
    return SumsMessage("a", DAY, 1, False, {"HK.00700": (rows, 5), "HK.00005": (1, 1)})


def test_symbols_of_one_day_are_one_request() -> None:
    """Several reasons within a moment do not make several requests."""
    requests = Requests()
    requests.want("a", DAY, ["HK.00700"])
    requests.want("a", DAY, ["HK.00005", "HK.00700"])
    assert list(requests.take_due(0.0)) == [AgainMessage("a", DAY, ("HK.00005", "HK.00700"))]
    assert list(requests.take_due(1000.0)) == []


def test_the_whole_day_includes_its_symbols() -> None:
    """After a loss of unknown extent everything is asked for."""
    requests = Requests()
    requests.want("a", DAY, ["HK.00700"])
    requests.want_all(["a", "b"], [DAY])
    requests.want("b", DAY, ["HK.00700"])
    assert list(requests.take_due(0.0)) == [AgainMessage("a", DAY, ()), AgainMessage("b", DAY, ())]


def test_a_collector_is_asked_for_a_day_once_a_minute() -> None:
    """A request makes it send up to a whole day."""
    requests = Requests()
    requests.want("a", DAY)
    assert len(list(requests.take_due(0.0))) == 1
    requests.want("a", DAY)
    assert list(requests.take_due(59.0)) == []
    assert len(list(requests.take_due(61.0))) == 1


def test_sums_that_stay_unequal_are_told_after_three_requests() -> None:
    """It is asked three times, and then only told, until the collector says other sums or the ticks are there."""
    requests = Requests()
    for minute in range(6):
        for each in requests.to_compare(minute * 61.0) or [sums()]:
            assert not requests.note_sums(each, ["HK.00700"])
        list(requests.take_due(minute * 61.0))
    assert requests.unequal() == {f"{DAY} a": 1}
    assert list(requests.take_due(10_000.0)) == []
    assert not requests.note_sums(sums(11), ["HK.00700"])
    assert requests.unequal() == {}
    assert requests.note_sums(sums(11), [])
    assert requests.to_compare(10_000.0) == []


def test_sums_are_compared_again_after_a_request() -> None:
    """The collector had a minute to answer."""
    requests = Requests()
    requests.note_sums(sums(), ["HK.00700"])
    assert requests.to_compare(0.0) == []
    list(requests.take_due(0.0))
    assert requests.to_compare(30.0) == []
    assert requests.to_compare(61.0) == [sums()]
