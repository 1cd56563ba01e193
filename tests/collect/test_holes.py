"""What is missing, told from sequences: exact at every moment, over losses, disorder, drops, rejections, restarts."""

from __future__ import annotations

import random
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.collect.holes import Holes
from hk_tick_collector.collect.resume import load_day
from hk_tick_collector.collect.track import Day
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange, Rejected, Tick, TickRow
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

DAY: Final = market.parse_day("20261120")
TEN_MS: Final = market.day_start_ms(DAY) + 10 * 3_600_000
SYMBOL: Final = "HK.00700"
WINDOW: Final = 8  # how far back the OpenD of these tests reaches
INT64: Final = range(-(2**63), 2**63)
COUNTER: Final = 0xFFFF_FFFF


def row(seq: int, ts_ms: int | None = None, symbol: str = SYMBOL) -> TickRow:
    """A tick; its time is that of its sequence."""
    ts_ms = (seq >> 32) * 1000 if ts_ms is None else ts_ms
    return Tick(symbol, seq, ts_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + 3)


def at(counter: int, second: int = 0, day: int = DAY) -> TickRow:
    """A tick of the pattern, so many seconds after ten o'clock of a day."""
    moment_s = market.day_start_ms(day) // 1000 + 36_000 + second
    return row(moment_s << 32 | counter)


def refused(tick: TickRow) -> Rejected:
    """The same tick as one that cannot be stored."""
    return Rejected(tick[0], tick[1], "non_finite", "a tick", tick[9])


class Table:
    """Holes as they are, and the table `gaps` as their changes make it."""

    def __init__(self, load: Callable[[int], Day] = Day, now_ms: int = TEN_MS) -> None:
        self.now_ms = now_ms
        self.holes = Holes(load, lambda: self.now_ms)
        self.rows: dict[tuple[int, int], Gap] = {}

    def take(self) -> list[GapChange]:
        """Applies what changed."""
        changes = self.holes.take_changes()
        self.rows.update({(day, gap.id): gap for day, gap in changes})
        return changes

    def see(self, *ticks: TickRow) -> list[GapChange]:
        """One chunk of ticks that are stored."""
        self.holes.see(list(ticks))
        return self.take()

    def open(self) -> list[tuple[int | None, str]]:
        """How many ticks each open gap misses and why, in the order of their places."""
        self.take()
        found = [gap for gap in self.rows.values() if gap.status == GAP_OPEN]
        return [(gap.missing, gap.cause) for gap in sorted(found, key=lambda gap: gap.from_seq or 0)]

    def counters(self) -> list[tuple[int, int]]:
        """The open gaps as first and last counter."""
        self.take()
        found = [gap for gap in self.rows.values() if gap.status == GAP_OPEN]
        return sorted(((gap.from_seq or 0) & COUNTER, (gap.to_seq or 0) & COUNTER) for gap in found)


# --- the model: every order of events ---


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
        """Its place among the ticks of its symbol and day."""
        return self.row[1] & COUNTER


