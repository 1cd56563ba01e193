"""Real nats-servers: the configuration of each, whether JetStream is ready, and what can happen to their disks.

`tests.nats_servers` has the servers of other tests: several on one address, with ports of their own.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .process import Process, wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

CLIENT_PORT: Final = 4222
_ROUTE_PORT: Final = 6222
_MONITOR_PORT: Final = 8222
_LOOK_S: Final = 2.0

_SETTINGS: Final = """\
server_name: {name}
listen: "{listen}"
http: "{monitor}"
max_payload: 1MB
jetstream {{
  store_dir: "{store}"
  max_mem: 64MB
  max_file: {max_file}
  sync_interval: {sync}
}}
"""
_CLUSTER: Final = """\
cluster {{
  name: hk
  listen: "{listen}"
  routes: [{routes}]
}}
"""


def settings_text(
    name: str, listen: str, monitor: str, store: Path, max_file: str, sync: str, routes: Mapping[str, str]
) -> str:
    """The configuration of a nats-server. Addresses are `HOST:PORT`; `sync` is `sync_interval`.

    `routes` are the addresses for other servers, by name of the server, its own included.
    """
    text = _SETTINGS.format(name=name, listen=listen, monitor=monitor, store=store, max_file=max_file, sync=sync)
    if len(routes) > 1:
        text += _CLUSTER.format(listen=routes[name], routes=", ".join(f'"nats://{each}"' for each in routes.values()))
    return text


def monitor_answer(address: str, path: str) -> dict[str, Any]:
    """What the monitor of a server at `HOST:PORT` says, for example of `jsz`; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=_LOOK_S) as answer:
            document = json.loads(answer.read())
    except (OSError, urllib.error.URLError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def is_healthy(address: str) -> bool:
    """Whether JetStream of the server with this monitor knows a leader and has caught up with it."""
    return monitor_answer(address, "healthz").get("status") == "ok"


def server_program() -> str:
    """The nats-server of this virtual environment, else that of the system. FileNotFoundError without one."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("there is no nats-server: `make cluster` installs it into .venv")
    return found


class Node:
    """One nats-server on an address of its own, with its store in `directory`."""

    def __init__(self, name: str, address: str, peers: Sequence[str], directory: Path, *, program: str = "") -> None:
        self.name = name
        self.address = address
        self.url = f"nats://{address}:{CLIENT_PORT}"
        self.store = directory / "nats"
        self.max_file = "20GB"  # more than the stream may hold; nothing is reserved on the disk
        self.sync = "always"
        self.extra = ""  # more lines of its settings: TLS, authorization
        self.monitor_environ: Mapping[str, str] = {}
        self._peers = tuple(peers)
        self._settings = directory / "nats.conf"
        self.process = Process(
            f"nats-{name}", [program or server_program(), "-c", str(self._settings)], {}, directory / "nats.log"
        )

    def start(self) -> None:
        """Writes its settings and starts it."""
        listen, monitor = f"{self.address}:{CLIENT_PORT}", f"{self.address}:{_MONITOR_PORT}"
        routes = {self.name if peer == self.address else peer: f"{peer}:{_ROUTE_PORT}" for peer in self._peers}
        text = settings_text(self.name, listen, monitor, self.store, self.max_file, self.sync, routes)
        self._settings.write_text(text + self.extra)
        self.process.start()

    def ask(self, path: str) -> dict[str, Any]:
        """What its monitor says, for example `jsz`; empty while it does not answer."""
        return monitor_answer(f"{self.address}:{_MONITOR_PORT}", path)

    def is_ready(self) -> bool:
        """Whether JetStream of this node is healthy."""
        return is_healthy(f"{self.address}:{_MONITOR_PORT}")

    def wait_ready(self) -> float:
        """Returns when it is ready, with the seconds that took. TimeoutError with the end of its log."""

        def last_lines() -> str:
            return f"nats-server {self.name} is not ready:\n" + "\n".join(self.process.output().splitlines()[-5:])

        def is_ready() -> bool:
            if not self.process.alive:
                raise TimeoutError(last_lines())
            return self.is_ready()

        return wait_until(is_ready, last_lines)

    # --- what happens to disks, while the node is down ---

    def delete_store(self) -> None:
        """Deletes its store, as when its disk is lost."""
        shutil.rmtree(self.store, ignore_errors=True)

    def copy_store(self, to: Path) -> None:
        """Copies its store as it is now, as a snapshot of a virtual machine does; it may run meanwhile."""
        shutil.rmtree(to, ignore_errors=True)
        if self.store.exists():
            copy_changing_tree(self.store, to)

    def roll_back(self, kept: Path) -> None:
        """Replaces its store by the copy that `copy_store` made."""
        self.delete_store()
        if kept.exists():
            shutil.copytree(kept, self.store)

    def flip_bits(self, seed: random.Random, count: int = 8) -> list[str]:
        """Flips bits in the middle of the largest files of messages; returns what was changed."""
        blocks = sorted(self.store.rglob("msgs/*.blk"), key=lambda path: path.stat().st_size)[-2:]
        changed = []
        for block in (path for path in blocks if path.stat().st_size > 4096):
            data = bytearray(block.read_bytes())
            for _ in range(count):
                place = seed.randrange(len(data) // 4, len(data) * 3 // 4)
                data[place] ^= 1 << seed.randrange(8)
                changed.append(f"{block.name}@{place}")
            block.write_bytes(data)
        return changed


def copy_changing_tree(source: Path, to: Path) -> None:
    """Copies a directory while a server changes it: files that are removed meanwhile are left out."""
    for path in sorted(source.rglob("*")):
        target = to / path.relative_to(source)
        try:
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        except FileNotFoundError:
            continue
