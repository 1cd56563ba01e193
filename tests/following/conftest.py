"""For the tests of streams: a stream that is asked without waiting, and the days of tests/data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.data.conftest import Days, days, week

from hk_tick_collector.clock import now_ms
from hk_tick_collector.following.arguments import read_arguments
from hk_tick_collector.following.batch import Batch
from hk_tick_collector.following.engine import batches
from hk_tick_collector.following.local_days import LocalDays
from hk_tick_collector.following.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from hk_tick_collector.following.position import Position
    from hk_tick_collector.model import Gap, Tick

__all__ = ["Days", "Reading", "days", "week"]


class Reading:
    """A stream over directories, asked for what there is now; it never waits."""

    def __init__(
        self,
        data_root: Path | None,
        archive: Path | None = None,
        *,
        symbols: Any = None,
        start: Any = None,
        day: Any = None,
    ) -> None:
        position, only, _ = read_arguments(symbols, start, day, None, now_ms())
        self.source = LocalDays(data_root, archive, position, only=only)
        self.source.begin()
        self._items = batches(self.source, Pace(None))
        self.batches: list[Batch] = []
        self.is_over = False

    @property
    def position(self) -> Position:
        """Where it is."""
        return self.source.position

    @property
    def rows(self) -> list[Tick]:
        """All ticks so far."""
        return [tick for batch in self.batches for tick in batch.rows]

    @property
    def gaps(self) -> list[Gap]:
        """All gaps told so far."""
        return [gap for batch in self.batches for gap in batch.gaps]

    def read(self) -> list[Batch]:
        """The batches that there are now, until it would have to wait or is over."""
        found = list(self._until_a_wait())
        self.batches += found
        return found

    def one(self) -> Batch:
        """The next batch, which has to be there."""
        found = next(self._items)
        assert isinstance(found, Batch)
        self.batches.append(found)
        return found

    def _until_a_wait(self) -> Iterator[Batch]:
        for item in self._items:
            if not isinstance(item, Batch):
                return
            yield item
        self.is_over = True

    def close(self) -> None:
        """Closes its files."""
        self.source.close()


def demand_in_order(read: list[Batch]) -> None:
    """Asserts what the page promises: each tick once; of a symbol in ascending (day, seq), late ones excepted."""
    keys = [(batch.day, tick.symbol, tick.seq) for batch in read for tick in batch.rows]
    assert len(keys) == len(set(keys))
    highest: dict[str, Any] = {}
    for batch in read:
        before = dict(highest)
        for tick in batch.rows:
            key = (batch.day, tick.seq)
            last = highest.get(tick.symbol)
            if batch.late:
                assert tick.symbol not in before or key < before[tick.symbol]  # or than a tick before the begin
            else:
                assert last is None or key > last
                highest[tick.symbol] = key


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """DATA_ROOT of the test."""
    return tmp_path
