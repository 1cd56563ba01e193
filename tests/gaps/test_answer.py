"""What one answer of OpenD proves."""

from __future__ import annotations

import pytest

from hk_tick_collector import market
from hk_tick_collector.gaps.answer import (
    Answer,
    Part,
    Reach,
    has_all_recent,
    is_whole_day,
    last_fall,
    part_of,
    reach,
    reaches_back,
    steps,
)
from hk_tick_collector.gaps.gap import OpenGap
from hk_tick_collector.gaps.symbol_day import Day, SymbolDay, Unconfirmed

from .table import DAY, TEN_MS, at


def answer(*counters: int, asked: int = 1000, newest_ms: int = 0) -> Answer:
    """One with these ticks."""
    return Answer(
        [(at(counter)[1], at(counter)[2]) for counter in counters], asked, full=False, newest_ms=newest_ms, now_s=1.0
    )


def test_an_answer_without_the_newest_known_tick_is_not_fresh() -> None:
    """OpenD's answers may be three seconds behind its pushes, not more."""
    assert answer(1, 2, newest_ms=TEN_MS + 3_000).is_fresh
    assert not answer(1, 2, newest_ms=TEN_MS + 3_001).is_fresh


def test_only_an_answer_shorter_than_requested_shows_that_opend_has_no_more() -> None:
    """An answer with all requested rows may have left out older ticks."""
    assert [answer(1, 2, asked=asked).complete for asked in (2, 3)] == [False, True]


def test_an_answer_that_lacks_a_stored_tick_does_not_reach_back() -> None:
    """An answer without a stored tick between its first and last tick is not used for gaps."""
    day, track = Day(DAY), SymbolDay("HK.00700", next=6, last_seq=at(5)[1], last_ts_ms=at(5)[2])
    day.keep(track)
    whole, holed = answer(1, 2, 3, 4, 5), answer(1, 2, 4, 5)
    reached = reach(day, track, whole, part_of(whole, DAY))
    assert reached is not None
    assert (reached.low, reached.high) == (1, 5)
    assert reach(day, track, holed, part_of(holed, DAY)) is None


@pytest.mark.parametrize(
    ("counters", "index"),
    [
        ([1, 2, 3, 4, 5, 6], 0),
        ([7, 8, 9, 1, 2, 3], 3),
        ([1, 2, 9, 3, 4, 5], 0),  # a single late report
        ([7, 8, 9, 4, 5, 6, 1, 2, 3], 6),
        ([8, 9, 1, 2], 0),  # too few on either side
    ],
)
def test_the_last_fall_of_the_counter_is_found(counters: list[int], index: int) -> None:
    """Several counters rise, the next one is lower, and they rise again."""
    assert last_fall([at(counter, second)[1] for second, counter in enumerate(counters)]) == index


def ticks(*rows: tuple[int, int], asked: int = 1000, full: bool = False, now_s: float = 1.0) -> Answer:
    """An answer with these sequences and times."""
    return Answer(list(rows), asked, full=full, newest_ms=0, now_s=now_s)


def test_an_answer_is_divided_by_days() -> None:
    """Each part has the ticks of one day, their oldest and newest time, and whether other days are before and after."""
    today = [at(counter, counter)[1:3] for counter in (3, 2, 5)]
    yesterday, tomorrow = at(9, 0, DAY - 1)[1:3], at(1, 0, DAY + 1)[1:3]
    both = ticks(yesterday, *today, (at(4)[1], 0), tomorrow)
    seqs = frozenset(seq for seq, _ in today)
    assert part_of(both, DAY) == Part(seqs, TEN_MS + 2_000, TEN_MS + 5_000, True, True)
    assert part_of(ticks(*today), DAY) == Part(seqs, TEN_MS + 2_000, TEN_MS + 5_000, False, False)
    assert part_of(ticks(*today), DAY + 1) == Part(frozenset(), 0, 0, True, False)
    assert part_of(ticks(*today), DAY - 1) == Part(frozenset(), 0, 0, False, True)
    assert (part_of(both, DAY).lowest_seq, part_of(ticks(), DAY).lowest_seq) == (min(seqs), None)


