"""Missing ticks by their sequences: exact at any time, with lost, reordered, dropped, rejected ticks and restarts."""

from __future__ import annotations

import math
import random
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.collect.loading.load import load_day
from hk_tick_collector.gaps.answer import Answer
from hk_tick_collector.gaps.symbol_day import CAUSE_RESTART, Day, SymbolDay, Unconfirmed
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, GapChange, Rejected, RuleChange, TickRow
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader, path_of

from .table import COUNTER, DAY, SYMBOL, TEN_MS, Table, at, heard, odd, refused, row

WINDOW: Final = 8  # how far back the OpenD of these tests reaches


# --- a model: any order of events ---


class Made(NamedTuple):
    """A tick that the exchange made."""

    row: TickRow
    storable: bool

    @property
    def day(self) -> int:
        """The Hong Kong day it is of."""
        return market.day_number(self.row[2])

    @property
    def counter(self) -> int:
        """Its number among the ticks of its symbol and day."""
        return self.row[1] & COUNTER


class World:
    """An exchange, a connection that loses ticks, the tracker, and day files; `check` compares all of them."""

    def __init__(self, root: Path, symbols: tuple[str, ...]) -> None:
        self.root = root
        self.symbols = symbols
        self.moment_ms = TEN_MS
        self.made: dict[str, list[Made]] = {symbol: [] for symbol in symbols}
        self.under_way: list[Made] = []
        self.accepted: set[Made] = set()
        self.dropped: set[Made] = set()  # the newest ones seen count, though they are not stored
        self.rejected: set[Made] = set()
        self.uncommitted: list[tuple[list[TickRow], list[GapChange], list[RuleChange]]] = []
        self.committed: tuple[set[Made], ...] = (set(), set(), set())
        self.names: dict[tuple[int, int], str] = {}  # (day, gap id) → the symbol it was given to
        self.table = Table(partial(load_day, root))
        self.days: dict[int, DayFile] = {}

    def make(self, symbol: str, ticks: int, gap_s: int, *, storable: bool = True) -> list[Made]:
        """The exchange makes ticks of a symbol."""
        for _ in range(ticks):
            self.moment_ms += gap_s * 137
            day = market.day_number(self.moment_ms)
            counter = sum(1 for made in self.made[symbol] if made.day == day) + 1
            seq = self.moment_ms // 1000 << 32 | counter
            self.made[symbol].append(Made(row(seq, self.moment_ms, symbol), storable))
        return self.made[symbol][-ticks:]

    def arrive(self, ticks: list[Made], *, room: bool = True) -> None:
        """One chunk arrives; without space its rows are dropped."""
        rows = [made.row for made in ticks if made.storable]
        bad = [made for made in ticks if not made.storable]
        if room:
            self.table.tracker.see(rows)
            self.accepted |= {made for made in ticks if made.storable}
            self.dropped -= self.accepted
        else:
            self.table.tracker.lose(rows)
            self.dropped |= {made for made in ticks if made.storable} - self.accepted
            rows = []
        self.table.tracker.reject([refused(made.row) for made in bad])
        self.rejected |= set(bad)
        self.uncommitted.append((rows, self.table.take(), self.table.tracker.take_rules()))

    def pull(self, symbol: str, rows: int, *, room: bool = True) -> None:
        """OpenD answers with the latest ticks of a symbol, today's and older ones alike."""
        reply = self.made[symbol][-min(rows, WINDOW) :]
        track = self.table.tracker.known.track(symbol)
        newest_ms = track.last_ts_ms if track else 0
        self.arrive(reply, room=room)
        if not room:
            return  # then the answer is not used
        self.table.now_s += 15.0
        ticks = [(made.row[1], made.row[2]) for made in reply]
        answer = Answer(ticks, rows, len(reply) >= WINDOW, newest_ms, self.table.now_s)
        self.table.tracker.answered(symbol, answer)
        self.uncommitted.append(([], self.table.take(), self.table.tracker.take_rules()))

    def commit(self) -> None:
        """The writer stores waiting chunks, each in one transaction for each of its days."""
        for rows, changes, rules in self.uncommitted:
            days = {market.day_number(tick[2]) for tick in rows}
            for day in days | {change.day for change in changes} | {rule.day for rule in rules}:
                batch = Batch(
                    rows=[tick for tick in rows if market.day_number(tick[2]) == day],
                    gaps=[change.gap for change in changes if change.day == day],
                    rules=[rule for rule in rules if rule.day == day],
                )
                self._file(day).write(batch, TEN_MS)
        self.uncommitted.clear()
        self.committed = (set(self.accepted), set(self.dropped), set(self.rejected))

    def restart(self, *, clean: bool) -> None:
        """The service restarts from its day files; without a clean stop uncommitted ticks are lost."""
        if clean:
            self.commit()
        self.uncommitted.clear()
        self.accepted, self.dropped, self.rejected = map(set, self.committed)
        before, self.table = self.table, Table(partial(load_day, self.root))
        self.table.tracker.resume(market.day_number(self.moment_ms))
        for day in self.days:
            with DayReader(path_of(self.root, market.day_name(day))) as reader:
                self.table.rows |= {(day, gap.id): gap for gap in reader.gaps()}
        if clean:
            assert self.table.rows == before.rows
        self.names = {key: gap.symbol for key, gap in self.table.rows.items()}

    def _file(self, day: int) -> DayFile:
        if day not in self.days:
            name = market.day_name(day)
            options = StoreOptions(synchronous="OFF")
            self.days[day] = DayFile(path_of(self.root, name), name, "run", TEN_MS, "test", options)
        return self.days[day]

    def check(self) -> None:
        """The table `gaps` has exactly the missing ticks."""
        for (day, number), gap in self.table.rows.items():
            assert self.names.setdefault((day, number), gap.symbol) == gap.symbol, "an id was used again"
            if gap.status == GAP_HEALED:
                assert (gap.missing, gap.closed_ms is not None) == (0, True)
        for symbol in self.symbols:
            for day in {made.day for made in self.made[symbol]}:
                self._check_day(symbol, day)

    def _check_day(self, symbol: str, day: int) -> None:
        made = [one for one in self.made[symbol] if one.day == day]
        here = set(made)
        accepted, dropped, rejected = self.accepted & here, self.dropped & here, self.rejected & here
        newest = max((one.counter for one in accepted | dropped | rejected), default=0)
        missing = [one for one in made if one.counter <= newest and one not in accepted and one not in rejected]
        gaps = [gap for (of, _), gap in self.table.rows.items() if (of, gap.symbol) == (day, symbol)]
        sized = [gap for gap in gaps if gap.status == GAP_OPEN and gap.missing is not None]
        opened = sorted(sized, key=lambda gap: gap.from_seq or 0)
        bounds = [(gap.from_seq or 0, gap.to_seq or 0) for gap in opened]

        def inside(one: Made) -> list[int]:
            return [n for n, (low, high) in enumerate(bounds) if low <= one.row[1] <= high]

        for one in missing:
            assert len(inside(one)) == 1, (one, bounds)
        for one in accepted | rejected:
            assert inside(one) == [], (one, bounds)
        assert [gap.missing for gap in opened] == [sum(n in inside(one) for one in missing) for n in range(len(opened))]
        assert all(gap.missing for gap in opened)
        for (_, high), (low, _) in pairwise(bounds):
            assert high < low
            assert (high & COUNTER) + 1 < low & COUNTER, "two rows for one gap"
        marks = sorted(gap.from_seq or 0 for gap in gaps if gap.cause == "rejected")
        assert marks == sorted(one.row[1] for one in rejected)


