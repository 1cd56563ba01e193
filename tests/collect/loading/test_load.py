"""The state of a day at the start, computed from its file."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector import market
from hk_tick_collector.collect.loading import load
from hk_tick_collector.collect.loading.load import is_late_start, load_day, unfinished_days
from hk_tick_collector.gaps.answer import Answer
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import Rejected, Tick
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import Gap, TickRow

NAME: Final = "20261120"
DAY: Final = market.parse_day(NAME)
TEN_S: Final = market.day_start_ms(DAY) // 1000 + 36_000
A, B = "HK.00700", "HK.09988"


def at(counter: int, symbol: str = A, second: int | None = None) -> Tick:
    """A tick of the pattern, one second after the previous one, or this many seconds after ten."""
    second = TEN_S + (counter if second is None else second)
    return Tick(symbol, second << 32 | counter, second * 1000, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", 0)


def odd(seq: int, symbol: str = A) -> TickRow:
    """A tick whose sequence follows no pattern."""
    return Tick(symbol, seq, TEN_S * 1000 + seq % 1000, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", 0)


NOW_S: Final = 1000.0


class Run:
    """the tracker and the day file that they are written to, over restarts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / f"{NAME}.db"
        self.restart()

    def restart(self) -> None:
        """The service starts again."""
        self.tracker = GapTracker(partial(load_day, self.root), lambda: TEN_S * 1000)
        self.tracker.resume(DAY)

    def store(self, *ticks: TickRow) -> None:
        """Ticks come and are committed with what they change of gaps."""
        self.tracker.see(list(ticks))
        self.commit(list(ticks))

    def commit(self, rows: list[TickRow] | None = None) -> None:
        """Commits the changes of gaps."""
        file = DayFile(self.path, NAME, "run", TEN_S * 1000, "test", StoreOptions(synchronous="OFF"))
        changes, rules = self.tracker.take_changes(), self.tracker.take_rules()
        file.write(Batch(rows=rows or [], gaps=[change.gap for change in changes], rules=rules), TEN_S * 1000)
        file.close()

    def answer(self, symbol: str, *ticks: TickRow, full: bool = False, asked: int = 1000) -> None:
        """OpenD answers with these ticks, which have been seen."""
        pairs = [(tick[1], tick[2]) for tick in ticks]
        self.tracker.answered(symbol, Answer(pairs, asked, full, 0, NOW_S))
        self.commit()

    def open(self) -> list[Gap]:
        """The open gaps of the file."""
        with DayReader(self.path) as reader:
            return [gap for gap in reader.gaps() if gap.status == "open"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A service whose day has no file yet."""
    return Run(tmp_path)


def run_rules(run: Run) -> list[str]:
    """The judgement of every symbol's sequence in the file."""
    with DayReader(run.path) as reader:
        return [rule.rule for rule in reader.rules().values()]


def state(tracker: GapTracker) -> dict[str, tuple[object, ...]]:
    """The relevant state of every symbol."""
    return {
        track.symbol: (
            track.next,
            track.last_seq,
            track.last_ts_ms,
            [
                (open_gap.id, open_gap.first, open_gap.last, open_gap.from_seq, open_gap.to_seq, open_gap.cause)
                for open_gap in track.gaps
            ],
            track.doubt and (track.doubt.id, track.doubt.from_seq, track.doubt.cause),
        )
        for track in tracker.known.tracks()
    }


def refuse(run: Run, tick: TickRow) -> None:
    """A tick comes that cannot be stored."""
    run.tracker.reject([Rejected(tick[0], tick[1], "non_finite", "", tick[2])])


def _nothing(run: Run) -> None:
    run.store(at(1), at(2), at(1, B))


def _tracker(run: Run) -> None:
    run.store(at(4), at(9), at(12), at(2, B))
    run.store(at(7), at(2))


def _dropped(run: Run) -> None:
    run.store(at(1))
    run.tracker.lose([at(2), at(3)])


def _rejected(run: Run) -> None:
    run.store(at(1), at(4))
    refuse(run, at(2))
    refuse(run, at(5))


def _nothing_but_dropped(run: Run) -> None:
    run.tracker.lose([at(7, B)])


def _doubt(run: Run) -> None:
    run.tracker.end_interruption()
    run.store(odd(70), at(3, B))
    run.tracker.interrupt("quote_link_lost")


@pytest.mark.parametrize("story", [_nothing, _tracker, _dropped, _rejected, _nothing_but_dropped, _doubt])
def test_a_restart_keeps_everything_known(run: Run, story: Callable[[Run], None]) -> None:
    """Counters, bounds, causes and ids are read back from the file as they were in memory."""
    story(run)
    run.commit()
    before, gaps = state(run.tracker), run.open()
    run.restart()
    assert state(run.tracker) == before
    run.commit()
    assert run.open() == gaps


def test_ticks_missed_by_a_restart_have_it_as_their_cause(run: Run) -> None:
    """The next gap of each known symbol has the cause restart; a new symbol's gap has the cause before_start."""
    run.store(at(1), at(2))
    run.restart()
    run.store(at(5), at(6), at(8), at(3, B))
    causes = [(gap.symbol, gap.missing, gap.cause) for gap in run.open()]
    assert sorted(causes) == [(A, 1, "push_lost"), (A, 2, "restart"), (B, 2, "before_start")]


def test_a_counter_that_restarted_before_a_crash_leaves_a_doubt(run: Run, journal: Journal) -> None:
    """The run before was killed after it had stored ticks of two runs of the counter, and before it had recorded the
    doubt: the file shows that the counter fell. How many ticks are missing is unknown until an answer reaches back.
    """

    def later(counter: int) -> Tick:
        return at(counter, second=60 + counter)

    run.store(*[at(counter) for counter in range(1, 16)])
    run.commit([later(counter) for counter in range(8, 26)])  # stored, and seen by nobody who could tell
    run.restart()
    run.commit()
    assert [(gap.missing, gap.cause) for gap in run.open()] == [(None, "sequence_restarted")]
    assert journal.events("sequence_restarted")[0].fields["symbols"] == A
    run.store(later(26))
    run.answer(A, *[later(counter) for counter in range(8, 27)], full=True)
    (lost,) = run.open()
    assert (lost.missing, lost.cause) == (None, "sequence_restarted")
    assert at(15).ts_ms <= (lost.to_ts_ms or 0) <= later(8).ts_ms + 10_000
    run.restart()
    run.commit()
    assert run.open() == [lost]


def outlier(ahead_s: int, counters: int) -> Tick:
    """A tick with a correct time, whose sequence is off by this many seconds and ticks; 60 are stored."""
    seq = TEN_S + 60 + ahead_s << 32 | 60 + counters
    return at(60)._replace(seq=seq, price=12.34)


OUTLIERS: Final = [(40, 60_000), (200, 60_000), (3_000, 60_000), (200, 500), (120, 20_000), (0, 60_000), (7, 60_000),
                   (-200, 60_000), (200, 20_000_000)]  # fmt: skip


@pytest.mark.parametrize(("ahead_s", "counters"), OUTLIERS)
@pytest.mark.parametrize("later", [0, 1, 100], ids=["newest", "one tick after it", "a hundred ticks after it"])
def test_a_stored_outlier_affects_no_other_tick(run: Run, ahead_s: int, counters: int, later: int) -> None:
    """Before and after a restart no tick is reported missing because of it, and later losses are exact."""
    run.store(*[at(counter) for counter in range(1, 61)])
    run.store(outlier(ahead_s, counters))
    if later:
        run.store(*[at(counter) for counter in range(61, 61 + later)])
    assert [gap.missing for gap in run.open() if gap.missing is not None] == []
    run.restart()
    run.commit()
    assert [gap.missing for gap in run.open() if gap.missing is not None] == []
    run.store(at(61 + later), at(65 + later), at(66 + later))
    assert [gap.missing for gap in run.open() if gap.missing is not None] == [3]
    assert run_rules(run) == ["counter"]


@pytest.mark.parametrize("ahead_s", [200, -50])
def test_an_outlier_whose_counter_lies_in_a_gap_is_not_the_missing_tick(run: Run, ahead_s: int) -> None:
    """The gap has its second too: all of it is missing after a restart as before."""
    run.store(*[at(counter) for counter in range(1, 61)], outlier(ahead_s, 2))
    run.store(at(66), at(67))
    for _ in range(2):
        assert [gap.missing for gap in run.open()] == [5]
        run.restart()
        run.commit()
    assert run.tracker.known.missing(A) == 5


def test_outliers_among_gaps_leave_the_gaps(run: Run) -> None:
    """Ticks known to be missing before a stored outlier are requested again after a restart."""
    run.store(*[at(counter) for counter in (1, 2, 5, 6)], outlier(300, 70_000), outlier(600, 70_400), at(7), at(9))
    before = [(gap.from_seq, gap.missing) for gap in run.open() if gap.missing]
    run.restart()
    run.commit()
    assert [(gap.from_seq, gap.missing) for gap in run.open() if gap.missing] == before
    assert run.tracker.known.missing(A) >= 3
    run.store(at(3), at(4), at(8))
    assert [gap for gap in run.open() if gap.missing] == []


def test_an_answer_that_has_both_counters_ends_the_doubt_after_a_crash(run: Run) -> None:
    """The ticks missing between them are then stored."""
    first = [at(counter) for counter in range(1, 16)]
    second = [
        at(counter)._replace(seq=(TEN_S + 60) << 32 | counter, ts_ms=(TEN_S + 60) * 1000) for counter in range(1, 26)
    ]
    run.store(*first)
    run.commit([*second[7:]])
    run.restart()
    run.commit()
    run.store(*second[:7])
    run.answer(A, *first, *second)
    assert run.open() == []


def test_ids_continue_after_the_highest_one(run: Run) -> None:
    """Also past those of healed gaps: no row of `gaps` is ever overwritten by another gap."""
    run.store(at(1), at(3), at(5))
    run.store(at(2), at(4))
    run.restart()
    run.store(at(8))
    with DayReader(run.path) as reader:
        assert sorted((gap.id, gap.status) for gap in reader.gaps()) == [(1, "healed"), (2, "healed"), (3, "open")]


def test_a_rejected_tick_is_known_after_a_restart(run: Run) -> None:
    """Neither a gap nor a second row when it comes again."""
    run.store(at(1), at(3))
    refuse(run, at(2))
    refuse(run, at(4))
    run.commit()
    run.restart()
    refuse(run, at(2))
    refuse(run, at(4))
    run.store(at(5))
    assert run.open() == []
    with DayReader(run.path) as reader:
        assert [gap.cause for gap in reader.gaps()].count("rejected") == 2


def test_without_the_rule_a_restart_is_a_doubt(run: Run) -> None:
    """It begins shortly before the last stored tick. There is one, however often the service starts."""
    run.tracker.end_interruption()
    stored = [odd(70), odd(20), odd(90)]
    run.store(*stored)
    for _ in range(2):
        run.restart()
        run.commit()
        assert [(gap.from_seq, gap.missing, gap.cause) for gap in run.open()] == [(None, None, "restart")]
    run.store(odd(5))
    run.answer(A, *stored, odd(5))
    assert run.open() == []


@pytest.mark.parametrize(
    "seqs",
    [
        [TEN_S << 32 | 5, TEN_S << 32 | 20_000_000],  # more ticks than any symbol has
        [(TEN_S + n) << 32 | 1 for n in range(5)],  # the numbers begin anew every second
        [70, 80, 90],
    ],
)
def test_a_file_shows_whether_a_symbol_follows_the_rule(run: Run, seqs: list[int]) -> None:
    """If it does not, the highest sequence is not used."""
    file = DayFile(run.path, NAME, "run", TEN_S * 1000, "test", StoreOptions(synchronous="OFF"))
    rows: list[TickRow] = [
        Tick(A, seq, max(seq >> 32, TEN_S) * 1000, 1.0, 1, 1.0, "BUY", "BULK", "realtime", 0) for seq in seqs
    ]
    file.write(Batch(rows=rows), TEN_S * 1000)
    file.close()
    track = load_day(run.root, DAY).tracks[A]
    assert not track.patterned
    assert track.gaps == []


@pytest.mark.parametrize("first", [1, 900])
def test_ticks_that_were_stored_while_the_day_was_being_read_count(run: Run, first: int, journal: Journal) -> None:
    """Their rows are committed, and the service is killed before what they show of gaps is: the next start sees it."""
    rows = [at(counter) for counter in (first, first + 1, first + 5)]
    file = DayFile(run.path, NAME, "run", TEN_S * 1000, "test", StoreOptions(synchronous="OFF"))
    file.write(Batch(rows=[*rows, odd(70, B), odd(5, B)]), TEN_S * 1000)
    file.close()
    run.restart()
    run.commit()
    expected = [(A, 3, "restart"), (B, None, "restart")]
    assert [(gap.symbol, gap.missing, gap.cause) for gap in run.open()] == (
        expected if first == 1 else [(A, first - 1, "restart"), *expected]
    )
    assert journal.events() == []


def test_a_sealed_day_has_nothing_to_backfill(run: Run) -> None:
    """Its gaps do not change: ticks for it could not be stored."""
    run.store(at(1), at(3))
    assert seal(run.path, TEN_S * 1000, StoreOptions())
    assert load_day(run.root, DAY) == Day(DAY, sealed=True)


def test_a_day_without_a_file_begins_from_nothing(run: Run, journal: Journal) -> None:
    """Also without a directory, and without an error."""
    assert load_day(run.root, DAY) == Day(DAY)
    assert load_day(run.root / "nowhere", DAY) == Day(DAY)
    assert journal.events() == []


@pytest.mark.parametrize("content", [b"no database at all, whatever its name may say" * 100, b""])
def test_a_file_that_cannot_be_read_is_logged(run: Run, content: bytes, journal: Journal) -> None:
    """Ticks missing before the start are then unknown; collection continues, and the file is not changed."""
    run.path.write_bytes(content)
    assert load_day(run.root, DAY) == Day(DAY, unread=True)
    assert run.path.read_bytes() == content
    (event,) = journal.events()
    assert (event.level, event.name, event.fields["day"]) == ("ERROR", "day_not_resumed", NAME)


def test_reading_a_day_changes_no_file(run: Run) -> None:
    """The file belongs to the writer: it is opened read-only."""
    run.store(at(1), at(3))
    before = run.path.read_bytes()
    load_day(run.root, DAY)
    assert run.path.read_bytes() == before
    assert [path.name for path in run.root.iterdir()] == [run.path.name]


def test_the_doubt_of_an_unfinished_day_ends_when_its_counters_show_the_gap(run: Run) -> None:
    """A day that seemed finished gets more ticks, and the service is killed before OpenD has answered. When it answers,
    the window no longer reaches the doubt. But the counters show which ticks are missing, so the doubt ends.
    """
    run.tracker.end_interruption()
    run.store(at(1), at(2), odd(70, B))
    for _ in range(2):
        run.restart()
        run.tracker.resume_unfinished(DAY, (A,))
        run.commit()
    run.store(at(5), at(6), odd(80, B))
    run.answer(A, at(5), at(6), full=True)
    run.answer(B, odd(80, B), full=True, asked=1)
    assert [(gap.symbol, gap.missing, gap.cause) for gap in run.open()] == [(A, 2, "restart"), (B, None, "restart")]


def test_the_doubt_of_a_finished_day_stays_if_the_window_does_not_reach_it(run: Run) -> None:
    """An answer without ticks of the old day says nothing about its end."""
    run.store(at(1), at(2))
    run.restart()
    run.tracker.resume_unfinished(DAY, (A,))
    run.answer(A, at(90_000), full=True)
    assert [(gap.from_seq, gap.missing, gap.cause) for gap in run.open()] == [(at(2)[1] & ~0xFFFFFFFF, None, "restart")]


def test_a_symbol_without_a_stored_tick_is_in_doubt_too(run: Run) -> None:
    """The service was killed before the first tick of B was committed: B's whole day may be missing. An answer that
    reaches back before that day shows that it is not.
    """
    run.store(at(1))
    run.restart()
    run.tracker.resume_unfinished(DAY, (A, B))
    run.commit()
    doubts = {gap.symbol: (gap.from_ts_ms, gap.missing, gap.cause) for gap in run.open()}
    assert doubts[B] == (market.day_start_ms(DAY), None, "restart")
    the_evening_before = market.day_start_ms(DAY) - 3_600_000
    run.answer(
        B, (B, (the_evening_before // 1000 << 32) + 7, the_evening_before, *odd(1, B)[3:]), at(90_000, B), full=True
    )
    assert [gap.symbol for gap in run.open()] == [A]


def test_a_day_without_any_tick_is_no_doubt(run: Run) -> None:
    """The file of a holiday, created before OpenD reported the holiday: its ticks are not requested the next day."""
    run.tracker.resume_unfinished(DAY, (A, B))
    run.commit()
    assert run.open() == []


@pytest.mark.parametrize("ticks", [(), (at(90_000, B),)], ids=["nothing", "the next day's"])
def test_ticks_of_a_later_day_prove_nothing_for_an_earlier_day(run: Run, ticks: tuple[TickRow, ...]) -> None:
    """OpenD may start again every day: an answer with everything it has proves nothing for an earlier day."""
    run.store(at(1))
    run.restart()
    run.tracker.resume_unfinished(DAY, (B,))
    run.tracker.resume(DAY + 1)
    for _ in range(5):
        run.answer(B, *ticks)
    assert [(gap.symbol, gap.missing) for gap in run.open()] == [(A, None), (B, None)]


def test_days_that_cannot_be_read_do_not_prevent_collection(run: Run, journal: Journal) -> None:
    """A name that is not a date is ignored; a faulty file or directory is logged; other days are read."""
    run.store(at(1))
    for name in ("99999999.db", "20261119.db"):
        (run.root / name).write_bytes(b"no database at all, whatever its name may say" * 100)
    assert unfinished_days(run.root, DAY + 1) == [DAY]
    assert unfinished_days(run.root, DAY) == []
    assert unfinished_days(run.path, DAY + 1) == []
    assert {(event.level, event.name) for event in journal.events()} == {("ERROR", "day_not_resumed")}


def test_losses_before_a_restart_are_still_reported(run: Run) -> None:
    """Gaps outside OpenD's window that opened within the last quarter of an hour, although this run lost no tick; not
    ticks from before the first start.
    """
    run.store(at(3))
    run.tracker.end_interruption()
    run.store(at(8), *(at(counter) for counter in range(9, 1300)))
    run.restart()
    lost = run.tracker.known.losses.since(TEN_S * 1000 - 900_000)
    assert (lost.gaps, lost.ticks, lost.found_ms) == (1, 4, TEN_S * 1000)
    assert run.tracker.known.losses.ticks == 0
    assert run.tracker.known.losses.since(TEN_S * 1000 + 1000).gaps == 0


def test_a_start_is_late_if_an_earlier_day_has_a_file(run: Run) -> None:
    """The very first day is not late, nor is a day of which an earlier run stored ticks."""
    assert not is_late_start(run.root, DAY)
    DayFile(run.root / "20261119.db", "20261119", "run", 1, "test", StoreOptions()).close()
    assert is_late_start(run.root, DAY)
    DayFile(run.path, NAME, "run", 1, "test", StoreOptions()).close()
    assert is_late_start(run.root, DAY)
    run.store(at(1))
    assert not is_late_start(run.root, DAY)


def test_without_the_rule_ticks_lost_before_a_crash_are_a_gap_too(run: Run) -> None:
    """Pushes that were lost after OpenD's last answer: an answer that knows the newest stored tick, and begins after
    the lost ones, does not prove that nothing is missing.
    """

    def at_second(second: int) -> TickRow:
        seq = second * 7_919 % 1_009
        return Tick(A, seq, (TEN_S + second) * 1000, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", 0)

    run.tracker.end_interruption()
    run.store(*(at_second(second) for second in range(60)))
    assert "none" in run_rules(run)
    run.store(at_second(88))  # the pushes of the seconds between them were lost
    run.restart()
    run.answer(A, at_second(88), at_second(95), full=True, asked=2)
    (gap,) = run.open()
    assert gap.cause == "restart"
    assert gap.from_ts_ms is not None
    assert gap.to_ts_ms is not None
    assert gap.from_ts_ms <= (TEN_S + 60) * 1000 <= gap.to_ts_ms


@pytest.mark.parametrize("value", ["'x'", "9223372036854775807", "-1"])
def test_an_impossible_gap_id_is_a_fault_of_the_file(run: Run, journal: Journal, value: str) -> None:
    """It is logged with the file's name, and the day continues like one that could not be read."""
    run.store(at(1), at(4))
    with closing(apsw.Connection(str(run.path))) as db:
        db.execute("CREATE TABLE loose AS SELECT * FROM gaps; DROP TABLE gaps; ALTER TABLE loose RENAME TO gaps")
        db.execute(f"UPDATE gaps SET id = {value}")
    assert load_day(run.root, DAY).unread
    assert f"gaps.id is {value}" in journal.events("day_not_resumed")[0].fields["detail"]


def test_a_wrong_sealed_mark_does_not_end_today(run: Run, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sealed_ms` in the file of today is logged, and gaps wait until it is corrected."""
    run.store(at(1))
    with closing(apsw.Connection(str(run.path))) as db:
        db.execute("INSERT INTO meta VALUES ('sealed_ms', '1')")
    monkeypatch.setattr(load, "now_ms", lambda: TEN_S * 1000)
    assert load_day(run.root, DAY) == Day(DAY, unread=True)
    assert "sealed_ms" in journal.events("day_not_resumed")[0].fields["detail"]
