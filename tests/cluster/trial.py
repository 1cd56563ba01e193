"""One trial: a cluster, a market of some seconds, faults while it trades, and the verdict on the union."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from tools.cluster.cluster import Cluster, Layout, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.cluster.faults import Fault
    from tools.cluster.hosts import Market

_MARKET_S: Final = 240.0  # how much longer a market may take on a machine that does other work as well
_SETTLE_S: Final = 300.0  # ends the wait for a union that does not become whole
_PAUSE_S: Final = (0.5, 3.0)


class Outcome(NamedTuple):
    """The result of a trial."""

    name: str
    seed: int
    faults: int
    alone: dict[str, int]  # host → ticks that its own day file lacks for good
    union: Verdict
    settled_s: float  # after the last tick of the market

    @property
    def ok(self) -> bool:
        """Whether every tick of the market is in the union, once, as it was made, and every program still runs."""
        return self.union.is_whole and self.settled_s >= 0

    def line(self) -> str:
        """One line for the table."""
        alone = ", ".join(f"{name} alone lost {count:,}" for name, count in self.alone.items())
        words = "ok" if self.ok else f"FAILED {self.union.line if self.settled_s >= 0 else 'not settled'}"
        return (
            f"{self.name}: seed {self.seed}, {self.faults} faults, truth {self.union.made:,}, {alone},"
            f" the union lost {self.union.missing:,}; settled after {self.settled_s:.1f} s: {words}"
        )


class Trial:
    """A context manager around a cluster; prints what is done to it, with its seed first."""

    def __init__(self, name: str, directory: Path, seed: int, market: Market, layout: Layout | None = None) -> None:
        self.name = name
        self.number = seed
        self.seed = random.Random(f"{name} {seed}")
        self.faults = 0
        self._began_s = time.monotonic()
        place = directory / name
        place.mkdir(parents=True)
        self.cluster = Cluster(place, market._replace(seed=seed), layout)
        self.say(f"seed {seed}, {market.seconds:g} s of {market.rate:g} ticks/s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._tell_logs()
        self.cluster.__exit__(kind, error, trace)

    def begin(self) -> None:
        """Starts everything; returns when every collector is connected."""
        self.cluster.start()
        self.cluster.wait_collecting()
        self.say("collecting")

    def attack(
        self, faults: Sequence[Fault], count: int | None = None, pause_s: tuple[float, float] = _PAUSE_S
    ) -> None:
        """Causes these faults at random, one after the other, `count` times or until the market has ended."""
        while not self.ended() and (count is None or self.faults < count):
            time.sleep(self.seed.uniform(*pause_s))
            if not self.ended():
                self.do(self.seed.choice(faults))

    def do(self, fault: Fault) -> None:
        """Causes one fault, and counts it."""
        self.say(fault(self.cluster, self.seed))
        self.faults += 1

    def ended(self) -> bool:
        """Whether a market has made its last tick."""
        return any(host.opend.has_ended for host in self.cluster.sources.values())

    def give(self, **environ: str) -> None:
        """Settings for every program of every host."""
        for host in self.cluster.hosts.values():
            for process in host.processes():
                process.environ |= environ

    def conclude(self, patience_s: float = _SETTLE_S, *, quiet: bool = False) -> Outcome:
        """Waits for the last tick, and until the union has every tick or does not get them in time; then judges it."""
        cluster = self.cluster
        cluster.wait_market(cluster.market.seconds + _MARKET_S)
        settled_s = -1.0
        try:
            settled_s = cluster.settle(patience_s)
        except TimeoutError as error:
            self.say(str(error))
        alone = {name: cluster.judge(host.data_root).missing for name, host in cluster.sources.items()}
        outcome = Outcome(self.name, self.number, self.faults, alone, cluster.judge_union(), settled_s)
        return self.report(outcome, quiet=quiet)

    def report(self, outcome: Outcome, *, quiet: bool = False) -> Outcome:
        """Prints an outcome, and after a failure the logs; returns it."""
        self.say(outcome.line())
        if not outcome.ok and not quiet:
            self._tell_logs()
        return outcome

    def say(self, words: str) -> None:
        """A line of progress."""
        print(f"{time.monotonic() - self._began_s:7.1f} s  {self.name}: {words}", flush=True)

    def _tell_logs(self) -> None:
        for host in self.cluster.hosts.values():
            for process in host.processes():
                last = process.output().splitlines()[-8:]
                print(
                    f"--- {host.name} {process.name}, exit code {process.exit_code}", *last, sep="\n", file=sys.stderr
                )
