"""What a real nats-server says of its disk."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.nats_servers import NatsServers

from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.jetstream.disk_sync import DiskSync, acknowledges_early
from hk_tick_collector.jetstream.streams import ensure_stream

if TYPE_CHECKING:
    from pathlib import Path

_CAP_S = 300.0


def address_of(servers: NatsServers) -> tuple[str, int]:
    found = urlsplit(servers.monitor(0))
    return found.hostname or "", found.port or 0


async def make_stream(servers: NatsServers) -> None:
    connection = await connect(Servers(servers.urls, "test"))
    await ensure_stream(connection)
    await connection.close()


@pytest.mark.parametrize(("sync", "is_told"), [("always", False), ("2m", True)])
def test_a_server_that_does_not_sync_each_message_is_told(tmp_path: Path, sync: str, is_told: bool) -> None:
    """Only of a server that holds the stream of ticks."""
    with NatsServers(tmp_path, sync=sync) as servers:
        assert not acknowledges_early(*address_of(servers))
        asyncio.run(make_stream(servers))
        assert acknowledges_early(*address_of(servers)) is is_told


def test_the_watch_asks_in_a_thread_of_its_own(tmp_path: Path) -> None:
    """The first question gets no answer yet, and does not wait for it."""
    with NatsServers(tmp_path, sync="2m") as servers:
        asyncio.run(make_stream(servers))
        watch, end_s = DiskSync(*address_of(servers)), time.monotonic() + _CAP_S
        while not watch.is_unsynced():
            assert time.monotonic() < end_s
            time.sleep(0.01)


def test_nothing_is_told_without_a_server_on_this_host() -> None:
    """Neither of a port where nobody listens."""
    assert not acknowledges_early("127.0.0.1", 1)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b'HTTP/1.1 200 OK\r\n\r\n{"account_details": [{"stream_detail": 5}]}',
        b'HTTP/1.1 200 OK\r\n\r\n{"config": 5, "account_details": 5}',
    ],
    ids=["no http", "cut off", "too deep", "no list", "no object"],
)
def test_another_program_at_the_port_ends_no_watch(said: bytes) -> None:
    """Whatever it answers: the thread of the watch would end with an exception."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        speaking = pool.submit(speak)
        assert not acknowledges_early(*listening.getsockname())
        speaking.result()