SYMBOLS: Final = ("HK.00700", "HK.09988")
symbols = st.sampled_from(SYMBOLS)
orders = st.randoms(use_true_random=False)
fates = st.lists(st.sampled_from("sslw"), min_size=1, max_size=12).map("".join)  # seen, lost, or still on its way
FLOW: Final = st.tuples(st.just("flow"), symbols, fates, st.integers(0, 9), st.booleans())
STEPS: Final = st.one_of(
    FLOW,
    FLOW,
    st.tuples(st.just("bad_flow"), symbols, fates.map(lambda fate: fate[:2]), st.just(1), st.booleans()),
    st.tuples(st.just("late"), st.integers(1, 9), orders),
    st.tuples(st.just("again"), st.integers(1, 5), orders),
    st.tuples(st.just("pull"), symbols, st.integers(1, WINDOW), st.sampled_from([True, True, True, False])),
    st.sampled_from([("commit",), ("restart", True), ("restart", False), ("interrupt",), ("settle",), ("next_day",)]),
)


def play(world: World, step: tuple[object, ...]) -> None:
    """One event."""
    match step:
        case ("flow" | "bad_flow" as what, str(symbol), str(fate), int(gap_s), bool(in_order)):
            made = world.make(symbol, len(fate), gap_s, storable=what == "flow")
            chunk = [one for one, letter in zip(made, fate, strict=True) if letter == "s"]
            world.under_way += [one for one, letter in zip(made, fate, strict=True) if letter == "w"]
            world.arrive(chunk if in_order else chunk[::-1], room=len(fate) < 10)
        case ("late", int(ticks), random.Random() as order):
            order.shuffle(world.under_way)
            chunk, world.under_way = world.under_way[:ticks], world.under_way[ticks:]
            world.arrive(chunk)
        case ("again", int(ticks), random.Random() as order):
            known = sorted(world.accepted | world.rejected | world.dropped)
            world.arrive([order.choice(known) for _ in range(ticks)] if known else [])
        case ("pull", str(symbol), int(ticks), bool(room)):
            world.pull(symbol, ticks, room=room)
        case ("commit",):
            world.commit()
        case ("restart", bool(clean)):
            world.restart(clean=clean)
        case ("interrupt",):
            world.table.tracker.interrupt("disconnected")
        case ("settle",):
            world.table.tracker.end_interruption()
        case ("next_day",):
            world.moment_ms = market.day_start_ms(market.day_number(world.moment_ms) + 1)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_open_gaps_are_exactly_what_is_missing(steps: list[tuple[object, ...]]) -> None:
    """After every chunk, with any ticks received, lost, dropped, rejected or backfilled, over restarts and days.

    Every missing tick is in exactly one open gap, no stored tick is in any; `missing` is exact; one gap is one row.
    """
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), SYMBOLS)
        try:
            for step in steps:
                play(world, step)
                world.check()
            world.restart(clean=True)
            world.check()
        finally:
            for file in world.days.values():
                file.abandon()


