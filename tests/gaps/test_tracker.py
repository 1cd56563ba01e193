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
from hk_tick_collector.collect.loading.load import load_day
from hk_tick_collector.gaps.answer import Answer
from hk_tick_collector.gaps.symbol_day import Day, Recent
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, GapChange, Rejected, RuleChange, Tick, TickRow
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.gaps.gap import OpenGap

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
    """the tracker as they are, and the table `gaps` as their changes make it."""

    def __init__(self, load: Callable[[int], Day] = Day, now_ms: int = TEN_MS) -> None:
        self.now_ms = now_ms
        self.tracker = GapTracker(load, lambda: self.now_ms)
        self.rows: dict[tuple[int, int], Gap] = {}
        self.now_s = 100.0

    def take(self) -> list[GapChange]:
        """Applies what changed."""
        changes = self.tracker.take_changes()
        self.rows.update({(day, gap.id): gap for day, gap in changes})
        return changes

    def see(self, *ticks: TickRow) -> list[GapChange]:
        """One chunk of ticks that are stored."""
        self.tracker.see(list(ticks))
        return self.take()

    def answer(self, *ticks: TickRow, full: bool = False, asked: int = 1000, after_s: float = 15.0) -> list[OpenGap]:
        """OpenD answers with these ticks, which are seen; so long after the answer before."""
        track = self.tracker.track(SYMBOL)
        newest_ms = track.last_ts_ms if track else 0
        self.tracker.see(list(ticks))
        self.now_s += after_s
        pairs = [(tick[1], tick[2]) for tick in ticks]
        lost = self.tracker.answered(SYMBOL, Answer(pairs, asked, full, newest_ms, self.now_s))
        self.take()
        return lost

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
    """An exchange, a lossy way to us, the tracker, and a day file a day; `check` compares all of them."""

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
        """One chunk reaches us; without room its rows are dropped."""
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
        track = self.table.tracker.track(symbol)
        newest_ms = track.last_ts_ms if track else 0
        self.arrive(reply, room=room)
        if not room:
            return  # then the answer says nothing of what OpenD has
        self.table.now_s += 15.0
        ticks = [(made.row[1], made.row[2]) for made in reply]
        answer = Answer(ticks, rows, len(reply) >= WINDOW, newest_ms, self.table.now_s)
        self.table.tracker.answered(symbol, answer)
        self.uncommitted.append(([], self.table.take(), self.table.tracker.take_rules()))

    def commit(self) -> None:
        """The writer stores what waits, each chunk in one transaction of its day."""
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
        """The service begins anew from its day files; without a clean stop it has lost what was not committed."""
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
            world.table.tracker.interrupt("disconnected")
        case ("settle",):
            world.table.tracker.settle()
        case ("next_day",):
            world.moment_ms = market.day_start_ms(market.day_number(world.moment_ms) + 1)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_open_gaps_are_exactly_what_is_missing(steps: list[tuple[object, ...]]) -> None:
    """After every chunk, whatever came, was lost, dropped, rejected or pulled, and over restarts and days.

    Every missing tick lies in exactly one open gap, no stored one in any; `missing` is exact; one gap is one row.
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
    table.tracker.interrupt("disconnected")
    table.see(at(10))
    table.see(at(12))
    assert table.open() == [(4, "before_start"), (1, "push_lost"), (1, "disconnected"), (1, "push_lost")]


def test_once_settled_nothing_is_blamed_on_the_interruption() -> None:
    """Also for a symbol that has not been heard of since, and for one that nobody knew."""
    table = Table()
    table.see(at(1))
    table.tracker.interrupt("quote_link_lost")
    table.tracker.settle()
    table.see(at(3), row(at(4)[1], symbol="HK.00005"))
    assert sorted(table.open()) == [(1, "push_lost"), (3, "push_lost")]


def test_a_tick_in_order_ends_the_interruption_of_its_symbol() -> None:
    """What jumps after that was lost on the way, though other symbols have not been looked at."""
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


def test_dropped_ticks_are_a_hole_of_that_cause() -> None:
    """With exact bounds, joined to what they follow, healed when the same ticks come again and find room."""
    table = Table()
    table.see(at(1))
    table.tracker.lose([at(2, 1), at(3, 1)])
    table.tracker.lose([at(4, 2), at(2, 1), at(1)])  # the last two are known: nothing changes
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
    """A gap that opens and closes before anybody could see it is no row of `gaps`."""
    table = Table()
    assert table.see(at(1), at(5), at(3), at(4), at(2)) == []
    assert table.see(at(9), at(7)) != []
    assert table.see(at(8), at(6), at(10)) != []
    assert table.open() == []


# --- what OpenD can give no more ---


@given(st.integers(1, 12))
def test_what_lies_before_a_full_answer_is_lost(oldest: int) -> None:
    """Wherever it begins: gaps before it are lost, those after it stay open."""
    table = Table()
    table.see(at(1), at(5), at(9), at(12))  # missing 2-4, 6-8, 10-11
    known = [at(counter) for counter in (1, 5, 9, 12) if counter >= oldest]
    lost = table.answer(*known, full=True)
    first = min(tick[1] & COUNTER for tick in known)
    assert [(open_gap.first, open_gap.last) for open_gap in lost] == [
        gap for gap in [(2, 4), (6, 8), (10, 11)] if gap[1] < first
    ]
    assert table.tracker.missing(SYMBOL) == 8 - sum(open_gap.missing or 0 for open_gap in lost)
    assert table.counters() == [(2, 4), (6, 8), (10, 11)]


@pytest.mark.parametrize(
    "ticks",
    [[], [at(1)], [at(9)], [at(5), at(9)]],
    ids=["nothing", "only old ones", "only the newest", "not all that we know"],
)
def test_an_answer_that_is_not_honest_and_full_loses_nothing(ticks: list[TickRow]) -> None:
    """After a reconnect OpenD may give few ticks, old ones or none for a while: the gap stays, and is asked for again.

    However often that is so.
    """
    table = Table()
    table.see(at(1), at(3), at(5), at(7), at(9, 9))
    for _ in range(20):
        assert table.answer(*ticks) == []
    assert table.tracker.missing(SYMBOL) >= 1
    table.answer(*[at(counter) for counter in range(1, 9)], at(9, 9))
    assert table.open() == []


def test_a_gap_whose_neighbours_stand_side_by_side_is_none() -> None:
    """OpenD's answer shows it twice, some seconds apart: no tick was missing, the counter left a number out. From then
    on no number is believed.
    """
    table = Table()
    table.see(*[at(counter) for counter in range(1, 30) if counter != 20])
    answer = [at(counter) for counter in range(15, 30) if counter != 20]
    table.answer(*answer)
    assert table.open() == [(1, "push_lost")]
    table.answer(*answer)
    assert table.open() == []
    assert table.tracker.without_rule() == [SYMBOL]
    table.see(at(30), at(32))
    assert table.open() == []


def test_an_answer_that_lacks_what_we_have_contradicts_nothing() -> None:
    """It shows two neighbours side by side because it leaves out ticks."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 30) if counter != 20])
    for _ in range(5):
        table.answer(*[at(counter) for counter in range(15, 30) if counter not in (17, 20)])
    assert table.open() == [(1, "push_lost")]


