"""Network namespaces as hosts: each has an address and a firewall of its own, so packets can be lost on their way.

Root alone can make them. A bridge connects them; this machine has an address on it too, to ask the monitors of servers.
nftables drops packets: between hosts, in one direction, or at random.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from tests.cluster.surroundings import NotHereError
from tools.cluster.cluster import MERGER, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from tests.cluster.faults import Fault
    from tools.cluster.cluster import Cluster

_CUT_S: Final = (3.0, 10.0)
_HOSTS: Final = (*SOURCES, MERGER)


class Namespaces:
    """A context manager: one namespace per host, named after it, on `network`, like `10.77.12`."""

    def __init__(self) -> None:
        seed = random.SystemRandom()  # not that of the trial: another trial may have namespaces at the same time
        self._tag = f"hk{seed.randrange(1_000, 10_000)}"
        self.network = f"10.{seed.randrange(64, 128)}.{seed.randrange(1, 255)}"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or not shutil.which("nft"):
            raise NotHereError("namespaces with packet loss need root and the Debian package nftables")
        with ExitStack() as stack:
            bridge = f"{self._tag}br"
            _run("ip", "link", "add", bridge, "type", "bridge")
            stack.callback(_run, "ip", "link", "del", bridge)
            _run("ip", "address", "add", f"{self.network}.254/24", "dev", bridge)
            _run("ip", "link", "set", bridge, "up")
            for number, host in enumerate(_HOSTS, 1):
                name, outside = self._name(host), f"{self._tag}{host}"
                _run("ip", "netns", "add", name)
                stack.callback(_run, "ip", "netns", "del", name)
                _run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
                stack.callback(_run, "ip", "link", "del", outside)
                _run("ip", "link", "set", outside, "master", bridge, "up")
                _run("ip", "-n", name, "address", "add", f"{self.network}.{number}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    _run("ip", "-n", name, "link", "set", device, "up")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put_in(self, cluster: Cluster) -> None:
        """Every process of a host will run in its namespace, its OpenD too: the exchange is not cut off."""
        for name, host in cluster.hosts.items():
            source = cluster.sources.get(name)
            for process in (*host.processes(), *([source.opend.process] if source else [])):
                process.command = ["ip", "netns", "exec", self._name(name), *process.command]

    def isolate(self, cluster: Cluster, seed: random.Random) -> str:
        """A host reaches no other one for a while; its programs go on."""
        host = seed.choice(_HOSTS)
        others = [self._address(other) for other in _HOSTS if other != host]
        seconds = self._drop(host, seed, [f"ip saddr {{ {', '.join(others)} }}"])
        return f"host {host} was cut off for {seconds:.1f} s"

    def cut_one_way(self, cluster: Cluster, seed: random.Random) -> str:
        """Packets of one host do not arrive at another; those in the other direction do."""
        host, other = seed.sample(_HOSTS, 2)
        seconds = self._drop(host, seed, [f"ip saddr {self._address(other)}"])
        return f"packets of {other} did not reach {host} for {seconds:.1f} s"

    def lose(self, percent: int) -> None:
        """From now on every host loses so many of the packets that arrive from others, at random."""
        for host in _HOSTS:
            rule = f"ip saddr {self.network}.0/29 numgen random mod 100 < {percent} drop"
            self._nft(host, [f"add rule inet hk arriving {rule}"])

    def faults(self) -> list[Fault]:
        """Cuts, for `Trial.attack`."""
        return [self.isolate, self.cut_one_way]

    def _drop(self, host: str, seed: random.Random, matches: Iterable[str]) -> float:
        seconds = seed.uniform(*_CUT_S)
        self._nft(host, [f"add rule inet hk arriving {match} drop" for match in matches])
        time.sleep(seconds)
        self._nft(host, ["flush chain inet hk arriving"])
        return seconds

    def _nft(self, host: str, commands: list[str]) -> None:
        chain = "add table inet hk; add chain inet hk arriving { type filter hook input priority 0; }"
        _run("ip", "netns", "exec", self._name(host), "nft", "; ".join([chain, *commands]))

    def _name(self, host: str) -> str:
        return f"{self._tag}-{host}"

    def _address(self, host: str) -> str:
        return f"{self.network}.{_HOSTS.index(host) + 1}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
