"""The intake: every tick is stored, rejected or dropped, counted once, and travels with the changes it causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.gaps.symbol_day import Day
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Rejected, Tick
from hk_tick_collector.opend.convert import DETAILS_MOST
from hk_tick_collector.opend.protocol import Ticks
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import ConnectionChange

if TYPE_CHECKING:
    from tests.collect.conftest import Journal

    from hk_tick_collector.collect.buffer.chunk import Chunk
    from hk_tick_collector.model import TickRow

DAY: Final = market.parse_day("20261120")
TEN_S: Final = market.day_start_ms(DAY) // 1000 + 36_000
NOW_MS: Final = TEN_S * 1000
SYMBOL: Final = "HK.00700"


def at(counter: int) -> TickRow:
    """A tick of the pattern."""
    return Tick(SYMBOL, TEN_S << 32 | counter, NOW_MS, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", NOW_MS)


def refused(counter: int) -> Rejected:
    """A tick that cannot be stored."""
    return Rejected(SYMBOL, TEN_S << 32 | counter, "non_finite", f"the tick {counter}, whole", NOW_MS)


class Desk:
    """An intake with its queue; time stands still unless it is moved."""

    def __init__(self, max_rows: int = 1000) -> None:
        self.now_s = 100.0
        self.stats = Stats()
        self.opend = OpenDState()
        self.queue = TickQueue(max_rows)
        self.tracker = GapTracker(Day, lambda: NOW_MS)
        self.intake = Intake(self.queue, self.tracker, self.opend, self.stats, lambda: self.now_s)

    def take(self) -> list[Chunk]:
        """Everything that the writer would get."""
        chunks = self.queue.take(10**9, 0.0, 0.0)
        self.queue.done(chunks)
        return chunks


@given(
    st.lists(
        st.one_of(
            st.tuples(st.lists(st.integers(1, 60), max_size=12), st.lists(st.integers(1, 60), max_size=3)),
            st.just(None),
        ),
        max_size=20,
    )
)
def test_received_is_stored_rejected_or_dropped(story: list[tuple[list[int], list[int]] | None]) -> None:
    """Exact counts for any order of events, while a writer sometimes makes room; never more rows than allowed."""
    desk = Desk(max_rows=20)
    chunks: list[Chunk] = []
    for step in story:
        if step is None:
            chunks += desk.take()
        else:
            event = Ticks(rows=[at(n) for n in step[0]], rejected=[refused(n) for n in step[1]])
            room = desk.queue.rows + len(step[0]) <= 20
            dropped = desk.stats.dropped
            desk.intake.ticks(event, NOW_MS)
            assert desk.stats.dropped - dropped == (0 if room else len(step[0]))
            assert desk.queue.rows <= 20
    chunks += desk.take()
    received = sum(len(step[0]) + len(step[1]) for step in story if step)
    rows, rejected = sum(len(chunk.rows) for chunk in chunks), sum(chunk.rejected for chunk in chunks)
    assert desk.stats.received == received == rows + rejected + sum(chunk.dropped for chunk in chunks)
    assert (desk.stats.rejected, desk.stats.dropped) == (rejected, sum(chunk.dropped for chunk in chunks))
    assert desk.stats.last_tick_ms == (NOW_MS if received else None)


def test_a_chunk_carries_the_gaps_of_its_own_rows() -> None:
    """One transaction stores a tick and opens or closes its gap."""
    desk = Desk()
    for rows in ([at(1)], [at(4)], [at(3), at(2)]):
        desk.intake.ticks(Ticks(rows=rows), NOW_MS)
    told = [
        ([row[1] & 0xFF for row in chunk.rows], [(change.gap.status, change.gap.missing) for change in chunk.gaps])
        for chunk in desk.take()
    ]
    assert told == [([1], []), ([4], [(GAP_OPEN, 2)]), ([3, 2], [(GAP_HEALED, 0)])]


def test_ticks_without_space_are_counted_logged_and_become_a_gap(journal: Journal) -> None:
    """All rows of a chunk are accepted or none; not each drop has a line, but the total in the line has every drop."""
    desk = Desk(max_rows=3)
    desk.intake.ticks(Ticks(rows=[at(1), at(2)]), NOW_MS)
    desk.intake.ticks(Ticks(rows=[at(3), at(4)]), NOW_MS)
    desk.queue.storing.writer_trouble = "disk_full"
    desk.intake.ticks(Ticks(rows=[at(5), at(6), at(7)]), NOW_MS)
    desk.now_s += 60
    desk.intake.ticks(Ticks(rows=[at(8), at(9)]), NOW_MS)
    assert [
        (event.level, event.fields["rows"], event.fields["cause"]) for event in journal.events("ticks_dropped")
    ] == [
        ("ERROR", "2", "queue_full"),
        ("ERROR", "5", "disk_full"),
    ]
    chunks = desk.take()
    assert [(len(chunk.rows), chunk.dropped) for chunk in chunks] == [(2, 0), (0, 2), (0, 3), (0, 2)]
    last = chunks[-1].gaps[-1].gap
    assert (last.status, last.cause, last.missing) == (GAP_OPEN, "dropped", 7)


def test_a_rejected_tick_that_is_backfilled_again_is_not_logged_again(journal: Journal) -> None:
    """OpenD returns it with every answer: it is logged and counted once, the ledger counts it each time."""
    desk = Desk()
    nameless = [Rejected(SYMBOL, 0, "incomplete", f"tick {n}", NOW_MS) for n in (1, 2)]
    desk.intake.ticks(Ticks(rows=[at(1)], rejected=[refused(2)]), NOW_MS)
    for _ in range(3):
        desk.intake.ticks(Ticks(rows=[at(1)], rejected=[refused(2), *nameless], requested_by=7), NOW_MS)
    assert len(journal.events("tick_rejected")) == 3
    assert (desk.stats.rejected, desk.stats.rejected_total) == (3, 10)
    assert sum(chunk.rejected for chunk in desk.take()) == 10


def test_rejected_ticks_close_their_gaps_and_are_logged(journal: Journal) -> None:
    """Each of them whole, also if there is no space for the other ticks of the message."""
    desk = Desk(max_rows=2)
    desk.intake.ticks(Ticks(rows=[at(1), at(3)], rejected=[refused(2)]), NOW_MS)
    desk.intake.ticks(Ticks(rows=[at(4)], rejected=[refused(5)]), NOW_MS)
    assert [open_gap.missing for _, open_gap in desk.tracker.known.open_gaps()] == [1]
    assert [event.fields for event in journal.events("tick_rejected")] == [
        {
            "cause": "non_finite",
            "symbol": SYMBOL,
            "seq": str(TEN_S << 32 | number),
            "rejected_total": str(count),
            "tick": f"the tick {number}, whole",
        }
        for count, number in ((1, 2), (2, 5))
    ]
    assert [(chunk.dropped, chunk.rejected) for chunk in desk.take()] == [(0, 1), (1, 1)]


def test_many_rejected_ticks_are_logged_once_a_minute(journal: Journal) -> None:
    """The first hundred of a cause are logged whole, the others as a count; another cause has its own hundred."""
    desk = Desk()
    for second in range(120):
        desk.now_s = 100.0 + second
        desk.intake.ticks(Ticks(rejected=[refused(number) for number in range(50)]), NOW_MS)
    desk.intake.ticks(Ticks(rejected=[refused(1)._replace(cause="bad_time")]), NOW_MS)
    desk.now_s += 60
    desk.intake.flush_gaps()
    whole = [event.fields["cause"] for event in journal.events("tick_rejected")]
    assert whole == ["non_finite"] * 100 + ["bad_time"]
    counts = journal.events("ticks_rejected")
    assert [(event.fields["cause"], event.fields["symbols"]) for event in counts] == [("non_finite", "1")] * 3
    assert sum(int(event.fields["ticks"]) for event in counts) == 120 * 50 - 100
    assert desk.stats.rejected == 120 * 50 + 1


def test_changes_without_a_tick_are_flushed() -> None:
    """A doubt opened by an interruption reaches the day file; if nothing changed, nothing is queued."""
    desk = Desk()
    desk.intake.flush_gaps()
    assert desk.take() == []
    desk.tracker.end_interruption()
    desk.intake.ticks(Ticks(rows=[Tick(*at(7))._replace(seq=seq) for seq in (7, 3, 12)]), NOW_MS)
    desk.tracker.interrupt("quote_link_lost")
    desk.intake.flush_gaps()
    desk.intake.flush_gaps()
    assert [[change.gap.cause for change in chunk.gaps] for chunk in desk.take()] == [[], ["quote_link_lost"]]


def test_an_empty_message_changes_nothing() -> None:
    """OpenD may push a message without a tick."""
    desk = Desk()
    desk.intake.ticks(Ticks(), NOW_MS)
    assert (desk.take(), desk.stats.received, desk.stats.last_tick_ms) == ([], 0, None)


def test_replayed_ticks_are_counted_but_do_not_show_a_live_connection() -> None:
    """A replay after a crash does not make the connection look alive; its commit deletes the record."""
    desk = Desk()
    told: list[bool] = []
    desk.intake.ticks(Ticks(rows=[at(1)]), None, lambda: told.append(True))
    assert (desk.stats.received, desk.stats.last_tick_ms, told) == (1, None, [])
    desk.take()
    assert told == [True]


def test_a_full_queue_still_takes_connections() -> None:
    """The end of a connection is recorded, whatever the disk does."""
    desk = Desk(max_rows=1)
    desk.intake.ticks(Ticks(rows=[at(1)]), NOW_MS)
    desk.intake.link(NOW_MS, connected=False, conn_id=None, reason="gone")
    assert [chunk.connections for chunk in desk.take()] == [[], [ConnectionChange(NOW_MS, False, None, "gone")]]


def test_a_tick_of_a_far_future_is_rejected(journal: Journal) -> None:
    """Later than the day after OpenD's date: counted with its cause. If OpenD's date is unknown it is stored."""
    desk = Desk()
    later = [
        Tick(*at(n))._replace(ts_ms=NOW_MS + days * market.DAY_MS, symbol="HK.00005") for n, days in ((1, 1), (2, 3))
    ]
    desk.intake.ticks(Ticks(rows=list(later)), NOW_MS)
    assert [len(chunk.rows) for chunk in desk.take()] == [2]
    desk.opend.opend_time_ms = NOW_MS
    desk.intake.ticks(Ticks(rows=[at(1), *later]), NOW_MS)
    (chunk,) = desk.take()
    assert ([row[0] for row in chunk.rows], chunk.rejected) == (["HK.00700", "HK.00005"], 1)
    assert [event.fields["cause"] for event in journal.events("tick_rejected")] == ["future_date"]
    assert desk.stats.future_date == 1
    assert desk.stats.rejected == 1


def test_symbols_that_are_not_subscribed_are_counted_and_named_once(journal: Journal) -> None:
    """Each is logged once, a hundred at most; the account balances, in the ledger too, with or without later ticks."""
    desk = Desk()
    for number in range(20_000):
        desk.intake.unwanted(f"HK.{number // 2:05}", 3)
    named = [event.fields["symbol"] for event in journal.events("symbol_not_subscribed")]
    assert named == [f"HK.{number:05}" for number in range(100)]
    desk.now_s += 60
    desk.intake.flush_gaps()
    assert sum(int(event.fields["ticks"]) for event in journal.events("ticks_rejected")) == 60_000 - 300
    desk.intake.unwanted("HK.00001", 1)
    desk.intake.ticks(Ticks(rows=[at(1)]), NOW_MS)
    desk.intake.unwanted("HK.00001", 1)
    desk.intake.link(NOW_MS, connected=False, conn_id=None, reason="gone")
    assert sum(chunk.rejected for chunk in desk.take()) == desk.stats.rejected_total == 60_002
    assert desk.stats.received == 60_003


def test_the_number_of_remembered_rejected_ticks_is_bounded() -> None:
    """The others count as missing: memory is bounded, whatever OpenD sends."""
    desk = Desk()
    desk.intake.ticks(Ticks(rejected=[refused(counter) for counter in range(1, 50_011)]), NOW_MS)
    (chunk,) = desk.take()
    assert (len(chunk.gaps), chunk.rejected) == (50_000, 50_010)
    desk.intake.ticks(Ticks(rows=[at(50_011)]), NOW_MS)
    assert [open_gap.missing for _, open_gap in desk.tracker.known.open_gaps()] == [10]


def test_counts_alone_use_no_space_in_the_queue() -> None:
    """While the writer waits for the disk, rejected ticks only increase a count in a waiting chunk."""
    desk = Desk()
    desk.intake.ticks(Ticks(rows=[at(1)]), NOW_MS)
    for _ in range(1_000):
        desk.intake.ticks(Ticks(rejected=[refused(0)]), NOW_MS)
    assert [(len(chunk.rows), chunk.rejected) for chunk in desk.take()] == [(1, 1_000)]


def test_each_line_has_symbol_number_and_reason(journal: Journal) -> None:
    """A symbol that is not subscribed, a tick that cannot be stored, ticks without space: each with these fields."""
    desk = Desk(max_rows=2)
    desk.intake.unwanted("HK.00005", 3)
    desk.intake.ticks(Ticks(rejected=[refused(3)]), NOW_MS)
    desk.intake.ticks(Ticks(rows=[at(1), at(2)]), NOW_MS)
    desk.intake.ticks(Ticks(rows=[at(4)]), NOW_MS)
    desk.intake.ticks(Ticks(rows=[at(5), at(6)]), NOW_MS)
    desk.now_s += 10.0
    desk.queue.storing.writer_trouble = "disk_full"
    desk.intake.ticks(Ticks(rows=[at(7)]), NOW_MS)
    (unwanted,) = journal.events("symbol_not_subscribed")
    assert (unwanted.level, unwanted.fields) == (
        "WARNING",
        {"symbol": "HK.00005", "ticks": "3", "hint": "it is not in FUTU_SYMBOLS"},
    )
    (rejected,) = journal.events("tick_rejected")
    assert (rejected.level, rejected.fields) == (
        "WARNING",
        {
            "cause": "non_finite",
            "symbol": SYMBOL,
            "seq": str(refused(3).seq),
            "rejected_total": "1",
            "tick": "the tick 3, whole",
        },
    )
    dropped = journal.events("ticks_dropped")
    assert [event.level for event in dropped] == ["ERROR", "ERROR"]
    room = {"queue_rows": "2", "max_queue_rows": "2"}
    assert [event.fields for event in dropped] == [
        {"rows": "1", "dropped_total": "1", **room, "cause": "queue_full"},
        {"rows": "3", "dropped_total": "4", **room, "cause": "disk_full"},
    ]
    stats = desk.stats
    assert (stats.not_subscribed, stats.not_subscribed_first, desk.intake.dropped, stats.no_room) == (
        3,
        "HK.00005",
        4,
        4,
    )
    assert (stats.received, desk.opend.received, stats.last_tick_ms) == (10, 10, NOW_MS)


def test_ticks_of_the_far_future_are_logged_whole_only_at_first(journal: Journal) -> None:
    """Ticks of the day after OpenD's date are stored, to its last millisecond; later ones are rejected, and only the
    first ones of a message are logged whole.
    """
    desk = Desk(max_rows=100)
    desk.opend.opend_time_ms = NOW_MS
    last_ms = market.day_start_ms(DAY + 2) - 1
    good = [(*at(1)[:2], last_ms, *at(1)[3:])]
    bad = [(*at(counter)[:2], last_ms + 1, *at(counter)[3:]) for counter in range(2, 15)]
    desk.intake.ticks(Ticks(rows=[*bad, *good], rejected=[refused(99)]), NOW_MS)
    (chunk,) = desk.take()
    assert (chunk.rows, chunk.rejected) == (good, 14)
    told = [event for event in journal.events("tick_rejected") if event.fields["cause"] == "future_date"]
    assert len(told) == 13
    assert [bool(event.fields["tick"]) for event in told] == [n < DETAILS_MOST for n in range(13)]
    assert told[0].fields["seq"] == str(bad[0][1])


def test_rows_that_are_not_committed_are_known_unless_some_are_in_the_spool() -> None:
    """For a recount of a day: all of them or none."""
    desk = Desk()
    desk.intake.ticks(Ticks(rows=[at(1), at(2)]), NOW_MS)
    desk.intake.ticks(Ticks(rows=[at(3)]), NOW_MS)
    assert desk.intake.held_rows(DAY) == [at(1), at(2), at(3)]
    desk.queue.spooled_days = lambda: {DAY - 1}
    assert desk.intake.held_rows(DAY) == [at(1), at(2), at(3)]
    desk.queue.spooled_days = lambda: {DAY}
    assert desk.intake.held_rows(DAY) is None


def test_a_connection_is_recorded_with_all_its_fields() -> None:
    """Its start, whether OpenD is connected, the number of the connection, and the reason."""
    desk = Desk()
    desk.intake.link(NOW_MS, connected=True, conn_id=7, reason="ready")
    (chunk,) = desk.take()
    assert chunk.connections == [ConnectionChange(NOW_MS, True, 7, "ready")]