# --- causes ---


def test_a_gap_has_the_interruption_before_it_as_its_cause() -> None:
    """Before the first tick of a day: before_start; after an interruption: its kind; otherwise a lost push."""
    table = Table()
    table.see(at(5), at(6), at(8))
    table.tracker.interrupt("disconnected")
    table.see(at(10))
    table.see(at(12))
    assert table.open() == [(4, "before_start"), (1, "push_lost"), (1, "disconnected"), (1, "push_lost")]


def test_after_an_interruption_has_ended_it_is_no_cause() -> None:
    """Also for a symbol without a tick since then, and for an unknown one."""
    table = Table()
    table.see(at(1))
    table.tracker.interrupt("quote_link_lost")
    table.tracker.end_interruption()
    table.see(at(3), row(at(4)[1], symbol="HK.00005"))
    assert sorted(table.open()) == [(1, "push_lost"), (3, "push_lost")]


def test_a_tick_in_order_ends_the_interruption_of_its_symbol() -> None:
    """A later jump is a lost push, although other symbols have not been checked."""
    table = Table()
    table.see(at(1))
    table.tracker.interrupt("disconnected")
    table.see(at(2), at(4))
    assert table.open() == [(1, "push_lost")]


def test_the_first_of_two_interruptions_counts() -> None:
    """A symbol without a tick between the start and a disconnection misses ticks from before the start."""
    table = Table()
    table.see(row(at(1)[1], symbol="HK.00005"))
    table.tracker.interrupt("disconnected")
    table.tracker.interrupt("quote_link_lost")
    table.see(at(3), row(at(3)[1], symbol="HK.00005"))
    assert sorted(table.open()) == [(1, "disconnected"), (2, "before_start")]


def test_dropped_ticks_are_a_gap_of_that_cause() -> None:
    """With exact bounds, joined to the gap before them, filled when the same ticks arrive again and are accepted."""
    table = Table()
    table.see(at(1))
    table.tracker.lose([at(2, 1), at(3, 1)])
    table.tracker.lose([at(4, 2), at(2, 1), at(1)])  # the last two are known: nothing changes
    assert table.open() == [(3, "dropped")]
    (gap,) = table.rows.values()
    assert (gap.from_seq, gap.to_seq) == (at(2)[1], at(4, 2)[1])
    table.see(at(2, 1), at(3, 1), at(4, 2), at(5, 2))
    assert table.open() == []


