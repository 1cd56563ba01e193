"""A real nats-server, day files as a collector writes them, `publish` as a process, and what the stream then holds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.log_lines import Event, events_in
from tests.nats_servers import NatsServers

from hk_tick_collector import market
from hk_tick_collector.errors import StreamAwayError
from hk_tick_collector.jetstream.connect import Connection, Servers, connect
from hk_tick_collector.jetstream.engine import info, message_at
from hk_tick_collector.jetstream.message import SumsMessage, decode, decode_sums
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tests.nursery import Forked, Nursery

    from hk_tick_collector.model import Reconciled, TickRow

CAP_S = 120.0
SOURCE = "host-1"


def day_of(days_ago: int = 0) -> str:
    """A day by the clock of this host, as `publish` sees it."""
    return market.day_name(market.day_number(time.time_ns() // 1_000_000) - days_ago)


@pytest.fixture(autouse=True)
def _today(one_day: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day in which each test begins: its module may have been imported before midnight."""
    if hasattr(request.module, "TODAY"):
        monkeypatch.setattr(request.module, "TODAY", day_of())


def ticks(symbol: str, seqs: Sequence[int], recv_ms: int = 0) -> list[TickRow]:
    """Ticks with these sequences, received at `recv_ms` or in the order of their sequences."""
    return [
        (
            symbol,
            seq,
            1000 + seq,
            388.2,
            100,
            38820.0,
            "BUY",
            "AUTO_MATCH",
            "realtime",
            recv_ms or 1000 + seq,
            None,
            "P",
        )
        for seq in seqs
    ]


class Collector:
    """Writes day files below `root`, as the collector does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, DayFile] = {}
        root.mkdir(exist_ok=True)

    def add(self, day: str, rows: Sequence[TickRow]) -> None:
        """Commits ticks."""
        if day not in self._files:
            options = StoreOptions(synchronous="NORMAL")
            self._files[day] = DayFile(self.root / f"{day}.db", day, "run", 1000, "test", options)
        self._files[day].write(Batch(rows=list(rows)), 2000)

    def reconcile(self, day: str, rows: list[Reconciled]) -> None:
        """Commits a comparison with OpenD's totals of a day that has ticks."""
        self._files[day].write(Batch(reconciled=rows), 2000)

    def seal(self, day: str) -> None:
        """Ends a day: as the collector does, again until no reader has the file open."""
        self._files.pop(day).close()
        while not seal(self.root / f"{day}.db", 3000, StoreOptions()):
            time.sleep(0.05)

    def replace(self, day: str) -> None:
        """The file is moved away, with the WAL that a reader keeps; the next commit makes another one."""
        self._files.pop(day).close()
        for path in self.root.glob(f"{day}.db*"):
            path.rename(path.with_name(path.name.replace(".db", ".moved")))

    def close(self) -> None:
        """As a kill."""
        for file in self._files.values():
            file.abandon()


