"""For any model of the sequence: every missing tick is in a gap, and no gap is false.

An exchange makes ticks by a model of the sequence; pushes are lost, connections end, OpenD is restarted and its answers
are correct or not. After each answer every tick of the truth that is not stored must be in an open gap. At the end,
when OpenD has answered correctly for a while, a gap of known size must have the exact size.
"""

from __future__ import annotations

import random
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.collect.loading.load import load_day
from hk_tick_collector.gaps.backfill_plan import BackfillPlan
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import GAP_OPEN, WINDOW_ROWS, Gap, Tick
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader, path_of

from .sequence_models import DAY, MODELS, TEN_S, Sequence

if TYPE_CHECKING:
    from hk_tick_collector.gaps.backfill_plan import TickRequest
    from hk_tick_collector.model import TickRow

SYMBOL: Final = "HK.00700"
NAME: Final = market.day_name(DAY)


class Story:
    """One symbol of a model, a connection that loses ticks, and the day file with our gaps."""

    def __init__(self, root: Path, model: str, seed: int, rate: float, window: int = WINDOW_ROWS) -> None:
        self.root = root
        self.window = window  # OpenD's
        self.rng = random.Random(seed)
        self.sequence = Sequence(model, seed)
        self.now_ms = TEN_S * 1000
        self.step_ms = max(1, int(1000 / rate))
        self.made: list[TickRow] = []
        self.stored: set[int] = set()
        self.hostile = ""
        self.file = DayFile(path_of(root, NAME), NAME, "run", self.now_ms, "test", StoreOptions(synchronous="OFF"))
        self.begin()

    def begin(self) -> None:
        """The service starts, or starts again after a kill."""
        self.tracker = GapTracker(partial(load_day, self.root), lambda: self.now_ms)
        self.plan = BackfillPlan(self.tracker)
        self.tracker.resume(DAY)
        self.connect()

    def connect(self) -> None:
        """A connection begins: every symbol is checked."""
        self.plan.reset()
        self.tracker.resume_receiving()
        self.plan.request_checks([SYMBOL])

    def trade(self, ticks: int, *, pushed: bool = True) -> None:
        """The exchange makes ticks."""
        for _ in range(ticks):
            self.now_ms += self.step_ms
            tick = Tick(
                SYMBOL, self.sequence.next(self.now_ms), self.now_ms, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime",
                self.now_ms,
            )  # fmt: skip
            self.made.append(tick)
            if pushed:
                self.arrive([tick])

    def arrive(self, rows: list[TickRow]) -> None:
        """Rows arrive and are committed with their changes of gaps."""
        self.tracker.see(rows)
        self.stored |= {row[1] for row in rows}
        self.commit(rows)

    def commit(self, rows: list[TickRow] | None = None) -> None:
        """One transaction."""
        changes, rules = self.tracker.take_changes(), self.tracker.take_rules()
        self.file.write(Batch(rows=rows or [], gaps=[change.gap for change in changes], rules=rules), self.now_ms)

    def reply(self, ask: TickRequest) -> list[TickRow]:
        """What OpenD answers, correct or not."""
        honest = self.made[-min(ask.rows, self.window) :]
        match self.hostile:
            case "partial":
                return honest[-3:]
            case "empty":
                return []
            case "sample":
                return [tick for tick in honest if self.rng.random() < 0.5]
            case "unordered":
                return self.rng.sample(honest, len(honest))
            case _:
                return honest

    def backfill(self, seconds: float) -> None:
        """Due requests are sent while this much time passes; the symbol trades rarely."""
        until_ms = self.now_ms + int(seconds * 1000)
        while self.now_ms < until_ms:
            for ask in self.plan.due(self.now_ms / 1000, 4):
                rows = self.reply(ask)
                self.arrive(rows)
                self.plan.answered(ask, [(row[1], row[2]) for row in rows], self.now_ms / 1000)
                self.commit()
            self.plan.measure(self.now_ms / 1000)
            self.now_ms += 500

    def gaps(self) -> list[Gap]:
        """The open gaps of the file."""
        with DayReader(path_of(self.root, NAME)) as reader:
            return [gap for gap in reader.gaps() if gap.status == GAP_OPEN]

    def missing(self) -> list[TickRow]:
        """The ticks that are not stored."""
        return [tick for tick in self.made if tick[1] not in self.stored]

    def check(self, *, numbers: bool) -> None:
        """Every missing tick is in an open gap; with `numbers`, the sizes of gaps of known size are exact."""
        missing, gaps = self.missing(), self.gaps()
        untold = [tick for tick in missing if not any(covers(gap, tick) for gap in gaps)]
        assert untold == [], (len(untold), len(missing), gaps)
        if numbers:
            for gap in gaps:
                if gap.missing is not None:
                    assert gap.missing == sum(covers(gap, tick) for tick in missing), gap
        with DayReader(path_of(self.root, NAME)) as reader:
            complete = reader.completeness()
            assert complete.rows <= complete.expected or not complete.expected


def covers(gap: Gap, tick: TickRow) -> bool:
    """Whether a tick lies in a gap: by its sequence, where the gap has one, else by its time."""
    if gap.from_seq is not None and gap.to_seq is not None:
        return gap.from_seq <= tick[1] <= gap.to_seq
    return (gap.from_ts_ms or 0) <= tick[2] <= (gap.to_ts_ms or 0)


