"""Findings for ticks that arrived within the last quarter of an hour and are not stored: rejected or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import SMALL, SOON, FindingSpec, Says
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen


def _sealed(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.sealed_day_lately:
        all_of_them = not status.persisted_rows_per_min
        yield SEALED_DAY.found(
            Severity.CRITICAL if all_of_them else Severity.WARNING,
            "all" if all_of_them else "",
            count=status.sealed_day_lately,
            total=status.sealed_day,
            root=status.data_root,
        )


SEALED_DAY: Final = FindingSpec(
    code="sealed_day",
    when=_sealed,
    text=Words(
        "{count} ticks were rejected: their day is sealed ({total} since the start); only finished days may be"
        " read-only (docs/data-quality.md)",
        "{count} 筆 tick 被拒收：所屬日子已封存（啟動以來 {total} 筆）；"
        "只有已完結的日子可為唯讀（docs/data-quality.md）",
    ),
    remedy=Remedy("ls -l {root}"),
    variants={
        "all": Says(
            Words(
                "every tick is rejected: their day is sealed ({total} since the start); only finished days may be"
                " read-only (docs/data-quality.md)",
                "所有 tick 均被拒收：所屬日子已封存（啟動以來 {total} 筆）；只有已完結的日子可為唯讀"
                "（docs/data-quality.md）",
            ),
            Remedy("ls -l {root}"),
        )
    },
    meaning=Words("ticks are rejected because their day is sealed", "tick 所屬的日子已封存，被拒收"),
    do=Words("ls -l DATA_ROOT: only finished days may be read-only", "`ls -l` DATA_ROOT：只有已完結的日子可為唯讀"),
    alert=SOON,
    causes=("lag",),
)


def _sealed_backfill(seen: Seen) -> Iterator[Finding]:
    if seen.status.sealed_day_backfill_lately:
        yield SEALED_DAY_BACKFILL.found(Severity.WARNING, count=seen.status.sealed_day_backfill_lately)


SEALED_DAY_BACKFILL: Final = FindingSpec(
    code="sealed_day_backfill",
    when=_sealed_backfill,
    text=Words(
        "backfill answers contained {count:,} ticks of sealed days in the last 15 minutes; they were rejected. This"
        " is normal"
        " for symbols that were added today; no action needed, this clears by itself",
        "最近 15 分鐘內補取的回覆帶來 {count:,} 筆屬於已封存日子的 tick，已拒收："
        "當日新增的股票會這樣；毋須處理，會自行消失",
    ),
    remedy=Remedy(""),
    meaning=Words(
        "a backfill answer contained ticks of days that are sealed: those ticks are counted and rejected",
        "補取的回覆包含已封存日子的 tick：已計數並拒收",
    ),
    do=Words(
        "no action needed: this is normal for symbols that were added today; it clears by itself",
        "毋須處理：當日新增的股票會這樣；警告會自行消失",
    ),
    alert=SMALL,
    causes=("lag",),
)


def _conflict(seen: Seen) -> Iterator[Finding]:
    """Ticks with the key of another tick that was stored first."""
    status = seen.status
    if status.conflicts_lately:
        symbol, ticks = status.conflicts_most, status.conflicts_most_ticks
        yield CONFLICT.found(
            Severity.WARNING,
            remedy=Remedy(remedies.for_rejected("conflict", symbol, ticks)),
            count=status.conflicts_lately,
            total=status.conflicts,
            symbols=status.conflicts_symbols,
            symbol=symbol,
            ticks=ticks,
        )


CONFLICT: Final = FindingSpec(
    code="conflict",
    when=_conflict,
    text=Words(
        "{count:,} ticks were rejected in the last 15 minutes: another trade is stored under their sequence"
        " (since the start {total:,} of {symbols:,} symbols, {symbol} most: {ticks:,})",
        "最近 15 分鐘內 {count:,} 筆 tick 被拒收：其序號已存有另一宗成交"
        "（啟動以來 {symbols:,} 隻股票共 {total:,} 筆，最多的是 {symbol}：{ticks:,} 筆）",
    ),
    remedy=Remedy(remedies.grep("tick_rejected")),
    meaning=Words(
        "ticks have the sequence of a stored tick of the same symbol and other content: the first one is kept",
        "同一股票有 tick 與已儲存者序號相同而內容不同：保留先到者，其餘拒收",
    ),
    do=Words(
        "look at the ticks that status names; if the sequence restarts during the day, OpenD is at fault: restart it"
        " after the close",
        "查看 status 所列的 tick；序號在日中重新開始屬 OpenD 故障：收市後重啟 OpenD",
    ),
    alert=SOON,
)


def _no_sequence(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.no_sequence_lately:
        symbol, ticks = status.no_sequence_most, status.no_sequence_most_ticks
        yield NO_SEQUENCE.found(
            Severity.WARNING,
            remedy=Remedy(remedies.for_rejected("no_sequence", symbol, ticks)),
            count=status.no_sequence_lately,
            total=status.no_sequence,
            symbols=status.no_sequence_symbols,
            symbol=symbol,
            ticks=ticks,
        )


NO_SEQUENCE: Final = FindingSpec(
    code="no_sequence",
    when=_no_sequence,
    text=Words(
        "{count:,} ticks were rejected in the last 15 minutes: OpenD gave them the sequence 0, that is, no sequence"
        " (since the start {total:,} of {symbols:,} symbols, {symbol} most: {ticks:,})",
        "最近 15 分鐘內 {count:,} 筆 tick 被拒收：OpenD 給出的序號為 0，即沒有序號"
        "（啟動以來 {symbols:,} 隻股票共 {total:,} 筆，最多的是 {symbol}：{ticks:,} 筆）",
    ),
    remedy=Remedy(remedies.grep("tick_rejected")),
    meaning=Words(
        "OpenD gives ticks the sequence 0, that is, no sequence: one of each symbol and day is kept, the others are"
        " rejected",
        "OpenD 給出的 tick 序號為 0，即沒有序號：每隻股票每日只保留一筆，其餘拒收",
    ),
    do=Words(
        "look at the ticks that status names; install the current version of OpenD",
        "查看 status 所列的 tick；安裝最新版本的 OpenD",
    ),
    alert=SOON,
)


def _future_date(seen: Seen) -> Iterator[Finding]:
    """Ticks that are rejected because of a date in the future. If OpenD's clock is days behind, that is every tick."""
    status = seen.status
    if status.future_date_lately:
        all_of_them = not status.persisted_rows_per_min
        yield FUTURE_DATE.found(
            Severity.CRITICAL if all_of_them else Severity.WARNING,
            "all" if all_of_them else "",
            count=status.future_date_lately,
            drift_h=(status.drift_s or 0.0) / 3600,
        )


