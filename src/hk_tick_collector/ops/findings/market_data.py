"""Findings for market data: the clock, no ticks, the lag. `market_silence` explains why no ticks are expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .market_silence import (
    LAG_WARN_S,
    UNTOLD,
    is_ahead,
    is_at_open,
    judged_lag_s,
    may_trade,
    newest_ms,
    shift_ms,
    state_words,
)
from .remedies import Remedy
from .spec import IF_CRITICAL, PATIENT, FindingSpec, Rule, Says
from .words import Words, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen


def _drift(seen: Seen) -> Iterator[Finding]:
    drift_s = seen.status.drift_s
    if drift_s is not None and abs(drift_s) > seen.limits.drift_warn_s:
        yield CLOCK_DRIFT.found(Severity.WARNING, off_s=abs(drift_s), way=drift_way(drift_s))


def drift_way(drift_s: float) -> Words:
    """Which way this host's clock differs, for `{way}` of the text of `clock_drift`: ours minus OpenD's (s)."""
    return Words("ahead of", "快") if drift_s > 0 else Words("behind", "慢")


CLOCK_DRIFT: Final = FindingSpec(
    code="clock_drift",
    when=_drift,
    text=Words("this host's clock is {off_s:,.1f} s {way} OpenD's", "本機時鐘比 OpenD {way} {off_s:,.1f} 秒"),
    remedy=Remedy(
        "timedatectl status; sudo systemctl restart systemd-timesyncd",
        "the second command sets it, unless another program such as chrony does",
        "第二個命令會校正，除非時鐘由 chrony 等其他程式校正",
    ),
    meaning=Words(
        "this host's clock differs from OpenD's; ticks keep the exchange's own time",
        "本機時鐘與 OpenD 有偏差；tick 仍用交易所時間",
    ),
    do=Words(
        "timedatectl status; sudo systemctl restart systemd-timesyncd",
        "`timedatectl status`；`sudo systemctl restart systemd-timesyncd`",
    ),
    alert=PATIENT,
    causes=("sealed_day", "sealed_day_backfill", "rejected"),
)


def _silent(seen: Seen) -> Iterator[Finding]:
    """The whole market is silent while OpenD says that it trades. One silent symbol is normal: it may be suspended."""
    status, now_ms, critical_s = seen.status, seen.now_ms, seen.limits.lag_critical_s
    behind_s = judged_lag_s(status, now_ms)
    if behind_s <= min(LAG_WARN_S, critical_s):
        yield from _nothing_stored(seen)
        return
    severity = Severity.CRITICAL if behind_s > critical_s else Severity.WARNING
    arrived_ms = max(status.last_tick_ms or 0, status.trading_since_ms or 0)
    quiet_s = (now_ms - arrived_ms) / 1000 if arrived_ms else 0.0
    silent = status.last_tick_ms is not None or status.received == 0
    # If the last ticks still wait to be stored, or with trouble, another finding gives the reason. Rows that came later
    # are answers to the collector's own requests: they wait for a moment every few seconds, in a silent market too.
    waits = status.waiting and status.exposed_s >= quiet_s
    if silent and quiet_s > LAG_WARN_S and not waits and not status.trouble:
        state = state_words(status.market_state)
        spec = NO_TICK_AT_OPEN if is_at_open(status, now_ms) else NO_TICKS
        yield spec.found(severity, state=state, quiet_s=quiet_s, subscribed=status.subscribed)
    yield LAG.found(severity, "ahead" if is_ahead(status, now_ms) else "", behind_s=behind_s)


def _nothing_stored(seen: Seen) -> Iterator[Finding]:
    """Nothing is stored although ticks are expected, and no steady connection shows whether the market trades."""
    status = seen.status
    breaks, since_ms = status.link_breaks_lately, status.ticks_expected_since_ms
    if since_ms is None or not status.symbols or not (status.connected or breaks):
        return  # without any connection, `opend_away` reports it
    if breaks:
        why = _BROKE.filled(times=times(breaks), reason=status.link_break_reason)
    elif not status.subscribed:
        why = Words("no symbol is subscribed", "沒有訂閱到任何股票")
    elif status.market_state in UNTOLD and may_trade(status, seen.now_ms):
        why = Words("OpenD does not report the market's state", "OpenD 沒有回覆市場狀態")
    else:
        return
    ahead_ms = shift_ms(status)
    behind_s = (seen.now_ms - ahead_ms - max(newest_ms(status, seen.now_ms), since_ms - ahead_ms)) / 1000
    critical_s = seen.limits.lag_critical_s
    if behind_s > min(LAG_WARN_S, critical_s):
        severity = Severity.CRITICAL if behind_s > critical_s else Severity.WARNING
        yield NO_TICKS_STORED.found(severity, behind_s=behind_s, why=why)


_BROKE: Final = Words(
    "the connection to OpenD broke {times} in the last 15 minutes, most recently: {reason}",
    "與 OpenD 的連線在最近 15 分鐘內中斷 {times}，最近一次：{reason}",
)
_NO_TICKS: Final = Remedy(
    remedies.DOCTOR, "if doctor finds nothing wrong, restart futu-opend", "若 doctor 沒有發現異常，重啟 futu-opend"
)
_DO: Final = Words(
    "hk-tick-collector doctor; if it finds nothing wrong: sudo systemctl restart futu-opend",
    "`hk-tick-collector doctor`；若無異常：`sudo systemctl restart futu-opend`",
)
NO_TICK_AT_OPEN: Final = FindingSpec(
    code="no_tick_at_open",
    when=_silent,
    text=Words(
        "no tick has come since the {state} session began {quiet_s:.0f} s ago, with {subscribed:,} symbols subscribed",
        "{state}開始已 {quiet_s:.0f} 秒，已訂閱 {subscribed:,} 隻股票，但沒有收到任何 tick",
    ),
    remedy=_NO_TICKS,
    meaning=Words(
        "OpenD reports that the session has begun, and no tick of any symbol has come",
        "OpenD 表示已開市，但所有股票均沒有 tick",
    ),
    do=_DO,
    alert=IF_CRITICAL,
    causes=("lag",),
)
NO_TICKS: Final = FindingSpec(
    code="no_ticks",
    when=_silent,
    text=Words(
        "no tick of any symbol has come for {quiet_s:.0f} s in the {state} session, with {subscribed:,} symbols"
        " subscribed",
        "{state}內所有股票已有 {quiet_s:.0f} 秒沒有 tick，已訂閱 {subscribed:,} 隻股票",
    ),
    remedy=_NO_TICKS,
    meaning=Words(
        "no tick of any symbol comes although OpenD reports that the market trades; one suspended symbol is not a"
        " finding",
        "OpenD 表示盤中，但所有股票均無 tick；單一股票停牌不算",
    ),
    do=_DO,
    alert=IF_CRITICAL,
    causes=("lag",),
)
LAG: Final = FindingSpec(
    code="lag",
    when=_silent,
    text=Words(
        "the newest stored tick is {behind_s:.0f} s old while the market trades",
        "盤中最新已儲存的 tick 落後 {behind_s:.0f} 秒",
    ),
    remedy=Remedy(remedies.JOURNAL),
    variants={
        "ahead": Says(
            Words(
                "no tick has come for {behind_s:.0f} s while the market trades; the newest stored one has a time in"
                " the future",
                "盤中已有 {behind_s:.0f} 秒沒有 tick；最新已儲存的 tick 的時間是未來時間",
            ),
            Remedy(remedies.JOURNAL),
        )
    },
    meaning=Words("the newest stored tick is old while the market trades", "盤中最新的 tick 已過時"),
    do=Words(
        f"hk-tick-collector status; {remedies.LOGS}",
        f"`hk-tick-collector status`；`{remedies.LOGS}`",
    ),
    alert=Rule(hold_s=10, critical_s=0, by_ticks=True),  # section 6 of the runbook: over LAG_CRITICAL_SEC and growing
)
NO_TICKS_STORED: Final = FindingSpec(
    code="no_ticks_stored",
    when=_silent,
    text=Words("no tick has been stored for {behind_s:.0f} s: {why}", "已有 {behind_s:.0f} 秒沒有存入任何 tick：{why}"),
    remedy=Remedy(f"{remedies.DOCTOR}; {remedies.JOURNAL}"),
    meaning=Words(
        "nothing is stored although ticks are expected: the connection breaks again and again, no symbol is subscribed,"
        " or OpenD does not report whether the market trades",
        "需要收集但一直沒有存入任何 tick：連線反覆中斷、沒有訂閱到任何股票，或 OpenD 沒有回覆市場狀態",
    ),
    do=Words(
        "hk-tick-collector doctor; sudo systemctl restart futu-opend; the text gives the cause",
        "`hk-tick-collector doctor`；`sudo systemctl restart futu-opend`；原因見訊息",
    ),
    alert=Rule(hold_s=10, critical_s=0, by_ticks=True),  # like a lag, while the connection breaks again and again
    causes=("lag",),
)
