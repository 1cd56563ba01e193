"""Who is asked to send again: what is missing, not more often than it can help."""

from __future__ import annotations

from dataclasses import replace

from hk_tick_collector.jetstream.message import AgainMessage, SumsMessage
from hk_tick_collector.merging.requests import Requests
from hk_tick_collector.merging.sums import Lacking

DAY = "20261120"
NOTHING = Lacking([], [])
MISSING = Lacking(["HK.00700"], [])
POSSIBLE = Lacking([], ["HK.00700"])


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
            assert not requests.note_sums(each, MISSING)
        list(requests.take_due(minute * 61.0))
    assert requests.unequal(10_000.0) == {f"{DAY} a": 1}
    assert list(requests.take_due(10_000.0)) == []
    assert not requests.note_sums(sums(11), MISSING)
    assert requests.unequal(10_000.0) == {}
    assert requests.note_sums(sums(11), NOTHING)
    assert requests.to_compare(10_000.0) == []


def test_sums_are_compared_again_after_a_request() -> None:
    """The collector had a minute to answer."""
    requests = Requests()
    requests.note_sums(sums(), MISSING)
    assert requests.to_compare(0.0) == []
    list(requests.take_due(0.0))
    assert requests.to_compare(30.0) == []
    assert requests.to_compare(61.0) == [sums()]


def test_sums_are_compared_once_a_minute_for_ever() -> None:
    """A comparison reads the keys of a whole day, and after three requests nobody asks any more."""
    requests = Requests()
    for minute in range(3):
        requests.note_sums(sums(), MISSING)
        list(requests.take_due(minute * 61.0))
    compared = sum(len(requests.to_compare(200.0 + 2 * step)) for step in range(300))  # ten minutes, every 2 s
    assert compared == 10


def test_a_gap_that_a_collector_cannot_fill_does_not_count_after_its_answer() -> None:
    """The union has more ticks than the collector and still a gap: what it sent again had nothing for it."""
    requests = Requests()
    assert not requests.note_sums(sums(), POSSIBLE, 10)
    (request,) = requests.take_due(0.0)
    assert not requests.note_sums(sums(), POSSIBLE, 11), "not an answer: it was not asked yet"
    requests.note_sent(request, 12)
    assert not requests.note_sums(sums(), POSSIBLE), "compared again, and nothing was read"
    assert requests.note_sums(sums(), POSSIBLE, 13)
    assert requests.to_compare(1000.0) == []


def test_a_request_that_the_engine_lost_has_no_answer() -> None:
    """Sums that a collector says again because of that loss are none; after it the stream may count from one again."""
    requests = Requests()
    requests.note_sums(sums(), POSSIBLE, 10)
    (request,) = requests.take_due(0.0)
    requests.note_sent(request, 12)
    requests.note_lost()
    assert not requests.note_sums(sums(), POSSIBLE, 13), "nobody has read the request"
    (request,) = requests.take_due(61.0)
    requests.note_sent(request, 3)
    assert requests.note_sums(sums(), POSSIBLE, 4)


def test_the_answer_to_another_merge_is_none() -> None:
    """Two merges ask within a minute, for other symbols: the sums after both requests follow what the first one got."""
    requests = Requests()
    requests.note_sums(sums(), POSSIBLE, 10)
    (request,) = requests.take_due(0.0)
    requests.note_sent(request, 12)  # that of the other merge is 11
    assert not requests.note_sums(replace(sums(), answered_before=12), POSSIBLE, 13)
    assert requests.note_sums(replace(sums(), answered_before=13), POSSIBLE, 14)


def test_ticks_that_are_certainly_missing_count_after_an_answer_too() -> None:
    """The engine may have lost the answer as well."""
    requests = Requests()
    requests.note_sums(sums(), MISSING, 10)
    (request,) = requests.take_due(0.0)
    requests.note_sent(request, 12)
    assert not requests.note_sums(sums(), MISSING, 13)


def test_a_possible_gap_alone_is_never_told() -> None:
    """A collector that does not answer is waited for, and nothing shows that a tick is missing."""
    requests = Requests()
    for minute in range(4):
        requests.note_sums(sums(), POSSIBLE, minute)
        list(requests.take_due(minute * 61.0))
    assert requests.unequal(10_000.0) == {}


def test_that_a_sealed_day_lacks_ticks_is_told_once() -> None:
    """Nothing can be added to it: nobody is asked, and it is compared no more. Other sums of it are told again."""
    requests = Requests()
    sealed = MISSING._replace(is_sealed=True)
    for seq in (10, 11):
        assert not requests.note_sums(sums(), sealed, seq)
        assert requests.unequal(0.0) == {f"{DAY} a": 1}
    assert (list(requests.take_due(1000.0)), requests.to_compare(1000.0)) == ([], [])
    assert requests.unequal(899.0) == {f"{DAY} a": 1}
    assert requests.unequal(901.0) == {}
    assert not requests.note_sums(sums(), sealed, 12)
    assert requests.unequal(902.0) == {}
    assert not requests.note_sums(sums(11), sealed, 13)
    assert requests.unequal(903.0) == {f"{DAY} a": 1}
    assert requests.note_sums(sums(11), POSSIBLE._replace(is_sealed=True), 14)
    assert requests.unequal(904.0) == {}


def test_a_day_that_is_sealed_while_its_sums_differ_is_told_no_longer() -> None:
    """It was sealed a week later, without what the collector cannot send any more."""
    requests = Requests()
    for minute in range(3):
        requests.note_sums(sums(), MISSING)
        list(requests.take_due(minute * 61.0))
    assert requests.unequal(1000.0) == {f"{DAY} a": 1}
    (again,) = requests.to_compare(1000.0)
    assert not requests.note_sums(again, MISSING._replace(is_sealed=True))
    assert requests.unequal(1000.0) == {f"{DAY} a": 1}
    assert (requests.to_compare(10_000.0), requests.unequal(10_000.0)) == ([], {})