FUTURE_DATE: Final = FindingSpec(
    code="future_date",
    when=_future_date,
    text=Words(
        "{count:,} ticks were rejected in the last 15 minutes: their date is later than the day after OpenD's own date",
        "最近 15 分鐘內 {count:,} 筆 tick 被拒收：其日期晚於 OpenD 日期的翌日",
    ),
    remedy=Remedy(remedies.grep("tick_rejected")),
    variants={
        "all": Says(
            Words(
                "no tick is stored, {count:,} were rejected in the last 15 minutes: their date is later than the day"
                " after OpenD's own date (this host's clock is {drift_h:+.1f} h off OpenD's)",
                "沒有 tick 可儲存，最近 15 分鐘內 {count:,} 筆被拒收：其日期晚於 OpenD 日期的翌日"
                "（本機時鐘與 OpenD 相差 {drift_h:+.1f} 小時）",
            ),
            Remedy(
                "timedatectl status",
                "set the clock of the host on which OpenD runs",
                "校正 OpenD 所在主機的時鐘",
            ),
        )
    },
    meaning=Words(
        "ticks are rejected because their date is later than the day after OpenD's own date; where none is stored,"
        " OpenD's clock is wrong",
        "tick 的日期晚於 OpenD 日期的翌日，被拒收；若一筆也存不了，即 OpenD 的時鐘有誤",
    ),
    do=Words(
        "a few are OpenD's oddities; where no tick is stored, set the clock of the host on which OpenD runs, with"
        " timedatectl: once OpenD tells the right date ticks are stored, and the latest 1,000 of a symbol are"
        " backfilled",
        "少量屬 OpenD 的異常；若沒有 tick 可儲存，以 `timedatectl` 校正 OpenD 所在主機的時鐘："
        "OpenD 報告正確日期後恢復儲存，並補取每隻股票最近 1,000 筆",
    ),
    alert=SOON,
    causes=("lag", "clock_drift", "no_tick_at_open", "no_ticks", "no_ticks_stored", "pushes_stopped", "gaps_healing"),
)