def test_a_rejected_tick_need_not_be_in_an_answer() -> None:
    """OpenD may not keep what it cannot send: its answers are honest all the same."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 30) if counter not in (17, 20)])
    table.tracker.reject([refused(at(17))])
    answer = [at(counter) for counter in range(15, 30) if counter not in (17, 20)]
    for _ in range(2):
        table.answer(*answer)
    assert table.open() == []


def test_what_opend_never_had_is_lost() -> None:
    """Its own connection was away: the gap keeps its size although the answer shows nothing between."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 10)])
    table.tracker.interrupt("quote_link_lost")
    table.tracker.listen()
    table.see(*[at(counter) for counter in range(15, 25)])
    answer = [at(counter) for counter in (*range(1, 10), *range(15, 25))]
    assert table.answer(*answer) == []
    assert [open_gap.missing for open_gap in table.answer(*answer)] == [5]
    assert (table.open(), table.tracker.missing(SYMBOL)) == ([(5, "quote_link_lost")], 0)


def test_a_day_that_does_not_begin_with_one_has_an_unknown_number_missing() -> None:
    """OpenD says again and again that it has nothing before counter 900: the counter may have begun there, or OpenD.

    The gap stays open, without a number.
    """
    table = Table()
    ticks = [at(counter, counter) for counter in range(900, 905)]
    table.see(*ticks)
    assert table.open() == [(899, "before_start")]
    for _ in range(4):
        table.answer(*ticks)
    assert table.open() == [(None, "before_start")]
    assert table.tracker.missing(SYMBOL) == 0
    table.see(at(905, 905), at(907, 907))
    assert table.open() == [(None, "before_start"), (1, "push_lost")]