# --- ticks that OpenD no longer has ---


def test_lost_gaps_in_opends_window_are_requested_again_on_the_next_connection() -> None:
    """Those among its latest ticks; older ones stay lost."""
    table = Table()
    table.see(at(1), at(3), at(8), at(10))
    table.answer(at(10), full=True)
    assert table.tracker.known.missing(SYMBOL) == 0
    table.tracker.reopen_gaps(SYMBOL, 4)
    assert table.tracker.known.missing(SYMBOL) == 5  # 9, and 4 to 7 for their newest, which is still there


# --- rejected ticks ---


def test_a_rejected_tick_is_not_missing() -> None:
    """It closes its gap and leaves one row of cause rejected, however often it arrives."""
    table = Table()
    table.see(at(1), at(3))
    for _ in range(3):
        table.tracker.reject([refused(at(2)), refused(at(4))])
        assert table.open() == []
    marks = sorted((gap.from_seq, gap.to_seq, gap.missing) for gap in table.rows.values() if gap.cause == "rejected")
    assert marks == [(at(2)[1], at(2)[1], 0), (at(4)[1], at(4)[1], 0)]
    table.see(at(5))
    assert table.open() == []


@given(st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 42 << 32 | 7, at(1)[1] + (3 * 86_400 << 32)]))
def test_a_rejected_tick_without_a_possible_sequence_changes_nothing(seq: int) -> None:
    """Without a sequence, with a random one, or with another time: no gap, no new day."""
    table = Table()
    table.see(at(1))
    table.tracker.reject([Rejected(SYMBOL, seq, "incomplete", "", TEN_MS)])
    assert table.take() == []
    table.see(at(2))
    assert table.rows == {}


@pytest.mark.parametrize(
    ("days", "cause"), [(1, "non_finite"), (1, "future_date"), (2, "future_date"), (2, "bad_time")]
)
def test_a_rejected_tick_starts_no_future_day(days: int, cause: str) -> None:
    """Nothing of that day is stored: it gets no file, no symbol, and no gap before the tick."""
    table = Table()
    table.see(at(1))
    tick = at(5000, day=DAY + days)
    table.tracker.reject([Rejected(SYMBOL, tick[1], cause, "", TEN_MS)])
    assert table.take() == []
    assert table.tracker.open_days() == [DAY]


# --- answers that confirm or contradict ---


def test_ticks_spooled_by_an_earlier_run_count_as_known() -> None:
    """They are replayed after the new connection's first ticks: OpenD's answer need not reach back before them."""
    for patterned in (True, False):
        table = Table()
        make = at if patterned else odd
        table.see(make(1), make(2), make(3))
        if not patterned:
            heard(table, 1, 2, 3)
        table.tracker.interrupt("disconnected")
        table.tracker.resume_receiving()
        table.answer(make(7, 9), full=True, asked=1)  # OpenD's window does not reach back to what the file has
        replayed = [make(counter, 5) for counter in (4, 5, 6)]
        table.see(*replayed)
        table.tracker.recall(replayed)
        for _ in range(3):
            table.answer(make(6, 5), make(7, 9), asked=2)
        assert [gap for gap in table.open() if gap[1] == "disconnected"] == []


# --- days and clocks ---


def test_a_tick_dated_tomorrow_affects_no_symbol_today() -> None:
    """Not even its own: today continues, an interruption is noticed, tomorrow has its own counters."""
    table = Table()
    tomorrow = at(1, 0, DAY + 1)
    table.see(at(1), row(at(1)[1], symbol="HK.00005"), tomorrow)
    table.see(at(2), row(at(2)[1], symbol="HK.00005"))
    track = table.tracker.known.track(SYMBOL)
    assert track is not None
    assert track.last_ts_ms == at(2)[2]
    table.tracker.interrupt("disconnected")
    table.see(at(4))
    table.see(at(3, 0, DAY + 1))
    assert sorted((day, gap.missing, gap.cause) for (day, _), gap in table.rows.items()) == [
        (DAY, 1, "disconnected"),
        (DAY + 1, 1, "push_lost"),
    ]


