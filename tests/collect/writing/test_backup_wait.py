"""The writer's wait for a copy of the day: reported, safe on disk, in order, and ended if it cannot be safe."""

from __future__ import annotations

import errno
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest
from tests.collect.conftest import NOW_MS, wait_until

from hk_tick_collector import market
from hk_tick_collector.collect.buffer.chunk import Chunk
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.writing.backup_rule import LIMIT_S
from hk_tick_collector.collect.writing.backup_wait import CopyWait, OtherDirectory
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.copies import find_copies
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

DAY: Final = market.parse_day("20261120")
BUFFER_ROWS: Final = 1_000
CAP_S: Final = 300.0  # ends only a test that would wait for ever


class FailingSpool(Spool):
    """A spool whose disk is full while `full` is set."""

    full = False

    def append(self, rows: Sequence[TickRow]) -> None:
        """Fails, or appends."""
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")
        super().append(rows)


class Scene:
    """A queue with its spool, a directory in which a copy is made, and a clock."""

    def __init__(self, root: Path, max_rows: int = 500) -> None:
        self.copy = root / "20261120.snapshot.db"
        self.stats = Stats()
        self.spool = FailingSpool(root / "spool")
        self.overflow = Overflow(self.spool, BUFFER_ROWS, self.stats)
        self.queue = TickQueue(max_rows, self.overflow)
        self.now_s = 1000.0
        self.hold = CopyWait(
            self.queue, self.stats, (root, None), lambda day: day == DAY, lambda: NOW_MS, lambda: self.now_s
        )
        self._steps = 0
        assert not self.hold.lasts()

    def step(self, *, grows: bool = True, seconds: float = 0.6) -> bool:
        """Some time passes, in which the copy grows; whether commits wait."""
        self.now_s += seconds
        if grows:
            self._steps += 1
            self.copy.write_bytes(b"x" * self._steps)
            self.copy.with_name(self.copy.name + "-journal").write_bytes(b"x")
        return self.hold.lasts()

    def end_copy(self) -> None:
        """The copy is done."""
        self.copy.with_name(self.copy.name + "-journal").unlink()

    def take_all(self) -> list[int]:
        """Everything that waits, as the writer takes it: the sequences."""
        seqs = []
        while self.queue.rows:
            taken = self.queue.take(100, 0.0, 0.0)
            seqs += [row[1] for chunk in taken for row in chunk.rows]
            self.queue.done(taken)
        return seqs


@pytest.fixture
def scene(tmp_path: Path, journal: Journal) -> Iterator[Scene]:  # what it logs stays in the test
    """A scene without a copy."""
    scene = Scene(tmp_path)
    yield scene
    scene.overflow.stop(time.monotonic() + CAP_S, [])


def test_a_copy_is_reported_from_its_start_to_its_end(scene: Scene, journal: Journal) -> None:
    """Which copy and since when: in Stats at once, in the log when ticks have waited for a second."""
    assert scene.step()
    assert (scene.stats.copy_path, scene.stats.copy_since_ms) == (str(scene.copy), NOW_MS)
    assert scene.queue.storing.copy_held
    assert not journal.events()
    assert scene.step()
    assert scene.step()
    assert journal.events("commits_held")[0].fields["copy"] == str(scene.copy)
    scene.end_copy()
    assert not scene.step(grows=False)
    assert (scene.stats.copy_path, scene.stats.copy_since_ms, scene.queue.storing.copy_held) == ("", None, False)
    [line] = journal.events("commits_resumed")
    assert (line.fields["why"], line.fields["held_s"]) == ("copy_ended", "1.8")


def test_an_endless_copy_is_reported_while_it_lasts(scene: Scene, journal: Journal) -> None:
    """After the limit commits continue, one line says so, and the copy stays named until it ends."""
    held = [scene.step(seconds=1.0) for _ in range(int(LIMIT_S) + 20)]
    assert held == [True] * int(LIMIT_S) + [False] * 20
    assert [line.fields["why"] for line in journal.events("commits_resumed")] == ["limit"]
    assert (scene.stats.copy_path, scene.queue.storing.copy_held) == (str(scene.copy), False)
    scene.end_copy()
    scene.step(grows=False)
    assert scene.stats.copy_since_ms is None