def test_a_counter_that_begins_at_zero_leaves_no_gap() -> None:
    """Its first tick does not follow the rule, which its next ones do: the counter tells that nothing is missing."""
    for settled in (True, False):
        table = Table()
        if settled:
            table.tracker.settle()
        ticks = [at(counter, counter) for counter in range(7)]
        table.see(*ticks[:5])
        table.answer(*ticks[:5])
        assert table.open() == []
        table.see(at(9, 9))
        assert table.open() == [(4, "push_lost")]


def test_an_answer_that_does_not_reach_back_proves_nothing() -> None:
    """Fewer ticks were asked for than OpenD has: whoever asks more may still fill the gap."""
    table = Table()
    table.see(at(1), at(3), at(9))
    for _ in range(9):
        assert table.answer(at(9), asked=1) == []
    assert table.tracker.missing(SYMBOL) == 6


def test_gaps_in_opends_window_get_another_chance_with_the_next_connection() -> None:
    """Those among its latest ticks; what is older stays lost."""
    table = Table()
    table.see(at(1), at(3), at(8), at(10))
    table.answer(at(10), full=True)
    assert table.tracker.missing(SYMBOL) == 0
    table.tracker.hope(SYMBOL, 4)
    assert table.tracker.missing(SYMBOL) == 5  # 9, and 4 to 7 for their newest, which is still there


def test_a_lost_gap_that_grows_stays_one_row_and_has_hope_again() -> None:
    """Dropped ticks behind a gap that is lost: one contiguous gap, one row."""
    table = Table()
    table.see(at(1))
    table.tracker.lose([at(2)])
    table.see(at(3))
    table.answer(at(3), full=True)
    assert table.tracker.missing(SYMBOL) == 0
    table = Table()
    table.see(at(1))
    table.tracker.lose([at(2)])
    table.take()
    (open_gap,) = [open_gap for _, open_gap in table.tracker.open_gaps()]
    table.tracker.give_up(SYMBOL)
    table.tracker.lose([at(3)])
    assert (table.open(), table.tracker.missing(SYMBOL)) == ([(2, "dropped")], 2)
    assert not open_gap.final


def test_a_lost_gap_is_filled_when_its_ticks_come_all_the_same() -> None:
    """From the spool of an earlier run, for example: its row shrinks, splits and closes as any other."""
    table = Table()
    table.see(at(1), at(9))
    table.answer(at(9), full=True)
    assert (table.tracker.missing(SYMBOL), table.counters()) == (0, [(2, 8)])
    table.see(at(5))
    assert table.counters() == [(2, 4), (6, 8)]
    table.see(*[at(counter) for counter in (2, 3, 4, 6, 7, 8)])
    assert table.open() == []


# --- rejected ticks ---


def test_a_rejected_tick_is_not_missing() -> None:
    """It closes its gap and leaves one row of cause rejected, however often it comes."""
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
def test_a_rejected_tick_without_a_believable_sequence_changes_nothing(seq: int) -> None:
    """No sequence, garbage, another time: no gap, no new day."""
    table = Table()
    table.see(at(1))
    table.tracker.reject([Rejected(SYMBOL, seq, "incomplete", "", TEN_MS)])
    assert table.take() == []
    table.see(at(2))
    assert table.rows == {}


@pytest.mark.parametrize(
    ("days", "cause"), [(1, "non_finite"), (1, "future_date"), (2, "future_date"), (2, "bad_time")]
)
def test_a_rejected_tick_begins_no_day_that_is_still_to_come(days: int, cause: str) -> None:
    """Nothing of that day is stored: it gets no file, no symbol, and no gap before the tick."""
    table = Table()
    table.see(at(1))
    tick = at(5000, day=DAY + days)
    table.tracker.reject([Rejected(SYMBOL, tick[1], cause, "", TEN_MS)])
    assert table.take() == []
    assert table.tracker.open_days() == [DAY]


# --- symbols whose sequence tells nothing ---


def unknown(table: Table) -> list[Gap]:
    """The open gaps of unknown size."""
    table.take()
    return [gap for gap in table.rows.values() if gap.status == GAP_OPEN and gap.missing is None]


def assert_fits(gap: Gap) -> None:
    """SQLite can hold its bounds."""
    assert all(bound is None or bound in INT64 for bound in (gap.from_seq, gap.to_seq))


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
            table.tracker.lose([odd(seq, number)])
        table.tracker.interrupt("disconnected")
    table.take()
    for gap in table.rows.values():
        assert gap.missing is None or (gap.status, gap.missing) == (GAP_HEALED, 0)
        assert_fits(gap)


