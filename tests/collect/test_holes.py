"""What is missing, told from sequences: exact at every moment, over losses, disorder, drops, rejections, restarts."""

from __future__ import annotations

import random
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.collect.holes import Day, Holes
from hk_tick_collector.collect.resume import load_day
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