def test_a_late_tick_of_yesterday_counts_for_yesterday() -> None:
    """It fills yesterday's gap, and today's next tick is in order."""
    table = Table()
    table.see(at(1, 0, DAY - 1), at(3, 0, DAY - 1), at(1))
    assert [(change.day, change.gap.status) for change in table.see(at(2, 0, DAY - 1))] == [(DAY - 1, GAP_HEALED)]
    table.see(at(2))
    assert table.open() == []


def test_a_tick_at_midnight_with_the_second_before_counts_for_the_day_before() -> None:
    """It is stored in the new day's file by its own time: no tick is missing in either day."""
    table = Table()
    midnight_s = market.day_start_ms(DAY + 1) // 1000
    old = [row(midnight_s - 30 + counter << 32 | counter) for counter in range(1, 30)]
    table.see(*old[:20], row(midnight_s - 1 << 32 | 21, midnight_s * 1000))
    table.see(row(midnight_s - 1 << 32 | 22), row(midnight_s << 32 | 1), row(midnight_s + 1 << 32 | 2))
    assert table.open() == []
    # The new day's counter with the second before it is one of the new day.
    table = Table()
    table.see(*old[:20], row(midnight_s - 1 << 32 | 1, midnight_s * 1000), row(midnight_s << 32 | 2))
    assert table.open() == []


def test_each_day_counts_from_one() -> None:
    """Around midnight in Hong Kong, to the millisecond; an answer may hold ticks of both days."""
    midnight_s = market.day_start_ms(DAY + 1) // 1000
    ticks = [
        row(midnight_s - 1 << 32 | 1, midnight_s * 1000 - 1),
        row(midnight_s << 32 | 1, midnight_s * 1000),
        row(midnight_s << 32 | 2, midnight_s * 1000 + 1),
        row(midnight_s - 1 << 32 | 2, midnight_s * 1000 - 1),
    ]
    table = Table()
    table.see(*ticks)
    table.see(*sorted(ticks))
    table.answer(*ticks)
    assert table.rows == {}


@given(st.integers(-3_600_000, 3_600_000))
def test_a_wrong_host_clock_opens_no_gap(offset_ms: int) -> None:
    """Wrong by an hour either way, also around midnight: gaps come from sequences, only `opened_ms` from that clock."""
    table = Table(now_ms=market.day_start_ms(DAY) + offset_ms)
    table.tracker.resume(market.day_number(table.now_ms))
    midnight_s = market.day_start_ms(DAY) // 1000
    table.see(*[row(midnight_s + n << 32 | n + 1) for n in range(5)])
    assert table.rows == {}


def test_a_sealed_day_gets_no_gap() -> None:
    """Nothing can be stored in it: none of its gaps is opened, requested or written."""
    table = Table(lambda number: Day(number, sealed=number < DAY))
    table.see(at(7, 0, DAY - 1), at(1), at(9, 0, DAY - 1))
    table.tracker.lose([at(12, 0, DAY - 1)])
    table.tracker.reject([refused(at(14, 0, DAY - 1))])
    assert table.rows == {}
    assert table.tracker.known.missing(SYMBOL) == 0
    table.see(at(2))
    assert table.rows == {}


def test_finished_days_are_removed_from_memory() -> None:
    """Their gaps are no longer requested, and for a late tick their file is read again."""
    loaded: list[int] = []

    def load(number: int) -> Day:
        loaded.append(number)
        return Day(number, next_gap_id=100)

    table = Table(load)
    table.see(at(3, 0, DAY - 1), row(at(1, 0, DAY - 1)[1], symbol="HK.00005"), at(1))
    table.tracker.take_rules()
    table.tracker.forget_days_before(DAY, 1.0, math.inf)
    table.tracker.forget_days_before(DAY, 2.0, math.inf)
    assert list(table.tracker.known.open_gaps()) == []
    assert [track.symbol for track in table.tracker.known.tracks()] == [SYMBOL]
    table.tracker.interrupt("disconnected")
    table.see(at(5, 0, DAY - 1))
    assert loaded == [DAY - 1, DAY, DAY - 1]
    assert max(number for _, number in table.rows) == 100