def test_a_rule_that_breaks_takes_its_sizes_back() -> None:
    """Several ticks of another kind in a row: the gaps it seemed to show become one doubt."""
    table = Table()
    table.see(at(1), at(3), at(7))
    assert table.open() == [(1, "push_lost"), (3, "push_lost")]
    table.see(odd(99, 9), odd(5, 9), odd(70, 10))
    (doubt,) = unknown(table)
    assert (table.open(), doubt.from_ts_ms) == ([(None, "push_lost")], TEN_MS)
    table.see(at(10, 19), at(20, 19))
    assert table.open() == [(None, "push_lost")]


def test_a_counter_that_begins_anew_is_a_new_run() -> None:
    """OpenD was restarted: the next of its ticks count from one, the whole window is asked for, and it is told."""
    table = Table()
    table.see(at(1), at(2), at(3), at(5), at(6))
    table.see(at(1, 60), at(2, 60), at(3, 61), at(5, 62))
    assert table.open() == [(None, "sequence_restarted"), (1, "push_lost"), (1, "push_lost")]
    assert [event[1] for event in table.tracker.events] == ["sequence_restarted"]
    everything = [at(1), at(2), at(3), at(4), at(5), at(6), at(1, 60), at(2, 60), at(3, 61), at(4, 61), at(5, 62)]
    table.answer(*everything)
    assert table.open() == []


