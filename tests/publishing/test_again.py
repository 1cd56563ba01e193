"""Two readers ask one source for the same day within a minute: the second one waits, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.nats_servers import NatsServers
from tests.publishing.conftest import Collector, ticks

from hk_tick_collector import market
from hk_tick_collector.background import Background
from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.jetstream.engine import next_message, store
from hk_tick_collector.jetstream.message import AgainMessage, SumsMessage, decode, decode_sums, encode_again
from hk_tick_collector.jetstream.subjects import again_subject
from hk_tick_collector.publishing.days import Days
from hk_tick_collector.publishing.figures import Figures
from hk_tick_collector.publishing.options import PublishOptions
from hk_tick_collector.publishing.presence import Publisher
from hk_tick_collector.publishing.session import Session
from hk_tick_collector.store.publish_cursors import PublishCursors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.jetstream.streams import StreamState

DAY = "20261120"
MORNING_MS = market.day_start_ms(market.parse_day(DAY)) + 10 * 3_600_000  # no sums are due
PATIENCE_S = 60.0  # only a fault takes that long


class Counted(Figures):
    """It counts how often the requests of readers were looked for: the state of the stream is noted before that."""

    looks = 0

    def connected(self, connection: Connection, found: StreamState) -> None:
        self.looks += 1
        super().connected(connection, found)


class Running:
    """One run of a publisher, in this process."""

    def __init__(self, servers: NatsServers, root: Path, apart_s: float) -> None:
        urls = Servers(servers.urls, "publish a")
        self.figures = Counted(MORNING_MS, 1, "test", "a", str(root))
        self._options = PublishOptions(
            urls, "a", root, root / "cursors", root / "p.json", 0.01, watch_s=0.02, again_apart_s=apart_s
        )

    async def __aenter__(self) -> Running:
        self._cursors, self._stop = PublishCursors(self._options.cursor_path), asyncio.Event()
        background, days = Background("files"), Days(self._options.data_root, self._cursors)
        await background.run(lambda: days.begin("a", DAY, MORNING_MS))
        self._connection = await connect(self._options.servers)
        ours = Publisher.this("a", MORNING_MS, f"{time.monotonic_ns():x}")
        session = Session(self._options, days, background, self.figures, ours, lambda: MORNING_MS)
        self._task = asyncio.create_task(session.run(self._connection, self._stop))
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._stop.set()
        await self._task
        await self._connection.close()
        self._cursors.close()

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Waits until something is so."""
        end_s = time.monotonic() + PATIENCE_S
        while not wanted():
            assert time.monotonic() < end_s, self._task
            await asyncio.sleep(0.01)

    async def look(self) -> None:
        """Waits until the requests that are there now were looked for."""
        before = self.figures.looks
        await self.until(lambda: self.figures.looks > before + 2)


async def ask(connection: Connection, reader: str, *symbols: str) -> int:
    return await store(connection, again_subject("a"), encode_again(AgainMessage("a", DAY, symbols)), reader)


async def sent(connection: Connection) -> tuple[list[str], list[SumsMessage]]:
    """The symbol of each tick, and the sums, that the stream holds."""
    symbols: list[str] = []
    async for subject, data in messages(connection):
        symbols += [row[0] for row in decode(data).rows] if subject.startswith("hk.ticks") else []
    return symbols, [decode_sums(data) async for subject, data in messages(connection) if subject.startswith("hk.sums")]


async def messages(connection: Connection) -> AsyncIterator[tuple[str, bytes]]:
    seq = 1
    while (message := await next_message(connection, "hk.*.*.a", seq)) is not None:
        yield message.subject, message.data
        seq = message.seq + 1


def test_the_second_request_waits_in_the_stream_and_is_answered(tmp_path: Path) -> None:
    """Also when the publisher ends meanwhile: each reader gets its ticks and the sums after them."""

    async def run(servers: NatsServers, root: Path) -> None:
        reader = await connect(Servers(servers.urls, "reader"))
        async with Running(servers, root, apart_s=1e9) as one:
            await one.until(lambda: one.figures.published_rows == 5)
            first = await ask(reader, "merge.1", "HK.00700")
            await one.until(lambda: one.figures.requests == 1)
            await one.until(lambda: one.figures.published_rows == 8)
            second = await ask(reader, "merge.2", "HK.00005")
            await one.look()
            assert one.figures.requests == 1, "it was answered at once"
        assert (await sent(reader))[0] == ["HK.00005"] * 2 + ["HK.00700"] * 6
        async with Running(servers, root, apart_s=1e9) as two:
            await two.until(lambda: two.figures.requests == 1)
            await two.until(lambda: two.figures.published_rows == 2)
            await two.look()
        symbols, sums = await sent(reader)
        assert symbols[8:] == ["HK.00005"] * 2
        assert [each.sums.keys() for each in sums] == [{"HK.00005", "HK.00700"}] * 2
        assert [each.answered_before for each in sums] == [first + 1, second + 1], "one is taken for the other's"
        await reader.close()

    collector = Collector(tmp_path / "HK")
    collector.add(DAY, [*ticks("HK.00005", range(1, 3)), *ticks("HK.00700", range(1, 4))])
    with NatsServers(tmp_path / "nats") as servers, closing(collector):
        asyncio.run(run(servers, tmp_path / "HK"))


def test_the_second_request_is_answered_when_the_time_is_over(tmp_path: Path) -> None:
    """Without anything else that happens: both symbols were sent again in the end."""

    async def run(servers: NatsServers, root: Path) -> None:
        reader = await connect(Servers(servers.urls, "reader"))
        async with Running(servers, root, apart_s=0.5) as one:
            await one.until(lambda: one.figures.published_rows == 5)
            for number, symbol in enumerate(("HK.00700", "HK.00005", "HK.00700")):
                await ask(reader, f"merge.{number}", symbol)
                await one.look()
            await one.until(lambda: one.figures.requests == 3)
            await one.until(lambda: one.figures.published_rows >= 10)
            await one.look()
        symbols, sums = await sent(reader)
        assert set(symbols[5:8]) == {"HK.00700"}
        assert "HK.00005" in symbols[8:]
        assert len(sums) >= 2
        await reader.close()

    collector = Collector(tmp_path / "HK")
    collector.add(DAY, [*ticks("HK.00005", range(1, 3)), *ticks("HK.00700", range(1, 4))])
    with NatsServers(tmp_path / "nats") as servers, closing(collector):
        asyncio.run(run(servers, tmp_path / "HK"))
