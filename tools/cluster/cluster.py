"""The whole cluster: three hosts, how it settles, and the verdict of `verify` on the union."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.store.query import path_of

from .hosts import PROGRAM, CollectorHost, Host, Market, MergeHost, free_network, last_weekday
from .nodes import CLIENT_PORT, Node
from .process import CAP_S, wait_until

if TYPE_CHECKING:
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


class Layout(NamedTuple):
    """Which hosts do what. `b_market`: the second OpenD has a market of its own, with sequences of its own."""

    sources: tuple[str, ...] = SOURCES
    servers: tuple[str, ...] = (*SOURCES, MERGER)  # three: the stream has three copies (R3); one: one copy (R1)
    b_market: Market | None = None
    network: str = ""  # the first three bytes of the addresses; empty: free ones on loopback
    url_scheme: str = "nats"


class Cluster:
    """The hosts of a layout. A context manager: at its end every process is killed."""

    def __init__(self, directory: Path, market: Market, layout: Layout | None = None) -> None:
        self.directory = directory
        self.market = market = market._replace(day=market.day or last_weekday())
        self.layout = layout = layout or Layout()
        network = layout.network or free_network()
        addresses = {name: f"{network}.{number}" for number, name in enumerate((*SOURCES, MERGER), 1)}
        self.addresses = addresses
        self.servers = layout.servers
        self.urls = [f"{layout.url_scheme}://{addresses[name]}:{CLIENT_PORT}" for name in self.servers]
        peers = [addresses[name] for name in self.servers]

        def node(name: str) -> Node:
            place = directory / name
            place.mkdir(parents=True)
            return Node(name, addresses[name], peers, place)

        markets = {"b": (layout.b_market or market)._replace(day=market.day)}
        self.sources = {
            name: CollectorHost(name, addresses[name], directory / name, node(name), markets.get(name, market))
            for name in layout.sources
        }
        others = set(layout.servers) - {*layout.sources, MERGER}
        self.only_servers = {name: Host(name, addresses[name], directory / name, node(name)) for name in sorted(others)}
        self.merger = MergeHost(MERGER, addresses[MERGER], directory / MERGER, node(MERGER), self.urls)
        for source in self.sources.values():
            source.publish.environ["STREAM_URL"] = ",".join(self.urls)
        for host in self.hosts.values():
            host.has_node = host.name in self.servers

    @property
    def hosts(self) -> dict[str, Host]:
        """All hosts by name."""
        return {**self.sources, **self.only_servers, MERGER: self.merger}

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
        self.start_nodes()
        for host in self.hosts.values():
            host.start()

    def start_nodes(self) -> None:
        """Starts the nodes, and returns when JetStream has a leader."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()

    def leader(self) -> Node:
        """The node that leads the stream; the first one if the stream has no leader or there is one server."""
        for node in self.nodes:
            for account in node.ask("jsz?accounts=true&streams=true").get("account_details", ()):
                for stream in account.get("stream_detail", ()):
                    name = stream.get("cluster", {}).get("leader")
                    if found := [each for each in self.nodes if each.name == name]:
                        return found[0]
        return self.nodes[0]

    def wait_collecting(self, cap_s: float = CAP_S) -> None:
        """Returns when every collector of a running host is connected, and has stored what any other may have lost.

        The market of each host begins when its own collector has subscribed, so one may be seconds behind another.
        Before a host may be killed, its collector must have stored the ticks that the other one lost while it was down.
        """
        up = [host for host in self.sources.values() if host.is_up]
        wait_until(lambda: all(host.is_collecting() for host in up), "a collector is not connected again", cap_s)
        newest_ms = max((host.opend.newest_ms() for host in up), default=0)
        wait_until(
            lambda: all(host.is_collecting() and host.has_stored(newest_ms) for host in up),
            lambda: f"a collector has stored no tick of {newest_ms} ms: {[host.status() for host in up]}",
            cap_s,
        )

    def wait_market(self, cap_s: float) -> None:
        """Returns when both markets have made their last tick."""
        wait_until(lambda: all(host.opend.has_ended for host in self.sources.values()), "the market goes on", cap_s)

    def made(self) -> int:
        """Ticks that the market has made so far."""
        return max(host.opend.made() for host in self.sources.values())

    def settle(self, cap_s: float = CAP_S) -> float:
        """Returns the seconds until the union has every tick of the market. TimeoutError with how far it came."""
        self.wait_collecting(cap_s)
        day, made = self.market.day, self.made()

        def progress() -> str:
            alone = ", ".join(f"{name} has {host.rows():,}" for name, host in self.sources.items())
            return f"merged {self.merger.rows(day):,} of {made:,} ticks; {alone}"

        def is_there() -> bool:
            if ended := self.ended():
                raise TimeoutError(f"{ended}; {progress()}")
            return self.merger.rows(day) >= made

        return wait_until(is_there, progress, cap_s)

    def ended(self) -> str:
        """Text that names processes of running hosts that have ended by themselves; empty if there are none."""
        gone = [
            f"{process.name} of host {host.name} ended with exit code {process.exit_code}"
            for host in self.hosts.values()
            for process in host.processes()
            if host.is_up and process.exit_code is not None
        ]
        return ", ".join(gone)

    def judge(self, root: Path, source: str = "") -> Verdict:
        """The verdict of `verify` on the day file in `root`, against the market of a source; default: the first."""
        host = self.sources[source or next(iter(self.sources))]
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