def test_a_finished_day_is_kept_until_its_file_has_what_was_seen() -> None:
    """Otherwise its file, read again for a late tick, would lack uncommitted ticks: a false gap."""
    loaded: list[int] = []

    def load(number: int) -> Day:
        loaded.append(number)
        return Day(number)

    table = Table(load)
    table.see(at(1, 0, DAY - 1), at(1))
    table.tracker.take_rules()
    table.tracker.forget_days_before(DAY, 5.0, 4.0)
    table.tracker.forget_days_before(DAY, 6.0, 5.0)  # what was seen at 5.0 s is not committed
    table.see(at(2, 0, DAY - 1), at(3, 0, DAY - 1))
    table.tracker.forget_days_before(DAY, 7.0, 6.5)
    table.tracker.forget_days_before(DAY, 8.0, 7.0)
    table.see(at(4, 0, DAY - 1))
    assert (loaded, table.rows) == ([DAY - 1, DAY], {})
    table.tracker.forget_days_before(DAY, 9.0, 8.9)
    table.tracker.forget_days_before(DAY, 10.0, 9.5)
    table.see(at(5, 0, DAY - 1))
    assert loaded == [DAY - 1, DAY, DAY - 1]


def _read_again(symbols: dict[str, Unconfirmed | None], *, rebuilt: bool = False) -> Table:
    """A table that has seen, forgotten and read again the day before."""
    table = Table(lambda number: None if number < DAY else Day(number))

    def read() -> None:
        day = Day(DAY - 1, next_gap_id=100)
        for symbol, unconfirmed in symbols.items():
            day.keep(SymbolDay(symbol, -1, 0, 99, TEN_MS - market.DAY_MS, interrupted=CAUSE_RESTART))
            day.tracks[symbol].unconfirmed = unconfirmed
        table.tracker.adopt(day)

    table.tracker.open(DAY - 1)
    read()
    table.take()
    table.rows.clear()
    for now_s in (1.0, 2.0):
        table.tracker.forget_days_before(DAY, now_s, math.inf)
    assert table.tracker.known.days == {}
    if rebuilt:
        table.tracker.begin_rebuild(DAY - 1)
    else:
        table.tracker.open(DAY - 1)
    symbols = dict.fromkeys(symbols)
    read()
    table.take()
    return table


def test_a_day_that_is_read_again_was_not_missed_since() -> None:
    """There was no other run in between: no gap is opened for the restart that was not one."""
    assert _read_again({SYMBOL: None}).rows == {}


def test_what_was_not_confirmed_when_a_day_was_forgotten_is_in_doubt_again() -> None:
    """No answer had reached back to what was known at the start of the interruption."""
    table = _read_again({SYMBOL: None, "HK.00005": Unconfirmed(3, 2, TEN_MS, CAUSE_RESTART)})
    assert [gap.symbol for gap in table.rows.values()] == ["HK.00005"]


def test_a_day_whose_file_was_replaced_is_in_doubt_again() -> None:
    """What this run had seen of it is not in the new file."""
    assert [gap.cause for gap in _read_again({SYMBOL: None}, rebuilt=True).rows.values()] == [CAUSE_RESTART]


def test_a_finished_day_is_kept_while_its_file_is_read() -> None:
    """Ticks that arrived meanwhile are placed when it has been read."""
    table = Table(lambda number: None if number < DAY else Day(number))
    table.see(at(1, 0, DAY - 1), at(1))
    for now_s in (5.0, 6.0):
        table.tracker.forget_days_before(DAY, now_s, math.inf)
    table.see(at(2, 0, DAY - 1))
    table.tracker.adopt(Day(DAY - 1))
    assert [(track.symbol, track.next) for track in table.tracker.known.days[DAY - 1].tracks.values()] == [(SYMBOL, 3)]
    table.take()
    assert table.rows == {}


# --- days that are being read, and days whose close was not observed ---


def test_ticks_that_arrive_while_a_day_is_read_are_placed_afterwards() -> None:
    """Stored, dropped and late ticks: none is forgotten, and the gaps of the file keep their ids."""
    days: list[Day | None] = [None]
    table = Table(lambda _: days[0])
    table.see(at(8), at(9))
    table.tracker.lose([at(11)])
    assert table.tracker.is_loading(DAY)
    assert not table.tracker.is_loading(DAY + 1)
    assert table.open() == []
    read = Table()
    read.see(*[at(counter) for counter in (1, 2, 5)])
    day = read.tracker.begin_rebuild(DAY)
    table.tracker.adopt(day)
    assert not table.tracker.is_loading(DAY)
    assert table.counters() == [(6, 7), (10, 11)], "the gap of the file was written by the one who read it"
    assert [(gap.first, gap.last) for _, gap in table.tracker.known.open_gaps()] == [(3, 4), (6, 7), (10, 11)]
    assert len({gap.id for _, gap in table.tracker.known.open_gaps()}) == 3


