"""The whole cluster: three hosts, how it settles, and the verdict of `verify` on the union."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.store.query import path_of

from .hosts import PROGRAM, CollectorHost, Host, Market, MergeHost, free_network
from .nodes import CLIENT_PORT, Node
from .process import CAP_S, wait_until

if TYPE_CHECKING:
    import random
    from pathlib import Path
    from types import TracebackType

SOURCES: Final = ("a", "b")
MERGER: Final = "c"
_VERIFY_S: Final = 600.0


class Verdict(NamedTuple):
    """What `verify` says of one day file against the truth of the market."""

    ok: bool  # every rule is kept; ticks in recorded gaps break none
    made: int
    stored: int
    in_gaps: int  # recorded as missing
    line: str

    @property
    def missing(self) -> int:
        """Ticks of the market that are not in the file."""
        return self.made - self.stored

    @property
    def is_whole(self) -> bool:
        """Every tick of the market, exactly once, with every field as it was made."""
        return self.ok and not self.missing


class Cluster:
    """A context manager: nothing runs any more when it is left.

    `servers` are the hosts with a nats-server: three make R3, one or two R1.
    """

    def __init__(
        self, directory: Path, market: Market, seed: random.Random, *, servers: tuple[str, ...] = ("a", "b", "c")
    ) -> None:
        self.directory = directory
        self.market = market
        network = free_network(seed)
        addresses = {name: f"{network}.{number}" for number, name in enumerate((*SOURCES, MERGER), 1)}
        self.servers = servers
        self.urls = [f"nats://{addresses[name]}:{CLIENT_PORT}" for name in servers]
        peers = [addresses[name] for name in servers]

        def node(name: str) -> Node:
            place = directory / name
            place.mkdir(parents=True)
            return Node(name, addresses[name], peers, place)

        self.sources = {
            name: CollectorHost(name, addresses[name], directory / name, node(name), market) for name in SOURCES
        }
        self.merger = MergeHost(MERGER, addresses[MERGER], directory / MERGER, node(MERGER), self.urls)
        for source in self.sources.values():
            source.publish.environ["STREAM_URL"] = ",".join(self.urls)
        for host in self.hosts.values():
            host.has_node = host.name in servers

    @property
    def hosts(self) -> dict[str, Host]:
        """All hosts by name."""
        return {**self.sources, MERGER: self.merger}

    @property
    def nodes(self) -> list[Node]:
        """The nats-servers."""
        return [self.hosts[name].node for name in self.servers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts.values():
            for process in host.processes():
                process.kill()
        for source in self.sources.values():
            source.opend.process.kill()

    def start(self) -> None:
        """Starts the nodes, and once they are ready everything else."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()
        for host in self.hosts.values():
            host.start()

    def wait_collecting(self, cap_s: float = CAP_S) -> None:
        """Returns when the collectors of all hosts that are up are connected and have stored what they received."""
        up = [host for host in self.sources.values() if host.is_up]
        wait_until(lambda: all(host.is_collecting() for host in up), "a collector is not connected again", cap_s)

    def wait_market(self, cap_s: float) -> None:
        """Returns when both markets have made their last tick."""
        wait_until(lambda: all(host.opend.has_ended for host in self.sources.values()), "the market goes on", cap_s)

    def made(self) -> int:
        """Ticks that the market has made so far."""
        return max(host.opend.made() for host in self.sources.values())

    def settle(self, cap_s: float = CAP_S) -> float:
        """Returns the seconds until the union has every tick of the market; TimeoutError if it does not get there."""
        self.wait_collecting(cap_s)
        day, made = self.market.day, self.made()

        def progress() -> str:
            alone = ", ".join(f"{name} has {host.rows():,}" for name, host in self.sources.items())
            return f"merged {self.merger.rows(day):,} of {made:,} ticks; {alone}"

        return wait_until(lambda: self.merger.rows(day) >= made, progress, cap_s)

    def judge(self, root: Path) -> Verdict:
        """The verdict of `verify` on the day file in `root`, against the truth of the market."""
        host = next(iter(self.sources.values()))
        command = [*PROGRAM, "verify", "--json", "--truth", str(host.opend.truth), str(path_of(root, self.market.day))]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_VERIFY_S,
            env=environment_without_settings(),
            cwd=self.directory,
        )
        if not done.stdout.startswith("{"):
            return Verdict(ok=False, made=self.made(), stored=0, in_gaps=0, line=done.stderr.strip())
        document: dict[str, Any] = json.loads(done.stdout)
        made, stored, in_gaps = (sum(day[name] for day in document["days"]) for name in ("truth", "stored", "in_gaps"))
        broken = [f"{why}={found['count']} ({found['examples'][0]})" for why, found in document["findings"].items()]
        return Verdict(document["ok"], made, stored, in_gaps, ", ".join(broken) or "ok")

    def judge_union(self) -> Verdict:
        """The verdict on the merged file."""
        return self.judge(self.merger.merge_root)
