"""End to end, compared with limits: a sender with prepared bytes → collector → committed rows; the same bodies decoded
alone; the same rows in the same order inserted alone into the same schema with its counters, by plain wide statements
and through the collector's own store.

A run ends when a reader of the file sees the last row. The same rows are inserted alone right after it, while the
collector is idle, so that other load of the machine affects both.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.config import Settings
from hk_tick_collector.market import day_name
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.protocol import Connection
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

from .report import Figure, Target
from .stream import Preparation
from .trial import Trial, cpu_s, written_bytes
from .wide import WideFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .stream import Part

PER_PUSH: Final = (1, 10, 100)
SYMBOLS: Final = (50, 500, 2000)
BATCH_ROWS: Final = Settings.model_validate({}).batch_rows  # the defaults
TARGETS: Final = {(1, 500): Target(0.6, at_least=True), (10, 500): Target(0.85, at_least=True)}
_RUNS: Final = 3
_RUNS_OF_TARGETS: Final = 5


@dataclass(slots=True)
class Cell:
    """One combination of symbols and ticks a push; one value for each run, in ticks/s except for the shares."""

    end_to_end: list[float] = field(default_factory=list)
    inserted: list[float] = field(default_factory=list)
    inserted_wide: list[float] = field(default_factory=list)  # by plain wide statements
    decoded: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    sender_cores: list[float] = field(default_factory=list)
    collector_cores: list[float] = field(default_factory=list)
    network_cores: list[float] = field(default_factory=list)  # of these, the cores of the event loop's thread
    start_s: float = 0.0
    written_per_tick: float = 0.0  # bytes

    @property
    def shares(self) -> list[float]:
        """End to end ÷ wide insert alone, run by run."""
        return _ratios(self.end_to_end, self.inserted_wide)

    @property
    def shares_of_store(self) -> list[float]:
        """End to end ÷ the store alone, run by run."""
        return _ratios(self.end_to_end, self.inserted)


def measure(scratch: Path, per_push: int, symbols: int, ticks: int) -> Cell:
    """Bursts of this many ticks into one file, and the limits for the same ticks."""
    preparation = Preparation(default_symbols(symbols), per_push)
    runs = _RUNS_OF_TARGETS if (per_push, symbols) in TARGETS else _RUNS
    parts = [preparation.part(ticks) for _ in range(runs)]
    cell, name = Cell(), day_name(preparation.day)
    with (
        Trial(scratch, preparation.symbols, parts) as trial,
        closing(DayFile(scratch / "store.db", name, "bench", 0, "bench", StoreOptions())) as store,
        closing(WideFile(scratch / "wide.db", name)) as wide,
    ):
        cell.start_s = trial.start_s
        before_bytes, expected = written_bytes(trial.pid), 0
        for part in parts:
            busy_s, network_s = cpu_s(trial.pid), cpu_s(trial.pid, main_thread=True)
            expected += len(part.rows)
            begun_s = trial.go()
            took_s = trial.wait_stored(expected) - begun_s
            cell.end_to_end.append(len(part.rows) / took_s)
            cell.collector_cores.append((cpu_s(trial.pid) - busy_s) / took_s)
            cell.network_cores.append((cpu_s(trial.pid, main_thread=True) - network_s) / took_s)
            cell.sender_cores.append(float(trial.sent()["cpu_s"]) / took_s)
            cell.inserted_wide.append(insert_alone(wide.write, part))
            cell.inserted.append(insert_alone(lambda rows: store.write(Batch(rows=rows), 0), part))
        cell.written_per_tick = (written_bytes(trial.pid) - before_bytes) / expected
        trial.verify(parts)
    cell.decoded = [decode_alone(part) for part in parts]
    cell.read = [read_alone(part) for part in parts]
    return cell


def _ratios(wholes: Sequence[float], parts: Sequence[float]) -> list[float]:
    return [whole / part for whole, part in zip(wholes, parts, strict=True)]


def insert_alone(write: Callable[[list[TickRow]], object], part: Part) -> float:
    """Rows/s of writing one batch in one transaction, without other work."""
    begun_s = time.monotonic()
    for start in range(0, len(part.rows), BATCH_ROWS):
        write(part.rows[start : start + BATCH_ROWS])
    return len(part.rows) / (time.monotonic() - begun_s)


def decode_alone(part: Part) -> float:
    """Ticks/s of protobuf's part: bodies of pushes to messages."""
    bodies, parse = part.bodies(), pb.TickerResponse.FromString
    begun_s = time.monotonic()
    for body in bodies:
        parse(body)
    return len(part.rows) / (time.monotonic() - begun_s)


def read_alone(part: Part) -> float:
    """Ticks/s from bytes to rows, by the collector's protocol core: frames with their SHA-1, protobuf, conversion."""
    core = Connection("bench")
    begun_s = time.monotonic()
    for chunk in part.chunks:
        core.receive(chunk.data, begun_s, 0)
    return len(part.rows) / (time.monotonic() - begun_s)


def figures(cells: dict[tuple[int, int], Cell]) -> list[Figure]:
    """Each combination beside its limits."""
    found: list[Figure] = []

    def add(
        per_push: int, symbols: int, what: str, unit: str, runs: Sequence[float], target: Target | None = None
    ) -> None:
        found.append(Figure("end to end", f"{per_push} a push, {symbols} symbols: {what}", unit, runs, target))

    for (per_push, symbols), cell in cells.items():
        add(per_push, symbols, "end to end ÷ wide insert alone", "ratio", cell.shares, TARGETS.get((per_push, symbols)))
        add(per_push, symbols, "end to end ÷ our store alone", "ratio", cell.shares_of_store)
        add(per_push, symbols, "end to end", "ticks/s", cell.end_to_end)
        add(per_push, symbols, "wide insert alone", "ticks/s", cell.inserted_wide)
        add(per_push, symbols, "our store alone", "ticks/s", cell.inserted)
        add(per_push, symbols, "decode alone", "ticks/s", cell.decoded)
        add(per_push, symbols, "bytes to rows alone", "ticks/s", cell.read)
        add(per_push, symbols, "collector's cores", "cores", cell.collector_cores)
        add(per_push, symbols, "  of which its network thread", "cores", cell.network_cores)
        add(per_push, symbols, "sender's cores", "cores", cell.sender_cores)
    return found
