"""Why no tick comes, or that one should: market state, OpenD's calendar and the hour → words, lag, findings. Pure.

The calendar and the hour only explain here; what is judged is judged by the market state that OpenD tells. Hours are
HKEX's: 09:00 pre-open with its matching at 09:20, 09:30 to 12:00, 13:00 to 16:00, closing auction to 16:08 or 16:10;
a half day ends about 12:10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from . import remedies
from .finding import Finding, Severity
from .remedies import advised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

LAG_WARN_S: Final = 60.0
# The auctions trade in a moment at their end alone: quiet minutes before it are the rule, and no lag.
_CONTINUOUS: Final = {"morning": 9 * 60 + 30, "afternoon": 13 * 60}  # state → its first minute of the day
_UNTOLD: Final = ("", "unknown")
_MINUTE_MS: Final = 60_000
_AHEAD_MS: Final = 60_000  # two clocks may differ by less
_NOON: Final = 12 * 60
_AUCTIONS: Final = {
    "auction": "pre-open auction: its trades come at 09:20 to 09:22",
    "closing_auction": "closing auction: its trades come at its end, from 16:08 (half day 12:08)",
}
_TRADING_HOURS: Final = {
    "whole": (range(9 * 60 + 31, 12 * 60), range(13 * 60 + 1, 16 * 60)),
    "morning": (range(9 * 60 + 31, 12 * 60),),
    "afternoon": (range(13 * 60 + 1, 16 * 60),),
}
_HALF: Final = {
    "morning": "half day: the morning alone trades, till about 12:10",
    "afternoon": "half day: the afternoon alone trades, from 13:00",
}


def silence(status: LiveStatus, now_ms: int) -> str:
    """Why no tick is to be expected at this moment; empty while the market trades continuously, or is not known."""
    state, kind = status.market_state, status.day_kind
    if not status.connected or state in ("", "unknown", "none", *_CONTINUOUS):
        return ""
    if state in _AUCTIONS:
        return _AUCTIONS[state]
    if kind == "holiday":
        return "no trading day by OpenD's calendar: weekend or holiday"
    minute = _minute(status, now_ms)
    if any(minute in hours for hours in _TRADING_HOURS.get(kind, ())):
        return "closed outside the calendar: an unscheduled close or halt of the market; it goes on by itself"
    if kind in _HALF:
        return _HALF[kind]
    if state == "rest":
        return "lunch, till 13:00"
    if state == "waiting_open":
        return "before the open at 09:30"
    return "closed till the next trading day" if minute >= _NOON else "closed till the pre-open at 09:00"


def judged_lag_s(status: LiveStatus, now_ms: int) -> float:
    """How long ticks have been missing: only in a continuous session, and not from before it began."""
    if not (status.connected and status.trading and status.subscribed and status.market_state in _CONTINUOUS):
        return 0.0
    last_ms = max(_newest_ms(status, now_ms), _since_ms(status))
    return max(0.0, (now_ms - _shift_ms(status) - last_ms) / 1000) if last_ms else 0.0


def check_silence(status: LiveStatus, now_ms: int, lag_critical_s: float) -> Iterator[Finding]:
    """The whole market silent while OpenD says that it trades; one silent symbol is nothing, it may be halted."""
    behind_s = judged_lag_s(status, now_ms)
    if behind_s <= min(LAG_WARN_S, lag_critical_s):
        yield from _check_stored(status, now_ms, lag_critical_s)
        return
    severity = Severity.CRITICAL if behind_s > lag_critical_s else Severity.WARNING
    state, symbols = status.market_state, f"{status.subscribed:,} symbols subscribed"
    arrived_ms = max(status.last_tick_ms or 0, status.trading_since_ms or 0)
    quiet_s = (now_ms - arrived_ms) / 1000 if arrived_ms else 0.0
    silent = status.last_tick_ms is not None or status.received == 0
    if silent and quiet_s > LAG_WARN_S and not status.waiting and not status.trouble:  # which says why
        if _is_at_open(status, now_ms):
            text = f"no tick has come since the {state} session began {quiet_s:.0f} s ago, with {symbols}"
            yield Finding("no_tick_at_open", severity, *advised(text, remedies.NO_TICKS))
        else:
            text = f"no tick of any symbol has come for {quiet_s:.0f} s in the {state} session, with {symbols}"
            yield Finding("no_ticks", severity, *advised(text, remedies.NO_TICKS))
    text = f"the newest stored tick is {behind_s:.0f} s old while the market trades"
    if _is_ahead(status, now_ms):
        text = f"no tick has come for {behind_s:.0f} s while the market trades; the newest stored one is dated ahead"
    yield Finding(
        "lag",
        severity,
        text,
        remedies.JOURNAL,
    )


def _check_stored(status: LiveStatus, now_ms: int, lag_critical_s: float) -> Iterator[Finding]:
    """Nothing is stored although ticks are wanted, and no steady connection says whether the market trades."""
    breaks, since_ms = status.link_breaks_lately, status.ticks_expected_since_ms
    if since_ms is None or not status.symbols or not (status.connected or breaks):
        return  # without any connection, `opend_away` says it
    if breaks:
        often = "once" if breaks == 1 else f"{breaks:,} times"
        why = f"the connection to OpenD broke {often} in the last 15 minutes, the last time: {status.link_break_reason}"
    elif not status.subscribed:
        why = "no symbol is subscribed"
    elif status.market_state in _UNTOLD and may_trade(status, now_ms):
        why = "OpenD does not tell the market's state"
    else:
        return
    shift_ms = _shift_ms(status)
    behind_s = (now_ms - shift_ms - max(_newest_ms(status, now_ms), since_ms - shift_ms)) / 1000
    if behind_s > min(LAG_WARN_S, lag_critical_s):
        severity = Severity.CRITICAL if behind_s > lag_critical_s else Severity.WARNING
        yield Finding(
            "no_ticks_stored",
            severity,
            *advised(f"no tick has been stored for {behind_s:.0f} s: {why}", remedies.NOT_STORED),
        )


def may_trade(status: LiveStatus, now_ms: int) -> bool:
    """Whether the market trades: by OpenD's word, else at this hour, for all that the calendar or the weekday tells."""
    if status.market_state not in _UNTOLD:
        return status.trading
    day = market.day_number(now_ms - _shift_ms(status))
    kind = status.day_kind or ("whole" if market.is_weekday(day) else "holiday")
    return any(_minute(status, now_ms) in hours for hours in _TRADING_HOURS.get(kind, ()))


