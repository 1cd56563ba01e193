"""From a commit to the callback: `hk_tick_collector.stream` beside a writer, each a process of its own.

The writer commits what the collector does: the rows of 500 symbols, in one transaction every 100 ms, with SQLite synced
at each commit. It notes by the monotonic clock, which is one for the host, when each commit has returned. The stream's
process notes when its loop gets each tick. So the difference has the whole way: noticing, reading, making the batch.

    python -m bench.following writer DIRECTORY RATE SECONDS | reader DIRECTORY TICKS    one of the processes
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hk_tick_collector
from hk_tick_collector import market
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

from .report import Figure, Target
from .trial import BrokenRunError, process

if TYPE_CHECKING:
    from hk_tick_collector.following import Stream
    from hk_tick_collector.model import TickRow

SYMBOLS: Final = 500
RATES: Final = (50, 500, 5_000)
EVERY_S: Final = 0.1  # between commits; the collector's are 0.2 s apart at most, and closer in a burst
_RUNS: Final = 3
_CAP_S: Final = 120.0


def measure(scratch: Path, seconds: float) -> list[Figure]:
    """p50 and p99 of each rate, and the CPU that the stream's process needs, also while nothing is stored."""
    topic, found = "following, commit → callback", []
    for rate in RATES:
        runs = [_run(scratch / f"{rate}-{number}", rate, seconds) for number in range(_RUNS)]
        target = Target(50, worst=True)
        found += [
            Figure(topic, f"{rate:,} ticks/s: p50", "ms", [run["p50_ms"] for run in runs]),
            Figure(topic, f"{rate:,} ticks/s: p99", "ms", [run["p99_ms"] for run in runs], target),
            Figure(topic, f"{rate:,} ticks/s: the stream's CPU", "cores", [run["cores"] for run in runs]),
        ]
    found.append(Figure(topic, "nothing is stored: the stream's CPU", "cores", [_idle_cores(scratch / "idle")]))
    return found


def _run(directory: Path, rate: int, seconds: float) -> dict[str, float]:
    directory.mkdir()
    path = _path(directory)
    DayFile(path, path.stem, "bench", _now_ms(), "bench", StoreOptions()).close()
    ticks = int(rate * seconds)
    with process(["bench.following", "reader", str(directory), str(ticks)], {}, directory / "reader.log") as reader:
        _await(directory / "begun")
        with process(
            ["bench.following", "writer", str(directory), str(rate), str(seconds)], {}, directory / "log"
        ) as writer:
            if writer.wait(_CAP_S) or reader.wait(_CAP_S):
                raise BrokenRunError((directory / "reader.log").read_text() + (directory / "log").read_text())
    commits = dict(json.loads((directory / "commits.json").read_text()))
    seen = json.loads((directory / "seen.json").read_text())
    ages = sorted((at_ns - commits[number]) / 1e6 for number, at_ns in seen["ticks"])
    if len(ages) != ticks:
        raise BrokenRunError(f"{ticks} ticks were committed, the stream had {len(ages)}")
    return {"p50_ms": ages[len(ages) // 2], "p99_ms": ages[len(ages) * 99 // 100], "cores": seen["cores"]}


def _idle_cores(directory: Path) -> float:
    directory.mkdir()
    path = _path(directory)
    DayFile(path, path.stem, "bench", _now_ms(), "bench", StoreOptions()).close()
    with process(["bench.following", "idle", str(directory), "5"], {}, directory / "reader.log") as reader:
        reader.wait(_CAP_S)
    return float(json.loads((directory / "seen.json").read_text())["cores"])


def _write(directory: Path, rate: int, seconds: float) -> None:
    """Ticks at a steady rate; `commits.json` has the sequence's number of each tick and when it was committed."""
    path, names = _path(directory), default_symbols(SYMBOLS)
    file = DayFile(path, path.stem, "bench", _now_ms(), "bench", StoreOptions())
    commits: list[tuple[int, int]] = []
    begun_s, number = time.monotonic(), 0
    while number < int(rate * seconds):
        time.sleep(
            max(
                0.0,
                begun_s + (len(commits) / rate if rate * EVERY_S < 1 else number / rate) + EVERY_S - time.monotonic(),
            )
        )
        due = min(int((time.monotonic() - begun_s) * rate), int(rate * seconds))
        rows = [_row(names, each) for each in range(number, due)]
        if rows:
            file.write(Batch(rows=rows), _now_ms())
            at_ns = time.monotonic_ns()
            commits += [(each, at_ns) for each in range(number, due)]
            number = due
    file.abandon()
    (directory / "commits.json").write_text(json.dumps(commits))


def _row(names: list[str], number: int) -> TickRow:
    now_ms = _now_ms()
    seq = (now_ms // 1000 << 32) | (number // len(names) + 1)
    tail = 388.2, number, 38_820.0, "BUY", "AUTO_MATCH", "realtime", now_ms, now_ms, " "  # the volume is its number
    return (names[number % len(names)], seq, now_ms, *tail)


def _read(directory: Path, ticks: int, idle_s: float = 0.0) -> None:
    seen: list[tuple[int, int]] = []
    with hk_tick_collector.stream(directory, start="day") as stream:
        (directory / "begun").touch()
        begun_s, busy_s = time.monotonic(), time.process_time()
        while len(seen) < ticks:
            batch = next(stream)
            at_ns = time.monotonic_ns()
            seen += [(tick.volume, at_ns) for tick in batch.rows]
        if idle_s:
            _wait_for_nothing(stream, idle_s)
        cores = (time.process_time() - busy_s) / (time.monotonic() - begun_s)
    (directory / "seen.json").write_text(json.dumps({"ticks": seen, "cores": cores}))


def _wait_for_nothing(stream: Stream, seconds: float) -> None:
    """Lets the stream wait in another thread, which ends with the process."""
    import threading

    threading.Thread(target=lambda: next(stream, None), daemon=True).start()
    time.sleep(seconds)
    stream.close()


def _path(directory: Path) -> Path:
    return directory / f"{market.day_name(market.day_number(_now_ms()))}.db"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _await(path: Path) -> None:
    end_s = time.monotonic() + _CAP_S
    while not path.exists():
        if time.monotonic() > end_s:
            raise BrokenRunError("the stream did not begin")
        time.sleep(0.01)


def main() -> None:
    """One of the processes."""
    kind, directory, *numbers = sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:])
    if kind == "writer":
        _write(directory, int(numbers[0]), numbers[1])
    elif kind == "reader":
        _read(directory, int(numbers[0]))
    else:
        _read(directory, 0, numbers[0])


if __name__ == "__main__":
    main()
