"""One connection of `publish` to a real server: it ends when the connection is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
from tests.nats_servers import NatsServers
from tests.publishing.conftest import Collector, ticks

from hk_tick_collector import market
from hk_tick_collector.background import Background
from hk_tick_collector.errors import StreamAwayError
from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.publishing.days import Days
from hk_tick_collector.publishing.figures import Figures
from hk_tick_collector.publishing.options import PublishOptions
from hk_tick_collector.publishing.presence import Publisher
from hk_tick_collector.publishing.session import Session
from hk_tick_collector.store.publish_cursors import PublishCursors

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.jetstream.connect import Connection

DAY: Final = "20261120"
NOW_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 10 * 3_600_000
ROUNDS_MOST: Final = 20  # after the loss


class Counted(Session):
    """Notes when it had nothing more to send, and counts its rounds after the connection was lost."""

    after_loss = 0
    is_idle: asyncio.Event

    async def _send_round(self, connection: Connection) -> bool:
        self._next_watch_s = float("inf")  # so nothing but the loss itself ends it
        self.after_loss += connection.lost.is_set()
        assert self.after_loss < ROUNDS_MOST
        more = await super()._send_round(connection)
        if not more:
            self.is_idle.set()
        return more


def test_an_idle_publish_ends_with_its_connection(tmp_path: Path) -> None:
    """It does not look for new ticks again and again without a pause until the next check of the server."""
    Collector(tmp_path / "HK").add(DAY, ticks("HK.00700", range(1, 50)))

    async def story(servers: NatsServers) -> int:
        options = PublishOptions(
            Servers(servers.urls, "p"), "a", tmp_path / "HK", tmp_path / "cursors", tmp_path / "publish.json", 0.05
        )
        cursors, files = PublishCursors(options.cursor_path), Background("files")
        days = Days(options.data_root, cursors)
        await files.run(lambda: days.begin("a", DAY, NOW_MS))
        figures = Figures(NOW_MS, 1, "test", "a", str(options.data_root))
        connection = await connect(options.servers)
        session = Counted(options, days, files, figures, Publisher.this("a", NOW_MS, "token"), lambda: NOW_MS)
        session.is_idle = asyncio.Event()
        running = asyncio.create_task(session.run(connection, asyncio.Event()))
        await session.is_idle.wait()
        servers.kill(0)
        with pytest.raises(StreamAwayError, match="is lost"):
            await running
        await connection.close()
        return session.after_loss

    with NatsServers(tmp_path, 1) as servers:
        assert asyncio.run(story(servers)) <= 1
