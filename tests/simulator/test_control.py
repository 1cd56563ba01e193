"""The control socket: a client decides when a fault happens."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.simulator.control import Control, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def controlled(tools: Any, path: Path) -> AsyncIterator[Any]:
    """A simulator with a control socket, and a function that sends a command and returns the unchanged answer."""
    async with tools.simulating(rate=500) as simulator, Control(path, simulator):
        await simulator.started()
        reader, writer = await asyncio.open_unix_connection(path)

        async def say(command: str) -> str:
            writer.write(f"{command}\n".encode())
            return (await reader.readline()).decode().strip()

        yield simulator, say
        writer.close()


def test_a_command_is_done_when_it_is_answered(tools: Any, tmp_path: Path) -> None:
    """Steps, pause and resume, one after the other on one connection; an error says why and does not close it."""

    async def main() -> None:
        async with controlled(tools, tmp_path / "control") as (simulator, say):
            assert await say("pause") == "ok"
            made = simulator.ticks
            assert await say("burst 100") == "ok"
            assert simulator.ticks == made + 100
            assert await say("mute for 1h") == "ok"
            assert await say("stats") == (
                f"ok ticks={made + 100} pushes=0 clients=0 subscribed=0 waiting_bytes=0 lasting=pause,mute"
            )
            assert await say("resume") == "ok"
            assert (await say("stats")).endswith("lasting=mute")
            assert await say("cut") == "error no client is connected"
            assert (await say("dance")).startswith("error there is no step 'dance', allowed are ")
            assert (await say("")).startswith("error a step is missing")
            assert await say("end all") == "ok"

    tools.run(main())


def test_tell_works_without_an_event_loop(tools: Any, tmp_path: Path) -> None:
    """It returns the fields, and raises an error if the simulator refuses."""

    async def main() -> None:
        async with controlled(tools, tmp_path / "control"):
            told = await asyncio.to_thread(tell, tmp_path / "control", "pause")
            assert told == {}
            stats = await asyncio.to_thread(tell, tmp_path / "control", "stats")
            assert stats["lasting"] == "pause"
            with pytest.raises(CollectorError, match="no client is connected"):
                await asyncio.to_thread(tell, tmp_path / "control", "cut")

    tools.run(main())


def test_clients_may_disconnect_at_any_time(tools: Any, tmp_path: Path) -> None:
    """In the middle of a line, or before the answer; an endless line is not kept in memory."""

    async def main() -> None:
        path = tmp_path / "control"
        async with controlled(tools, path) as (_, say):
            for data in (b"", b"sta", b"stats\n" * 50, b"x" * 200_000):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(data)
                writer.close()
                del reader
            assert (await say("stats")).startswith("ok ")

    tools.run(main())


def test_the_socket_is_created_and_removed(tools: Any, tmp_path: Path) -> None:
    """A socket that a killed simulator left is replaced; another kind of file or an unusable path is an error."""
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async def main() -> None:
        async with controlled(tools, path) as (_, say):
            assert (await say("stats")).startswith("ok ")
        assert not path.exists()
        path.write_text("mine")
        for wrong in (path, tmp_path / "missing" / "control", tmp_path / ("long" * 40)):
            async with tools.simulating(rate=0) as simulator:
                with pytest.raises(UsageError, match="control socket"):
                    async with Control(wrong, simulator):
                        pass
        assert path.read_text() == "mine"

    tools.run(main())
