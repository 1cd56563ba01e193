"""What only the ticks themselves show: how many there were in each minute, how late they came, and the clock.

Enters: the ticks, from a day file in SQL or from the Parquet file of the archive in Arrow. Leaves: at most one `Minute`
for each minute of the day. Only ticks that were pushed live are used for delay and clock: a backfilled tick is always
late.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector.store.quality_reading import MinuteStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from hk_tick_collector.archive.remote import RemoteFile

_NO_END: Final = 3_600_000  # the last step has every larger delay as well
_MOST_MINUTES: Final = 3000  # two days: a file with more has ticks of other days, and only these are kept


class Minute(NamedTuple):
    """The ticks of one minute."""

    minute: int  # UTC epoch minute of the trade
    rows: int
    half_ms: int | None  # half of the live ticks came within this time; None without a live tick
    most_ms: int | None  # the largest delay of a live tick


class Scan(NamedTuple):
    """The ticks of one day by minute."""

    rows: int
    live_rows: int  # pushed live
    minutes: tuple[Minute, ...]  # in order of time; those without a tick are left out
    half_ms: int | None  # half of all live ticks came within this time
    most_within_ms: int | None  # 99 of 100 live ticks came within this time
    most_ms: int | None  # the largest delay
    clock_ms: int | None  # the median over the minutes of their smallest delay: clock difference + network


class _Sums:
    """The sums of one minute."""

    def __init__(self) -> None:
        self.rows = 0
        self.live: Counter[int] = Counter()  # step → ticks
        self.least_ms: int | None = None
        self.most_ms: int | None = None


class Scanner:
    """Adds up the parts of a day. Memory depends on the minutes of the day, not on its ticks."""

    def __init__(self) -> None:
        self._sums: dict[int, _Sums] = {}
        self._rows = 0

    def add(self, part: Iterable[MinuteStep]) -> None:
        """Adds a part."""
        for step in part:
            self._rows += step.rows
            if step.minute not in self._sums and len(self._sums) >= _MOST_MINUTES:
                continue
            of_minute = self._sums.setdefault(step.minute, _Sums())
            of_minute.rows += step.rows
            if step.is_live:
                of_minute.live[step.step_ms] += step.rows
                of_minute.least_ms = _either(min, of_minute.least_ms, step.least_ms)
                of_minute.most_ms = _either(max, of_minute.most_ms, step.most_ms)

    def result(self) -> Scan:
        """The sums of all parts."""
        sums = self._sums
        minutes = tuple(
            Minute(minute, each.rows, _within(each.live, 0.5, each.most_ms), each.most_ms)
            for minute, each in sorted(sums.items())
        )
        live: Counter[int] = Counter()
        for of_minute in sums.values():
            live.update(of_minute.live)
        least = [of_minute.least_ms for of_minute in sums.values() if of_minute.least_ms is not None]
        most_ms = max((minute.most_ms for minute in minutes if minute.most_ms is not None), default=None)
        return Scan(
            rows=self._rows,
            live_rows=live.total(),
            minutes=minutes,
            half_ms=_within(live, 0.5, most_ms),
            most_within_ms=_within(live, 0.99, most_ms),
            most_ms=most_ms,
            clock_ms=round(median(least)) if least else None,
        )


def remote_minutes(file: RemoteFile, day: str, symbols: Sequence[str]) -> Iterator[tuple[int, list[MinuteStep]]]:
    """As `parquet_minutes`, of a file in an object store."""
    with file.open() as source:
        yield from parquet_minutes(source, day, symbols, remote=str(file))


def parquet_minutes(
    path: Path | BinaryIO, day: str, symbols: Sequence[str], *, remote: str = ""
) -> Iterator[tuple[int, list[MinuteStep]]]:
    """The same sums from the ticks of an archived day: how many ticks were read so far, and the sums of a batch.

    Raises the errors of `frames.parquet_file.read_ticks`.
    """
    from hk_tick_collector.frames.parquet_file import read_ticks

    read = 0
    for batch in read_ticks(path, day=day, symbols=symbols, columns=("ts", "push_type", "recv_ts"), remote=remote):
        read += batch.num_rows
        yield read, _steps(batch)


def _steps(batch: Any) -> list[MinuteStep]:
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    ts = batch.column("ts").cast(pa.int64())
    delay = pc.subtract(batch.column("recv_ts").cast(pa.int64()), ts)
    table = pa.table(
        {
            "minute": pc.divide(ts, 60_000),
            "live": pc.equal(batch.column("push_type"), "realtime"),
            "step": _step(delay, pc),
            "delay": delay,
        }
    )
    wanted: Any = [("delay", "count"), ("delay", "min"), ("delay", "max")]
    columns = table.group_by(["minute", "live", "step"]).aggregate(wanted).to_pydict()
    rows = zip(
        *(columns[name] for name in ("minute", "live", "step", "delay_count", "delay_min", "delay_max")), strict=True
    )
    return [MinuteStep(*row) for row in rows]


def _step(delay: Any, pc: Any) -> Any:
    """The upper end of the step of each delay: the rule of `store.quality_reading`, in Arrow."""

    def up_to(size: int) -> Any:
        return pc.multiply(pc.add(pc.divide(delay, size), 1), size)

    found = pc.multiply(pc.min_element_wise(pc.add(pc.divide(delay, 100_000), 1), 36), 100_000)
    for below, size in ((100_000, 10_000), (10_000, 1000), (1000, 100), (100, 10)):
        found = pc.if_else(pc.less(delay, below), up_to(size), found)
    early = pc.multiply(pc.max_element_wise(pc.divide(delay, 1000), -3600), 1000)
    return pc.if_else(pc.less(delay, 0), early, found)


def _within(steps: Mapping[int, int], share: float, most_ms: int | None) -> int | None:
    """The end of the step within which this share of the ticks came, or the largest delay if that is the better one."""
    left = share * sum(steps.values())
    for step_ms in sorted(steps):
        left -= steps[step_ms]
        if left <= 0:
            return step_ms if most_ms is None or step_ms < min(_NO_END, most_ms) else most_ms
    return None


def _either(choose: Any, one: int | None, other: int) -> int:
    return other if one is None else int(choose(one, other))