class Running:
    """A `publish` that runs."""

    def __init__(self, process: Forked, log: Path, state: Path) -> None:
        self.process = process
        self._log = log
        self._state = state

    def events(self, name: str = "") -> list[Event]:
        """The lines of its log, of one event or of all."""
        return events_in(self._log.read_text("utf-8"), name)

    def text(self) -> str:
        """Everything that it has written."""
        return self._log.read_text("utf-8")

    def state(self) -> dict[str, Any]:
        """publish.json; empty before there is one."""
        try:
            found: dict[str, Any] = json.loads(self._state.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Returns when the condition is true."""
        end_s = time.monotonic() + CAP_S
        while not condition():
            assert time.monotonic() < end_s, f"{self._log.read_text('utf-8')}\n{self.state()}"
            assert self.process.poll() is None or condition(), self._log.read_text("utf-8")
            time.sleep(0.02)

    def wait_for_event(self, name: str, count: int = 1) -> Event:
        """The last line of an event, when there are that many."""
        self.wait_for(lambda: len(self.events(name)) >= count)
        return self.events(name)[-1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(CAP_S)


class Publishing:
    """Everything of one test."""

    def __init__(self, directory: Path, nursery: Nursery, servers: NatsServers) -> None:
        self.directory = directory
        self.servers = servers
        self.root = directory / "HK"
        self.collector = Collector(self.root)
        self._nursery = nursery
        self._started: list[Forked] = []

    def start(self, *args: str, **settings: str) -> Running:
        """`publish` as a process; its log is read through what is returned."""
        log = self.directory / f"publish-{len(self._started)}.log"
        root = Path(settings.get("DATA_ROOT", self.root))
        environ = {
            "STREAM_URL": self.servers.url,
            "INSTANCE_ID": SOURCE,
            "DATA_ROOT": str(root),
            "PUBLISH_POLL_MS": "5",
            **settings,
        }
        nothing = os.open(os.devnull, os.O_RDONLY)
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        try:
            command = ["publish", "--env-file", os.devnull, *args]
            process = self._nursery.fork(command, self.directory, (nothing, output, output), environ)
        finally:
            os.close(nothing)
            os.close(output)
        self._started.append(process)
        return Running(process, log, root / "publish.json")

    def once(self, *args: str, **settings: str) -> Running:
        """The same with `--once`, when it has ended."""
        running = self.start("--once", *args, **settings)
        running.process.wait(CAP_S)
        return running

    def kill_all(self) -> None:
        """Ends what still runs."""
        for process in self._started:
            process.kill()
            process.wait(CAP_S)
        self.collector.close()

    def streamed(self) -> Streamed:
        """What the stream holds now."""
        found: Streamed = self.ask(_read)
        return found

    def ask(self, question: Callable[[Connection], Awaitable[Any]]) -> Any:
        """The answer to a question on a connection of the test; asked again while the engine cannot answer."""

        async def run() -> Any:
            connection = await connect(Servers(self.servers.urls, "test"))
            try:
                return await question(connection)
            finally:
                await connection.close()

        end_s = time.monotonic() + CAP_S
        while True:
            try:
                return asyncio.run(run())
            except StreamAwayError:  # an election, or a machine with other work
                if time.monotonic() > end_s:
                    raise

    def wait_streamed(self, running: Running, condition: Callable[[Streamed], object]) -> Streamed:
        """What the stream holds, when the condition is true of it."""
        last: list[Streamed] = []

        def holds() -> object:
            last[:] = [self.streamed()]
            return condition(last[0])

        running.wait_for(holds)
        return last[0]


class Streamed:
    """The messages of the stream, in their order."""

    def __init__(self, ticks: list[tuple[str, list[TickRow]]], sums: list[SumsMessage], messages: int) -> None:
        self.by_message = ticks  # day and rows of each message
        self.sums = sums
        self.messages = messages

    def rows(self, day: str) -> list[TickRow]:
        """The ticks of a day, in order, each as often as it was sent."""
        return [row for each, rows in self.by_message for row in rows if each == day]


async def _read(connection: Connection) -> Streamed:
    found = await info(connection)
    ticks, sums = [], []
    state = found["state"] if found else {"first_seq": 1, "last_seq": 0}
    for seq in range(max(int(state["first_seq"]), 1), int(state["last_seq"]) + 1):
        message = await message_at(connection, seq)
        if message is None:
            continue
        assert message.message_id
        if message.subject.startswith("hk.ticks."):
            decoded = decode(message.data)
            assert message.subject == f"hk.ticks.{decoded.day}.{decoded.source}"
            ticks.append((decoded.day, decoded.rows))
        elif message.subject.startswith("hk.sums."):
            sums.append(decode_sums(message.data))
    return Streamed(ticks, sums, int(state["last_seq"]))


@pytest.fixture
def publishing(workdir: Path, nursery: Nursery) -> Iterator[Publishing]:
    """With one server."""
    with NatsServers(workdir / "nats") as servers:
        found = Publishing(workdir, nursery, servers)
        yield found
        found.kill_all()
