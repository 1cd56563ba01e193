"""For end-to-end tests: the real `simulate` and the real `run`, each a process, and the files they leave."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import apsw
import pytest
from tests.log_lines import Event, events_in

from hk_tick_collector.model import Tick
from hk_tick_collector.simulator.truth.truth import TruthTick, read_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.nursery import Nursery

CAP_S = 300.0
PROGRAM = (sys.executable, "-m", "hk_tick_collector")
SYMBOLS = "HK.00700,HK.09988,HK.00005"


def wait_until(condition: Callable[[], object], what: Callable[[], str] | str, cap_s: float = CAP_S) -> None:
    """Returns when `condition()` is true; fails with `what` if that takes longer than the cap."""
    began_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_s
        assert waited_s < cap_s, f"not within {cap_s:.0f} s: {what if isinstance(what, str) else what()}"
        time.sleep(pause_s(waited_s))


def pause_s(waited_s: float) -> float:
    """The time until the next check. A check takes up to 10 ms of CPU time, so checks become rarer after a while."""
    return min(0.1, max(0.01, waited_s / 20))


class Process:
    """A verb as a process, with its output in a file."""

    _read_bytes = 0  # bytes of its log that were read
    _events: tuple[Event, ...] = ()

    def __init__(
        self, log_path: Path, command: list[str], environ: dict[str, str], nursery: Nursery | None = None
    ) -> None:
        self._log_path = log_path
        environ = {**os.environ, **environ}
        with log_path.open("wb") as output, Path(os.devnull).open("rb") as nothing:
            if nursery and (*command[: len(PROGRAM)],) == PROGRAM and nursery.can_fork(environ):
                files = (nothing.fileno(), output.fileno(), output.fileno())
                forked = nursery.fork(command[len(PROGRAM) :], log_path.parent, files, environ)
                self._process = cast("subprocess.Popen[bytes]", forked)  # it has the methods that this class uses
            else:
                self._process = subprocess.Popen(
                    command, cwd=log_path.parent, env=environ, stdin=nothing, stdout=output, stderr=output
                )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """Everything that it has written so far."""
        return self._log_path.read_text("utf-8")

    def events(self, name: str = "") -> list[Event]:
        """Its log lines so far, of one event or of all; each is read once, however often this is asked."""
        with self._log_path.open("rb") as log:
            log.seek(self._read_bytes)
            whole, end, _ = log.read().rpartition(b"\n")
        self._read_bytes += len(whole + end)
        self._events += tuple(events_in((whole + end).decode("utf-8")))
        return [event for event in self._events if name in ("", event.name)]

    def wait_for(self, name: str, count: int = 1, **fields: str) -> Event:
        """The `count`th line of an event with these fields; waits for it."""

        def matching() -> list[Event]:
            assert self._process.poll() is None or self.events(name), self.output
            return [event for event in self.events(name) if fields.items() <= event.fields.items()]

        wait_until(lambda: len(matching()) >= count, lambda: f"{name} {fields} × {count} in\n{self.output}")
        return matching()[count - 1]

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def finish(self) -> int:
        """Waits for its end and returns its exit code."""
        try:
            return self._process.wait(CAP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"it did not end within {CAP_S:.0f} s:\n{self.output}")

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.finish()

    def kill(self) -> None:
        """SIGKILL, and its end."""
        self._process.kill()
        self._process.wait(CAP_S)


class OpenD(Process):
    """`simulate` as a process."""

    truth_path: Path

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.wait_for("simulator_listening").fields["port"])

    def truth(self) -> list[TruthTick]:
        """Every tick that it has made so far."""
        return list(read_truth(self.truth_path))

    def wait_made(self, ticks: int) -> None:
        """Returns when this many ticks are made."""
        wait_until(lambda: self.truth_path.read_bytes().count(b"\n") >= ticks, f"{ticks} ticks made")


class Collector(Process):
    """`run` as a process."""

    data_root: Path

    def ticks(self) -> list[Tick]:
        """The ticks in all its day files, in the order of the key."""
        rows = []
        for path in sorted(self.data_root.glob("[0-9]" * 8 + ".db")):
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            assert db.execute("PRAGMA integrity_check").get == "ok"
            rows += [Tick._make(row) for row in db.execute("SELECT * FROM ticks")]
            db.close()
        return sorted(rows)

    def stored(self) -> int:
        """The number of ticks in its day files; 0 for a file that is just being created."""
        count = 0
        for path in self.data_root.glob("[0-9]" * 8 + ".db"):
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            db.set_busy_timeout(1000)
            if db.table_exists("main", "ticks"):
                count += int(db.execute("SELECT count(*) FROM ticks").get)
            db.close()
        return count

    def wait_stored(self, ticks: int) -> None:
        """Returns when its day files have this many ticks."""
        wait_until(lambda: self.stored() >= ticks, lambda: f"{ticks} ticks stored in\n{self.output}")

    def read_all_from(self, opend: OpenD) -> None:
        """Stops OpenD, and returns when everything that it sent has been read."""
        before = len(self.events("futu_disconnected"))
        opend.signal(signal.SIGTERM)
        opend.finish()
        self.wait_for("futu_disconnected", before + 1)

    def shutdown(self) -> dict[str, str]:
        """The fields of its last line, which says how it ended."""
        last = self.events()[-1]
        assert last.name == "shutdown", self.output
        assert "Traceback" not in self.output
        return last.fields


class Start:
    """Starts processes, and ends them with the test."""

    def __init__(self, directory: Path, nursery: Nursery) -> None:
        self._directory = directory
        self._nursery = nursery
        self._started: list[Process] = []

    def simulate(self, *args: str, port: int = 0, symbols: str = SYMBOLS) -> OpenD:
        """A simulated OpenD that already listens."""
        number = len(self._started)
        truth = self._directory / f"truth-{number}.tsv"
        options = ["--port", str(port), "--truth", str(truth), "--symbols", symbols, *args]
        opend = OpenD(self._directory / f"simulate-{number}.log", [*PROGRAM, "simulate", *options], {}, self._nursery)
        opend.truth_path = truth
        self._started.append(opend)
        assert opend.port
        return opend

    def run(
        self,
        port: int,
        settings: Mapping[str, str] | None = None,
        *,
        data_root: Path | None = None,
        wrapper: tuple[str, ...] = (),
        program: tuple[str, ...] = PROGRAM,
    ) -> Collector:
        """A collector that is just starting, with these settings."""
        root = data_root or self._directory / "HK"
        if data_root is None:
            root.mkdir(exist_ok=True)
        environ = {
            "FUTU_PORT": str(port),
            "FUTU_SYMBOLS": SYMBOLS,
            "DATA_ROOT": str(root),
            "HEALTH_INTERVAL_SEC": "1",
            "METRICS_ADDR": "",
        } | dict(settings or {})
        log_path = self._directory / f"run-{len(self._started)}.log"
        collector = Collector(log_path, [*wrapper, *program, "run"], environ, self._nursery)
        collector.data_root = root
        self._started.append(collector)
        return collector

    def end(self) -> None:
        """Leaves no process behind."""
        for process in self._started:
            process.kill()


@pytest.fixture(autouse=True)
def _one_day(one_day: None) -> None:
    """A market on the host's clock stays within one day, unless the test sets another clock."""