def test_rows_that_wait_long_or_fill_memory_are_spooled_in_order(scene: Scene, tick: MakeTick) -> None:
    """Half of the memory goes to the spool at once, later ticks follow; they come back in order."""
    scene.step()
    for seq in range(100):
        scene.queue.put(Chunk(rows=[tick("HK.00700", seq)]))
    assert scene.step()
    assert scene.queue.spooled_rows == 0, "a short wait costs no spool"
    for seq in range(100, 300):
        scene.queue.put(Chunk(rows=[tick("HK.00700", seq)]))
    assert scene.step()
    for seq in range(300, 400):
        scene.queue.put(Chunk(rows=[tick("HK.00700", seq)]))
    wait_until(lambda: scene.queue.exposed_rows == 0, "all rows on the disk")
    assert scene.queue.rows == 400
    assert scene.take_all() == list(range(400))


def test_a_tick_waits_in_memory_for_a_second_at_most(scene: Scene, tick: MakeTick) -> None:
    """A lone tick is spooled too."""
    scene.queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    assert scene.queue.wait_safely(60.0)
    assert scene.queue.spooled_rows == 0
    assert scene.queue.wait_safely(0.0)
    wait_until(lambda: scene.queue.exposed_rows == 0, "the row on the disk")
    assert scene.take_all() == [1]


def test_rows_ahead_of_the_spool_are_stored_first(scene: Scene, tick: MakeTick) -> None:
    """If memory is full and more rows are in the spool, commits continue until memory is empty: order is kept."""
    for seq in range(600):
        scene.queue.put(Chunk(rows=[tick("HK.00700", seq)]))
    assert scene.queue.spooled_rows == 100
    assert not scene.step()
    taken = scene.queue.take(500, 0.0, 0.0)
    assert [row[1] for chunk in taken for row in chunk.rows] == list(range(500))
    scene.queue.done(taken)
    assert scene.step()
    assert scene.take_all() == list(range(500, 600))


def test_a_spool_that_takes_nothing_ends_the_wait(scene: Scene, tick: MakeTick, journal: Journal) -> None:
    """No tick may be lost for a copy: with SPOOL_DIR full, ticks are stored again, and that is logged."""
    for _ in range(3):
        assert scene.step()
    scene.spool.full = True
    scene.queue.put(Chunk(rows=[tick("HK.00700", 1)]))
    scene.queue.wait_safely(0.0)
    journal.wait_for("spool_failed")
    wait_until(lambda: not scene.step(seconds=0.01), "commits again")
    assert journal.events("commits_resumed")[0].fields["why"] == "spool"
    wait_until(lambda: scene.take_all() == [1], "the row stored")


def test_rows_keep_their_order_while_one_puts_and_one_spools(scene: Scene, tick: MakeTick) -> None:
    """The event loop puts rows at any time between the writer's waits: none is lost, doubled or out of order."""
    count, taken = 5_000, list[int]()

    def put() -> None:
        for seq in range(count):
            while not scene.queue.has_room(1):
                time.sleep(0.001)
            scene.queue.put(Chunk(rows=[tick("HK.00700", seq)]))

    putting = threading.Thread(target=put)
    putting.start()
    while len(taken) < count:
        for _ in range(20):
            scene.queue.wait_safely(0.0)
        chunks = scene.queue.take(50, 0.0, 0.01)
        taken += [row[1] for chunk in chunks for row in chunk.rows]
        scene.queue.done(chunks)
    putting.join()
    assert taken == list(range(count))


def test_a_copy_of_another_day_delays_no_commit(scene: Scene, tmp_path: Path) -> None:
    """While a sealed day is copied, commits do not wait."""
    scene.copy = tmp_path / "20261119.snapshot.db"
    assert not any(scene.step() for _ in range(10))


def test_a_copy_in_another_directory_is_seen_and_a_disk_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """SNAPSHOT_DIR may be on a network disk: the writer uses the last result of another thread, and never waits."""
    answers, hangs = threading.Event(), threading.Event()

    def look() -> dict[str, tuple[int, ...]]:
        hangs.set()
        assert answers.wait(CAP_S)
        return find_copies((tmp_path,), lambda _: True)

    elsewhere = OtherDirectory(look)
    (tmp_path / "x.db").touch()
    (tmp_path / "x.db-journal").touch()
    assert elsewhere.latest() == {}
    assert hangs.wait(CAP_S)
    assert elsewhere.latest() == {}, "returned although the disk hangs"
    answers.set()
    wait_until(elsewhere.latest, "the copy")
    assert list(elsewhere.latest()) == [str(tmp_path / "x.db")]
    elsewhere.close()
