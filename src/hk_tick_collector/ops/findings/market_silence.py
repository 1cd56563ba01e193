"""Market state, OpenD's calendar and the time → why no ticks are expected, and the lag. Pure.

Findings use the market state that OpenD reports. While it is unknown or OpenD is away, the time and the calendar decide
(`may_trade`); otherwise they only explain. Times are HKEX's: 09:00 pre-open with its matching at 09:20, 09:30 to 12:00,
13:00 to 16:00, closing auction to 16:08 or 16:10; a half day ends at about 12:10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from .words import NO_WORDS, Words

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus

LAG_WARN_S: Final = 60.0
# All trades of an auction come within seconds at its end. Minutes without ticks before that are normal, not a lag.
_CONTINUOUS: Final = {"morning": 9 * 60 + 30, "afternoon": 13 * 60}  # state → its first minute of the day
UNTOLD: Final = ("", "unknown")
_MINUTE_MS: Final = 60_000
_AHEAD_MS: Final = 60_000  # two clocks may differ by less
_NOON: Final = 12 * 60
_AUCTIONS: Final = {
    "auction": Words("pre-open auction: its trades come at 09:20 to 09:22", "開市前競價：成交在 09:20 至 09:22 出現"),
    "closing_auction": Words(
        "closing auction: its trades come at its end, from 16:08 (half day 12:08)",
        "收市競價：成交在完結時出現，16:08 起（半日市 12:08）",
    ),
}
_CLOSED: Final = Words("closed until the next trading day", "已收市，至下一個交易日")
_BEFORE: Final = Words("closed until the pre-open at 09:00", "未開市，至 09:00 開市前時段")
STATES: Final = {  # market state → its name for people
    "none": Words("none", "沒有"),
    "auction": Words("pre-open auction", "開市前競價"),
    "waiting_open": Words("before the open", "等待開市"),
    "morning": Words("morning session", "早市"),
    "rest": Words("lunch", "午休"),
    "afternoon": Words("afternoon session", "午市"),
    "closed": Words("closed", "已收市"),
    "closing_auction": Words("closing auction", "收市競價"),
    "unknown": Words("not reported by OpenD", "OpenD 未有回報"),
}
_TRADING_HOURS: Final = {
    "whole": (range(9 * 60 + 31, 12 * 60), range(13 * 60 + 1, 16 * 60)),
    "morning": (range(9 * 60 + 31, 12 * 60),),
    "afternoon": (range(13 * 60 + 1, 16 * 60),),
}
_HALF: Final = {
    "morning": Words("half day: only the morning trades, until about 12:10", "半日市：只有早市，至約 12:10"),
    "afternoon": Words("half day: only the afternoon trades, from 13:00", "半日市：只有午市，13:00 起"),
}


def state_words(state: str) -> Words:
    """A market state for a terminal: in English the state's own name, which the log and `--json` have as well."""
    return Words(state, STATES[state].zh if state in STATES else state)


def silence(status: LiveStatus, now_ms: int) -> Words:
    """Why no ticks are expected now; empty during continuous trading, or if it is not known."""
    state, kind = status.market_state, status.day_kind
    if not status.connected or state in ("", "unknown", "none", *_CONTINUOUS):
        return NO_WORDS
    if state in _AUCTIONS:
        return _AUCTIONS[state]
    if kind == "holiday":
        return Words(
            "not a trading day by OpenD's calendar: weekend or holiday", "按 OpenD 的日曆不是交易日：週末或假期"
        )
    minute = _minute(status, now_ms)
    if any(minute in hours for hours in _TRADING_HOURS.get(kind, ())):
        return Words(
            "closed, not by the calendar: an unscheduled close or halt of the market; collecting resumes by itself",
            "日曆以外的停市：臨時收市或暫停交易；復市後自行繼續",
        )
    if kind in _HALF:
        return _HALF[kind]
    if state == "rest":
        return Words("lunch, until 13:00", "午休，至 13:00")
    if state == "waiting_open":
        return Words("before the open at 09:30", "未開市，09:30 開市")
    return _CLOSED if minute >= _NOON else _BEFORE


def judged_lag_s(status: LiveStatus, now_ms: int) -> float:
    """How long no tick has come (s), at most since the session began; 0 if the market is not in continuous trading."""
    if not (status.connected and status.trading and status.subscribed and status.market_state in _CONTINUOUS):
        return 0.0
    last_ms = max(newest_ms(status, now_ms), _since_ms(status))
    return max(0.0, (now_ms - shift_ms(status) - last_ms) / 1000) if last_ms else 0.0


def may_trade(status: LiveStatus, now_ms: int) -> bool:
    """Whether the market trades: as OpenD reports, otherwise by the time, the calendar and the weekday.

    Without a connection `trading` is always False, and `market_state` is the last one that OpenD reported.
    """
    if status.connected and status.market_state not in UNTOLD:
        return status.trading
    day = market.day_number(now_ms - shift_ms(status))
    kind = status.day_kind or ("whole" if market.is_weekday(day) else "holiday")
    return any(_minute(status, now_ms) in hours for hours in _TRADING_HOURS.get(kind, ()))


NO_BUDGET: Final = Words("no rate of ticks now", "現時沒有 tick 速率")  # why there is no outage budget


def budget_left_s(status: LiveStatus, now_ms: int) -> float | None:
    """Seconds until the present outage exceeds the outage budget; negative after that.

    None if no rate is known, or while the market does not trade: then nothing more is lost.
    """
    if status.outage_budget_s is None or not may_trade(status, now_ms):
        return None
    return status.outage_budget_s - (now_ms - (status.link_since_ms or status.started_ms)) / 1000


def is_at_open(status: LiveStatus, now_ms: int) -> bool:
    """Whether nothing is stored yet of the session that trades now."""
    start_ms = market.day_start_ms(market.day_number(now_ms - shift_ms(status)))
    start_ms += _CONTINUOUS[status.market_state] * _MINUTE_MS
    return newest_ms(status, now_ms) < min(start_ms, _since_ms(status) or start_ms)


def is_ahead(status: LiveStatus, now_ms: int) -> bool:
    """Whether a stored tick has a time in the future: it says nothing about the ticks of this moment."""
    return (status.newest_ts_ms or 0) > now_ms - shift_ms(status) + _AHEAD_MS


def newest_ms(status: LiveStatus, now_ms: int) -> int:
    """The newest stored tick's time, by the exchange's clock; if that is in the future, the time of the last push."""
    if is_ahead(status, now_ms):
        return (status.last_tick_ms or status.started_ms) - shift_ms(status)
    return status.newest_ts_ms or 0


def _since_ms(status: LiveStatus) -> int:
    """When the current session began, by the exchange's clock like the ticks; 0 outside a session."""
    return status.trading_since_ms - shift_ms(status) if status.trading_since_ms else 0


def shift_ms(status: LiveStatus) -> int:
    """How far this host's clock is ahead of OpenD's; 0 below one second, the error of the measurement."""
    drift_s = status.drift_s or 0.0
    return int(drift_s * 1000) if abs(drift_s) > 1 else 0


def _minute(status: LiveStatus, now_ms: int) -> int:
    moment = market.hkt(now_ms - shift_ms(status))
    return moment.hour * 60 + moment.minute
