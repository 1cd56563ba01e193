"""A day whose file can be read only after the start: its content is adopted, not invented again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.loading.load import load_day
from hk_tick_collector.collect.loading.loader import DayLoader
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.gaps.answer import Answer
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import Rejected, Tick
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import Gap, TickRow

DAY: Final = market.parse_day("20261120")
NAME: Final = market.day_name(DAY)
OPEN_S: Final = market.day_start_ms(DAY) // 1000 + 34_200
NOW_MS: Final = OPEN_S * 1000 + 3_600_000
A: Final = "HK.00700"
B: Final = "HK.00005"


def row(counter: int, symbol: str = A) -> TickRow:
    second = OPEN_S + counter
    seq, ts_ms = second << 32 | counter, second * 1000
    return (symbol, seq, ts_ms, 1.0, 100, 100.0, "BUY", "AUTO_MATCH", "realtime", ts_ms, ts_ms, " ")


def rows(*counters: int, symbol: str = A) -> list[TickRow]:
    return [row(counter, symbol) for counter in counters]


class Service:
    """The tracker of one run after the other, and the day's file, which may be out of reach."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / f"{NAME}.db"
        self.waiting: list[TickRow] = []  # seen, not committed
        self.start()

    def start(self) -> None:
        """A run begins."""
        queue = TickQueue(10_000)
        self.loader = DayLoader(self.root)
        self.tracker = GapTracker(lambda number: load_day(self.root, number), lambda: NOW_MS)
        self.intake = Intake(queue, self.tracker, OpenDState(), Stats(), lambda: 0.0)
        queue.held_chunks = lambda: [Chunk(rows=self.waiting)]
        self.queue = queue
        self.loader.serve(self.tracker, self.intake)
        self.tracker.resume(DAY)

    def hide(self) -> None:
        """The file may not be read."""
        self.path.rename(self.path.with_suffix(".hidden"))
        self.path.write_bytes(b"not to be read " * 100)

    def show(self) -> None:
        """The remedy was typed."""
        self.path.with_suffix(".hidden").replace(self.path)

    def see(self, *ticks: TickRow) -> None:
        """Ticks come."""
        self.tracker.see(list(ticks))
        self.waiting += ticks

    def commit(self) -> None:
        """Writes what waits, like the writer."""
        changes, rules = self.tracker.take_changes(), self.tracker.take_rules()
        file = DayFile(self.path, NAME, "run", NOW_MS, "test", StoreOptions(synchronous="OFF"))
        file.write(Batch(rows=self.waiting, gaps=[change.gap for change in changes], rules=rules), NOW_MS)
        file.close()
        self.waiting = []

    def look_anew(self) -> None:
        """The service reads the file, now that it can."""

        async def rebuild() -> None:
            while not self.loader.rebuild(DAY):
                await self.loader.wait([DAY])

        asyncio.run(rebuild())
        # What the adoption sent on its way goes to the file with the next commit.
        gaps = [change.gap for chunk in self.queue.held_in_memory() for change in chunk.gaps]
        rules = [rule for chunk in self.queue.held_in_memory() for rule in chunk.rules]
        file = DayFile(self.path, NAME, "run", NOW_MS, "test", StoreOptions(synchronous="OFF"))
        file.write(Batch(gaps=gaps, rules=rules), NOW_MS)
        file.close()
        self.queue.done(self.queue.take(10_000, 0.0, 0.0))

    def gaps(self) -> list[Gap]:
        """Every row of the file's table, by id."""
        with DayReader(self.path) as reader:
            return sorted(reader.gaps(), key=lambda gap: gap.id)

    def open(self, symbol: str = A) -> list[tuple[int, int, int, str]]:
        """Id, first and last counter and cause of the open gaps."""
        return [
            (gap.id, (gap.from_seq or 0) & 0xFFFF_FFFF, (gap.to_seq or 0) & 0xFFFF_FFFF, gap.cause)
            for gap in self.gaps()
            if gap.status == "open" and gap.symbol == symbol
        ]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service that has stored ticks of two symbols, with a gap before its start and a later one, and ended."""
    service = Service(tmp_path)
    service.see(*rows(11, 12, 13, 16, 17), *rows(3, 4, symbol=B))
    service.tracker.end_interruption()
    service.commit()
    assert [gap[1:] for gap in service.open()] == [(1, 10, "before_start"), (14, 15, "push_lost")]
    return service


def test_the_gaps_of_the_file_keep_their_id_and_cause(service: Service) -> None:
    """No gap is added twice, no row is overwritten, and only ticks missed between the runs are a new gap."""
    before = service.gaps()
    service.hide()
    service.start()
    service.see(*rows(21, 22), *rows(5, symbol=B))
    assert service.tracker.take_changes() == []
    service.show()
    service.commit()
    service.look_anew()
    after = service.gaps()
    assert after[: len(before)] == before
    assert [(gap.symbol, gap.missing, gap.cause) for gap in after[len(before) :]] == [(A, 3, "restart")]
    service.see(*rows(18, 19, 20, 23))
    service.commit()
    assert service.gaps()[: len(before)] == before
    assert [gap for gap in service.gaps()[len(before) :] if gap.status == "open"] == []


def test_a_gap_whose_ticks_came_meanwhile_closes(service: Service) -> None:
    """OpenD's answers at the start fill gaps that are only in the file: all, in part, or in the middle."""
    before = service.open()
    service.hide()
    service.start()
    service.see(*rows(18))
    service.see(*rows(4, 5, 14, 15))
    service.show()
    service.commit()
    service.look_anew()
    assert [gap[1:] for gap in service.open()] == [(1, 3, before[0][3]), (6, 10, before[0][3])]
    assert service.open()[0][0] == before[0][0]
    assert {gap.status for gap in service.gaps() if gap.id == before[1][0]} == {"healed"}


