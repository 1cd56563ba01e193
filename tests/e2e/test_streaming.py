"""A stream beside a real collector: every tick of the day file once, over kills of the collector and of the reader."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.following.conftest import demand_in_order

import hk_tick_collector
from hk_tick_collector.simulator.exchange.listing import default_symbols

from .conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.following.batch import Batch

    from .conftest import Proxy, Start


class Reader:
    """Reads a stream in a thread, and is ended and begun again at its saved position."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._saved = ""
        self.batches: list[Batch] = []
        self.start()

    @property
    def ticks(self) -> int:
        """How many ticks it has."""
        return sum(map(len, list(self.batches)))

    def start(self) -> None:
        """Begins, or goes on at what was saved."""
        self._stream = hk_tick_collector.stream(self._root, start=self._saved or "day")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()))
        self._thread.start()

    def stop(self) -> None:
        """Ends it, wherever it is."""
        self._stop.set()
        self._thread.join()

    async def _read(self) -> None:
        async with self._stream:
            while not self._stop.is_set():
                with suppress(TimeoutError):
                    batch = await asyncio.wait_for(anext(self._stream), 0.1)
                    self.batches.append(batch)
                    self._saved = str(batch.position)


def test_every_tick_once_over_kills_and_reconnects(start: Start, start_proxy: Callable[[int], Proxy]) -> None:
    """SIGKILL of the collector three times, cut connections, and a reader that is begun anew: exactly the day file.

    Each tick once, and of a symbol in order of sequence, but for those that are marked late.
    """
    opend = start.simulate("--rate", "2000", "--wait", symbols="60")
    proxy = start_proxy(opend.port)
    settings = {"FUTU_SYMBOLS": ",".join(sorted(_symbols(60)))}
    collector = start.run(proxy.port, settings)
    collector.wait_stored(500)
    reader = Reader(collector.data_root)
    for round_ in range(3):
        before = reader.ticks
        wait_until(lambda before=before: reader.ticks > before + 500, "the stream goes on")  # type: ignore[misc]
        proxy.cut()
        collector.kill()
        collector = start.run(proxy.port, settings)
        if round_ == 1:
            reader.stop()
            reader.start()
    collector.read_all_from(opend)
    assert collector.stop() == 0
    stored = collector.ticks()
    wait_until(lambda: reader.ticks >= len(stored), lambda: f"{reader.ticks} of {len(stored)} ticks")
    reader.stop()
    assert sorted(tick for batch in reader.batches for tick in batch.rows) == stored
    demand_in_order(reader.batches)


def _symbols(count: int) -> list[str]:
    return list(default_symbols(count))
