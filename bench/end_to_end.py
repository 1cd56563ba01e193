"""End to end beside its limits, in one run: a sender process → collector process → committed rows; protobuf decoding
alone; inserting the same rows alone. Ratios hold on any machine, absolute figures only on this one.

    python bench/end_to_end.py [--total 300000] [--symbols 500] [--runs 3]
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader, list_days, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import TickRow

PER_PUSH = (1, 10)
BATCH_ROWS = 12_000


def main() -> None:
    """Runs all and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total", type=int, default=300_000, help="ticks of a run")
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.total:,} ticks, {arguments.symbols} symbols, {arguments.runs} runs, {os.cpu_count()} cores")
    print(f"{'':28}{'min':>12}{'median':>12}{'max':>12}   ticks/s")
    rows: list[TickRow] = []
    inserted: list[float] = []
    for per_push in PER_PUSH:
        rates = []
        for _ in range(arguments.runs):
            with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
                rate, rows, peak_mb = end_to_end(Path(scratch), arguments.total, arguments.symbols, per_push)
                rates.append(rate)
                if per_push == 1:
                    inserted.append(insert_alone(Path(scratch, "insert.db"), rows))
        tell(f"end to end, {per_push} a push", rates)
        if per_push == 1:
            tell("insert alone", inserted)
        print(f"{'  ÷ insert alone':28}{statistics.median(rates) / statistics.median(inserted):24.2f}")
        print(f"{'  peak memory':28}{peak_mb:21.0f} MB")
        tell(f"decode alone, {per_push} a push", [decode_alone(rows, per_push) for _ in range(arguments.runs)])
    tell_import_time()


def tell(name: str, rates: list[float]) -> None:
    """One row of the table."""
    print(f"{name:28}{min(rates):12,.0f}{statistics.median(rates):12,.0f}{max(rates):12,.0f}")


def end_to_end(scratch: Path, total: int, symbols: int, per_push: int) -> tuple[float, list[TickRow], float]:
    """Ticks/s from the first byte at the socket to the last commit; the rows in order of arrival; peak memory in MB."""
    data, log = scratch / "data", scratch / "simulate.log"
    data.mkdir()
    arguments = ["--port", "0", "--symbols", str(symbols), "--rate", "1000000", "--total", str(total), "--wait"]
    arguments += ["--ticks-per-push", str(per_push), "--client-buffer-mb", "2000"]
    sender = start("simulate", [*arguments, "--write-symbols", str(scratch / "symbols")], {}, log)
    try:
        wait(lambda: "simulator_listening" in log.read_text())
        match = re.search(r"\bport=(\d+)", log.read_text())
        assert match
        settings = {"FUTU_PORT": match[1], "FUTU_SYMBOLS": f"@{scratch / 'symbols'}", "DATA_ROOT": str(data)}
        collector = start("run", ["--env-file", os.devnull], settings, scratch / "run.log")
        try:
            wait(lambda: stored(data) >= total)
        finally:
            peak_mb = peak(collector.pid)
            stop(collector)
    finally:
        stop(sender)
    with DayReader(path_of(data, list_days(data)[0])) as reader:
        rows: list[TickRow] = sorted(reader.ticks(), key=itemgetter(9))
        last_ms = max(run.updated_ms for run in reader.ledger())
    return len(rows) / ((last_ms - rows[0][9]) / 1000), rows, peak_mb


def insert_alone(path: Path, rows: list[TickRow]) -> float:
    """The same rows in the same order through the same writer of the same schema, nothing else running."""
    file = DayFile(path, "20260101", "bench", 0, "bench", StoreOptions())
    started = time.perf_counter()
    for start_row in range(0, len(rows), BATCH_ROWS):
        file.write(Batch(rows=rows[start_row : start_row + BATCH_ROWS]), 0)
    elapsed = time.perf_counter() - started
    file.close()
    return len(rows) / elapsed


def decode_alone(rows: list[TickRow], per_push: int) -> float:
    """Protobuf's part alone: bodies of pushes to messages."""
    bodies = []
    for start_row in range(0, len(rows), per_push):
        message = pb.TickerResponse(retType=0, s2c=pb.TickerResponse.S2C(security=pb.Security(market=1, code="00700")))
        for _, seq, ts_ms, price, volume, turnover, *_ in rows[start_row : start_row + per_push]:
            message.s2c.tickerList.add(
                time="09:30:00.000", sequence=seq, dir=1, price=price, volume=volume, turnover=turnover,
                recvTime=ts_ms / 1000, type=1, typeSign=32, pushDataType=1, timestamp=ts_ms / 1000,
            )  # fmt: skip
        bodies.append(message.SerializeToString())
    parse = pb.TickerResponse.FromString
    started = time.perf_counter()
    for body in bodies:
        parse(body)
    return len(rows) / (time.perf_counter() - started)


def tell_import_time() -> None:
    """What a start costs before anything happens."""
    command = [sys.executable, "-c", "import hk_tick_collector.collect.service, hk_tick_collector.config"]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - started)
    print(f"{'import of the service':28}{min(times):11.2f}s{statistics.median(times):11.2f}s{max(times):11.2f}s")


def start(verb: str, arguments: list[str], settings: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """One of our verbs as a process."""
    command = [sys.executable, "-m", "hk_tick_collector", verb, *arguments]
    environment = {**environment_without_settings(), **settings}
    with log.open("wb") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process by its own way."""
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def stored(data: Path) -> int:
    """Rows in the day file so far."""
    days = list_days(data)
    if not days:
        return 0
    with DayReader(path_of(data, days[0])) as reader:
        return reader.totals().rows


def peak(pid: int) -> float:
    """Peak resident memory of a process, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def wait(condition: Callable[[], bool], cap_s: float = 120.0) -> None:
    """Until a condition holds; the cap only keeps a broken run from hanging."""
    end = time.monotonic() + cap_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the benchmark's processes did not do their part")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
