"""The daily digest: a summary of a trading day from its file and the live state, in a few lines. Reads only.

Also decides when it is due: when the market has been closed for a quarter of an hour and the comparison with OpenD's
totals is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import MATCHING, UNEXPLAINED
from hk_tick_collector.ops.findings.words import Words
from hk_tick_collector.store.query import DayReader, list_days, path_of

from .message import ENGLISH

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.store.query import Stretch

_SETTLE_MS: Final = 900_000
_OPEN_MS: Final = 9 * 3_600_000  # after midnight: ticks of a new day may come from this time on
_NOON: Final = 12
_DAYS: Final = 5  # finished days from which the daily size is estimated
# Each line in English and in Chinese.
_WORDS: Final = {
    "day": Words("Trading day {day}", "交易日 {day}"),
    "file_error": Words("day file: {error}", "日檔：{error}"),
    "disk_error": Words("disk: {error}", "磁碟：{error}"),
    "stalls": Words(
        "watchdog stalls: {count} since the start of the service", "Watchdog 觸發：服務啟動以來 {count} 次"
    ),
    "rows": Words("rows: {rows:,} of {symbols:,} symbols", "tick：{rows:,} 筆，{symbols:,} 隻股票"),
    "complete": Words("completeness: {percent:.5f} % of {expected:,}", "完整度：{expected:,} 筆的 {percent:.5f} %"),
    "unknown": Words("completeness: unknown", "完整度：不明"),
    "gaps": Words("open gaps: {gaps:,}, {missing:,} ticks missing", "未補的缺口：{gaps:,} 個，欠 {missing:,} 筆"),
    "reconciled": Words(
        "reconciliation (at {session}): {agree} of {all} agree, {unexplained} unexplained",
        "核對（{session}）：{all} 隻中 {agree} 隻相符，{unexplained} 隻原因不明",
    ),
    "not_reconciled": Words("reconciliation: none", "核對：沒有"),
    "away": Words(
        "without OpenD between 09:00 and the close: {minutes:.1f} min",
        "09:00 至收市與 OpenD 沒有連線：{minutes:.1f} 分鐘",
    ),
    "size": Words("day file: {size_mb:,.1f} MB; disk free: ", "日檔：{size_mb:,.1f} MB；磁碟剩餘："),
    "free_unknown": Words("unknown", "不明"),
    "lasts": Words(
        ", enough for {days:,} days like the largest of the last {of}",
        "，夠 {days:,} 日（以最近 {of} 日中最大的計）",
    ),
}


def _say(lang: str, name: str, **facts: object) -> str:
    """A line of the digest, or a part of one."""
    return _WORDS[name].filled(**facts).of(lang)


class DigestClock:
    """Decides when the digest of a day is due; `done` is the day of the last digest, which is not repeated."""

    def __init__(self, done: str) -> None:
        self.done = done
        self._over: tuple[str, int] | None = None  # the day that is over, and when that became known

    def due(self, status: LiveStatus, now_ms: int) -> str:
        """The day whose digest is due (`20261120`), otherwise empty. Call it about once a second."""
        if status.connected and status.drift_s is not None:
            now_ms -= int(status.drift_s * 1000)  # the exchange's time, which does not depend on this host's clock
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
    """Whether the trading day is over.

    It is over at the closing time. It is over from noon on if OpenD reports `closed` and the day has ticks: a half
    day ends at noon.
    """
    if status.trading:
        return False
    closed = status.connected and status.market_state == "closed" and market.hkt(now_ms).hour >= _NOON
    had_ticks = status.newest_ts_ms is not None and market.day_number(status.newest_ts_ms) == number
    return (closed and had_ticks) or now_ms >= market.close_ms(number)


def digest(data_root: Path, day: str, status: LiveStatus, now_ms: int, lang: str = ENGLISH) -> str:
    """The lines of the digest. Opens the day's file, so not for the event loop. An unreadable file becomes a line."""
    lines = [_say(lang, "day", day=day)]
    path = path_of(data_root, day)
    try:
        lines += _of_the_file(path, market.parse_day(day), now_ms, lang)
    except StoreError as error:
        lines.append(_say(lang, "file_error", error=error.one_line()))
    lines.append(_say(lang, "stalls", count=status.stalls))
    try:
        lines.append(_disk(data_root, day, status, lang))
    except StoreError as error:
        lines.append(_say(lang, "disk_error", error=error.one_line()))
    return "\n".join(lines)


def _of_the_file(path: Path, number: int, now_ms: int, lang: str) -> list[str]:
    with DayReader(path) as reader, reader.snapshot():
        totals, complete = reader.totals(), reader.completeness()
        reconciled, stretches = reader.reconciliation(), reader.connections()
    share = _say(lang, "unknown")
    if complete.percent is not None:
        share = _say(lang, "complete", percent=complete.percent, expected=complete.expected)
    lines = [
        _say(lang, "rows", rows=totals.rows, symbols=totals.symbols),
        share,
        _say(lang, "gaps", gaps=totals.gaps_open, missing=totals.missing),
    ]
    if totals.gaps_open:
        lines[-1] += f" -> hk-tick-collector gaps --open --day {path.stem}"
    if reconciled:
        agree = sum(row.explained in MATCHING for row in reconciled)
        unexplained = sum(row.explained == UNEXPLAINED for row in reconciled)
        facts = {"session": reconciled[0].session, "agree": agree, "all": len(reconciled), "unexplained": unexplained}
        lines.append(_say(lang, "reconciled", **facts))
    else:
        lines.append(_say(lang, "not_reconciled"))
    away_s = _downtime_s(stretches, market.day_start_ms(number) + _OPEN_MS, min(now_ms, market.close_ms(number)))
    lines.append(_say(lang, "away", minutes=away_s / 60))
    return lines


def _downtime_s(stretches: list[Stretch], from_ms: int, to_ms: int) -> float:
    """How long OpenD was disconnected within these bounds, as far as a collector recorded it."""
    away_ms = 0
    for stretch in stretches:
        if not stretch.connected:
            end_ms = to_ms if stretch.to_ms is None else min(to_ms, stretch.to_ms)
            away_ms += max(0, end_ms - max(from_ms, stretch.from_ms))
    return away_ms / 1000


def _disk(data_root: Path, day: str, status: LiveStatus, lang: str) -> str:
    sizes = [_size(path_of(data_root, name)) for name in list_days(data_root)[-_DAYS:]]
    typical = max(sizes, default=0)
    text = _say(lang, "size", size_mb=_size(path_of(data_root, day)) / 2**20)
    if status.disk_free_mb is None:
        return text + _say(lang, "free_unknown")
    text += f"{status.disk_free_mb:,} MB"
    lasts = status.disk_free_mb * 2**20 // typical if typical else None
    return text if lasts is None else text + _say(lang, "lasts", days=lasts, of=len(sizes))


def _size(path: Path) -> int:
    """The size of the file and its WAL in bytes; 0 if there is none."""
    size = 0
    for part in (path, path.with_name(path.name + "-wal")):
        try:
            size += part.stat().st_size
        except OSError:
            continue
    return size