STEPS: Final = st.one_of(
    st.tuples(st.just("trade"), st.integers(1, 150)),
    st.tuples(st.just("outage"), st.integers(0, 1500)),
    st.tuples(st.just("lost pushes"), st.integers(1, 60)),
    st.tuples(st.just("hostile"), st.sampled_from(["partial", "empty", "sample", "unordered"]), st.integers(1, 8)),
    st.tuples(st.just("pause"), st.integers(1, 40)),
    st.sampled_from([("kill",)]),
)


def play(story: Story, step: tuple[object, ...]) -> None:
    """One step."""
    match step:
        case ("trade", int(ticks)):
            story.trade(ticks)
        case ("outage", int(ticks)):
            story.tracker.interrupt("disconnected")
            story.commit()
            story.trade(ticks, pushed=False)
            story.connect()
        case ("lost pushes", int(ticks)):
            story.trade(ticks, pushed=False)
            story.trade(3)
        case ("hostile", str(kind), int(seconds)):
            story.hostile = kind
            story.backfill(seconds)
            story.hostile = ""
        case ("pause", int(seconds)):
            story.backfill(seconds)
        case ("kill",):
            story.begin()
    story.backfill(1.0)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=12, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=2, max_size=12),
    seed=st.integers(0, 10_000),
    rate=st.sampled_from([1, 20, 200]),
    window=st.sampled_from([200, 400, WINDOW_ROWS]),
)
def test_every_missing_tick_is_in_a_gap_and_no_gap_is_false(
    model: str, steps: list[tuple[object, ...]], seed: int, rate: float, window: int
) -> None:
    """For every model of the sequence, with lost pushes, outages, kills and wrong answers."""
    with tempfile.TemporaryDirectory() as directory:
        story = Story(Path(directory), model, seed, rate, window)
        try:
            story.trade(5)
            for step in steps:
                play(story, step)
            for _ in range(6):
                story.backfill(25.0)
                story.trade(3)
            story.backfill(25.0)
            # A counter that restarted during an outage is not always recognised: the size of a gap may be wrong then.
            story.check(numbers=model != "restarts")
        finally:
            story.file.abandon()


@pytest.mark.parametrize("window", [200, 400, WINDOW_ROWS])
@pytest.mark.parametrize("model", ["random", "negative", "time", "small", "shared"])
@pytest.mark.parametrize("rate", [3, 40])
def test_pushes_lost_outside_a_small_window_open_a_gap(tmp_path: Path, model: str, window: int, rate: int) -> None:
    """Without the rule, on an open connection: an answer that does not overlap the one before opens a gap. As long as
    each overlaps, no gap is open.
    """
    story = Story(tmp_path, model, 7, rate, window)
    try:
        for _ in range(60):
            story.trade(2 * rate)
            story.backfill(1.0)
        assert story.gaps() == []
        story.trade(window + 60, pushed=False)
        for _ in range(20):
            story.trade(2 * rate)
            story.backfill(1.0)
        assert story.missing()
        story.check(numbers=False)
        at_most = [gap for gap in story.gaps() if gap.missing is None and (gap.to_ts_ms or 0) < story.now_ms]
        assert len(story.gaps()) == 1, story.gaps()
        assert at_most, "it ends where OpenD's answer begins"
    finally:
        story.file.abandon()


def test_with_a_small_window_a_symbol_without_the_rule_becomes_complete_again(tmp_path: Path) -> None:
    """Pushes lost within OpenD's window arrive with the next answer, which also ends the doubt of the connection."""
    story = Story(tmp_path, "random", 7, 3, 200)
    try:
        for _ in range(60):
            story.trade(6)
            story.backfill(1.0)
        story.trade(100, pushed=False)
        for _ in range(20):
            story.trade(6)
            story.backfill(1.0)
        assert story.missing() == []
        assert story.gaps() == []
        play(story, ("outage", 100))
        story.backfill(25.0)
        assert (story.missing(), story.gaps()) == ([], [])
    finally:
        story.file.abandon()


@pytest.mark.parametrize(
    ("model", "window", "steps"),
    [
        # OpenD returns all that it has, the same ticks each time; more ticks than these are known.
        ("small", 400, [("outage", 401), ("kill",), ("pause", 22)]),
        # The ticks that its answers lack were known before the rule broke.
        ("steps", 200, [("outage", 201), ("pause", 23)]),
        ("jumps", 200, [("outage", 201), ("trade", 20), ("pause", 23)]),
        # A gap with sequences as bounds becomes one with times only, and after a kill it is read from the file.
        ("jumps", 200, [("outage", 201), ("trade", 1), ("outage", 0), ("kill",)]),
    ],
)
def test_opend_may_hold_fewer_ticks_than_the_day_had(
    tmp_path: Path, model: str, window: int, steps: list[tuple[object, ...]]
) -> None:
    """OpenD keeps fewer ticks of a quiet symbol than documented: one tick is lost, and its gap stays open."""
    story = Story(tmp_path, model, 0, 1, window)
    try:
        story.trade(5)
        for step in steps:
            play(story, step)
        for _ in range(6):
            story.backfill(25.0)
            story.trade(3)
        assert story.missing()
        story.check(numbers=False)
    finally:
        story.file.abandon()