def test_a_tick_that_is_rejected_while_a_day_is_read_is_marked_afterwards() -> None:
    """It is not stored, so its counter is neither missing nor counted as stored. One that the file has is no news."""
    table = Table(lambda _: None)
    table.tracker.reject([refused(at(2)), refused(at(3)), refused(at(3))])
    table.see(at(4))
    read = Table()
    read.see(at(1), at(2))
    table.tracker.adopt(read.tracker.begin_rebuild(DAY))
    assert table.open() == []
    assert [(gap.from_seq, gap.cause) for gap in table.rows.values()] == [(at(3)[1], "rejected")]
    assert table.tracker.known.days[DAY].tracks[SYMBOL].marks == {3}


def test_ticks_spooled_by_an_earlier_run_count_as_known_though_their_day_is_still_read() -> None:
    """After a crash the spool is replayed at once, before the file of today has been read."""
    for patterned in (True, False):
        make = at if patterned else odd
        table, read = Table(lambda _: None), Table()
        read.see(make(1), make(2), make(3))
        if not patterned:
            heard(read, 1, 2, 3)
        table.tracker.resume(DAY)
        replayed = [make(counter, 5) for counter in range(4, 9)]
        table.see(*replayed)
        table.tracker.recall(replayed)
        day = read.tracker.begin_rebuild(DAY)
        for track in day.tracks.values():
            track.interrupted = CAUSE_RESTART  # as the loader does
        table.tracker.adopt(day)
        table.tracker.resume_receiving()
        for _ in range(3):
            table.answer(make(7, 5), make(8, 5), make(9, 9), full=True, asked=3)
        assert table.open() == []


def test_a_day_that_is_rebuilt_waits_for_its_file() -> None:
    """Its symbols are unknown until it is adopted; other days continue. A day without ticks may be rebuilt too."""
    table = Table()
    table.see(at(1), at(2))
    table.see(row(at(1)[1], symbol="HK.00005"))
    day = table.tracker.begin_rebuild(DAY)
    assert sorted(day.tracks) == ["HK.00005", SYMBOL]
    assert table.tracker.known.track(SYMBOL) is None
    table.see(at(5))
    assert table.open() == []
    table.tracker.adopt(day)
    assert table.open() == [(2, "push_lost")]
    other = table.tracker.begin_rebuild(DAY + 5)
    assert (other.number, other.tracks, table.tracker.is_loading(DAY + 5)) == (DAY + 5, {}, True)


def _day(number: int, *, sealed: bool) -> Day:
    return Day(number, sealed=sealed)


def test_the_end_of_a_day_whose_close_was_not_observed_is_a_doubt() -> None:
    """From the last known tick of each symbol on; the whole day for a symbol without a tick; none if nothing traded,
    and none for a sealed day.
    """
    for sealed in (False, True):
        table = Table(partial(_day, sealed=sealed))
        if not sealed:
            table.see(at(1), at(2, 5))
            table.tracker.end_interruption()
        table.tracker.resume_unfinished(DAY, [SYMBOL, "HK.00005"])
        table.tracker.resume_unfinished(DAY + 1, [SYMBOL])
        table.take()
        found = {gap.symbol: gap for (of, _), gap in table.rows.items() if of == DAY and gap.missing is None}
        assert {of for of, _ in table.rows} <= {DAY}
        if sealed:
            assert found == {}
            continue
        start_ms, end_ms = market.day_start_ms(DAY), market.day_start_ms(DAY + 1) - 1
        assert sorted(found) == ["HK.00005", SYMBOL]
        assert (found[SYMBOL].from_seq, found[SYMBOL].from_ts_ms) == (at(0, 5)[1], at(2, 5)[2])
        whole = found["HK.00005"]
        assert (whole.from_seq, whole.from_ts_ms, whole.cause) == (start_ms // 1000 << 32, start_ms, "restart")
        assert {gap.to_ts_ms for gap in found.values()} == {end_ms}