def _rejected(seen: Seen) -> Iterator[Finding]:
    count = seen.status.rejected_lately - seen.status.future_date_lately
    if count > 0:
        yield REJECTED.found(Severity.WARNING, count=count)


REJECTED: Final = FindingSpec(
    code="rejected",
    when=_rejected,
    text=Words(
        "{count} ticks that cannot be stored arrived in the last 15 minutes",
        "最近 15 分鐘內收到 {count} 筆不能儲存的 tick",
    ),
    remedy=Remedy(remedies.grep("tick_rejected")),
    meaning=Words("ticks arrived that cannot be stored", "收到不能儲存的 tick"),
    do=Words("hk-tick-collector logs --event tick_rejected", "`hk-tick-collector logs --event tick_rejected`"),
    alert=SOON,
)


def _not_subscribed(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.not_subscribed_lately:
        yield NOT_SUBSCRIBED_TICKS.found(
            Severity.WARNING, count=status.not_subscribed_lately, first=status.not_subscribed_first
        )


NOT_SUBSCRIBED_TICKS: Final = FindingSpec(
    code="not_subscribed_ticks",
    when=_not_subscribed,
    text=Words(
        "in the last 15 minutes OpenD pushed {count:,} ticks of symbols that are not in FUTU_SYMBOLS, {first} first;"
        " they are counted and not stored",
        "OpenD 在最近 15 分鐘內推送了 {count:,} 筆不在 FUTU_SYMBOLS 內的股票的 tick，首隻 {first}；已計數，不會儲存",
    ),
    remedy=Remedy(remedies.grep("symbol_not_subscribed")),
    meaning=Words(
        "OpenD pushes ticks of symbols that are not in FUTU_SYMBOLS; they are counted as rejected and not stored",
        "OpenD 推送不在 FUTU_SYMBOLS 內的股票；這些 tick 計入拒收，不會儲存",
    ),
    do=Words(
        "add the symbols to FUTU_SYMBOLS if you want them; otherwise restart OpenD after the close",
        "若需要這些股票，加入 FUTU_SYMBOLS；否則待收市後重啟 OpenD",
    ),
    alert=SOON,
    causes=(*("no_tick_at_open", "no_ticks", "no_ticks_stored", "lag", "pushes_stopped", "gaps_lost", "gaps_healing"),),
)


def _dropped(seen: Seen) -> Iterator[Finding]:
    if seen.status.dropped_lately:
        yield DROPPED.found(Severity.WARNING, count=seen.status.dropped_lately, total=seen.status.dropped)


DROPPED: Final = FindingSpec(
    code="dropped",
    when=_dropped,
    text=Words(
        "{count} ticks were dropped in the last 15 minutes, {total} since the start",
        "最近 15 分鐘內丟棄了 {count} 筆 tick，啟動以來 {total} 筆",
    ),
    remedy=Remedy(f"{remedies.GAPS}; {remedies.JOURNAL}"),
    meaning=Words(
        "memory and spool were full: ticks were dropped; they are counted and recorded as gaps",
        "記憶體與 spool 均滿：tick 被丟棄，已計數並列為缺口",
    ),
    do=Words(f"{remedies.GAPS}; find why the disk was slow", f"`{remedies.GAPS}`；找出磁碟慢的原因"),
    alert=SOON,
    causes=("gaps_lost", "gaps_healing", "lag"),
)