def test_a_counter_that_begins_anew_beyond_the_window_leaves_a_doubt() -> None:
    """A full answer that does not reach the run before: how many ticks are missing between them is not known."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 9)])
    table.see(*[at(counter, 60 + counter) for counter in range(4, 8)])
    (lost,) = table.answer(*[at(counter, 60 + counter) for counter in range(3, 8)], full=True)
    assert (lost.missing, lost.cause) == (None, "sequence_restarted")
    assert table.open() == [(None, "sequence_restarted")]


def test_a_new_run_that_goes_on_where_the_one_before_ended_is_seen() -> None:
    """An outage, and the next tick has a higher counter: the gap seems to have a size. An answer has ticks of lower
    counters from after its beginning: the counter began anew meanwhile, and how many are missing is not known.
    """
    table = Table()
    table.see(*[at(counter, 17) for counter in range(1, 97)])
    table.see(at(122, 25), at(123, 25))
    assert table.open() == [(25, "push_lost")]
    window = [at(counter, 20 + counter // 25) for counter in range(82, 124)]
    table.answer(*window)
    assert table.open() == [(None, "sequence_restarted")]
    assert [event[1] for event in table.tracker.events] == ["sequence_restarted"]
    (lost,) = table.answer(*window, full=True)
    assert (lost.missing, lost.from_ts_ms, lost.to_ts_ms) == (None, at(96, 17)[2], at(82, 23)[2] + 10_000)


def test_a_tick_of_the_new_run_fills_no_gap_of_the_run_before() -> None:
    """The counter began anew seconds after a gap: an older tick of the new run has the counter of a missing one."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 21)], *[at(counter, 5) for counter in range(26, 61)])
    assert table.counters() == [(21, 25)]
    table.see(at(40, 15), at(41, 15), at(42, 15))  # the newest ticks come first: the run begins with them
    assert [event[1] for event in table.tracker.events] == ["sequence_restarted"]
    table.answer(*[at(counter, 11 + counter // 10) for counter in range(15, 43)], full=True)
    assert (5, "push_lost") in table.open()


def test_a_late_report_behind_a_leap_leaves_answers_honest() -> None:
    """A late report whose counter has leapt is no next tick when it comes, and has its place with the tick after it.
    OpenD's answers contradict the leap as any other: no gap is invented for good.
    """
    table = Table()
    late = row(at(4091, 30)[1], at(4091, 30)[2] - 300_000)
    ticks = [*[at(counter) for counter in range(1, 30)], late, at(4092, 31), at(4093, 32)]
    table.see(*ticks)
    for _ in range(3):
        table.answer(*ticks)
    assert table.open() == []


def test_an_answer_that_does_not_reach_the_new_run_ends_no_doubt() -> None:
    """It was asked for before the counter began anew, or lacks the newest ticks: it says nothing of the new run."""
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
    "outlier",
    [row(at(6)[1], at(6)[2] - 300_000), row(99, TEN_MS + 6_000), row(at(1)[1] + 900_000)],
    ids=["a late report", "another kind of sequence", "a leap"],
)
def test_one_outlier_costs_itself_only(outlier: TickRow) -> None:
    """The ticks after it are judged as those before, and the gaps among them are seen."""
    table = Table()
    table.see(*[at(counter) for counter in range(1, 6)], outlier)
    table.see(*[at(counter, 20) for counter in range(6 + (outlier[1] == at(6)[1]), 20)])
    assert [gap for gap in table.open() if gap[0] is not None] == []
    table.see(at(22, 30))
    assert (2, "push_lost") in table.open()


@pytest.mark.parametrize("ahead_s", [-200, 40, 200, 590, 3_000])
@pytest.mark.parametrize("counters", [1, 5, 500, 20_000, 60_000])
def test_a_sequence_wrong_in_second_and_counter_costs_itself_only(ahead_s: int, counters: int) -> None:
    """Its own time is right. No gap is opened for it, and the next lost ticks are told to the tick."""
    table = Table()
    wrong = row(at(6 + counters, 10 + ahead_s)[1], at(1, 10)[2])
    table.see(*[at(counter) for counter in range(1, 6)], wrong, *[at(counter, 12) for counter in (6, 7, 8)])
    assert [gap for gap in table.open() if gap[0] is not None] == []
    table.see(*[at(counter, 30) for counter in (12, 13)])
    assert [gap for gap in table.open() if gap[0] is not None] == [(3, "push_lost")]


def test_late_reports_behind_a_loss_are_no_part_of_it() -> None:
    """Their own time does not confirm their counters; the tick after them does, or the next late report."""
    late = [row(at(counter, 9)[1], at(counter, 9)[2] - 900_000) for counter in (8, 9, 10)]
    for heard in (late[:1], late):
        table = Table()
        table.see(at(1), at(2), *heard)
        table.see(at(7 + len(heard) + 1, 9))
        assert table.counters() == [(3, 7)]
        assert table.tracker.without_rule() == []


def test_a_wrong_date_affects_only_its_own_day_and_no_counter() -> None:
    """A tick dated yesterday whose sequence is in order: it is in yesterday's file, and today misses nothing."""
    table = Table()
    table.see(at(1), at(2))
    table.see(row(at(3)[1], at(3)[2] - market.DAY_MS))
    table.see(at(4), at(6))
    assert table.open() == [(1, "push_lost")]
    marks = [gap for gap in table.rows.values() if gap.cause == "other_day"]
    assert [(gap.from_seq, gap.status, gap.missing) for gap in marks] == [(at(3)[1], GAP_HEALED, 0)]
    assert {day for day, _ in table.rows} == {DAY}


def test_counters_in_steps_are_no_rule() -> None:
    """Two answers of OpenD's show it: the gaps are taken back, and nothing is invented from then on."""
    table = Table()
    counters = [1, 3, 4, 7, 9, 12, 14, 15, 17]
    table.see(*[at(counter) for counter in counters])
    assert len(table.open()) == 6
    table.answer(*[at(counter) for counter in counters])
    table.answer(*[at(counter) for counter in counters], after_s=0.5)
    assert table.open() == []
    assert table.tracker.without_rule() == [SYMBOL]
    table.see(at(30), at(44))
    assert table.open() == []


@pytest.mark.parametrize("seed", range(10))
def test_answers_that_leave_out_half_of_the_ticks_take_no_gap_back(seed: int) -> None:
    """Nothing was known before the first of them: it has all that we hold, and contradicts a hundred gaps."""
    table, chance = Table(), random.Random(seed)
    table.see(at(201))
    known: set[int] = set()
    for _ in range(5):
        some = sorted(chance.sample(range(1, 201), 100))
        known.update(some)
        table.answer(*[at(counter) for counter in some], at(201), after_s=0.5)
    assert table.tracker.without_rule() == []
    assert table.tracker.missing(SYMBOL) == 200 - len(known)


@pytest.mark.parametrize("backwards", [False, True])
def test_gaps_without_end_become_one_of_unknown_size(backwards: bool) -> None:
    """Every second counter, whatever OpenD means by it: memory has an end, it is told once, and the gap stays open."""
    table = Table()
    ticks = [at(2 * number, number // 100) for number in range(1, 8_001)]
    table.see(at(1))
    if backwards:  # the newest comes first, and one gap is split again and again
        table.see(at(16_001, 100), *reversed(ticks))
    else:
        table.see(*ticks)
    assert len(table.open()) == 1
    assert table.open()[0][0] is None
    assert [event[1] for event in table.tracker.events] == ["gaps"]
    track = table.tracker.track(SYMBOL)
    assert track is not None
    assert (track.next, track.gaps, len(track.lost)) == (-1, [], 0)
    assert min(gap.from_ts_ms or 0 for gap in table.rows.values() if gap.status == GAP_OPEN) <= TEN_MS
    assert max(gap.to_ts_ms or 0 for gap in table.rows.values() if gap.status == GAP_OPEN) > ticks[-1][2]


def test_gaps_of_all_symbols_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many symbols with some gaps each: those with the most become one of unknown size, the others keep theirs."""
    monkeypatch.setattr("hk_tick_collector.gaps.placing.ASKED_MOST", 1_000)
    table = Table()
    symbols = [f"HK.{number:05d}" for number in range(1, 41)]
    table.see(*[row(at(1)[1], symbol=symbol) for symbol in symbols])
    table.see(row(at(3)[1], symbol="HK.00001"))
    for number in range(2, 360):
        table.see(*[row(at(2 * number, number)[1], symbol=symbol) for symbol in symbols[1:]])
        kept = sum(len(track.gaps) for track in table.tracker.tracks())
        assert kept <= 1_000 + 40 * 300
    without = set(table.tracker.without_rule())
    assert without
    assert "HK.00001" not in without
    told = [event[0] for event in table.tracker.events]
    assert sorted(told) == sorted(without)
    table.take()
    for symbol in without:
        found = [gap for gap in table.rows.values() if gap.symbol == symbol and gap.status == GAP_OPEN]
        assert [gap.missing for gap in found] == [None]


def test_a_leap_beyond_belief_is_no_gap() -> None:
    """A million ticks at once, or a counter beyond what any symbol has in a day."""
    for counter in (1_000_100, 10_000_001, COUNTER, 0):
        table = Table()
        table.see(at(1), row(at(1)[1] & ~COUNTER | counter))
        table.see(at(2), at(3))
        assert [gap for gap in table.open() if gap[0] is not None] == []


def heard(table: Table, *numbers: int) -> list[TickRow]:
    """A symbol without the rule that was heard of, a tick a second; all of it is proved by an answer."""
    table.tracker.settle()
    ticks = [odd(number, second) for second, number in enumerate(numbers)]
    table.see(*ticks)
    return ticks


def test_without_the_rule_an_interruption_is_a_doubt() -> None:
    """Not while all is well, one for any number of interruptions, from some seconds before the last known tick on."""
    table = Table()
    heard(table, 7, 90, 3)
    assert table.open() == []
    table.tracker.interrupt("disconnected")
    table.tracker.interrupt("quote_link_lost")
    (doubt,) = unknown(table)
    assert (doubt.from_seq, doubt.to_seq) == (None, None)
    assert (doubt.from_ts_ms, doubt.cause) == (TEN_MS + 2_000 - 10_000, "disconnected")
    assert doubt.to_ts_ms == market.day_start_ms(DAY + 1) - 1


def test_without_the_rule_the_start_of_the_service_is_a_doubt() -> None:
    """Nobody knows what came before the first tick; OpenD says so more than once, or has ticks of the day before."""
    for first, answers in (([], 3), ([row(5, TEN_MS - market.DAY_MS)], 1)):
        table = Table()
        ticks = [odd(number, 1) for number in (70, 20, 90, 10)]
        table.see(*ticks)
        assert table.open() == [(None, "before_start")]
        for _ in range(answers):
            assert table.open() == [(None, "before_start")]
            table.answer(*first, *ticks)
        assert [gap for (day, _), gap in table.rows.items() if day == DAY and gap.status == GAP_OPEN] == []


@pytest.mark.parametrize(
    ("numbers", "full", "left"),
    [
        ((500, 3, 400), False, []),  # a known tick is in the answer
        ((500, 3, 400), True, []),
        ((500, 400, 600), True, [True]),  # all that OpenD has begins later: how many are missing is not known
        ((500, 400, 600), False, [False]),  # few ticks, none of them known: asked for again
        ((), False, [False]),
    ],
)
def test_an_answer_ends_a_doubt_when_it_reaches_what_was_known(
    numbers: tuple[int, ...], full: bool, left: list[bool]
) -> None:
    """Whatever the order of the numbers is."""
    table = Table()
    known = {tick[1]: tick for tick in heard(table, 7, 90, 3)}
    table.tracker.interrupt("disconnected")
    table.tracker.listen()
    lost = table.answer(*[known.get(number) or odd(number, 9) for number in numbers], full=full, asked=3)
    assert [bool(lost) for _ in unknown(table)] == left


def test_ticks_that_are_pulled_again_crowd_out_no_other() -> None:
    """An answer is compared with what is known: with the ticks that OpenD no longer has, too."""
    recent = Recent()
    for number in (*range(405), *(list(range(5, 405)) * 8)):
        recent.add(number, number * 1000)
    assert recent.known() == frozenset(range(405))
    assert recent.until(3000) == {0, 1, 2, 3}


def test_an_answer_during_the_trouble_says_nothing_of_a_doubt() -> None:
    """OpenD without its own connection has what we have: only once it hears again an answer tells."""
    table = Table()
    ticks = heard(table, 7, 90, 3)
    table.tracker.interrupt("quote_link_lost")
    assert table.answer(*ticks) == []
    assert len(unknown(table)) == 1
    table.tracker.listen()
    table.answer(*ticks)
    assert table.open() == []


def test_without_the_rule_answers_must_overlap() -> None:
    """Pushes are lost and nobody notices: an answer that no longer reaches the one before is a doubt, and lost."""
    table = Table()
    ticks = heard(table, 7, 90, 3, 44, 21)
    table.answer(*ticks)
    more = [odd(number, 30) for number in (8, 55, 2, 61, 12)]
    assert table.answer(*ticks, *more) == []
    assert table.open() == []
    (lost,) = table.answer(*[odd(number, 90) for number in (101, 33, 250, 77, 160)], full=True, asked=5)
    assert (lost.missing, lost.cause) == (None, "push_lost")
    assert (lost.from_ts_ms, lost.to_ts_ms) == (TEN_MS + 30_000 - 10_000, TEN_MS + 90_000 + 10_000)


def test_a_doubt_after_a_final_one_is_a_row_of_its_own() -> None:
    """The first is lost; what comes later is judged by itself."""
    table = Table()
    heard(table, 7, 90, 3)
    for start in (100, 200):
        table.tracker.interrupt("disconnected")
        table.tracker.listen()
        later = [odd(start + number, start) for number in (9, 4, 6)]
        table.see(*later)
        table.answer(*later, full=True, asked=3)
    assert [gap.cause for gap in unknown(table)] == ["disconnected", "disconnected"]


def test_dropped_ticks_without_the_rule_are_a_doubt() -> None:
    """It ends when an answer reaches back to what was known before them."""
    table = Table()
    ticks = heard(table, 7, 90, 3)
    table.tracker.lose([odd(20, 4), odd(30, 5)])
    assert [gap.cause for gap in unknown(table)] == ["dropped"]
    table.answer(*ticks, odd(20, 4), odd(30, 5))
    assert table.open() == []


def test_what_a_comparison_misses_is_a_doubt_only_without_the_rule() -> None:
    """Where the sequence tells what is missing, no guess is needed."""
    table = Table()
    table.tracker.settle()
    table.see(at(1), *[row(number, TEN_MS, "HK.00005") for number in (5, 2, 9)])
    for symbol in (SYMBOL, "HK.00005", "HK.99999"):
        table.tracker.doubt(symbol, TEN_MS, "push_lost")
    assert [gap.symbol for gap in unknown(table)] == ["HK.00005"]


# --- the second witness ---


def test_after_an_interruption_the_counter_alone_is_no_proof() -> None:
    """It began anew while nobody heard, and has just reached the number that comes next: a full answer that does not
    reach what was known leaves a doubt although the counter tells of no gap.
    """
    table = Table()
    table.see(at(1), at(2), at(3))
    table.tracker.interrupt("disconnected")
    table.tracker.listen()
    table.see(at(4, 900), at(5, 900))
    assert table.open() == []
    table.answer(*[at(counter, 900) for counter in range(1, 6)], full=True)
    assert table.open() == [(None, "disconnected")]


def test_what_an_earlier_run_had_spooled_was_known() -> None:
    """It is replayed after the new connection's first ticks: OpenD's answer need not reach back before it."""
    for patterned in (True, False):
        table = Table()
        make = at if patterned else odd
        table.see(make(1), make(2), make(3))
        if not patterned:
            heard(table, 1, 2, 3)
        table.tracker.interrupt("disconnected")
        table.tracker.listen()
        table.answer(make(7, 9), full=True, asked=1)  # OpenD's window does not reach back to what the file has
        replayed = [make(counter, 5) for counter in (4, 5, 6)]
        table.see(*replayed)
        table.tracker.recall(replayed)
        for _ in range(3):
            table.answer(make(6, 5), make(7, 9), asked=2)
        assert [gap for gap in table.open() if gap[1] == "disconnected"] == []


def test_an_answer_that_reaches_what_was_known_leaves_no_doubt() -> None:
    """As after nearly every reconnect."""
    table = Table()
    table.see(at(1), at(2), at(3))
    table.tracker.interrupt("disconnected")
    table.tracker.listen()
    table.see(at(6, 9))
    table.answer(at(2), at(3), at(4, 8), at(5, 8), at(6, 9))
    assert table.open() == []
    assert list(table.tracker.unwitnessed()) == []


# --- days and clocks ---


def test_a_tick_of_tomorrow_leads_nobody_astray() -> None:
    """Not its own symbol either: today goes on, an interruption is noticed, tomorrow has its own counters."""
    table = Table()
    tomorrow = at(1, 0, DAY + 1)
    table.see(at(1), row(at(1)[1], symbol="HK.00005"), tomorrow)
    table.see(at(2), row(at(2)[1], symbol="HK.00005"))
    track = table.tracker.track(SYMBOL)
    assert track is not None
    assert track.last_ts_ms == at(2)[2]
    table.tracker.interrupt("disconnected")
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
    table.tracker.interrupt("disconnected")
    for gap in table.rows.values():
        assert_fits(gap)
    table.see(at(2))
    track = table.tracker.track(SYMBOL)
    assert track is not None
    assert track.patterned


def test_beyond_2038_sequences_are_negative_and_no_pattern() -> None:
    """The second needs the sign bit then: ticks are told by time, nothing raises."""
    table = Table()
    moment_s = 2**31 + 50_000
    for counter in (1, 2, 5):
        seq = (moment_s << 32 | counter) - 2**64
        table.see(row(seq, moment_s * 1000 + counter))
    table.tracker.interrupt("disconnected")
    assert {gap.missing for gap in unknown(table)} == {None}
    for gap in table.rows.values():
        assert_fits(gap)


def test_a_late_tick_of_yesterday_stays_in_yesterday() -> None:
    """It fills yesterday's gap, and today's next tick is simply the next."""
    table = Table()
    table.see(at(1, 0, DAY - 1), at(3, 0, DAY - 1), at(1))
    assert [(change.day, change.gap.status) for change in table.see(at(2, 0, DAY - 1))] == [(DAY - 1, GAP_HEALED)]
    table.see(at(2))
    assert table.open() == []


def test_a_tick_of_midnight_with_the_second_before_it_has_its_place_in_the_day_before() -> None:
    """It is stored in the new day's file by its own time: neither day misses anything for it."""
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
def test_the_hosts_clock_makes_no_gap(offset_ms: int) -> None:
    """Wrong by an hour either way, also around midnight: gaps come from sequences, only `opened_ms` is its business."""
    table = Table(now_ms=market.day_start_ms(DAY) + offset_ms)
    table.tracker.resume(market.day_number(table.now_ms))
    midnight_s = market.day_start_ms(DAY) // 1000
    table.see(*[row(midnight_s + n << 32 | n + 1) for n in range(5)])
    assert table.rows == {}


def test_a_sealed_day_is_left_alone() -> None:
    """Nothing can be stored there: no gap of it is opened, asked for, or written."""
    table = Table(lambda number: Day(number, sealed=number < DAY))
    table.see(at(7, 0, DAY - 1), at(1), at(9, 0, DAY - 1))
    table.tracker.lose([at(12, 0, DAY - 1)])
    table.tracker.reject([refused(at(14, 0, DAY - 1))])
    assert table.rows == {}
    assert table.tracker.missing(SYMBOL) == 0
    table.see(at(2))
    assert table.rows == {}


def test_finished_days_are_let_go() -> None:
    """Their gaps are asked for no more, and a late tick has their file read again."""
    loaded: list[int] = []

    def load(number: int) -> Day:
        loaded.append(number)
        return Day(number, next_gap_id=100)

    table = Table(load)
    table.see(at(3, 0, DAY - 1), row(at(1, 0, DAY - 1)[1], symbol="HK.00005"), at(1))
    table.tracker.forget_days_before(DAY)
    assert list(table.tracker.open_gaps()) == []
    assert [track.symbol for track in table.tracker.tracks()] == [SYMBOL]
    table.tracker.interrupt("disconnected")
    table.see(at(5, 0, DAY - 1))
    assert loaded == [DAY - 1, DAY, DAY - 1]
    assert max(number for _, number in table.rows) == 100