@pytest.fixture
def start(workdir: Path, nursery: Nursery) -> Iterator[Start]:
    """Starts the verbs as processes in the test's directory."""
    processes = Start(workdir, nursery)
    yield processes
    processes.end()


@pytest.fixture
def free_port() -> int:
    """A port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Proxy:
    """A TCP proxy to an OpenD that can be cut: it forwards bytes, and `cut` ends every connection at once."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._forward, name="proxy")
        self._thread.start()

    @property
    def port(self) -> int:
        """The proxy's port."""
        port: int = self._server.getsockname()[1]
        return port

    def cut(self) -> None:
        """Closes both ends of every connection, possibly within a frame."""
        for end in list(self._ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed before

    def close(self) -> None:
        """Ends the proxy."""
        self._stopped = True
        self.cut()
        self._thread.join()
        self._server.close()

    def _forward(self) -> None:
        other: dict[socket.socket, socket.socket] = {}
        while not self._stopped:
            readable, _, _ = select.select([self._server, *other], [], [], 0.02)
            for end in readable:
                if end is self._server:
                    near, _ = self._server.accept()
                    try:
                        far = socket.create_connection(("127.0.0.1", self._target))
                    except ConnectionRefusedError:  # the program behind it is between two lives
                        near.close()
                        continue
                    other |= {near: far, far: near}
                elif end in other and not _carried(end, other[end]):
                    for one in (end, other[end]):
                        del other[one]
                        one.close()
            self._ends = list(other)
        for end in other:
            end.close()


def _carried(source: socket.socket, target: socket.socket) -> bool:
    """Whether the connection still forwards."""
    try:
        data = source.recv(65_536)
        target.sendall(data)
    except OSError:
        return False
    return bool(data)


@pytest.fixture
def start_proxy() -> Iterator[Callable[[int], Proxy]]:
    """Starts a proxy to a port, and removes it with the test."""
    proxies: list[Proxy] = []

    def start_one(port: int) -> Proxy:
        proxies.append(Proxy(port))
        return proxies[-1]

    yield start_one
    for proxy in proxies:
        proxy.close()
