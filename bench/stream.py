"""The input of a run, made before the clock starts: frames of pushes in the order of arrival, and their rows.

Input: symbols, ticks a push, number of ticks, pace. Output: parts, each sent when the benchmark says so. Trades come at
random moments (Poisson), of securities by Zipf's law; `sequence = epoch second << 32 | counter`.
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.model import PUSH_REALTIME
from hk_tick_collector.opend.convert import TICK_TYPES
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES
from hk_tick_collector.simulator.encoding.encode import TYPE_SIGNS, BodyEncoder, EntryEncoder, push_frames
from hk_tick_collector.simulator.exchange.listing import listing
from hk_tick_collector.simulator.exchange.market import SyntheticMarket
from hk_tick_collector.simulator.exchange.timetable import Calendar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow
    from hk_tick_collector.simulator.exchange.made import MadeRow

LINE_RATE: Final = 10_000.0  # ticks/s of exchange time for data sent at full speed
_SEED: Final = 1
_CHUNK_BYTES: Final = 64 << 10  # bytes of one write at full speed
_SLOT_S: Final = 0.001  # bytes of one write when paced
_DIRECTIONS: Final = ("UNKNOWN", "BUY", "SELL", "NEUTRAL")
_LEAD_MS: Final = 120_000  # exchange time starts this long ago, so that little of it is in the future


class Chunk(NamedTuple):
    """Complete frames that are sent in one write, and when: seconds after the part's start, 0 for at once."""

    due_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """What is sent after one command of the benchmark. `rows` are in the order of arrival, without a receive time."""

    chunks: list[Chunk]
    rows: list[TickRow]

    def bodies(self) -> list[bytes]:
        """The bodies of its pushes, to decode them alone."""
        return [body for chunk in self.chunks for body in _bodies(chunk.data)]


class Preparation:
    """Makes one part after another, of one market whose counters continue."""

    def __init__(self, symbols: Sequence[str], per_push: int) -> None:
        self.symbols = symbols
        self.per_push = per_push
        now_ms = time.time_ns() // 1_000_000
        self.day = market.day_number(now_ms)
        self._at_ms = max(market.day_start_ms(self.day), now_ms - _LEAD_MS)
        securities = listing(symbols, _SEED)
        calendar = Calendar(self.day, _SEED, always_open=True)
        self._market = SyntheticMarket(securities, calendar, seed=_SEED, ticks_per_ms=1.0, fills=per_push)
        self._entries = EntryEncoder()
        self._bodies = BodyEncoder(securities)
        self._rng = random.Random(_SEED)

    def part(self, ticks: int, rate: float | None = None) -> Part:
        """This many ticks (complete pushes), paced to a mean of `rate` a second; None sends them at full speed."""
        made, due_s = self._make(ticks, rate or LINE_RATE)
        entries = self._entries.entries(made, self._at_ms / 1000)
        starts = range(0, len(made), self.per_push)
        joined = [b"".join(entries[start : start + self.per_push]) for start in starts]
        frames = push_frames(self._bodies.bodies([made[start][0] for start in starts], joined))
        chunks = _paced(frames, due_s) if rate else _at_once(frames)
        return Part(chunks, [self._row(tick) for tick in made])

    def _make(self, ticks: int, rate: float) -> tuple[list[MadeRow], list[float]]:
        """The ticks, and for each push when it is made, in seconds after the first moment."""
        at_s, due_s = 0.0, []
        for _ in range(ticks // self.per_push):
            at_s += self._rng.expovariate(rate / self.per_push)
            due_s.append(at_s)
        made: list[MadeRow] = []
        for ms, pushes in groupby(due_s, key=lambda each_s: int(each_s * 1000)):
            made += self._market.burst(len(list(pushes)) * self.per_push, self._at_ms + ms)
        self._at_ms += int(at_s * 1000) + 1
        return made, due_s

    def _row(self, tick: MadeRow) -> TickRow:
        place, seq, ts_ms, price, volume, turnover, direction, tick_type = tick
        way, kind = _DIRECTIONS[direction], TICK_TYPES[tick_type]
        sign = TYPE_SIGNS.get(tick_type, " ")
        row = self.symbols[place], seq, ts_ms, price, volume, turnover, way, kind, PUSH_REALTIME, ts_ms
        return (*row, self._at_ms, sign)


def write_stream(directory: Path, symbols: Sequence[str], parts: Sequence[Part]) -> None:
    """Writes the files for the sender: `symbols`, `stream.bin`, and `stream.json` with due time and size of writes."""
    (directory / "symbols").write_text("\n".join([*symbols, ""]), encoding="ascii")
    (directory / "stream.json").write_text(
        json.dumps([[(chunk.due_s, len(chunk.data)) for chunk in part.chunks] for part in parts])
    )
    with (directory / "stream.bin").open("wb") as file:
        for part in parts:
            file.writelines(chunk.data for chunk in part.chunks)
    flush(directory / "stream.bin")


def flush(path: Path) -> None:
    """Syncs a file to the disk, so that its dirty pages are not written by another process's fsync."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_stream(directory: Path) -> tuple[list[str], list[list[Chunk]]]:
    """The symbols, and the writes of each part."""
    symbols = (directory / "symbols").read_text("ascii").split()
    parts = json.loads((directory / "stream.json").read_text())
    with (directory / "stream.bin").open("rb") as file:
        return symbols, [[Chunk(due_s, file.read(size)) for due_s, size in sizes] for sizes in parts]


def _paced(frames: Sequence[bytes], due_s: Sequence[float]) -> list[Chunk]:
    """One write for the data of a few milliseconds, when they are over."""
    timed = zip(due_s, frames, strict=True)
    slots = groupby(timed, key=lambda pair: int(pair[0] / _SLOT_S))
    return [Chunk((slot + 1) * _SLOT_S, b"".join(frame for _, frame in pairs)) for slot, pairs in slots]


def _at_once(frames: Sequence[bytes]) -> list[Chunk]:
    chunks, waiting, size = [], [], 0
    for frame in frames:
        waiting.append(frame)
        size += len(frame)
        if size >= _CHUNK_BYTES:
            chunks.append(Chunk(0.0, b"".join(waiting)))
            waiting, size = [], 0
    return [*chunks, Chunk(0.0, b"".join(waiting))] if waiting else chunks


def _bodies(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        body_bytes = HEADER.unpack_from(data, start)[5]
        start += HEADER_BYTES + body_bytes
        yield data[start - body_bytes : start]
