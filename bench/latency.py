"""Latency from the socket to the commit, at a paced rate: alone, with a reader, during snapshots and archive runs, and
with a `publish` whose servers are away.

Measured from outside, for every tick: from its `recv_ts_ms` to the moment when a reader that polls every few
milliseconds first sees the ledger count it. Rows are committed in the order of arrival, so a count shows which rows
they are. The result is too long by at most one polling interval, and never too short.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.store.dayfile import StoreOptions, seal

from .bigday import BigDay
from .report import Figure, Target
from .runbook import QUERIES
from .stream import Preparation
from .trial import BrokenRunError, Trial, cpu_s, process, read_only, stop, written_bytes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from .stream import Part
    from .trial import Seen

SYMBOLS: Final = 500
LOOK_EVERY_S: Final = 0.004
READER, SNAPSHOT, ARCHIVE, PUBLISH = "reader", "snapshot", "archive", "publish without servers"
TARGET_RATE: Final = 5_000
_TO_ALONE: Final = {ARCHIVE: 1.2, PUBLISH: 1.1}  # the most that p99 may grow
_NO_SERVER: Final = "nats://127.0.0.1:1"
_EARLIER: Final = "20260102"  # a sealed day beside the one that is written
_SEGMENTS: Final = 3


@dataclass(slots=True)
class Paced:
    """The results of one rate; one value for each segment of the run."""

    rate: int
    beside: str  # the program that ran at the same time
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    max_ms: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)  # of the collector
    written_per_tick: float = 0.0  # bytes
    rounds: int = 0  # how often that program finished


def measure(scratch: Path, rate: int, seconds: float, beside: str = "", rows_before: int = 0) -> Paced:
    """Three segments of this many seconds each. `rows_before` rows, of other symbols, are in the file already, or in
    that of an earlier day, which is archived.
    """
    names = default_symbols(SYMBOLS * 4)
    preparation = Preparation(names[:SYMBOLS], 1)
    parts = [preparation.part(int(rate * seconds), rate) for _ in range(_SEGMENTS)]
    trial = Trial(scratch, preparation.symbols, parts)
    trial.data.mkdir()
    if beside == ARCHIVE:
        earlier = BigDay(trial.data / f"{_EARLIER}.db", names[SYMBOLS:])
        earlier.fill(rows_before)
        seal(earlier.path, market.day_start_ms(market.parse_day(_EARLIER) + 1), StoreOptions())
    elif rows_before:
        BigDay(trial.path, names[SYMBOLS:]).fill(rows_before)
    found, marks, expected = Paced(rate, beside), Marks(), 0
    with trial, Beside(scratch, trial, beside) as others:
        before_bytes = written_bytes(trial.pid)
        for part in parts:
            busy_s, expected = cpu_s(trial.pid), expected + len(part.rows)
            begun_s = trial.go()
            for seen in trial.until_stored(expected, LOOK_EVERY_S):
                marks.note(seen)
                others.keep_going()
            found.cores.append((cpu_s(trial.pid) - busy_s) / (time.monotonic() - begun_s))
        found.written_per_tick = (written_bytes(trial.pid) - before_bytes) / expected
        others.end()
        found.rounds = others.rounds
        segments = marks.segments(trial.verify(parts), parts)
    for segment in segments:
        found.p50_ms.append(segment[len(segment) // 2])
        found.p99_ms.append(segment[len(segment) * 99 // 100])
        found.max_ms.append(segment[-1])
    return found


class Marks:
    """When a reader from outside first saw each number of committed rows."""

    def __init__(self) -> None:
        self._marks = [(0, 0)]  # UTC epoch ms, rows

    def note(self, seen: Seen) -> None:
        """The reader sees this now."""
        if seen.stored > self._marks[-1][1]:
            self._marks.append((time.time_ns() // 1_000_000, seen.stored))

    def segments(self, received_ms: Sequence[int], parts: Sequence[Part]) -> list[list[float]]:
        """For each part the ages of its rows when they were first seen (ms), sorted. Rows arrived in this order."""
        ages: list[float] = []
        for seen_ms, stored in self._marks:
            ages += [float(seen_ms - each_ms) for each_ms in received_ms[len(ages) : stored]]
        found, start = [], 0
        for part in parts:
            found.append(sorted(ages[start : start + len(part.rows)]))
            start += len(part.rows)
        return found


class Beside:
    """The program that runs at the same time, started again when it ends; none for an empty `kind`."""

    def __init__(self, scratch: Path, trial: Trial, kind: str) -> None:
        self._log = scratch / "beside.log"
        self._trial = trial
        self._kind = kind
        self._archive = scratch
        self._running: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self.rounds = 0

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def keep_going(self) -> None:
        """Starts it, again and again."""
        if not self._kind or (self._running is not None and self._running.poll() is None):
            return
        if self._running is not None:
            self.rounds += self._running.returncode == 0
        self._archive = self._log.with_name(f"archive-{self.rounds}")  # a new one each time
        self._archive.mkdir(exist_ok=True)
        commands = {
            READER: ["bench.latency", str(self._trial.path)],
            SNAPSHOT: ["hk_tick_collector", "snapshot", "--env-file", "/dev/null"],
            ARCHIVE: ["hk_tick_collector", "archive", "--env-file", "/dev/null", "--day", _EARLIER],
            PUBLISH: ["hk_tick_collector", "publish", "--env-file", "/dev/null"],
        }
        settings = {
            "DATA_ROOT": str(self._trial.data),
            "ARCHIVE_DIR": str(self._archive),
            "STREAM_URL": _NO_SERVER,
            "INSTANCE_ID": "a",
        }
        self._running = self._stack.enter_context(process(commands[self._kind], settings, self._log))

    def end(self) -> None:
        """Ends it. Raises BrokenRunError if it did not do what it was started for."""
        if self._running is not None:
            stop(self._running)
            self._running = None
            if self._kind == PUBLISH and "publish_engine_away" not in (said := self._log.read_text()):
                raise BrokenRunError(f"publish did not run without servers: {said[-1000:]}")
        self._stack.close()


def figures(runs: Sequence[Paced]) -> list[Figure]:
    """p50, p99 and the maximum of each rate."""
    found = []
    alone = {paced.rate: statistics.median(paced.p99_ms) for paced in runs if not paced.beside}
    for paced in runs:
        beside = f", {paced.beside} at work" if paced.beside else ""
        rounds = f" ({paced.rounds} rounds)" if paced.rounds else ""
        name = f"{paced.rate:,} ticks/s{beside}{rounds}"
        asked = paced.rate == TARGET_RATE
        found += [
            Figure("latency, socket → committed", f"{name}: p50", "ms", paced.p50_ms),
            Figure("latency, socket → committed", f"{name}: p99", "ms", paced.p99_ms, Target(300) if asked else None),
            Figure(
                "latency, socket → committed",
                f"{name}: max",
                "ms",
                paced.max_ms,
                Target(1000, worst=True) if asked else None,
            ),
        ]
        if paced.beside in _TO_ALONE and paced.rate in alone:
            ratios, most = [each / alone[paced.rate] for each in paced.p99_ms], Target(_TO_ALONE[paced.beside])
            found.append(Figure("latency, socket → committed", f"{name}: p99 ÷ alone", "ratio", ratios, most))
    return found


def main() -> None:
    """The reader: one round of the runbook's queries."""
    with closing(read_only(Path(sys.argv[1]))) as db:
        for query in QUERIES.values():
            db.execute(query).fetchall()


if __name__ == "__main__":
    main()