def test_rows_that_are_not_committed_yet_are_no_gap(service: Service) -> None:
    """The file is read while ticks wait for their commit."""
    service.hide()
    service.start()
    service.see(*rows(18, 19))
    service.show()
    service.commit()
    service.see(*rows(20))
    service.look_anew()
    assert len(service.open()) == 2


def lost(service: Service) -> None:
    """Ticks found no place."""
    service.tracker.lose(rows(19, 20))
    service.see(*rows(21))


def rejected(service: Service) -> None:
    """A tick could not be stored."""
    refused = row(19)
    service.tracker.reject([Rejected(A, refused[1], "non_finite", "", refused[2])])
    service.see(*rows(20))


@pytest.mark.parametrize(
    ("what", "noted"),
    [(lost, ["dropped"]), (rejected, ["rejected"])],
)
def test_gaps_that_opened_meanwhile_get_new_ids(
    service: Service, what: Callable[[Service], None], noted: list[str]
) -> None:
    """Drops and rejected ticks are kept with their cause, in addition to the file's rows."""
    before = service.gaps()
    service.hide()
    service.start()
    service.see(*rows(18))
    what(service)
    service.show()
    service.commit()
    service.look_anew()
    after = service.gaps()
    assert after[: len(before)] == before
    assert [gap.cause for gap in after[len(before) :]] == noted
    state = [(gap.id, gap.symbol, gap.missing) for gap in after]
    service.start()
    assert service.tracker.take_changes() == []
    assert [(gap.id, gap.symbol, gap.missing) for gap in service.gaps()] == state


def test_a_symbol_that_is_not_in_the_file_is_kept(service: Service) -> None:
    """Its first tick shows how many came before; no id of the file's gaps is used again."""
    before = service.gaps()
    service.hide()
    service.start()
    service.see(*rows(4, 5, 8, symbol="HK.09988"))
    service.show()
    service.commit()
    service.look_anew()
    assert service.gaps()[: len(before)] == before
    assert [(gap.missing, gap.cause) for gap in service.gaps()[len(before) :]] == [
        (3, "before_start"),
        (2, "push_lost"),
    ]


def test_a_counter_that_restarted_meanwhile_is_recognised(service: Service) -> None:
    """OpenD's counter restarted between the runs: no part of the new run is taken for the old one."""
    service.hide()
    service.start()
    again = [
        Tick(A, (OPEN_S + 100 + n) << 32 | n, (OPEN_S + 100 + n) * 1000, 1.0, 100, 100.0, "BUY", "X", "realtime", 0)
        for n in range(1, 9)
    ]
    service.see(*again)
    service.show()
    service.commit()
    service.look_anew()
    assert [(gap.cause, gap.missing) for gap in service.gaps() if gap.symbol == A and gap.status == "open"][-1] == (
        "sequence_restarted",
        None,
    )
    assert not [gap for gap in service.gaps() if gap.cause == "damaged"]


def test_a_recount_keeps_the_causes(service: Service) -> None:
    """A known day is counted again, for example after a loss of the spool: its gaps keep their id and cause."""
    service.start()
    service.see(*rows(18, 19, 20))
    service.waiting = rows(20)  # the spool lost two
    before = service.gaps()
    service.commit()
    service.look_anew()
    after = service.gaps()
    assert after[: len(before)] == before
    assert [(gap.missing, gap.cause) for gap in after[len(before) :]] == [(2, "damaged")]


def test_a_gap_whose_end_never_reached_the_file_is_closed(service: Service) -> None:
    """The change of a gap was lost with the rows behind it: a recount ends it in the file as well."""
    service.start()
    service.see(*rows(14, 15, 18))
    service.tracker.take_changes()  # and lost
    service.commit()
    service.look_anew()
    assert [gap[1:] for gap in service.open()] == [(1, 10, "before_start")]


def test_an_answer_that_contradicts_the_file_is_ignored(service: Service) -> None:
    """OpenD's answers repeatedly begin with the first tick of this run, but the file has earlier ticks."""
    before = service.gaps()
    service.hide()
    service.start()
    service.see(*rows(21, 22))
    for now_s in range(1000, 9000, 1000):
        pairs = [(tick[1], tick[2]) for tick in rows(21, 22)]
        service.tracker.answered(A, Answer(pairs, 1000, False, 0, now_s))
    service.show()
    service.commit()
    service.look_anew()
    after = service.gaps()
    assert after[: len(before)] == before
    assert [(gap.missing, gap.cause) for gap in after[len(before) :]] == [(3, "restart")]


def test_a_rule_that_broke_meanwhile_leaves_one_doubt(service: Service) -> None:
    """The number of missing ticks is then unknown: the file's gaps of known size end, one of unknown size is open."""
    service.hide()
    service.start()
    service.see(
        *[Tick(A, 7 + n, (OPEN_S + 30 + n) * 1000, 1.0, 100, 100.0, "BUY", "X", "realtime", 0) for n in range(5)]
    )
    service.show()
    service.commit()
    service.look_anew()
    assert [(gap.missing, gap.cause) for gap in service.gaps() if gap.symbol == A and gap.status == "open"] == [
        (None, "restart")
    ]
    assert service.open(B)