@pytest.mark.parametrize(("days", "beside"), [(-1, (True, False)), (1, (False, True))])
def test_a_wrong_date_within_an_answer_is_ignored(days: int, beside: tuple[bool, bool]) -> None:
    """If the sequence does not confirm a date, only the first tick can be of an earlier day, and only the last of a
    later one.
    """
    wrong = (at(4)[1], TEN_MS + days * market.DAY_MS)
    ends = {
        place: part_of(ticks(*[wrong if n == place else at(n + 1)[1:3] for n in range(3)]), DAY)[3:]
        for place in range(3)
    }
    end = 0 if days < 0 else 2
    assert ends == {place: beside if place == end else (False, False) for place in range(3)}


def gap(first: int, last: int) -> OpenGap:
    """A gap between these counters."""
    return OpenGap(first, first, last, at(first)[1], at(last)[1], TEN_MS, TEN_MS, "push_lost", TEN_MS)


def test_an_answer_covers_the_counters_between_its_first_and_last() -> None:
    """It covers all from the first counter of the day on if it has ticks of the day before. It contradicts a gap if
    the two neighbours of the gap are adjacent in it.
    """
    day, track = Day(DAY), SymbolDay("HK.00700", next=12, last_seq=at(11)[1], gaps=[gap(4, 5), gap(8, 8)])
    day.keep(track)
    there = answer(3, 6, 7, 9, 10, 11)
    assert reach(day, track, there, part_of(there, DAY)) == Reach(3, 11, 5, 9)
    before = ticks(at(80, 0, DAY - 1)[1:3], *there.ticks)
    reached = reach(day, track, before, part_of(before, DAY))
    assert reached == Reach(0, 11, 5, 9)
    assert reach(day, track, answer(3, 6, 7, 9, 11), part_of(there, DAY)) is None
    assert reach(day, track, ticks(at(80, 0, DAY - 1)[1:3]), part_of(there, DAY)) is None
    reached = Reach(3, 11, 5, 9)
    found = [
        reached.contradicts(each) for each in (gap(3, 5), gap(4, 5), gap(8, 10), gap(8, 11), gap(1, 2), gap(12, 12))
    ]
    assert found == [False, True, True, False, False, False]


def test_ticks_of_no_known_run_are_left_out_of_an_answer() -> None:
    """Ticks before the counter restarted, of another day, after the last known one, strange ones, a counter of 0."""
    day = Day(DAY)
    track = SymbolDay("HK.00700", next=4, run_seq=at(1, 50)[1], last_seq=at(3, 50)[1], strange=[at(2, 60)[1]])
    day.keep(track)
    run = [at(counter, 50)[1:3] for counter in (1, 2, 3)]
    others = [at(2, 49)[1:3], at(3, 50, DAY + 1)[1:3], at(4, 51)[1:3], at(0, 52)[1:3], at(2, 60)[1:3]]
    for other in others:
        there = ticks(*run, other)
        reached = reach(day, track, there, part_of(there, DAY))
        assert reached is not None
        assert reached[1:] == (3, 2, 2), other


def test_for_a_busy_symbol_one_answer_decides() -> None:
    """Its ticks leave OpenD's window within seconds. So one answer with a hundred ticks or more decides about a gap if
    it is full, or if the gap is in its older half and OpenD has no more ticks.
    """
    full, complete = ticks(full=True), ticks(asked=1)
    large, small = Reach(1, 200, 100, 90), Reach(1, 200, 99, 90)
    assert large.is_last_word(gap(89, 89), full)
    assert large.is_last_word(gap(150, 150), full)
    assert large.is_last_word(gap(89, 89), complete)
    assert not large.is_last_word(gap(90, 90), complete)
    assert not large.is_last_word(gap(89, 89), ticks(asked=0))
    assert not small.is_last_word(gap(89, 89), full)


@pytest.mark.parametrize(("wrong", "pairs", "ends"), [(5, 50, True), (4, 5, False), (5, 51, False), (6, 60, True)])
def test_many_gaps_contradicted_at_once_end_the_rule(wrong: int, pairs: int, *, ends: bool) -> None:
    """At least five, and one in ten pairs of neighbours; each for the second time."""
    gaps = [gap(counter, counter) for counter in range(2, 2 + 2 * wrong, 2)]
    first = steps(Reach(0, 99, pairs, 50), gaps)
    for each in gaps:
        each.contradicted_s = 0.0
    assert (first, steps(Reach(0, 99, pairs, 50), gaps)) == (False, ends)


