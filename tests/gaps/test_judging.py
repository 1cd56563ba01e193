"""What follows from OpenD's answers: gaps that are lost, false gaps, a rule that breaks."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .table import COUNTER, SYMBOL, TEN_MS, Table, at, heard, odd, refused, unknown

if TYPE_CHECKING:
    from hk_tick_collector.model import TickRow


@given(st.integers(1, 12))
def test_gaps_before_a_full_answer_are_lost(oldest: int) -> None:
    """Wherever the answer begins: gaps before it are lost, those after it stay open."""
    table = Table()
    table.see(at(1), at(5), at(9), at(12))  # missing 2-4, 6-8, 10-11
    known = [at(counter) for counter in (1, 5, 9, 12) if counter >= oldest]
    lost = table.answer(*known, full=True)
    first = min(tick[1] & COUNTER for tick in known)
    assert [(open_gap.first, open_gap.last) for open_gap in lost] == [
        gap for gap in [(2, 4), (6, 8), (10, 11)] if gap[1] < first
    ]
    assert table.tracker.known.missing(SYMBOL) == 8 - sum(open_gap.missing or 0 for open_gap in lost)
    assert table.counters() == [(2, 4), (6, 8), (10, 11)]


@pytest.mark.parametrize(
    "ticks",
    [[], [at(1)], [at(9)], [at(5), at(9)]],
    ids=["nothing", "only old ones", "only the newest", "not all known ones"],
)
def test_an_incomplete_answer_loses_no_gap(ticks: list[TickRow]) -> None:
    """After a reconnect OpenD may return few ticks, old ones or none for a while: the gap stays and is requested again.

    However often that is so.
    """
    table = Table()
    table.see(at(1), at(3), at(5), at(7), at(9, 9))
    for _ in range(20):
        assert table.answer(*ticks) == []
    assert table.tracker.known.missing(SYMBOL) >= 1
    table.answer(*[at(counter) for counter in range(1, 9)], at(9, 9))
    assert table.open() == []


def test_a_gap_whose_neighbours_are_adjacent_in_two_answers_is_removed() -> None:
    """OpenD's answer shows it twice, some seconds apart: no tick was missing, the counter skipped a number. From then
    on the rule does not apply.
    """
    table = Table()
    table.see(*[at(counter) for counter in range(1, 30) if counter != 20])
    answer = [at(counter) for counter in range(15, 30) if counter != 20]
    table.answer(*answer)
    assert table.open() == [(1, "push_lost")]
    table.answer(*answer)
    assert table.open() == []
    assert table.tracker.known.events[0] == (SYMBOL, "contradicted", at(20, 0)[1])
    assert table.tracker.known.symbols_without_rule() == [SYMBOL]
    table.see(at(30), at(32))
    assert table.open() == []


def test_an_answer_that_lacks_stored_ticks_removes_no_gap() -> None:
    """It shows two neighbours as adjacent because it leaves out ticks."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 30) if counter != 20])
    for _ in range(5):
        table.answer(*[at(counter) for counter in range(15, 30) if counter not in (17, 20)])
    assert table.open() == [(1, "push_lost")]


def test_a_rejected_tick_need_not_be_in_an_answer() -> None:
    """OpenD may not keep a tick that it cannot send: its answers are used all the same."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 30) if counter not in (17, 20)])
    table.tracker.reject([refused(at(17))])
    answer = [at(counter) for counter in range(15, 30) if counter not in (17, 20)]
    for _ in range(2):
        table.answer(*answer)
    assert table.open() == []


def test_ticks_that_opend_never_had_are_lost() -> None:
    """OpenD had no connection: the gap keeps its size although the answer shows its neighbours as adjacent."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 10)])
    table.tracker.interrupt("quote_link_lost")
    table.tracker.resume_receiving()
    table.see(*[at(counter) for counter in range(15, 25)])
    answer = [at(counter) for counter in (*range(1, 10), *range(15, 25))]
    assert table.answer(*answer) == []
    assert [open_gap.missing for open_gap in table.answer(*answer)] == [5]
    assert (table.open(), table.tracker.known.missing(SYMBOL)) == ([(5, "quote_link_lost")], 0)


