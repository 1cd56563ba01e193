"""The hosts of the cluster: their directories, addresses and processes; how a whole host is started and killed."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import clock, market
from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.simulator.control import tell
from hk_tick_collector.store.query import DayReader, path_of

from .process import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .nodes import Node

PROGRAM: Final = (sys.executable, "-m", "hk_tick_collector")
OPEND_PORT: Final = 11111
DOWN_S: Final = (8.0, 14.0)  # how long a killed host is down: longer than OpenD keeps ticks of the busiest symbols
_TELL_S: Final = 30.0
_LAST_BYTES: Final = 4096  # of the end of the truth file: more than one line


class Market(NamedTuple):
    """What both OpenDs simulate; equal values give equal ticks."""

    day: str = ""  # set by the cluster: the last trading day before today, so that it is within a stream's retention
    at: str = "10:30"  # the open is several times as busy as the mean
    symbols: int = 10
    rate: float = 1500.0
    seconds: float = 60.0
    seed: int = 1
    sequence: str = "counter"

    def arguments(self) -> list[str]:
        """For `simulate`."""
        given = {name: str(value) for name, value in self._asdict().items()}
        return ["--wait", *(word for name, value in given.items() for word in (f"--{name}", value))]


def last_weekday() -> str:
    """The last weekday before today in Hong Kong: a day that may have been traded, and that does not end meanwhile."""
    day = market.day_number(clock.now_ms()) - 1
    while not market.is_weekday(day):
        day -= 1
    return market.day_name(day)


class OpenD:
    """The simulated OpenD of a host. The simulated exchange continues while the host is down."""

    def __init__(self, address: str, directory: Path, plan: Market) -> None:
        self.truth = directory / "truth.tsv"
        self.symbols = directory / "symbols.txt"
        self._control = directory / "opend.sock"
        places = ["--host", address, "--port", str(OPEND_PORT), "--control", str(self._control)]
        places += ["--truth", str(self.truth), "--write-symbols", str(self.symbols)]
        command = [*PROGRAM, "simulate", *places, *plan.arguments()]
        self.process = Process("opend", command, environment_without_settings(), directory / "opend.log")

    def start(self) -> None:
        """Starts it; the market begins when its collector has subscribed."""
        self.process.start()
        wait_until(lambda: "simulator_listening" in self.process.output() or not self.process.alive, "no OpenD")
        if not self.process.alive:
            raise CollectorError(f"the simulated OpenD does not start: {self.process.output().strip()}")

    def tell(self, step: str) -> None:
        """Performs a step of a scenario now."""
        tell(self._control, step, _TELL_S)

    def made(self) -> int:
        """How many ticks the market has made so far."""
        return self.truth.read_bytes().count(b"\n") if self.truth.exists() else 0

    def newest_ms(self) -> int:
        """The time of the newest tick that the market has made, in epoch ms; 0 before the first."""
        if not self.truth.exists():
            return 0
        with self.truth.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            whole = file.read().split(b"\n")[:-1]
        return int(whole[-1].split(b"\t")[2]) if whole else 0

    @property
    def has_ended(self) -> bool:
        """Whether the market has made its last tick."""
        return "simulator_market_ended" in self.process.output()


class Host:
    """A machine of the cluster: `a` and `b` collect, `c` merges; each has a nats-server."""

    def __init__(self, name: str, address: str, directory: Path, node: Node) -> None:
        self.name = name
        self.address = address
        self.directory = directory
        self.node = node
        self.is_up = False
        self.has_node = True  # False: its programs use the servers of other hosts

    def processes(self) -> list[Process]:
        """What is killed with the host."""
        return [self.node.process]

    def start(self) -> None:
        """Starts every process of the host, as its boot does."""
        if self.has_node:
            self.node.start()
        self.is_up = True

    def kill(self) -> None:
        """The power fails: every process gets SIGKILL; nothing is flushed or said."""
        self.is_up = False
        for process in self.processes():
            process.kill()

    def stop(self) -> None:
        """Ends every process in order."""
        for process in reversed(self.processes()):
            process.stop()
        self.is_up = False


class CollectorHost(Host):
    """OpenD, `run` and `publish`."""

    def __init__(self, name: str, address: str, directory: Path, node: Node, plan: Market) -> None:
        super().__init__(name, address, directory, node)
        self.data_root = directory / "HK"
        self.data_root.mkdir(parents=True)
        self.opend = OpenD(address, directory, plan)
        self.market = plan
        self.settings = {
            **environment_without_settings(),
            "FUTU_HOST": address,
            "FUTU_PORT": str(OPEND_PORT),
            "FUTU_SYMBOLS": f"@{self.opend.symbols}",
            "DATA_ROOT": str(self.data_root),
            "INSTANCE_ID": name,
            "METRICS_ADDR": "",
            "DISK_MIN_FREE_MB": "1",
        }
        quiet = ["--env-file", os.devnull]
        self.collector = Process("run", [*PROGRAM, "run", *quiet], self.settings, directory / "run.log")
        publish = [*PROGRAM, "publish", "--since", plan.day, *quiet]  # which is before today
        self.publish = Process("publish", publish, self.settings, directory / "publish.log")

    def processes(self) -> list[Process]:
        """What is killed with the host. Its OpenD is only disconnected, because the exchange behind it continues."""
        return [self.node.process, self.collector, self.publish]

    def start(self) -> None:
        """Starts every process, as a boot does; OpenD logs in again."""
        super().start()
        if self.opend.process.alive:
            self.opend.tell("end all")
        else:
            self.opend.start()
        self.collector.start()
        self.publish.start()

    def kill(self) -> None:
        """The power fails."""
        super().kill()
        self.opend.tell("away")

    def stop(self) -> None:
        """Ends every process in order, OpenD last."""
        super().stop()
        self.opend.process.stop()

    def status(self) -> LiveStatus | None:
        """The collector's live state; None if it has none, or is of an earlier start."""
        live = read_status(self.data_root / STATUS_NAME)
        return live if live and self.collector.alive and live.pid == self.collector.pid else None

    def is_collecting(self) -> bool:
        """Whether the collector receives every symbol, and has backfilled what OpenD still keeps."""
        live = self.status()
        if live is None or not live.connected:
            return False
        return live.subscribed == live.symbols and not live.gaps_healing and live.newest_ts_ms is not None

    def has_stored(self, ts_ms: int) -> bool:
        """Whether it has stored a tick of this time or later."""
        live = self.status()
        return live is not None and live.newest_ts_ms is not None and live.newest_ts_ms >= ts_ms

    def rows(self) -> int:
        """Ticks in its day file."""
        return rows_of(self.data_root, self.market.day)


