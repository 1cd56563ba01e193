"""The heartbeat message: one line in trading hours that says that the collector works. ALERT_HEARTBEAT_MIN. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.findings.market_silence import judged_lag_s, may_trade
from hk_tick_collector.ops.findings.ordering import worst
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, more

from .message import clock_of
from .mutes import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.live.status import LiveStatus

    from .mutes import Mute

_LINE: Final = Words(
    "{verdict}{what}: {rows:,} rows/min, {lag}{gaps:,} gaps open, {missing:,} ticks missing{mutes}",
    "{verdict}{what}：每分鐘 {rows:,} 筆，{lag}未補的缺口 {gaps:,} 個，欠 {missing:,} 筆{mutes}",
)
_LAG: Final = Words("lag {lag_s:.1f} s, ", "延遲 {lag_s:.1f} 秒，")
_MUTED: Final = Words("; muted: {which}", "；已靜音：{which}")
_UNTIL: Final = Words("{code} until {until}", "{code} 至 {until}")
_ALL: Final = Words("all findings", "所有問題")


class HeartbeatClock:
    """Decides when a heartbeat message is due: when trading begins, and every `every_min` minutes while it goes on.

    0 is never. `last_ms` is the time of the last one, by the clock of `due`.
    """

    def __init__(self, every_min: int, last_ms: int) -> None:
        self.last_ms = last_ms
        self._every_ms = every_min * 60_000

    def due(self, status: LiveStatus, now_ms: int) -> bool:
        """Call it about once a second. While OpenD is away the clock and the calendar tell the trading hours."""
        if not self._every_ms or not may_trade(status, status.written_ms):
            return False
        if abs(now_ms - self.last_ms) < self._every_ms:  # a clock that was set back by more does not withhold it
            return False
        self.last_ms = now_ms
        return True


def heartbeat(status: LiveStatus, findings: Sequence[Finding], mutes: Sequence[Mute], lang: str) -> str:
    """The line: verdict of `status` with its first finding, rate, lag, gaps, and what is muted.

    Without a lag while OpenD is away: none is judged then.
    """
    what = Words(f" {findings[0].code}", f" {findings[0].code}") if findings else NO_WORDS
    others = more(len(findings) - 1)
    return _LINE.filled(
        verdict=worst(list(findings)).name if findings else "OK",
        what=Words(what.en + others.en, what.zh + others.zh),
        rows=status.persisted_rows_per_min,
        lag=_LAG.filled(lag_s=judged_lag_s(status, status.written_ms)) if status.connected else NO_WORDS,
        gaps=status.gaps_open,
        missing=status.gaps_missing,
        mutes=_MUTED.filled(which=which_muted(mutes)) if mutes else NO_WORDS,
    ).of(lang)


def which_muted(mutes: Sequence[Mute]) -> Words:
    """`opend_away until 15:30, disk until 2026-11-21 09:00`; Hong Kong time, with the date if it is not today's."""
    told = [
        _UNTIL.filled(code=_ALL if mute.code == EVERYTHING else mute.code, until=clock_of(mute.until_ms, mute.from_ms))
        for mute in mutes
    ]
    return Words(", ".join(each.en for each in told), "、".join(each.zh for each in told))