def test_a_day_that_does_not_begin_with_one_has_an_unknown_number_missing() -> None:
    """OpenD's answers repeatedly begin with counter 900: the counter may have begun there, or OpenD was started then.

    The gap stays open, without a size.
    """
    table = Table()
    ticks = [at(counter, counter) for counter in range(900, 905)]
    table.see(*ticks)
    assert table.open() == [(899, "before_start")]
    for _ in range(4):
        table.answer(*ticks)
    assert table.open() == [(None, "before_start")]
    assert table.tracker.known.missing(SYMBOL) == 0
    table.see(at(905, 905), at(907, 907))
    assert table.open() == [(None, "before_start"), (1, "push_lost")]


def test_a_counter_that_begins_at_zero_leaves_no_gap() -> None:
    """Its first tick does not follow the rule, the next ones do: the counter shows that no tick is missing."""
    for settled in (True, False):
        table = Table()
        if settled:
            table.tracker.end_interruption()
        ticks = [at(counter, counter) for counter in range(7)]
        table.see(*ticks[:5])
        table.answer(*ticks[:5])
        assert table.open() == []
        table.see(at(9, 9))
        assert table.open() == [(4, "push_lost")]


def test_an_answer_that_does_not_reach_back_loses_no_gap() -> None:
    """Fewer ticks were requested than OpenD has: a larger request may still fill the gap."""
    table = Table()
    table.see(at(1), at(3), at(9))
    for _ in range(9):
        assert table.answer(at(9), asked=1) == []
    assert table.tracker.known.missing(SYMBOL) == 6


@pytest.mark.parametrize("seed", range(10))
def test_answers_without_half_of_the_ticks_remove_no_gap(seed: int) -> None:
    """No tick was known before the first of them: it has all known ticks, and contradicts a hundred gaps."""
    table, chance = Table(), random.Random(seed)
    table.see(at(201))
    known: set[int] = set()
    for _ in range(5):
        some = sorted(chance.sample(range(1, 201), 100))
        known.update(some)
        table.answer(*[at(counter) for counter in some], at(201), after_s=0.5)
    assert table.tracker.known.symbols_without_rule() == []
    assert table.tracker.known.missing(SYMBOL) == 200 - len(known)


