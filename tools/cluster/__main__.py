"""`make cluster`: kills whole hosts of a cluster on this machine and shows that the union of the day stays complete."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError

from .cluster import MERGER, SOURCES, Cluster
from .hosts import DOWN_S, Market

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_MARK: Final = ".cluster"  # marks a directory of an earlier run, which may be emptied
_UP_S: Final = (4.0, 8.0)
_LEAST_S: Final = 20.0
_LINE_S: Final = 2.0


class Run:
    """One run: the kills, a line every two seconds, and the verdict at its end."""

    def __init__(self, cluster: Cluster, seconds: float, seed: random.Random) -> None:
        self._cluster = cluster
        self._seed = seed
        self._began_s = time.monotonic()
        self._seconds = seconds
        self._end_s = self._began_s + seconds
        self.kills: dict[str, int] = dict.fromkeys((*SOURCES, MERGER), 0)

    def run(self) -> bool:
        """Whether the union is whole at the end."""
        self._cluster.start()
        self._cluster.wait_collecting()
        self._say("both collectors are connected, the market trades")
        self._end_s = time.monotonic() + self._seconds
        while True:  # at least one host is killed, however long the start took
            self._pass(min(self._seed.uniform(*_UP_S), self._left_s()))
            self._kill_one()
            if self._left_s() < _UP_S[1] + DOWN_S[0] / 2:
                break
        self._pass(self._left_s())
        self._cluster.wait_market(120)
        self._say(f"the market has ended: {self._cluster.made():,} ticks")
        try:
            took_s = self._cluster.settle()
            self._say(f"settled {took_s:.1f} s later")
        except TimeoutError as error:
            self._say(str(error))
        return self._conclude()

    def _kill_one(self) -> None:
        """Kills a host at random and starts it again, once every collector has what any other may lose."""
        self._cluster.wait_collecting()
        host = self._cluster.hosts[self._seed.choice(list(self.kills))]
        host.kill()
        self.kills[host.name] += 1
        names = ", ".join(process.name for process in host.processes())
        self._say(f"host {host.name} is killed: SIGKILL to {names}")
        self._pass(min(self._seed.uniform(*DOWN_S), max(self._left_s(), DOWN_S[0] / 2)))
        host.start()
        self._say(f"host {host.name} boots")

    def _pass(self, seconds: float) -> None:
        """Waits, and prints a line every two seconds."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(_LINE_S, left_s))
            self._say(self._figures())

    def _figures(self) -> str:
        cluster = self._cluster
        made, merged = cluster.made(), cluster.merger.rows(cluster.market.day)
        parts = [
            f"{name} {host.rows():>9,}" if host.is_up else f"{name}      down" for name, host in cluster.sources.items()
        ]
        union = f"union {merged:>9,}" if cluster.merger.is_up else "union      down"
        return f"market {made:>9,}   {'   '.join(parts)}   {union}"

    def _conclude(self) -> bool:
        cluster, union = self._cluster, self._cluster.judge_union()
        print()
        for name, host in cluster.sources.items():
            alone = cluster.judge(host.data_root)
            print(f"{name} alone   {alone.stored:>9,} of {alone.made:,} ticks, {alone.missing:,} lost for good")
        print(f"the union {union.stored:>9,} of {union.made:,} ticks, {union.missing:,} missing")
        kills = ", ".join(f"{name} {count}" for name, count in self.kills.items())
        print(f"kills of a whole host: {kills}")
        words = "ok: every tick of the market is in the union, once" if union.is_whole else f"FAILED: {union.line}"
        print(f"verdict: {words}")
        return union.is_whole

    def _left_s(self) -> float:
        return self._end_s - time.monotonic()

    def _say(self, words: str) -> None:
        print(f"{time.monotonic() - self._began_s:5.0f} s  {words}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cluster for some time. Exit code 0 if no tick is missing in the union."""
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the market trades")
    parser.add_argument("--seed", type=int, default=None, help="which host is killed, and when; default: at random")
    parser.add_argument("--rate", type=float, default=1500.0, help="ticks per second of the market")
    parser.add_argument("--directory", type=Path, default=Path("cluster-data"), help="where each host has its files")
    options = parser.parse_args(arguments)
    if options.seconds < _LEAST_S:
        parser.error(f"--seconds {options.seconds:g} is too short to kill a host: give {_LEAST_S:.0f} or more")
    number = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    directory = options.directory.absolute()
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
        parser.error(f"{directory} is not empty, and not from an earlier run: name another --directory")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / _MARK).touch()
    signal.signal(signal.SIGTERM, _interrupt)
    seed = random.Random(number)
    market = Market(seconds=options.seconds, seed=number, rate=options.rate)
    print("hosts a, b: simulated OpenD, run, publish, nats-server; c: merge, nats-server")
    print(f"files: {options.directory}/; to repeat this run: SEED={number}", flush=True)
    with Cluster(directory, market) as cluster:
        whole = Run(cluster, options.seconds, seed).run()
    print("try:")
    print(f"  export DATA_ROOT={options.directory}/c/merged")
    print(f"  .venv/bin/hk-tick-collector gaps --day {cluster.market.day}")
    return 0 if whole else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (CollectorError, FileNotFoundError, TimeoutError) as error:
        text = error.one_line() if isinstance(error, CollectorError) else str(error)
        print(f"cluster: {text}", file=sys.stderr)
        raise SystemExit(1) from None
