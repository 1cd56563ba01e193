"""1-minute bars of 2,000 symbols over 21 days, 106 million ticks, and one day beside DuckDB.

One synthetic day is made with numpy and written as the archive writes it; the month reads this file 21 times, with
later dates. Each measurement is a process of its own: `python -m bench.bars FILE DAYS WAY` prints its figures as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.archive.ticks import write_parquet
from hk_tick_collector.bars import TICK_COLUMNS, BarSpec, bars
from hk_tick_collector.frames.columns import MS_UTC, schema
from hk_tick_collector.frames.parquet_file import read_ticks
from hk_tick_collector.market import DAY_MS, day_start_ms, parse_day

from .report import Figure, Target
from .trial import ROOT, BrokenRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

SYMBOLS: Final = 2000
ROWS: Final = 5_055_139
DAYS: Final = 21
_DAY: Final = "20261120"
_RUNS: Final = 3
_TYPES: Final = ("AUTO_MATCH", "INTER_AUTO_MATCH", "ODD_LOT", "AUCTION", "LATE", "NON_AUTO_MATCH")
_SIGNS: Final = (" ", "Y", "D", "U", "P", "X")  # of the same types
_SHARES: Final = (0.93, 0.03, 0.03, 0.0, 0.005, 0.005)
_FORMING: Final = "tick_type IN ('AUTO_MATCH', 'INTER_AUTO_MATCH', 'AUCTION')"


@dataclass(slots=True)
class Measured:
    """What one process took."""

    bars: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(scratch: Path, scale: float) -> list[Figure]:
    """All figures of this topic."""
    file = scratch / "day.parquet"
    make_day(file, max(SYMBOLS, int(ROWS * scale)))
    months = [_run(file, DAYS, "bars") for _ in range(_RUNS)]
    pairs = [(_run(file, 1, "bars"), _run(file, 1, "duckdb")) for _ in range(_RUNS)]
    if any(ours.bars != theirs.bars for ours, theirs in pairs):
        raise BrokenRunError("our bars and those of DuckDB differ in number")
    topic, month = "bars", f"1-minute bars, {SYMBOLS:,} symbols, {DAYS} days"
    return [
        Figure(topic, f"{month}: time", "s", [each.wall_s for each in months], Target(15)),
        Figure(topic, f"{month}: memory", "MB", [each.peak_mb for each in months], Target(400)),
        Figure(topic, f"{month}: CPU", "s", [each.cpu_s for each in months]),
        Figure(
            topic, "one day: CPU ÷ DuckDB's", "ratio", [ours.cpu_s / theirs.cpu_s for ours, theirs in pairs], Target(1)
        ),
    ]


def make_day(path: Path, rows: int) -> None:
    """Writes a day: Zipf's law, both auctions, one tick of a thousand reported late."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(7)
    weights = 1 / np.arange(1, SYMBOLS + 1) ** 0.9
    counts = rng.multinomial(rows, rng.permutation(weights / weights.sum()))
    symbol = np.repeat(np.arange(SYMBOLS), counts)
    session = np.searchsorted([0.01, 0.46, 0.98], rng.random(rows))
    begins = np.array([33_600, 34_200, 46_800, 58_100])[session]
    lengths = np.array([60, 9000, 10_800, 5])[session]
    ts = day_start_ms(parse_day(_DAY)) + ((begins + rng.random(rows) * lengths) * 1000).astype(np.int64)
    order = np.lexsort((ts, symbol))
    ts, session = ts[order], session[order]
    counter = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
    seq = (ts // 1000) << 32 | (counter + 1)
    is_late = rng.random(rows) < 0.001
    ts -= np.where(is_late, rng.integers(1000, 60_000, rows), 0)
    price = np.round(np.repeat(rng.integers(100, 40_000, SYMBOLS), counts) * 0.01 + rng.integers(-5, 6, rows) * 0.01, 3)
    volume = rng.choice([100, 200, 500, 1000, 2000], rows) * rng.integers(1, 5, rows)
    kind = np.where((session == 0) | (session == 3), 3, rng.choice(len(_TYPES), rows, p=_SHARES))
    kind = np.where(is_late, 4, kind)

    def texts(codes: Any, names: list[str]) -> Any:
        return pa.DictionaryArray.from_arrays(codes.astype(np.int32), names).cast(pa.string())

    columns = {
        "date": pa.array(np.full(rows, parse_day(_DAY), np.int32)).cast(pa.date32()),
        "symbol": texts(symbol, [f"HK.{number:05d}" for number in range(1, SYMBOLS + 1)]),
        "seq": pa.array(seq),
        "ts": pa.array(ts).cast(MS_UTC),
        "price": pa.array(price),
        "volume": pa.array(volume),
        "turnover": pa.array(np.round(price * volume, 3)),
        "direction": texts(rng.choice(3, rows, p=[0.45, 0.45, 0.1]), ["BUY", "SELL", "NEUTRAL"]),
        "tick_type": texts(kind, list(_TYPES)),
        "push_type": texts(np.zeros(rows), ["realtime"]),
        "recv_ts": pa.array(ts + rng.integers(3, 40, rows)).cast(MS_UTC),
        "opend_recv_ts": pa.array(ts + rng.integers(1, 3, rows)).cast(MS_UTC),
        "type_sign": texts(kind, list(_SIGNS)),
    }
    table = pa.table(columns, schema=schema())
    with path.open("wb") as file:
        write_parquet(table.to_batches(), file, dict)


def _run(file: Path, days: int, way: str) -> Measured:
    command = [sys.executable, "-m", "bench.bars", str(file), str(days), way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokenRunError(done.stderr.strip()[-500:])
    return Measured(**json.loads(done.stdout))


def _days(file: Path, days: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for later in range(days):
        for batch in read_ticks(file, columns=TICK_COLUMNS, dictionaries=True):
            shifted: Any = pc.add(batch.column("ts").cast(pa.int64()), later * DAY_MS)
            day = date.fromordinal(date(1970, 1, 1).toordinal() + parse_day(_DAY) + later)
            columns: list[Any] = [pa.repeat(pa.scalar(day, pa.date32()), len(batch)), *batch.columns[1:]]
            columns[TICK_COLUMNS.index("ts")] = shifted.cast(MS_UTC)
            yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _duckdb(file: Path) -> int:
    """The same columns and the same order of equal times, but neither sessions nor symbols without a price apart."""
    import duckdb

    prices = ", ".join(f"{name} FILTER ({_FORMING})" for name in ("max(price)", "min(price)", "sum(turnover)"))
    ends = ", ".join(f"{name}(price, (ts, seq)) FILTER ({_FORMING})" for name in ("arg_min", "arg_max"))
    sides = ", ".join(f"sum(volume) FILTER (direction = '{side}')" for side in ("BUY", "SELL", "NEUTRAL"))
    query = f"""SELECT symbol, epoch_ms(ts) // 60000 AS minute, {prices}, {ends}, sum(volume), sum(turnover), count(*),
                       {sides}, sum(volume) FILTER (tick_type = 'LATE')
                FROM '{file}' GROUP BY ALL ORDER BY symbol, minute"""
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        return int(connection.sql(query).to_arrow_table().num_rows)


def _peak_mb() -> float:
    """The most memory of this process; `ru_maxrss` would count that of the process which started it."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """One measurement, in a process of its own."""
    file, days, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    began_s = time.monotonic()
    if way == "duckdb":
        count = _duckdb(file)
    else:
        count = sum(batch.num_rows for batch in bars(_days(file, days), BarSpec(every="1m")))
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = Measured(count, time.monotonic() - began_s, used.ru_utime + used.ru_stime, _peak_mb())
    print(json.dumps({name: getattr(found, name) for name in found.__slots__}))


if __name__ == "__main__":
    main()