def _is_at_open(status: LiveStatus, now_ms: int) -> bool:
    """Whether nothing is stored of the session that trades now."""
    start_ms = market.day_start_ms(market.day_number(now_ms - _shift_ms(status)))
    start_ms += _CONTINUOUS[status.market_state] * _MINUTE_MS
    return _newest_ms(status, now_ms) < min(start_ms, _since_ms(status) or start_ms)


def _is_ahead(status: LiveStatus, now_ms: int) -> bool:
    """Whether a tick is stored whose time is not soon: that says nothing of the ticks of this moment."""
    return (status.newest_ts_ms or 0) > now_ms - _shift_ms(status) + _AHEAD_MS


def _newest_ms(status: LiveStatus, now_ms: int) -> int:
    """The time of the newest stored tick, in the exchange's time; where it is ahead, when a tick was last pushed."""
    if _is_ahead(status, now_ms):
        return (status.last_tick_ms or status.started_ms) - _shift_ms(status)
    return status.newest_ts_ms or 0


def _since_ms(status: LiveStatus) -> int:
    """Since when the session trades, in the exchange's time as ticks are; 0 when it does not."""
    return status.trading_since_ms - _shift_ms(status) if status.trading_since_ms else 0


def _shift_ms(status: LiveStatus) -> int:
    """How far this host's clock is ahead of OpenD's, the exchange's; 0 below a second, its error."""
    drift_s = status.drift_s or 0.0
    return int(drift_s * 1000) if abs(drift_s) > 1 else 0


def _minute(status: LiveStatus, now_ms: int) -> int:
    moment = market.hkt(now_ms - _shift_ms(status))
    return moment.hour * 60 + moment.minute
