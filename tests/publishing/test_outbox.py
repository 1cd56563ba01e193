"""The outbox: whatever is committed in whatever order, each tick is sent, and what counts as sent is exact."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector.publishing import outbox as outbox_module
from hk_tick_collector.publishing.outbox import Outbox, with_rows
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal
from hk_tick_collector.store.outbox_reader import OutboxReader
from hk_tick_collector.store.publish_cursors import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hk_tick_collector.model import TickRow

DAY = "20261120"
NOON_MS = 1_795_147_200_000


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Trial:
    """A day file that a collector writes, an outbox that follows it, and what has arrived."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{DAY}.db"
        self.clock = Clock()
        self.file = DayFile(self.path, DAY, "run", NOON_MS, "test", StoreOptions(synchronous="NORMAL"))
        self.outbox = Outbox(self.path, {}, self.clock)
        self.arrived: list[TickRow] = []

    def close(self) -> None:
        self.outbox.close()
        self.file.abandon()

    def add(self, *ticks: TickRow) -> None:
        self.file.write(Batch(rows=list(ticks)), NOON_MS)

    def take(self) -> int:
        """Sends the next chunk; returns how many ticks it had."""
        chunk = self.outbox.take()
        if chunk is None:
            return 0
        self.arrived += chunk.rows
        self.outbox.acknowledge(chunk)
        return len(chunk.rows)

    def settle(self) -> None:
        """Sends until all is sent; a symbol that is to be sent anew waits for a while."""
        while self.take() or self.outbox.behind:
            self.clock.now_s += 11

    def stored(self) -> set[TickRow]:
        with closing(apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            return set(db.execute("SELECT * FROM ticks"))


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    found = Trial(tmp_path)
    yield found
    found.close()


def tick(symbol: str, seq: int, recv_ms: int = NOON_MS) -> TickRow:
    return (symbol, seq, NOON_MS, 388.2, 100, 38820.0, "BUY", "AUTO_MATCH", "realtime", recv_ms, None, "P")


@settings(max_examples=60)
@given(st.data())
def test_each_tick_is_sent_whatever_the_order_of_commits(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Late ticks, ticks received long ago, chunks of a few ticks, a restart: all arrive, and the counts are exact."""
    ticks = [tick(symbol, seq) for symbol in ("HK.00001", "HK.00002") for seq in range(1, 9)]
    order = data.draw(st.permutations(ticks))
    trial = Trial(tmp_path_factory.mktemp("outbox"))
    with closing(trial), pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox_module, "CHUNK_ROWS", data.draw(st.integers(1, 7), "chunk"))
        now_ms = NOON_MS
        while order:
            count = data.draw(st.integers(1, 5), "batch")
            now_ms += data.draw(st.integers(-1, 2), "step")
            trial.add(*((*each[:9], now_ms, *each[10:]) for each in order[:count]))
            order = order[count:]
            for _ in range(data.draw(st.integers(0, 2), "looks")):
                trial.take()
            if data.draw(st.booleans(), "restart"):
                trial.outbox.close()
                trial.outbox = Outbox(trial.path, dict(trial.outbox.sent), trial.clock)
        trial.settle()
        assert set(trial.arrived) == trial.stored()
        for symbol, sent in trial.outbox.sent.items():
            assert sent == with_rows(Sent(), [row for row in trial.stored() if row[0] == symbol])
        assert trial.outbox.check() == []


def test_late_ticks_are_sent_alone(trial: Trial) -> None:
    """A backfill below the highest sequence: its ticks are sent, and no other is sent twice."""
    trial.add(*(tick("HK.00700", seq, NOON_MS + seq) for seq in (1, 2, 3, 9)))
    trial.settle()
    trial.add(*(tick("HK.00700", seq, NOON_MS + 20) for seq in (5, 6)), tick("HK.00700", 10, NOON_MS + 21))
    trial.settle()
    assert [row[1] for row in trial.arrived] == [1, 2, 3, 9, 5, 6, 10]


def test_a_symbol_whose_late_ticks_are_not_certain_is_sent_again(trial: Trial) -> None:
    """A tick that was received before others that were sent, as from a spool: the whole symbol again, not at once."""
    trial.add(*(tick("HK.00700", seq, NOON_MS + seq) for seq in (1, 3)), tick("HK.00981", 1))
    trial.settle()
    trial.add(tick("HK.00700", 2, NOON_MS))
    trial.clock.now_s += 1
    assert trial.take() == 3
    trial.add(tick("HK.00700", 0, NOON_MS), tick("HK.00700", 4, NOON_MS))
    assert trial.take() == 1  # the new one does not wait
    assert trial.take() == 0
    assert trial.outbox.behind == 1
    trial.settle()
    assert [row[1] for row in trial.arrived if row[0] == "HK.00700"] == [1, 3, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert len(trial.arrived) == 12


def test_no_file_is_read_while_nothing_is_committed(trial: Trial) -> None:
    """And it is closed after a while, so that the collector can seal it."""
    trial.add(tick("HK.00700", 1))
    trial.settle()
    trial.clock.now_s += 11
    while trial.outbox.take() is not None:  # a file changed within the last tenth of a second is read again
        trial.clock.now_s += 11
    assert trial.outbox.take() is None
    trial.file.close()
    trial.file = DayFile(trial.path, DAY, "run-2", NOON_MS, "test", StoreOptions())
    trial.add(tick("HK.00700", 2))
    assert trial.take() == 1


def test_a_chunk_has_a_limited_number_of_ticks_and_no_symbol_waits_for_ever(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one symbol always has more, the others have their turn."""
    monkeypatch.setattr(outbox_module, "CHUNK_ROWS", 4)
    trial.add(*(tick("HK.00001", seq) for seq in range(100)), *(tick("HK.00002", seq) for seq in range(6)))
    for number in range(4):
        assert trial.take() == 4
        trial.add(*(tick("HK.00001", 100 + 4 * number + each) for each in range(4)))
    assert {row[0] for row in trial.arrived} == {"HK.00001", "HK.00002"}
    trial.settle()
    assert set(trial.arrived) == trial.stored()


def test_ticks_that_another_program_changed_are_found(trial: Trial) -> None:
    """The same number of other ticks: the check of the day names the symbol."""
    trial.add(*(tick("HK.00700", seq) for seq in (1, 2, 3)), tick("HK.00981", 1))
    trial.settle()
    with closing(apsw.Connection(str(trial.path))) as db:
        db.execute("UPDATE ticks SET seq = 4 WHERE seq = 2")
    assert trial.outbox.check() == ["HK.00700"]


def test_a_day_is_sealed_when_its_last_ticks_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks that are stored while the file is read, just before it is sealed, are sent before it counts as finished."""
    trial = Trial(tmp_path)
    trial.add(tick("HK.00700", 1))
    counts = OutboxReader.counts

    def counts_and_the_end(reader: OutboxReader) -> list[tuple[str, int]]:
        found = counts(reader)
        monkeypatch.setattr(OutboxReader, "counts", counts)
        trial.add(tick("HK.00700", 2))
        trial.file.close()
        assert not seal(trial.path, NOON_MS, StoreOptions())  # the mark is there; the file is open
        return found

    monkeypatch.setattr(OutboxReader, "counts", counts_and_the_end)
    assert [(trial.take(), trial.outbox.is_sealed) for _ in range(2)] == [(1, False), (1, True)]
    trial.outbox.close()