class MergeHost(Host):
    """The host with `merge`: the union of both."""

    def __init__(self, name: str, address: str, directory: Path, node: Node, urls: Sequence[str]) -> None:
        super().__init__(name, address, directory, node)
        self.merge_root = directory / "merged"
        self.merge_root.mkdir(parents=True)
        settings = {
            **environment_without_settings(),
            "STREAM_URL": ",".join(urls),
            "MERGE_ROOT": str(self.merge_root),
            "DATA_ROOT": str(directory),
            "INSTANCE_ID": name,
            "METRICS_ADDR": "",
            "DISK_MIN_FREE_MB": "1",
        }
        command = [*PROGRAM, "merge", "--env-file", os.devnull]
        self.settings = settings
        self.merge = Process("merge", command, settings, directory / "merge.log")

    def processes(self) -> list[Process]:
        """What is killed with the host."""
        return [self.node.process, self.merge]

    def start(self) -> None:
        """Starts every process, as a boot does."""
        super().start()
        self.merge.start()

    def state(self) -> dict[str, Any]:
        """The content of merge.json; empty before it is written."""
        try:
            found = json.loads((self.merge_root / "merge.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def rows(self, day: str) -> int:
        """Ticks of the union."""
        return rows_of(self.merge_root, day)


def rows_of(root: Path, day: str) -> int:
    """Rows of a day file, by its counters; 0 while there is none."""
    path = path_of(root, day)
    if not path.exists():
        return 0
    try:
        with DayReader(path) as reader:
            return reader.totals().rows
    except CollectorError:  # between its creation and its first commit
        return 0


def free_network() -> str:
    """The first three bytes of addresses on loopback where nobody listens on our ports, for example `127.80.12`.

    The whole of 127.0.0.0/8 is on loopback, so every host has its own address and the usual ports. Outgoing connections
    come from 127.0.0.1 and take none of them. They are chosen at random and not by the seed of a trial, because another
    trial may run at the same time.
    """
    chance = random.SystemRandom()
    for _ in range(100):
        network = f"127.{chance.randrange(64, 128)}.{chance.randrange(1, 255)}"
        try:
            for last in (1, 2, 3):
                with socket.create_server((f"{network}.{last}", 4222)):
                    pass
        except OSError:
            continue
        return network
    raise CollectorError("no free addresses on loopback", hint="end the clusters that still run here")
