"""A merge with a real nats-server, in this process: messages as publishers send them, and what the union then has."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from tests.merging.feeds import DAY

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.jetstream import engine
from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.jetstream.message import SumsMessage, decode_again, encode, encode_sums
from hk_tick_collector.jetstream.streams import ensure_stream
from hk_tick_collector.jetstream.subjects import sums_subject, ticks_subject
from hk_tick_collector.merging.committing import Committing, make_merger
from hk_tick_collector.merging.service import MergeService
from hk_tick_collector.ops.live.merge_state import MergeState
from hk_tick_collector.store.dayfile import StoreOptions
from hk_tick_collector.store.merged_rows import MergedReader
from hk_tick_collector.store.query import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from pathlib import Path

    from tests.nats_servers import NatsServers

    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.jetstream.message import AgainMessage
    from hk_tick_collector.model import Reconciled, TickRow

DAY_NAME: Final = market.day_name(DAY)
_PATIENCE_S: Final = 300.0  # a finished day is looked for once a minute; more than that is a fault
_SINCE_MS: Final = now_ms()


def noon_ms() -> int:
    """The time, were this the noon of DAY when the tests began: a day that is long over is sealed."""
    return now_ms() - _SINCE_MS + market.day_start_ms(DAY) + 12 * 3_600_000


class Publisher:
    """Sends what a collector has, as `publish` does: each message with an id of its own."""

    def __init__(self, connection: Connection, source: str, generation: str = "g") -> None:
        self.connection = connection
        self.source = source
        self.generation = generation
        self.sent = 0

    async def send(self, rows: Sequence[TickRow], *, day: str = DAY_NAME, source: str = "") -> int:
        """One message of ticks; returns its sequence in the stream."""
        self.sent += 1
        message_id = f"{self.source}.{day}.{self.generation}.{self.sent}"
        data = encode(source or self.source, day, rows)
        return await engine.store(self.connection, ticks_subject(day, self.source), data, message_id)

    async def send_sums(
        self, rows: Sequence[TickRow], *compared: Reconciled, sealed: bool = False, day: str = DAY_NAME
    ) -> int:
        """What the collector says that it has, and its comparison with OpenD's totals."""
        sums: dict[str, tuple[int, int]] = {}
        for row in rows:
            count, total = sums.get(row[0], (0, 0))
            sums[row[0]] = count + 1, (total + row[1]) % 2**64
        self.sent += 1
        message = SumsMessage(self.source, day, noon_ms(), sealed, sums, compared)
        message_id = f"{self.source}.{day}.{self.generation}.{self.sent}"
        return await engine.store(self.connection, sums_subject(day, self.source), encode_sums(message), message_id)

    async def again(self) -> list[AgainMessage]:
        """The requests to this collector that are in the stream."""
        found: list[AgainMessage] = []
        seq = 1
        while True:
            message = await engine.next_message(self.connection, f"hk.again.{self.source}", seq)
            if message is None:
                return found
            found.append(decode_again(message.data))
            seq = message.seq + 1


_opened: Final[list[Connection]] = []


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Runs a scene in an event loop, and closes the connections of its publishers."""

    async def run() -> None:
        try:
            await scene()
        finally:
            while _opened:
                await _opened.pop().close()

    asyncio.run(run())


async def publisher(servers: NatsServers, source: str, generation: str = "g") -> Publisher:
    """A publisher with its own connection; the stream exists afterwards."""
    connection = await connect(Servers(servers.urls, f"publish {source}"))
    _opened.append(connection)
    await ensure_stream(connection)
    return Publisher(connection, source, generation)


@asynccontextmanager
async def merging(
    servers: NatsServers, root: Path, clock: Callable[[], int] = noon_ms, creds: Path | None = None
) -> AsyncIterator[tuple[MergeService, MergeState]]:
    """A merge into `root` that runs inside the block."""
    status = MergeState(0, clock(), 1, "test", "test", "running", str(root))
    make = make_merger(root, StoreOptions(synchronous="OFF"), "test", clock)
    service = MergeService(
        Servers(servers.urls, "merge", creds),
        lambda stopping: Committing(make, root, status, stopping, clock),
        status,
        clock,
    )
    task = asyncio.create_task(service.run())
    try:
        yield service, status
    finally:
        service.stop()
        await task


async def until(wanted: Callable[[], bool], what: str = "") -> None:
    """Waits until something is so."""
    end_s = time.monotonic() + _PATIENCE_S
    while not wanted():
        assert time.monotonic() < end_s, what
        await asyncio.sleep(0.01)


def stored(root: Path, day: str = DAY_NAME) -> list[TickRow]:
    """The ticks of a merged day, by key; none if it has no file yet."""
    path = path_of(root, day)
    if not path.exists():
        return []
    with MergedReader(path) as reader:
        return [tuple(row) for row in reader.ticks_by_key()]  # type: ignore[misc]
