"""The daily digest: what a trading day was like, from its file and the live state, in a few lines. Reads only.

Also when it is due: once the market has been closed for a quarter of an hour, when the comparison with OpenD's totals
is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import MATCHING, UNEXPLAINED
from hk_tick_collector.store.query import DayReader, list_days, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.store.query import Stretch

    from .status import LiveStatus

_SETTLE_MS: Final = 900_000
_OPEN_MS: Final = 9 * 3_600_000  # after midnight: from here on ticks may come
_NOON: Final = 12
_DAYS: Final = 5  # finished days from which the need of space is told


class DigestClock:
    """Says when the digest of a day is due; `done` is the day of the last one, which is not told again."""

    def __init__(self, done: str) -> None:
        self.done = done
        self._over: tuple[str, int] | None = None  # the day that is over, and since when that is known

    def due(self, status: LiveStatus, now_ms: int) -> str:
        """The day to tell of now (`20261120`), else nothing. Once a second is often enough."""
        if status.connected and status.drift_s is not None:
            now_ms -= int(status.drift_s * 1000)  # the exchange's time, not that of a wrong clock
        number = market.day_number(now_ms)
        day = market.day_name(number)
        if day == self.done or not status.day_expected or not _is_over(status, number, now_ms):
            self._over = None
            return ""
        if self._over is None or self._over[0] != day:
            self._over = (day, now_ms)
        if now_ms - self._over[1] < _SETTLE_MS:
            return ""
        self.done = day
        return day


def _is_over(status: LiveStatus, number: int, now_ms: int) -> bool:
    """Closed by OpenD's word, on a half day at noon, or by the clock where OpenD is away."""
    if status.trading:
        return False
    closed = status.connected and status.market_state == "closed" and market.hkt(now_ms).hour >= _NOON
    had_ticks = status.newest_ts_ms is not None and market.day_number(status.newest_ts_ms) == number
    return (closed and had_ticks) or now_ms >= market.close_ms(number)


def digest(data_root: Path, day: str, status: LiveStatus, now_ms: int) -> str:
    """The lines of the digest. It opens the day's file: not for the event loop. A file that cannot be read is told."""
    lines = [f"Trading day {day}"]
    path = path_of(data_root, day)
    try:
        lines += _of_the_file(path, market.parse_day(day), now_ms)
    except StoreError as error:
        lines.append(f"day file: {error.one_line()}")
    lines.append(f"watchdog stalls: {status.stalls} since the start of the service")
    try:
        lines.append(_disk(data_root, day, status))
    except StoreError as error:
        lines.append(f"disk: {error.one_line()}")
    return "\n".join(lines)


def _of_the_file(path: Path, number: int, now_ms: int) -> list[str]:
    with DayReader(path) as reader, reader.snapshot():
        totals, complete = reader.totals(), reader.completeness()
        reconciled, stretches = reader.reconciliation(), reader.connections()
    share = "unknown" if complete.percent is None else f"{complete.percent:.5f} % of {complete.expected:,}"
    lines = [
        f"rows: {totals.rows:,} of {totals.symbols:,} symbols",
        f"completeness: {share}",
        f"open gaps: {totals.gaps_open:,}, {totals.missing:,} ticks missing",
    ]
    if totals.gaps_open:
        lines[-1] += f" -> hk-tick-collector gaps --open --day {path.stem}"
    if reconciled:
        agree = sum(row.explained in MATCHING for row in reconciled)
        unexplained = sum(row.explained == UNEXPLAINED for row in reconciled)
        session = f" (at {reconciled[0].session})"
        lines.append(f"reconciliation{session}: {agree} of {len(reconciled)} agree, {unexplained} unexplained")
    else:
        lines.append("reconciliation: none")
    away_s = _downtime_s(stretches, market.day_start_ms(number) + _OPEN_MS, min(now_ms, market.close_ms(number)))
    lines.append(f"without OpenD between 09:00 and the close: {away_s / 60:.1f} min")
    return lines


def _downtime_s(stretches: list[Stretch], from_ms: int, to_ms: int) -> float:
    """How long OpenD was away within these bounds, as far as a collector was there to see it."""
    away_ms = 0
    for stretch in stretches:
        if not stretch.connected:
            end_ms = to_ms if stretch.to_ms is None else min(to_ms, stretch.to_ms)
            away_ms += max(0, end_ms - max(from_ms, stretch.from_ms))
    return away_ms / 1000


def _disk(data_root: Path, day: str, status: LiveStatus) -> str:
    sizes = [_size(path_of(data_root, name)) for name in list_days(data_root)[-_DAYS:]]
    typical = max(sizes, default=0)
    text = f"day file: {_size(path_of(data_root, day)) / 2**20:,.1f} MB; disk free: "
    if status.disk_free_mb is None:
        return text + "unknown"
    text += f"{status.disk_free_mb:,} MB"
    lasts = status.disk_free_mb * 2**20 // typical if typical else None
    return text if lasts is None else f"{text}, enough for {lasts:,} days like the largest of the last {len(sizes)}"


def _size(path: Path) -> int:
    """Of the file and its write-ahead log, bytes; 0 where there is none."""
    size = 0
    for part in (path, path.with_name(path.name + "-wal")):
        try:
            size += part.stat().st_size
        except OSError:
            continue
    return size