def test_ticks_of_the_day_before_show_that_an_answer_has_the_whole_day() -> None:
    """Already with one answer. An answer that begins within the day, or for few rows, does not show how it began."""
    track = SymbolDay("HK.00700")
    today = [at(counter, counter)[1:3] for counter in (3, 4, 5)]
    before = ticks(at(80, 0, DAY - 1)[1:3], *today, asked=4)
    assert is_whole_day(track, part_of(before, DAY), before)
    for _ in range(9):
        short = ticks(*today, asked=3, now_s=100.0 * _)
        assert not is_whole_day(track, part_of(short, DAY), short)


@pytest.mark.parametrize(
    ("times_s", "whole"),
    [
        ([0.0, 10.0, 20.0], [False, False, True]),
        ([0.0, 10.0, 19.9], [False, False, False]),
        ([0.0, 20.0], [False, False]),
        ([0.0, 10.0, 15.0, 20.0], [False, False, False, True]),
    ],
)
def test_three_answers_in_twenty_seconds_show_that_opend_has_no_more(times_s: list[float], whole: list[bool]) -> None:
    """With the same oldest tick: right after a reconnect OpenD may answer with only a few ticks."""
    track = SymbolDay("HK.00700")
    answers = [ticks(*[at(counter, counter)[1:3] for counter in (3, 4)], now_s=at_s) for at_s in times_s]
    assert [is_whole_day(track, part_of(each, DAY), each) for each in answers] == whole


def test_an_answer_that_grows_from_the_same_oldest_tick_is_the_whole_day() -> None:
    """After two seconds. An answer that begins with another tick, or that is cut short, restarts the count."""
    track = SymbolDay("HK.00700")

    def said(first: int, last: int, now_s: float, asked: int = 1000) -> bool:
        there = ticks(*[at(n, n)[1:3] for n in range(first, last + 1)], asked=asked, now_s=now_s)
        return is_whole_day(track, part_of(there, DAY), there)

    assert not said(3, 4, 0.0)
    assert not said(3, 5, 1.9)
    assert said(3, 5, 2.0)
    assert not said(2, 5, 3.0)
    assert not said(2, 4, 9.0, asked=3)
    assert not said(2, 6, 9.5)
    assert not said(2, 7, 11.4)
    assert said(2, 7, 11.5)


def test_without_the_rule_an_answer_must_have_every_known_tick_of_its_time() -> None:
    """Ticks of its first second and of its last three may be in any order. An answer with a few ticks proves nothing,
    unless no more are known.
    """
    track = SymbolDay("HK.00700", next=-1)
    known = [(number, TEN_MS + number * 1000) for number in range(1, 201)]
    assert has_all_recent(track, part_of(ticks(), DAY), ticks())
    for seq, ts_ms in known:
        track.remember(seq, ts_ms)

    def has_all(*rows: tuple[int, int], asked: int = 1000) -> bool:
        there = ticks(*rows, asked=asked)
        return has_all_recent(track, part_of(there, DAY), there)

    assert has_all(*known)
    assert has_all(*known[-100:])
    assert not has_all(*known[-99:])
    assert has_all(*known[-99:], asked=99)
    assert not has_all(*known[50:100], *known[101:])
    assert has_all(known[0], *known[2:]), "its first second"
    assert not has_all(*known[:2], *known[3:])
    assert has_all(*known[:197], known[199])
    assert not has_all(*known[:195], *known[196:])


def test_an_answer_reaches_back_if_it_has_a_tick_from_before_the_interruption() -> None:
    """The tick must be of this day, not after the last known one, with a known counter, and not a strange one."""
    day = Day(DAY)
    track = SymbolDay("HK.00700", next=9, strange=[at(3, 3)[1]])
    before = Unconfirmed(6, at(5, 5)[1], at(5, 5)[2], "disconnected")
    seqs = {
        "known": at(5, 5)[1],
        "oldest": day.start_s << 32 | 1,
        "later": at(5, 6)[1],
        "higher": at(6, 4)[1],
        "strange": at(3, 3)[1],
        "zero": at(0, 4)[1],
        "yesterday": (day.start_s - 1) << 32 | 2,
    }
    found = {name: reaches_back(track, day, ticks((seq, TEN_MS)), before) for name, seq in seqs.items()}
    assert [name for name, is_one in found.items() if is_one] == ["known", "oldest"]
    assert reaches_back(track, day, ticks((seqs["later"], TEN_MS), (seqs["known"], TEN_MS)), before)
