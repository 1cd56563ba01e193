"""Real nats-servers on loopback: one alone, or three as a cluster, with `sync_interval: always`.

    with NatsServers(tmp_path, 3) as servers:
        servers.urls              # ("nats://HOST:PORT", …), as STREAM_URL takes them
        servers.kill(0)           # SIGKILL of a node
        servers.start(0)          # again, with the same store and ports
        servers.pause(1); servers.resume(1)       # SIGSTOP, SIGCONT
        servers.delete_store(2)   # of a node that is stopped
        saved = servers.save_stores(); servers.roll_back(saved)   # all disks, while all nodes are stopped

`start` waits until JetStream answers; `wait_ready` until a cluster has a leader.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final, Self

from tools.cluster.nodes import copy_changing_tree, is_healthy, server_program, settings_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_READY_S: Final = 300.0
_APART_S: Final = 0.05


class NatsServers:
    """`count` nodes below `directory`; started when the block begins, killed when it ends.

    They have an address of loopback of their own (or `host`), so that nobody else can take a port while one is stopped.
    `sync` is `sync_interval`. `more` is text for the configuration of each node: `authorization`, `tls`. A probe
    connection is never made: ready is what the monitoring of the node says.
    """

    def __init__(
        self,
        directory: Path,
        count: int = 1,
        *,
        sync: str = "always",
        max_file: str = "10GB",
        more: str = "",
        host: str = "",
    ) -> None:
        self.directory = directory
        self.count = count
        self.more = more
        self.binary = server_program()
        self._sync = sync
        self._max_file = max_file
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.host = host or f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(1, 255)}"
        self._ports = _free_ports(self.host, 3 * count)
        self.scheme = "tls" if "tls {" in more else "nats"
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.start_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in list(self._processes):
            self.kill(node)

    @property
    def urls(self) -> tuple[str, ...]:
        """The address of each node."""
        return tuple(f"{self.scheme}://{self.host}:{self.port(node)}" for node in range(self.count))

    @property
    def url(self) -> str:
        """The value of STREAM_URL."""
        return ",".join(self.urls)

    def port(self, node: int) -> int:
        """The port for clients."""
        return self._ports[3 * node]

    def monitor(self, node: int) -> str:
        """The address of the monitoring of a node."""
        return f"http://{self.host}:{self._ports[3 * node + 2]}"

    def store(self, node: int) -> Path:
        """The directory in which a node keeps the stream."""
        return self.directory / f"store-{node}"

    def log(self, node: int) -> Path:
        """The log of a node."""
        return self.directory / f"nats-{node}.log"

    def pid(self, node: int) -> int:
        """The process id of a node that runs."""
        return self._processes[node].pid

    def start_all(self) -> None:
        """Starts every node that does not run, and waits until JetStream answers with a leader."""
        nodes = [node for node in range(self.count) if node not in self._processes]
        for node in nodes:
            self._spawn(node)
        self.wait_ready()

    def start(self, node: int, *, wait: bool = True) -> None:
        """Starts a node again, with the same ports and store."""
        self._spawn(node)
        if wait:
            self.wait_ready([node])

    def stop(self, node: int) -> None:
        """SIGTERM: a clean stop."""
        process = self._processes.pop(node)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()

    def kill(self, node: int) -> None:
        """SIGKILL."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        """SIGKILL of every node that runs, at once."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def pause(self, node: int) -> None:
        """SIGSTOP: the node keeps its connections and answers nothing."""
        self._processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """SIGCONT."""
        self._processes[node].send_signal(signal.SIGCONT)

    def delete_store(self, node: int) -> None:
        """Removes all that a stopped node has stored."""
        assert node not in self._processes
        shutil.rmtree(self.store(node), ignore_errors=True)

    def save_stores(self) -> Path:
        """A copy of the stores of all nodes, which may run: as a snapshot of their disks would be."""
        target = self.directory / f"saved-{time.monotonic_ns()}"
        for node in range(self.count):
            if self.store(node).exists():
                copy_changing_tree(self.store(node), target / self.store(node).name)
        return target

    def roll_back(self, saved: Path) -> None:
        """Puts back the stores of `save_stores`, while all nodes are stopped: acknowledged messages since are gone."""
        assert not self._processes
        for node in range(self.count):
            self.delete_store(node)
            if (saved / self.store(node).name).exists():
                shutil.copytree(saved / self.store(node).name, self.store(node))

    def wait_ready(self, nodes: Sequence[int] | None = None, within_s: float = _READY_S) -> None:
        """Waits until JetStream of these nodes, or of all that run, is healthy."""
        end_s = time.monotonic() + within_s
        for node in self._processes if nodes is None else nodes:
            while not self._is_ready(node):
                assert self._processes[node].poll() is None, self.log(node).read_text("utf-8")[-2000:]
                assert time.monotonic() < end_s, self.log(node).read_text("utf-8")[-2000:]
                time.sleep(_APART_S)

    def _is_ready(self, node: int) -> bool:
        return is_healthy(self.monitor(node).removeprefix("http://"))

    def _spawn(self, node: int) -> None:
        config = self.directory / f"nats-{node}.conf"
        config.write_text(self._config(node), "utf-8")
        command = [self.binary, "-c", str(config), "-l", str(self.log(node))]
        quiet = subprocess.DEVNULL
        self._processes[node] = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)

    def _config(self, node: int) -> str:
        routes = {f"nats-{each}": f"{self.host}:{self._ports[3 * each + 1]}" for each in range(self.count)}
        listen, monitor = f"{self.host}:{self.port(node)}", self.monitor(node).removeprefix("http://")
        name, store = f"nats-{node}", self.store(node)
        return f"{settings_text(name, listen, monitor, store, self._max_file, self._sync, routes)}{self.more}\n"


def _free_ports(host: str, count: int) -> list[int]:
    """Ports of an address that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
