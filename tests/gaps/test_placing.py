"""What a tick is: the next one, one that was missing, the first of a new run, or one that breaks the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.gaps.symbol_day import Day, SymbolDay
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, TickRow

from .table import COUNTER, DAY, SYMBOL, TEN_MS, Table, assert_fits, at, odd, row, unknown


def test_the_gap_before_the_first_tick_starts_with_the_day() -> None:
    """It begins with counter 1 in the first second of the Hong Kong day."""
    table = Table()
    table.see(at(4, 7))
    (gap,) = table.rows.values()
    assert (gap.from_seq, gap.to_seq) == (market.day_start_ms(DAY) // 1000 << 32 | 1, at(3, 7)[1])
    assert (gap.from_ts_ms, gap.to_ts_ms, gap.missing) == (market.day_start_ms(DAY), at(4, 7)[2], 3)


def test_the_gap_before_the_first_tick_starts_with_the_day_although_one_tick_is_known() -> None:
    """A file begun anew has one tick of the symbol, and no rule yet: nothing is known of the time before it either.

    Else the gap of unknown size that follows the end of a rule leaves the begin of the day out.
    """

    def load(number: int) -> Day:
        day = Day(number)
        day.keep(SymbolDay(SYMBOL, last_ts_ms=at(5)[2], strange=[at(5)[1]]))
        return day

    table = Table(load)
    table.see(at(9, 30))
    assert table.counters() == [(1, 4), (6, 8)]
    first = min((gap for gap in table.rows.values() if gap.status == GAP_OPEN), key=lambda gap: gap.from_seq or 0)
    assert first.from_ts_ms == market.day_start_ms(DAY)


@given(st.permutations(range(2, 9)), st.integers(0, 7))
def test_a_gap_shrinks_and_splits_as_its_ticks_arrive(order: list[int], filled: int) -> None:
    """Whichever ticks arrive, in any order: one row for each contiguous range, with bounds between neighbours."""
    table = Table()
    table.see(at(1, 1), at(9, 9))
    for counter in order[:filled]:
        table.see(at(counter, counter))
    left = sorted(order[filled:])
    runs = [[n] for n in left if n - 1 not in left]
    for run in runs:
        while run[-1] + 1 in left:
            run.append(run[-1] + 1)
    assert table.counters() == [(run[0], run[-1]) for run in runs]
    for gap in (gap for gap in table.rows.values() if gap.status == GAP_OPEN):
        first, last = (gap.from_seq or 0) & COUNTER, (gap.to_seq or 0) & COUNTER
        assert (gap.from_seq, gap.to_seq) == (at(first, first - 1)[1], at(last, last + 1)[1])
        assert (gap.from_ts_ms, gap.to_ts_ms) == (at(1, first - 1)[2], at(1, last + 1)[2])


def test_a_late_report_leaves_the_bounds_of_a_gap_in_order() -> None:
    """A trade reported late has the next counter and an older second: the rule holds, and bounds are in order."""
    table = Table()
    table.see(at(1, 100), at(2, 40), at(4, 50), at(6, 160))
    assert table.counters() == [(3, 3), (5, 5)]
    assert all((gap.from_seq or 0) <= (gap.to_seq or 0) for gap in table.rows.values())
    table.see(at(3, 45), at(5, 110), at(7, 161))
    assert table.open() == []


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30), st.sampled_from(["see", "lose"]))
def test_sequences_of_another_kind_never_open_a_gap_of_known_size(seqs: list[int], what: str) -> None:
    """For any numbers; no error, and every bound fits into SQLite."""
    table = Table()
    for number, seq in enumerate(seqs):
        if what == "see" or number % 2:
            table.see(odd(seq, number))
        else:
            table.tracker.lose([odd(seq, number)])
        table.tracker.interrupt("disconnected")
    table.take()
    for gap in table.rows.values():
        assert gap.missing is None or (gap.status, gap.missing) == (GAP_HEALED, 0)
        assert_fits(gap)


def test_when_the_rule_breaks_its_gaps_become_one_doubt() -> None:
    """After several ticks of another kind in a row the gaps by the rule become one doubt."""
    table = Table()
    table.see(at(1), at(3), at(7))
    assert table.open() == [(1, "push_lost"), (3, "push_lost")]
    table.see(odd(99, 9), odd(5, 9), odd(70, 10))
    (doubt,) = unknown(table)
    assert (table.open(), doubt.from_ts_ms) == ([(None, "push_lost")], TEN_MS)
    table.see(at(10, 19), at(20, 19))
    assert table.open() == [(None, "push_lost")]


def test_a_counter_that_restarts_starts_a_new_run() -> None:
    """OpenD was restarted: its next ticks count from one, the whole window is requested, and it is reported."""
    table = Table()
    table.see(at(1), at(2), at(3), at(5), at(6))
    table.see(at(1, 60), at(2, 60), at(3, 61), at(5, 62))
    assert table.open() == [(None, "sequence_restarted"), (1, "push_lost"), (1, "push_lost")]
    assert [event[1] for event in table.tracker.known.events] == ["sequence_restarted"]
    everything = [at(1), at(2), at(3), at(4), at(5), at(6), at(1, 60), at(2, 60), at(3, 61), at(4, 61), at(5, 62)]
    table.answer(*everything)
    assert table.open() == []


def test_an_answer_reveals_a_new_run_with_higher_counters() -> None:
    """After an outage the next tick has a higher counter, so the gap seems to have a size. An answer has later ticks
    with lower counters: the counter restarted meanwhile, and the number of missing ticks is unknown.
    """
    table = Table()
    table.see(*[at(counter, 17) for counter in range(1, 97)])
    table.see(at(122, 25), at(123, 25))
    assert table.open() == [(25, "push_lost")]
    window = [at(counter, 20 + counter // 25) for counter in range(82, 124)]
    table.answer(*window)
    assert table.open() == [(None, "sequence_restarted")]
    assert [event[1] for event in table.tracker.known.events] == ["sequence_restarted"]
    (lost,) = table.answer(*window, full=True)
    assert (lost.missing, lost.from_ts_ms, lost.to_ts_ms) == (None, at(96, 17)[2], at(82, 23)[2] + 10_000)


def test_a_tick_of_the_new_run_fills_no_gap_of_the_run_before() -> None:
    """The counter restarted seconds after a gap: an older tick of the new run has the counter of a missing tick."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 21)], *[at(counter, 5) for counter in range(26, 61)])
    assert table.counters() == [(21, 25)]
    table.see(at(40, 15), at(41, 15), at(42, 15))  # the newest ticks come first: the run begins with them
    assert [event[1] for event in table.tracker.known.events] == ["sequence_restarted"]
    table.answer(*[at(counter, 11 + counter // 10) for counter in range(15, 43)], full=True)
    assert (5, "push_lost") in table.open()


def test_a_late_report_after_skipped_counters_leaves_no_false_gap() -> None:
    """A late report after skipped counters is not the next tick when it arrives; the tick after it confirms its place.
    OpenD's answers contradict the gap like any other, so no false gap stays.
    """
    table = Table()
    late = row(at(4091, 30)[1], at(4091, 30)[2] - 300_000)
    ticks = [*[at(counter) for counter in range(1, 30)], late, at(4092, 31), at(4093, 32)]
    table.see(*ticks)
    for _ in range(3):
        table.answer(*ticks)
    assert table.open() == []


@pytest.mark.parametrize(
    "outlier",
    [row(at(6)[1], at(6)[2] - 300_000), row(99, TEN_MS + 6_000), row(at(1)[1] + 900_000)],
    ids=["a late report", "another kind of sequence", "a leap"],
)
def test_one_outlier_affects_no_other_tick(outlier: TickRow) -> None:
    """The ticks after it are placed like those before it, and gaps among them are found."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 6)], outlier)
    table.see(*[at(counter, 20) for counter in range(6 + (outlier[1] == at(6)[1]), 20)])
    assert [gap for gap in table.open() if gap[0] is not None] == []
    table.see(at(22, 30))
    assert (2, "push_lost") in table.open()


@pytest.mark.parametrize("ahead_s", [-200, 40, 200, 590, 3_000])
@pytest.mark.parametrize("counters", [1, 5, 500, 20_000, 60_000])
def test_a_sequence_wrong_in_second_and_counter_affects_no_other_tick(ahead_s: int, counters: int) -> None:
    """Its own time is right. No gap is opened for it, and the next lost ticks are a gap of exact size."""
    table = Table()
    wrong = row(at(6 + counters, 10 + ahead_s)[1], at(1, 10)[2])
    table.see(*[at(counter) for counter in range(1, 6)], wrong, *[at(counter, 12) for counter in (6, 7, 8)])
    assert [gap for gap in table.open() if gap[0] is not None] == []
    table.see(*[at(counter, 30) for counter in (12, 13)])
    assert [gap for gap in table.open() if gap[0] is not None] == [(3, "push_lost")]


def test_late_reports_after_a_loss_are_not_counted_as_lost() -> None:
    """Their own time does not confirm their counters; the next tick does, or the next late report."""
    late = [row(at(counter, 9)[1], at(counter, 9)[2] - 900_000) for counter in (8, 9, 10)]
    for heard in (late[:1], late):
        table = Table()
        table.see(at(1), at(2), *heard)
        table.see(at(7 + len(heard) + 1, 9))
        assert table.counters() == [(3, 7)]
        assert table.tracker.known.symbols_without_rule() == []


def test_a_wrong_date_affects_only_its_own_day_and_no_counter() -> None:
    """A tick dated yesterday whose sequence is in order is in yesterday's file, and no tick of today is missing."""
    table = Table()
    table.see(at(1), at(2))
    table.see(row(at(3)[1], at(3)[2] - market.DAY_MS))
    table.see(at(4), at(6))
    assert table.open() == [(1, "push_lost")]
    marks = [gap for gap in table.rows.values() if gap.cause == "other_day"]
    assert [(gap.from_seq, gap.status, gap.missing) for gap in marks] == [(at(3)[1], GAP_HEALED, 0)]
    assert {day for day, _ in table.rows} == {DAY}


def test_counters_in_steps_end_the_rule() -> None:
    """Two answers of OpenD show it: the gaps are removed, and no false gap opens from then on."""
    table = Table()
    counters = [1, 3, 4, 7, 9, 12, 14, 15, 17]
    table.see(*[at(counter) for counter in counters])
    assert len(table.open()) == 6
    table.answer(*[at(counter) for counter in counters])
    table.answer(*[at(counter) for counter in counters], after_s=0.5)
    assert table.open() == []
    assert table.tracker.known.symbols_without_rule() == [SYMBOL]
    table.see(at(30), at(44))
    assert table.open() == []


@pytest.mark.parametrize("backwards", [False, True])
def test_too_many_gaps_of_a_symbol_become_one_of_unknown_size(backwards: bool) -> None:
    """Only every second counter has a tick: memory is bounded, it is reported once, and the gap stays open."""
    table = Table()
    ticks = [at(2 * number, number // 100) for number in range(1, 8_001)]
    table.see(at(1))
    if backwards:  # the newest arrives first, and one gap is split again and again
        table.see(at(16_001, 100), *reversed(ticks))
    else:
        table.see(*ticks)
    assert len(table.open()) == 1
    assert table.open()[0][0] is None
    assert [event[1] for event in table.tracker.known.events] == ["gaps"]
    track = table.tracker.known.track(SYMBOL)
    assert track is not None
    assert (track.next, track.gaps, len(track.lost)) == (-1, [], 0)
    assert min(gap.from_ts_ms or 0 for gap in table.rows.values() if gap.status == GAP_OPEN) <= TEN_MS
    assert max(gap.to_ts_ms or 0 for gap in table.rows.values() if gap.status == GAP_OPEN) > ticks[-1][2]


def test_the_number_of_gaps_of_all_symbols_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many symbols with some gaps each: those with the most become one of unknown size, the others keep theirs."""
    monkeypatch.setattr("hk_tick_collector.gaps.symbol_days.ASKED_MOST", 1_000)
    table = Table()
    symbols = [f"HK.{number:05d}" for number in range(1, 41)]
    table.see(*[row(at(1)[1], symbol=symbol) for symbol in symbols])
    table.see(row(at(3)[1], symbol="HK.00001"))
    for number in range(2, 360):
        table.see(*[row(at(2 * number, number)[1], symbol=symbol) for symbol in symbols[1:]])
        kept = sum(len(track.gaps) for track in table.tracker.known.tracks())
        assert kept <= 1_000 + 40 * 300
    without = set(table.tracker.known.symbols_without_rule())
    assert without
    assert "HK.00001" not in without
    told = [event[0] for event in table.tracker.known.events]
    assert sorted(told) == sorted(without)
    table.take()
    for symbol in without:
        found = [gap for gap in table.rows.values() if gap.symbol == symbol and gap.status == GAP_OPEN]
        assert [gap.missing for gap in found] == [None]


def test_an_impossible_jump_opens_no_gap() -> None:
    """A million ticks at once, or a counter above that of any symbol in a day."""
    for counter in (1_000_100, 10_000_001, COUNTER, 0):
        table = Table()
        table.see(at(1), row(at(1)[1] & ~COUNTER | counter))
        table.see(at(2), at(3))
        assert [gap for gap in table.open() if gap[0] is not None] == []


def test_after_2038_sequences_are_negative_and_follow_no_rule() -> None:
    """The second then needs the sign bit: ticks are placed by time, without an error."""
    table = Table()
    moment_s = 2**31 + 50_000
    for counter in (1, 2, 5):
        seq = (moment_s << 32 | counter) - 2**64
        table.see(row(seq, moment_s * 1000 + counter))
    table.tracker.interrupt("disconnected")
    assert {gap.missing for gap in unknown(table)} == {None}
    for gap in table.rows.values():
        assert_fits(gap)


def test_a_tick_of_the_year_2090_overflows_nothing() -> None:
    """Then seconds no longer fit into the sequence."""
    table = Table()
    table.see(at(1), row(7, 3_800_000_000_000))
    table.tracker.interrupt("disconnected")
    for gap in table.rows.values():
        assert_fits(gap)
    table.see(at(2))
    track = table.tracker.known.track(SYMBOL)
    assert track is not None
    assert track.patterned


def test_a_jump_that_the_next_tick_confirms_is_a_gap_of_known_size() -> None:
    """The first tick after an impossible jump leaves a doubt; the second one turns it into a gap up to the first."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 10)])
    table.see(at(50_000, 1))
    assert table.open() == [(None, "sequence_restarted")]
    table.see(at(50_001, 1))
    assert table.open() == [(49_990, "push_lost")]
    assert table.counters() == [(10, 49_999)]
    assert table.tracker.known.symbols_without_rule() == []


def test_only_the_first_gap_after_a_start_has_the_start_as_its_cause() -> None:
    """The first tick does not follow the rule, so there is a doubt before it; later gaps are lost pushes."""
    table = Table()
    table.see(odd(5, 1))
    assert table.open() == [(None, "before_start")]
    table.see(at(3, 2), at(4, 2))
    assert sorted(table.open(), key=str) == [(2, "push_lost"), (None, "before_start")]


def test_a_dropped_tick_without_the_rule_opens_a_doubt_without_sequences() -> None:
    """Its sequence has no meaning: the doubt begins ten seconds before its time."""
    table = Table()
    table.tracker.end_interruption()
    table.tracker.lose([odd(70, 1)])
    (doubt,) = unknown(table)
    assert (doubt.from_seq, doubt.to_seq, doubt.from_ts_ms, doubt.cause) == (None, None, TEN_MS - 9_000, "dropped")
