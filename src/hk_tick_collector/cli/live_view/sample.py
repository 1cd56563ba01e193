"""What a view shows of one moment, and how it is read: of the service in force, or of the one that `demo` runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hk_tick_collector import clock
from hk_tick_collector.cli._options import limits
from hk_tick_collector.cli._service_report import day_figures, examine, finding_of, hanging
from hk_tick_collector.config import Settings
from hk_tick_collector.errors import CollectorError, DiskHangsError
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.market_silence import silence
from hk_tick_collector.ops.findings.service import LIVE_STATE
from hk_tick_collector.ops.findings.words import NO_WORDS, Words
from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.store.query import DayReader, path_of

from .disk import WatchedDisk

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.cli._patience import Disk
    from hk_tick_collector.model import Tick
    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.store.query import SymbolCount


class Ask(NamedTuple):
    """Which last ticks are wanted: of this symbol, or of all if it is empty; and how many. `priced`: the symbols whose
    last price is wanted.
    """

    symbol: str = ""
    ticks: int = 0
    priced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known at one moment. Times are UTC epoch ms."""

    now_ms: int
    as_of_ms: int  # of the figures: the last live state if the service no longer reports, otherwise now
    findings: list[Finding]  # the most urgent first
    explained: Words = NO_WORDS  # why no ticks are expected, which ticks are lost
    live: LiveStatus | None = None
    day: dict[str, Any] | None = None  # the day's counters, as in the JSON of `status`; None if they cannot be read
    symbols: list[SymbolCount] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)  # the latest, in the order of their time
    ticks_of: str = ""  # the symbol of all of them, or empty
    prices: dict[str, float] = field(default_factory=dict)  # symbol → price of its last tick, HKD
    read_s: float = 0.0  # when the symbols were read, by the monotonic clock


class ServiceSource:
    """Reads the service that the settings in force describe."""

    def __init__(self, env_file: Path | None) -> None:
        self._env_file = env_file
        self._disk = WatchedDisk()

    def __call__(self, asked: Ask) -> Sample:
        """Reads once. A trouble becomes a finding."""
        now_ms = clock.now_ms()
        try:
            found = examine(self._env_file, now_ms, self._disk, warns=False)
        except CollectorError as error:  # the settings have changed since the view began, and are wrong
            return Sample(now_ms, now_ms, [finding_of(LIVE_STATE, error)])
        sample = Sample(now_ms, found.as_of_ms, found.findings, found.explained, found.live, found.day)
        return _with_symbols(sample, found.settings.data_root if found.settings else None, asked, self._disk)


class DemoSource:
    """Reads the collector of a demo, the process `pid`, which writes to `root` with default settings."""

    def __init__(self, root: Path, pid: int) -> None:
        self._root = root
        self._pid = pid
        self._disk = WatchedDisk()

    def __call__(self, asked: Ask) -> Sample | None:
        """Reads once; None until the collector reports. A trouble becomes a finding."""
        now_ms = clock.now_ms()
        try:
            live = self._disk.read(partial(read_status, self._root / STATUS_NAME), self._root)
        except DiskHangsError as error:
            return Sample(now_ms, now_ms, [hanging(error)])
        except CollectorError as error:
            return Sample(now_ms, now_ms, [finding_of(LIVE_STATE, error)])
        if live is None or live.pid != self._pid:
            return None
        findings = health.check(live, now_ms, limits(Settings.model_validate({})))
        day = day_figures(self._root, live, findings, self._disk)
        if self._disk.error:
            findings.append(hanging(self._disk.error))
        sample = Sample(now_ms, now_ms, health.in_order(findings), silence(live, now_ms), live, day)
        return _with_symbols(sample, self._root, asked, self._disk)


def _with_symbols(sample: Sample, root: Path | None, asked: Ask, disk: Disk) -> Sample:
    """Adds the counters of the symbols, and the last ticks. What cannot be read is not shown: a finding says why."""
    if root is None or sample.day is None:
        return sample
    path = path_of(root, sample.day["day"])
    try:
        found = disk.read(partial(_read, path, asked), path)
    except CollectorError:
        return sample
    return replace(sample, **found, ticks_of=asked.symbol)


def _read(path: Path, asked: Ask) -> dict[str, Any]:
    """Reads counters, and the latest ticks by their key: no table is scanned, however long the day is."""
    with DayReader(path) as reader, reader.snapshot():
        return {
            "symbols": reader.symbols(),
            "ticks": reader.latest(asked.ticks, (asked.symbol,) if asked.symbol else ()) if asked.ticks else [],
            "prices": {symbol: tick.price for symbol in asked.priced for tick in reader.latest(1, (symbol,))},
            "read_s": time.monotonic(),
        }