def test_a_counter_that_restarts_outside_the_window_leaves_a_doubt() -> None:
    """A full answer does not reach the run before: the number of ticks missing between the runs is unknown."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 9)])
    table.see(*[at(counter, 60 + counter) for counter in range(4, 8)])
    (lost,) = table.answer(*[at(counter, 60 + counter) for counter in range(3, 8)], full=True)
    assert (lost.missing, lost.cause) == (None, "sequence_restarted")
    assert table.open() == [(None, "sequence_restarted")]


def test_an_answer_that_does_not_reach_the_new_run_ends_no_doubt() -> None:
    """It was requested before the counter restarted, or lacks the newest ticks: it does not cover the new run."""
    table = Table()
    known = [at(counter, counter) for counter in range(1, 17)]
    table.see(*known)
    table.see(at(8, 40))
    table.answer(*known)
    assert table.open() == [(None, "sequence_restarted")]
    table.see(at(9, 41))
    table.answer(*known)
    assert table.open() == [(None, "sequence_restarted")]
    table.answer(*known, at(17, 17), *[at(counter, 30 + counter) for counter in range(1, 8)], at(8, 40), at(9, 41))
    assert table.open() == []


@pytest.mark.parametrize(
    ("numbers", "full", "left"),
    [
        ((500, 3, 400), False, []),  # a known tick is in the answer
        ((500, 3, 400), True, []),
        ((500, 400, 600), True, [True]),  # OpenD's ticks begin later: the number of missing ones is unknown
        ((500, 400, 600), False, [False]),  # few ticks, none of them known: requested again
        ((), False, [False]),
    ],
)
def test_an_answer_ends_a_doubt_when_it_reaches_what_was_known(
    numbers: tuple[int, ...], full: bool, left: list[bool]
) -> None:
    """For any order of the sequences."""
    table = Table()
    known = {tick[1]: tick for tick in heard(table, 7, 90, 3)}
    table.tracker.interrupt("disconnected")
    table.tracker.resume_receiving()
    lost = table.answer(*[known.get(number) or odd(number, 9) for number in numbers], full=full, asked=3)
    assert [bool(lost) for _ in unknown(table)] == left


def test_an_answer_during_an_interruption_ends_no_doubt() -> None:
    """OpenD without its own connection has no newer ticks: only an answer after the interruption counts."""
    table = Table()
    ticks = heard(table, 7, 90, 3)
    table.tracker.interrupt("quote_link_lost")
    assert table.answer(*ticks) == []
    assert len(unknown(table)) == 1
    table.tracker.resume_receiving()
    table.answer(*ticks)
    assert table.open() == []


def test_without_the_rule_answers_must_overlap() -> None:
    """Pushes are lost unnoticed: if an answer does not overlap the one before, there is a doubt, and it is lost."""
    table = Table()
    ticks = heard(table, 7, 90, 3, 44, 21)
    table.answer(*ticks)
    more = [odd(number, 30) for number in (8, 55, 2, 61, 12)]
    assert table.answer(*ticks, *more) == []
    assert table.open() == []
    (lost,) = table.answer(*[odd(number, 90) for number in (101, 33, 250, 77, 160)], full=True, asked=5)
    assert (lost.missing, lost.cause) == (None, "push_lost")
    assert (lost.from_ts_ms, lost.to_ts_ms) == (TEN_MS + 30_000 - 10_000, TEN_MS + 90_000 + 10_000)


def test_after_an_interruption_the_counter_alone_is_no_proof() -> None:
    """The counter restarted during the interruption, and has just reached the next expected number. A full answer that
    does not reach a known tick leaves a doubt, although the counter shows no gap.
    """
    table = Table()
    table.see(at(1), at(2), at(3))
    table.tracker.interrupt("disconnected")
    table.tracker.resume_receiving()
    table.see(at(4, 900), at(5, 900))
    assert table.open() == []
    table.answer(*[at(counter, 900) for counter in range(1, 6)], full=True)
    assert table.open() == [(None, "disconnected")]


def test_an_answer_that_reaches_what_was_known_leaves_no_doubt() -> None:
    """This is the usual case after a reconnect."""
    table = Table()
    table.see(at(1), at(2), at(3))
    table.tracker.interrupt("disconnected")
    table.tracker.resume_receiving()
    table.see(at(6, 9))
    table.answer(at(2), at(3), at(4, 8), at(5, 8), at(6, 9))
    assert table.open() == []
    assert list(table.tracker.known.unconfirmed()) == []


def test_an_answer_that_reaches_nothing_from_before_an_outage_leaves_a_doubt() -> None:
    """The counter continues without a jump, but OpenD has no tick from before: it may have restarted meanwhile.
    Two such answers open a doubt from the second of the last known tick on; a full answer shows that it is lost.
    """
    table = Table()
    table.see(*[at(counter) for counter in range(1, 6)])
    table.tracker.end_interruption()
    table.tracker.interrupt("disconnected")
    table.tracker.resume_receiving()
    answer = [at(6, 60), at(7, 60)]
    table.see(*answer)
    assert (table.answer(*answer), table.open()) == ([], [])
    assert (table.answer(*answer), table.open()) == ([], [(None, "disconnected")])
    (lost,) = table.answer(*answer, full=True)
    (doubt,) = unknown(table)
    assert (doubt.from_seq, doubt.from_ts_ms, doubt.to_ts_ms) == (at(0)[1], at(5)[2], at(6, 60)[2] + 10_000)
    assert lost.final
    assert table.tracker.known.missing(SYMBOL) == 0


@pytest.mark.parametrize("cause", ["push_lost", "disconnected"])
def test_a_counter_that_falls_within_an_answer_ends_the_rule(cause: str) -> None:
    """After an outage or without one: the number of ticks missing since the last known one is then unknown, and the
    doubt ends with the oldest tick of the answer.
    """
    table = Table()
    table.see(*[at(counter) for counter in range(1, 10)])
    table.tracker.end_interruption()
    if cause == "disconnected":
        table.tracker.interrupt(cause)
        table.tracker.resume_receiving()
    newest = [at(counter, 30) for counter in (20, 21, 22, 23)]
    table.see(*newest)
    assert table.open() == [(10, cause)]
    falling = [*[at(counter, 20) for counter in (11, 13, 15)], *[at(counter, 25) for counter in (2, 4, 6)]]
    assert table.answer(*falling, *newest) == []
    assert table.open() == [(None, cause)]
    assert table.tracker.known.symbols_without_rule() == [SYMBOL]
    assert table.tracker.known.events[-1][1] == "restarts"
    (doubt,) = unknown(table)
    assert (doubt.from_seq, doubt.from_ts_ms) == (at(0)[1], at(9)[2])
    assert (doubt.to_seq, doubt.to_ts_ms) == (at(COUNTER, 20)[1], at(11, 20)[2] + 10_000)