class World:
    """An exchange, a lossy way to us, Holes, and a day file a day; `check` compares all of them."""

    def __init__(self, root: Path, symbols: tuple[str, ...]) -> None:
        self.root = root
        self.symbols = symbols
        self.moment_ms = TEN_MS
        self.made: dict[str, list[Made]] = {symbol: [] for symbol in symbols}
        self.under_way: list[Made] = []
        self.accepted: set[Made] = set()
        self.dropped: set[Made] = set()  # the newest ones seen count, though they are not stored
        self.rejected: set[Made] = set()
        self.uncommitted: list[tuple[list[TickRow], list[GapChange]]] = []
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
        """One chunk reaches us; without room its rows are dropped."""
        rows = [made.row for made in ticks if made.storable]
        bad = [made for made in ticks if not made.storable]
        if room:
            self.table.holes.see(rows)
            self.accepted |= {made for made in ticks if made.storable}
            self.dropped -= self.accepted
        else:
            self.table.holes.lose(rows)
            self.dropped |= {made for made in ticks if made.storable} - self.accepted
            rows = []
        self.table.holes.reject([refused(made.row) for made in bad])
        self.rejected |= set(bad)
        self.uncommitted.append((rows, self.table.take()))

    def pull(self, symbol: str, rows: int, *, room: bool = True) -> None:
        """OpenD answers with the latest ticks of a symbol, today's and older ones alike."""
        reply = self.made[symbol][-min(rows, WINDOW) :]
        self.arrive(reply, room=room)
        lowest = min((made.row[1] for made in reply), default=None)
        complete = len(reply) < rows
        self.table.holes.answered(symbol, lowest, exhausted=complete or rows >= WINDOW, complete=complete)
        self.uncommitted.append(([], self.table.take()))

    def commit(self) -> None:
        """The writer stores what waits, each chunk in one transaction of its day."""
        for rows, changes in self.uncommitted:
            for day in {market.day_number(tick[2]) for tick in rows} | {change.day for change in changes}:
                batch = Batch(
                    rows=[tick for tick in rows if market.day_number(tick[2]) == day],
                    gaps=[change.gap for change in changes if change.day == day],
                )
                self._file(day).write(batch, TEN_MS)
        self.uncommitted.clear()
        self.committed = (set(self.accepted), set(self.dropped), set(self.rejected))

    def restart(self, *, clean: bool) -> None:
        """The service begins anew from its day files; without a clean stop it has lost what was not committed."""
        if clean:
            self.commit()
        self.uncommitted.clear()
        self.accepted, self.dropped, self.rejected = map(set, self.committed)
        before, self.table = self.table, Table(partial(load_day, self.root))
        self.table.holes.resume(market.day_number(self.moment_ms))
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
        """The table `gaps` says exactly what is missing."""
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
        opened = sorted((gap for gap in gaps if gap.status == GAP_OPEN), key=lambda gap: gap.from_seq or 0)
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
            assert (high & COUNTER) + 1 < low & COUNTER, "two rows for one hole"
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
    """One step of a story."""
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
            world.table.holes.interrupt("disconnected")
        case ("settle",):
            world.table.holes.settle()
        case ("next_day",):
            world.moment_ms = market.day_start_ms(market.day_number(world.moment_ms) + 1)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_open_gaps_are_exactly_what_is_missing(steps: list[tuple[object, ...]]) -> None:
    """After every chunk, whatever came, was lost, dropped, rejected or pulled, and over restarts and days.

    Every missing tick lies in exactly one open gap, no stored one in any; `missing` is exact; one hole is one row.
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


def test_a_jump_is_blamed_on_what_interrupted_us() -> None:
    """Before the first tick of a day: before_start; after an interruption: its kind; else it was lost on the way."""
    table = Table()
    table.see(at(5), at(6), at(8))
    table.holes.interrupt("disconnected")
    table.see(at(10))
    table.see(at(12))
    assert table.open() == [(4, "before_start"), (1, "push_lost"), (1, "disconnected"), (1, "push_lost")]


def test_once_settled_nothing_is_blamed_on_the_interruption() -> None:
    """Also for a symbol that has not been heard of since, and for one that nobody knew."""
    table = Table()
    table.see(at(1))
    table.holes.interrupt("quote_link_lost")
    table.holes.settle()
    table.see(at(3), row(at(4)[1], symbol="HK.00005"))
    assert sorted(table.open()) == [(1, "push_lost"), (3, "push_lost")]


def test_a_tick_in_order_ends_the_interruption_of_its_symbol() -> None:
    """What jumps after that was lost on the way, though other symbols have not been looked at."""
    table = Table()
    table.see(at(1))
    table.holes.interrupt("disconnected")
    table.see(at(2), at(4))
    assert table.open() == [(1, "push_lost")]


def test_the_first_of_two_interruptions_counts() -> None:
    """A symbol without a tick between the start and a disconnection misses ticks from before the start."""
    table = Table()
    table.see(row(at(1)[1], symbol="HK.00005"))
    table.holes.interrupt("disconnected")
    table.holes.interrupt("quote_link_lost")
    table.see(at(3), row(at(3)[1], symbol="HK.00005"))
    assert sorted(table.open()) == [(1, "disconnected"), (2, "before_start")]


def test_dropped_ticks_are_a_hole_of_that_cause() -> None:
    """With exact bounds, joined to what they follow, healed when the same ticks come again and find room."""
    table = Table()
    table.see(at(1))
    table.holes.lose([at(2, 1), at(3, 1)])
    table.holes.lose([at(4, 2), at(2, 1), at(1)])  # the last two are known: nothing changes
    assert table.open() == [(3, "dropped")]
    (gap,) = table.rows.values()
    assert (gap.from_seq, gap.to_seq) == (at(2)[1], at(4, 2)[1])
    table.see(at(2, 1), at(3, 1), at(4, 2), at(5, 2))
    assert table.open() == []


# --- bounds ---


def test_the_hole_before_the_first_tick_begins_with_the_day() -> None:
    """From counter 1 in the first second of the Hong Kong day."""
    table = Table()
    table.see(at(4, 7))
    (gap,) = table.rows.values()
    assert (gap.from_seq, gap.to_seq) == (market.day_start_ms(DAY) // 1000 << 32 | 1, at(3, 7)[1])
    assert (gap.from_ts_ms, gap.to_ts_ms, gap.missing) == (market.day_start_ms(DAY), at(4, 7)[2], 3)


@given(st.permutations(range(2, 9)), st.integers(0, 7))
def test_a_hole_shrinks_and_splits_to_what_is_left(order: list[int], filled: int) -> None:
    """Whichever of its ticks come, in whatever order: rows of contiguous counters, bounds between neighbours."""
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


def test_a_report_with_an_older_second_leaves_bounds_in_order() -> None:
    """A trade reported late has the next counter and an older second: the pattern stays, no bound passes the other."""
    table = Table()
    table.see(at(1, 100), at(2, 40), at(4, 50), at(6, 160))
    assert table.counters() == [(3, 3), (5, 5)]
    assert all((gap.from_seq or 0) <= (gap.to_seq or 0) for gap in table.rows.values())
    table.see(at(3, 45), at(5, 110), at(7, 161))
    assert table.open() == []


def test_ticks_out_of_order_within_a_chunk_leave_no_trace() -> None:
    """A hole that opens and closes before anybody could see it is no row of `gaps`."""
    table = Table()
    assert table.see(at(1), at(5), at(3), at(4), at(2)) == []
    assert table.see(at(9), at(7)) != []
    assert table.see(at(8), at(6), at(10)) != []
    assert table.open() == []


# --- what OpenD can give no more ---


@given(st.integers(1, 12))
def test_what_lies_before_the_oldest_tick_that_opend_has_is_lost(oldest: int) -> None:
    """Wherever an answer begins: holes before it are final, those it should have filled get another chance."""
    table = Table()
    table.see(at(1), at(5), at(9), at(12))  # missing 2-4, 6-8, 10-11
    lost = table.holes.answered(SYMBOL, at(oldest)[1], exhausted=True, complete=False)
    assert [(hole.first, hole.last) for hole in lost] == [
        hole for hole in [(2, 4), (6, 8), (10, 11)] if hole[1] < oldest
    ]
    assert table.holes.missing(SYMBOL) == 8 - sum(hole.missing or 0 for hole in lost)
    assert table.counters() == [(2, 4), (6, 8), (10, 11)]


def test_a_tick_that_three_answers_lack_is_not_asked_for_again() -> None:
    """Also with empty answers. A final hole still heals when its tick comes by itself."""
    table = Table()
    table.see(at(1), at(3))
    for _ in range(2):
        assert table.holes.answered(SYMBOL, None, exhausted=True, complete=True) == []
    assert table.holes.answered(SYMBOL, at(1)[1], exhausted=False, complete=False) != []
    assert table.holes.missing(SYMBOL) == 0
    assert table.open() == [(1, "push_lost")]
    table.see(at(2))
    assert table.open() == []


def test_an_answer_that_does_not_reach_back_proves_nothing() -> None:
    """Fewer ticks were asked for than OpenD has: whoever asks more may still heal the hole."""
    table = Table()
    table.see(at(1), at(3), at(9))
    for _ in range(9):
        assert table.holes.answered(SYMBOL, at(9)[1], exhausted=False, complete=False) == []
    assert table.holes.missing(SYMBOL) == 6


def test_holes_in_opends_window_get_another_chance_with_the_next_connection() -> None:
    """Those among its latest ticks; what is older stays lost."""
    table = Table()
    table.see(at(1), at(3), at(8), at(10))
    for _ in range(3):
        table.holes.answered(SYMBOL, None, exhausted=True, complete=True)
    assert table.holes.missing(SYMBOL) == 0
    table.holes.hope(SYMBOL, 4)
    assert table.holes.missing(SYMBOL) == 5  # 9, and 4 to 7 for their newest, which is still there


def test_a_lost_hole_that_grows_stays_one_row_and_has_hope_again() -> None:
    """Dropped ticks behind a hole that was given up: one contiguous hole, one row."""
    table = Table()
    table.see(at(1))
    table.holes.lose([at(2)])
    table.holes.answered(SYMBOL, at(3)[1], exhausted=True, complete=False)
    assert table.holes.missing(SYMBOL) == 0
    table.holes.lose([at(3)])
    assert (table.open(), table.holes.missing(SYMBOL)) == ([(2, "dropped")], 2)


# --- rejected ticks ---


def test_a_rejected_tick_is_not_missing() -> None:
    """It closes its hole and leaves one row of cause rejected, however often it comes."""
    table = Table()
    table.see(at(1), at(3))
    for _ in range(3):
        table.holes.reject([refused(at(2)), refused(at(4))])
        assert table.open() == []
    marks = sorted((gap.from_seq, gap.to_seq, gap.missing) for gap in table.rows.values() if gap.cause == "rejected")
    assert marks == [(at(2)[1], at(2)[1], 0), (at(4)[1], at(4)[1], 0)]
    table.see(at(5))
    assert table.open() == []


@given(st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 42 << 32 | 7, at(1)[1] + (3 * 86_400 << 32)]))
def test_a_rejected_tick_without_a_believable_sequence_changes_nothing(seq: int) -> None:
    """No sequence, garbage, another time: no hole, no new day."""
    table = Table()
    table.see(at(1))
    table.holes.reject([Rejected(SYMBOL, seq, "incomplete", "", TEN_MS)])
    assert table.take() == []
    table.see(at(2))
    assert table.rows == {}


# --- symbols whose sequence tells nothing ---


def unknown(table: Table) -> list[Gap]:
    """The open gaps of unknown size."""
    table.take()
    return [gap for gap in table.rows.values() if gap.status == GAP_OPEN and gap.missing is None]


def odd(number: int, second: int = 0) -> TickRow:
    """A tick whose sequence is only a number that grows."""
    return row(number, TEN_MS + second * 1000)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30), st.sampled_from(["see", "lose"]))
def test_ids_of_another_kind_never_make_a_hole_of_known_size(seqs: list[int], what: str) -> None:
    """Whatever the numbers are; nothing raises, and every bound fits into SQLite."""
    table = Table()
    for number, seq in enumerate(seqs):
        if what == "see" or number % 2:
            table.see(odd(seq, number))
        else:
            table.holes.lose([odd(seq, number)])
        table.holes.interrupt("disconnected")
    table.take()
    for gap in table.rows.values():
        assert gap.missing is None or (gap.status, gap.missing) == (GAP_HEALED, 0)
        assert gap.from_seq in INT64
        assert gap.to_seq in INT64


def test_a_pattern_that_breaks_takes_its_sizes_back() -> None:
    """The holes it seemed to show become one doubt: how many ticks are missing there is not known."""
    table = Table()
    table.see(at(1), at(3), at(7))
    assert table.open() == [(1, "push_lost"), (3, "push_lost")]
    table.see(odd(99, 9))
    (doubt,) = unknown(table)
    assert (table.open(), doubt.from_seq) == ([(None, "push_lost")], at(2)[1])
    table.see(at(10, 9), at(20, 9))
    assert table.open() == [(None, "push_lost")]


def test_counters_that_begin_anew_are_no_pattern() -> None:
    """A number for every second looks right at first: an old counter in a much newer second gives it away."""
    table = Table()
    table.see(at(1, 0), at(2, 0), at(3, 0), at(1, 30), at(7, 40))
    track = table.holes.track(SYMBOL)
    assert track is not None
    assert not track.patterned
    assert table.open() == []


def test_a_jump_beyond_belief_is_no_hole() -> None:
    """A million ticks at once, or a counter beyond what any symbol has in a day."""
    for counter in (1_000_100, 10_000_001, COUNTER, 0):
        table = Table()
        table.see(at(1), row(at(1)[1] & ~COUNTER | counter))
        table.see(at(500))
        assert table.open() == []


def test_without_the_pattern_an_interruption_is_a_doubt() -> None:
    """Not while all is well, one for any number of interruptions, from the last known tick on."""
    table = Table()
    table.holes.settle()
    table.see(odd(7), odd(90, 1))
    assert table.open() == []
    table.holes.interrupt("disconnected")
    table.holes.interrupt("quote_link_lost")
    (doubt,) = unknown(table)
    assert (doubt.from_seq, doubt.from_ts_ms, doubt.cause) == (91, TEN_MS + 1000, "disconnected")


def test_without_the_pattern_the_start_of_the_service_is_a_doubt() -> None:
    """Nobody knows what came before the first tick; an answer that is all OpenD has tells it."""
    table = Table()
    table.see(odd(7))
    assert table.open() == [(None, "before_start")]
    assert table.holes.answered(SYMBOL, 3, exhausted=True, complete=True) == []
    assert table.open() == []


@pytest.mark.parametrize(
    ("lowest", "exhausted", "complete", "left"),
    [
        (90, True, False, []),  # a known tick is in the answer
        (91, True, False, []),  # it begins with the very next one
        (60, False, False, []),  # a smaller request reached far enough
        (95, True, False, [(91, 94, True)]),  # all that OpenD has begins later
        (95, True, True, [(91, 94, True)]),  # fewer than asked, and yet not what it gave us before: it has forgotten
        (95, False, False, [(91, 2**63 - 1, False)]),  # ask for more
        (None, True, True, [(91, 2**63 - 1, False)]),  # an empty answer proves nothing the first time
    ],
)
def test_an_answer_heals_a_doubt_when_it_reaches_what_was_known(
    lowest: int | None, exhausted: bool, complete: bool, left: list[tuple[int, int, bool]]
) -> None:
    """Otherwise it is final, with the stretch that stays unknown, once OpenD has no more to give."""
    table = Table()
    table.holes.settle()
    table.see(odd(7), odd(90, 1))
    table.holes.interrupt("disconnected")
    table.holes.listen()
    table.see(odd(99, 9))
    lost = table.holes.answered(SYMBOL, lowest, exhausted=exhausted, complete=complete)
    assert [(gap.from_seq, gap.to_seq, bool(lost)) for gap in unknown(table)] == left


def test_a_doubt_ends_after_three_empty_answers() -> None:
    """OpenD knows nothing of the symbol: nothing more is asked, and the row stays open."""
    table = Table()
    table.see(odd(7))
    for _ in range(3):
        assert table.holes.missing(SYMBOL) == 1
        table.holes.answered(SYMBOL, None, exhausted=True, complete=True)
    assert table.holes.missing(SYMBOL) == 0
    assert [(gap.from_seq or 0) <= (gap.to_seq or 0) < 2**63 - 1 for gap in unknown(table)] == [True]


def test_an_answer_during_the_trouble_says_nothing_of_a_doubt() -> None:
    """OpenD without its own link has what we have: only once it hears again an answer tells."""
    table = Table()
    table.holes.settle()
    table.see(odd(7))
    table.holes.interrupt("quote_link_lost")
    assert table.holes.answered(SYMBOL, 7, exhausted=True, complete=False) == []
    assert len(unknown(table)) == 1
    table.holes.listen()
    table.holes.answered(SYMBOL, 7, exhausted=True, complete=False)
    assert table.open() == []


def test_a_doubt_of_yesterday_ends_too() -> None:
    """Today's answers decide it: they reach back to yesterday's last known tick, or they never will."""
    for lowest, left in ((7, 0), (50, 2)):
        table = Table()
        table.holes.settle()
        table.see(odd(7))
        table.holes.interrupt("disconnected")
        table.holes.listen()
        table.see(row(60, TEN_MS + market.DAY_MS))
        assert table.holes.missing(SYMBOL) == 2  # the end of yesterday, and the beginning of today
        table.holes.answered(SYMBOL, lowest, exhausted=True, complete=False)
        assert (len(unknown(table)), table.holes.missing(SYMBOL)) == (left, 0)


def test_a_doubt_after_a_final_one_is_a_row_of_its_own() -> None:
    """They follow each other and never overlap."""
    table = Table()
    table.holes.settle()
    table.see(odd(7))
    for number in (100, 200):
        table.holes.interrupt("disconnected")
        table.holes.listen()
        table.see(odd(number))
        table.holes.answered(SYMBOL, number - 20, exhausted=True, complete=False)
    assert sorted((gap.from_seq, gap.to_seq) for gap in unknown(table)) == [(8, 79), (101, 179)]


def test_dropped_ticks_without_the_pattern_are_a_doubt() -> None:
    """It begins with the first of them and heals when an answer holds that one."""
    table = Table()
    table.holes.settle()
    table.see(odd(7))
    table.holes.lose([odd(20, 1), odd(30, 2)])
    assert [(gap.from_seq, gap.cause) for gap in unknown(table)] == [(20, "dropped")]
    table.holes.answered(SYMBOL, 20, exhausted=False, complete=False)
    assert table.open() == []


def test_what_an_audit_misses_is_a_doubt_only_without_the_pattern() -> None:
    """Where the sequence tells what is missing, no guess is needed."""
    table = Table()
    table.holes.settle()
    table.see(at(1), row(5, TEN_MS, "HK.00005"))
    for symbol in (SYMBOL, "HK.00005", "HK.99999"):
        table.holes.doubt(symbol, 6, TEN_MS, "push_lost")
    assert [(gap.symbol, gap.from_seq) for gap in unknown(table)] == [("HK.00005", 6)]


# --- days and clocks ---


def test_a_tick_of_tomorrow_leads_nobody_astray() -> None:
    """Not its own symbol either: today goes on, an interruption is noticed, tomorrow has its own counters."""
    table = Table()
    tomorrow = at(1, 0, DAY + 1)
    table.see(at(1), row(at(1)[1], symbol="HK.00005"), tomorrow)
    table.see(at(2), row(at(2)[1], symbol="HK.00005"))
    track = table.holes.track(SYMBOL)
    assert track is not None
    assert track.last_ts_ms == at(2)[2]
    table.holes.interrupt("disconnected")
    table.see(at(4))
    table.see(at(3, 0, DAY + 1))
    assert sorted((day, gap.missing, gap.cause) for (day, _), gap in table.rows.items()) == [
        (DAY, 1, "disconnected"),
        (DAY + 1, 1, "push_lost"),
    ]


def test_an_unbelievable_tick_of_tomorrow_does_not_overflow_anything() -> None:
    """Of the year 2090, where seconds no longer fit into the sequence."""
    table = Table()
    table.see(at(1), row(7, 3_800_000_000_000))
    table.holes.interrupt("disconnected")
    assert all(gap.from_seq in INT64 and gap.to_seq in INT64 for gap in table.rows.values())
    table.see(at(2))
    track = table.holes.track(SYMBOL)
    assert track is not None
    assert track.patterned


def test_beyond_2038_sequences_are_negative_and_no_pattern() -> None:
    """The second needs the sign bit then: ticks are told by time, nothing raises."""
    table = Table()
    moment_s = 2**31 + 50_000
    for counter in (1, 2, 5):
        seq = (moment_s << 32 | counter) - 2**64
        table.see(row(seq, moment_s * 1000 + counter))
    table.holes.interrupt("disconnected")
    assert {gap.missing for gap in unknown(table)} == {None}
    assert all(gap.from_seq in INT64 and gap.to_seq in INT64 for gap in table.rows.values())


def test_a_late_tick_of_yesterday_stays_in_yesterday() -> None:
    """It fills yesterday's hole, and today's next tick is simply the next."""
    table = Table()
    table.see(at(1, 0, DAY - 1), at(3, 0, DAY - 1), at(1))
    assert [(change.day, change.gap.status) for change in table.see(at(2, 0, DAY - 1))] == [(DAY - 1, GAP_HEALED)]
    table.see(at(2))
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
    table.holes.answered(SYMBOL, min(tick[1] for tick in ticks), exhausted=True, complete=True)
    assert table.rows == {}


@given(st.integers(-3_600_000, 3_600_000))
def test_the_hosts_clock_makes_no_gap(offset_ms: int) -> None:
    """Wrong by an hour either way, also around midnight: gaps come from sequences, only `opened_ms` is its business."""
    table = Table(now_ms=market.day_start_ms(DAY) + offset_ms)
    table.holes.resume(market.day_number(table.now_ms))
    midnight_s = market.day_start_ms(DAY) // 1000
    table.see(*[row(midnight_s + n << 32 | n + 1) for n in range(5)])
    assert table.rows == {}


def test_a_sealed_day_is_left_alone() -> None:
    """Nothing can be stored there: no hole of it is opened, asked for, or written."""
    table = Table(lambda number: Day(number, sealed=number < DAY))
    table.see(at(7, 0, DAY - 1), at(1), at(9, 0, DAY - 1))
    table.holes.lose([at(12, 0, DAY - 1)])
    table.holes.reject([refused(at(14, 0, DAY - 1))])
    assert table.rows == {}
    assert table.holes.missing(SYMBOL) == 0
    table.see(at(2))
    assert table.rows == {}


def test_finished_days_are_let_go() -> None:
    """Their holes are asked for no more, and a late tick has their file read again."""
    loaded: list[int] = []

    def load(number: int) -> Day:
        loaded.append(number)
        return Day(number, next_gap_id=100)

    table = Table(load)
    table.see(at(3, 0, DAY - 1), row(at(1, 0, DAY - 1)[1], symbol="HK.00005"), at(1))
    table.holes.forget_days_before(DAY)
    assert list(table.holes.open_holes()) == []
    assert [track.symbol for track in table.holes.tracks()] == [SYMBOL]
    table.holes.interrupt("disconnected")
    table.see(at(5, 0, DAY - 1))
    assert loaded == [DAY - 1, DAY, DAY - 1]
    assert max(number for _, number in table.rows) == 100
