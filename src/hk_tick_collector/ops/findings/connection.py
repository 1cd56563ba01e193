"""Findings for the connection to OpenD: no connection, no login, nothing subscribed, requests without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.opend.refusals import groups

from . import remedies
from .finding import Severity
from .market_silence import budget_left_s
from .opend_states import NO_QUOTES, meaning_of, remedy_of
from .remedies import Remedy
from .spec import PATIENT, SMALL, SOON, FindingSpec, Rule, Says
from .words import NO_WORDS, Words, more, same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen

_START_GRACE_MS: Final = 60_000  # a shorter time without OpenD is only a warning
_SUBSCRIBING_MS: Final = 10_000  # the symbols of an older connection should all be subscribed
_SILENCE: Final = (
    "no_tick_at_open",
    "no_ticks",
    "no_ticks_stored",
    "lag",
    "pushes_stopped",
    "gaps_lost",
    "gaps_healing",
)


def _away(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.connected:
        return
    since_ms = status.link_since_ms or status.started_ms
    away_ms = seen.now_ms - since_ms
    left_s = budget_left_s(status, seen.now_ms)
    is_late = away_ms > _START_GRACE_MS
    remedy = remedies.for_hint(status.link_hint, remedies.for_link(status.address))
    yield OPEND_AWAY.found(
        Severity.CRITICAL if is_late else Severity.WARNING,
        remedy=remedy if is_late or status.link_since_ms else _FIRST_ATTEMPT,
        since_ms=since_ms,
        away_s=away_ms / 1000,
        lost=_LOSING if left_s is not None and left_s < 0 else NO_WORDS,
        reason=status.link_reason,
    )


_FIRST_ATTEMPT: Final = Remedy(
    remedies.LOGS, "this is the first attempt since the collector started", "這是收集器啟動後的第一次連線"
)
_LOSING: Final = Words(
    ", longer than OpenD keeps the ticks of the busiest symbol: ticks are being lost",
    "，已超過 OpenD 保留最活躍股票 tick 的時間，tick 正在遺失",
)


OPEND_AWAY: Final = FindingSpec(
    code="opend_away",
    when=_away,
    text=Words(
        "no connection to OpenD for {away_s:.0f} s{lost}: {reason}",
        "與 OpenD 的連線已中斷 {away_s:.0f} 秒{lost}：{reason}",
    ),
    remedy=Remedy(remedies.for_link("127.0.0.1:11111")),
    meaning=Words("no connection to OpenD", "與 OpenD 沒有連線"),
    do=Words(
        remedies.for_link("127.0.0.1:11111"),
        f"`{remedies.OPEND_STATUS}`；`nc -vz 127.0.0.1 11111`；`{remedies.RESTART_OPEND}`",
    ),
    alert=Rule(hold_s=15, critical_s=0),  # section 6 of the runbook: when `status` calls it critical, after a minute
    causes=NO_QUOTES,
)


def _questions(seen: Seen) -> Iterator[Finding]:
    """Requests that OpenD does not answer while ticks still arrive."""
    failed = seen.status.questions_failed
    if seen.status.connected and failed:
        kind, reason = next(iter(failed.items()))
        yield QUESTIONS_FAILED.found(Severity.WARNING, kind=kind, others=more(len(failed) - 1), reason=reason)


QUESTIONS_FAILED: Final = FindingSpec(
    code="questions_failed",
    when=_questions,
    text=Words(
        "OpenD does not answer {kind}{others}: {reason}; ticks are still collected",
        "OpenD 沒有回覆 {kind}{others}：{reason}；tick 照常收集",
    ),
    remedy=Remedy(remedies.grep("question_failed"), "the request is repeated", "會自動再查詢"),
    meaning=Words(
        "OpenD refuses a request other than for ticks, or does not answer it in time; ticks are still collected",
        "OpenD 拒絕或沒有及時回覆某項查詢（狀態、訂閱資訊、交易日曆等）；tick 照常收集",
    ),
    do=Words(
        "wait, the request is repeated; if it lasts: sudo systemctl restart futu-opend",
        "稍候，會自動再查詢；若持續：`sudo systemctl restart futu-opend`",
    ),
    alert=SMALL,
)


def _bad_symbols(seen: Seen) -> Iterator[Finding]:
    """Entries of FUTU_SYMBOLS that are not valid symbols; reported until they are corrected."""
    bad = seen.status.bad_symbols
    if bad:
        yield BAD_SYMBOLS.found(Severity.WARNING, first=bad[0], others=more(len(bad) - 1), good=seen.status.symbols)


BAD_SYMBOLS: Final = FindingSpec(
    code="bad_symbols",
    when=_bad_symbols,
    text=Words(
        "{first}{others}; the other {good:,} symbols are collected", "{first}{others}；其餘 {good:,} 隻股票照常收集"
    ),
    remedy=Remedy(remedies.CHECK_SETTINGS),
    meaning=Words(
        "some entries of FUTU_SYMBOLS are not symbols: the text says where, and what was probably meant;"
        " the others are collected",
        "`FUTU_SYMBOLS` 有部分不是股票代號：訊息指明檔案與行，以及可能的正確寫法；其餘照常收集",
    ),
    do=Words(
        "sudo hk-tick-collector config --check; correct each line; sudo systemctl restart hk-tick-collector",
        "`sudo hk-tick-collector config --check`；逐行改正；`sudo systemctl restart hk-tick-collector`",
    ),
    alert=SOON,
)


def _is_ready(seen: Seen) -> bool:
    """Whether OpenD serves quotes, as far as it has reported its state."""
    status = seen.status
    return not status.program or (status.quote_logged_in and status.program == "ready")


def _not_ready(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if not status.connected or _is_ready(seen):
        return
    if status.program != "ready":
        detail = (
            Words(f": {status.program_detail}", f"：{status.program_detail}") if status.program_detail else NO_WORDS
        )
        state = Words(status.program.replace("_", " "), meaning_of(status.program).zh)
        yield OPEND_NOT_READY.found(Severity.CRITICAL, remedy=remedy_of(status.program), state=state, detail=detail)
    elif not status.trouble:  # trouble has a finding of its own, with the reason and the remedy
        yield OPEND_NOT_READY.found(Severity.CRITICAL, "logged_out")


OPEND_NOT_READY: Final = FindingSpec(
    code="opend_not_ready",
    when=_not_ready,
    text=Words("OpenD is not ready, {state}{detail}", "OpenD 未就緒，{state}{detail}"),
    remedy=Remedy(remedies.OPEND_STATUS),
    variants={
        "logged_out": Says(
            Words("OpenD is not logged in to the quote server", "OpenD 未登入行情伺服器"),
            remedies.LOGGED_OUT,
        )
    },
    meaning=Words(
        "OpenD answers but is not logged in; the text gives its state", "OpenD 有回應但未登入；訊息指明其狀態"
    ),
    do=Words(
        "see the finding opend_STATE, and docs/operations.md for the login",
        "見 `opend_狀態` 一項，登入步驟見 docs/operations.md",
    ),
    alert=Rule(hold_s=30, critical_s=300),  # it answers but serves no quotes: treated like no connection
    causes=NO_QUOTES,
)


def _not_subscribed(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if not status.connected or not _is_ready(seen) or status.subscribed:
        return
    if status.refused:
        words, cause, _ = groups(status.refused)[0]
        yield NOT_SUBSCRIBED.found(Severity.CRITICAL, remedy=remedies.for_refusal(cause), why=same(words))
    else:
        yield NOT_SUBSCRIBED.found(Severity.WARNING, why=Words("still subscribing", "仍在訂閱"))


NOT_SUBSCRIBED: Final = FindingSpec(
    code="not_subscribed",
    when=_not_subscribed,
    text=Words("no symbol is subscribed: {why}", "沒有訂閱到任何股票：{why}"),
    remedy=Remedy(remedies.JOURNAL),
    meaning=Words("no symbol is subscribed", "沒有已訂閱的股票"),
    do=Words(
        f"{remedies.LOGS}; hk-tick-collector doctor",
        f"`{remedies.LOGS}`；`hk-tick-collector doctor`",
    ),
    alert=PATIENT,
    causes=_SILENCE,
)


def _refused(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if not (status.connected and _is_ready(seen) and status.subscribed and status.refused):
        return
    largest, *others = groups(status.refused)
    yield SYMBOLS_REFUSED.found(
        Severity.WARNING,
        remedy=remedies.for_refusal(largest.cause),
        count=len(status.refused),
        all=status.symbols,
        first=largest.symbols[0],
        words=largest.words,
        others=Words(
            "".join(f"; {group.symbols[0]}: {group.words}" for group in others[:2]),
            "".join(f"；{group.symbols[0]}：{group.words}" for group in others[:2]),
        ),
    )


SYMBOLS_REFUSED: Final = FindingSpec(
    code="symbols_refused",
    when=_refused,
    text=Words(
        "OpenD refused {count} of {all} symbols, {first} first: {words}{others}",
        "OpenD 拒絕了 {all} 隻股票中的 {count} 隻，首隻 {first}：{words}{others}",
    ),
    remedy=Remedy(remedies.EDIT_SETTINGS),
    meaning=Words("OpenD refused some symbols; the others are collected", "OpenD 拒絕部分股票；其餘照常收集"),
    do=Words(
        "as OpenD's text says: the quota (hk-tick-collector doctor), the quote right, or a symbol that is wrong in"
        " FUTU_SYMBOLS",
        "按 OpenD 的原文：額度（`hk-tick-collector doctor`）、行情權限，或 FUTU_SYMBOLS 內有錯的股票",
    ),
    alert=Rule(hold_s=30),  # because of the quota
    causes=("still_subscribing",),
)


def _still_subscribing(seen: Seen) -> Iterator[Finding]:
    """Symbols that are not subscribed yet."""
    status = seen.status
    if not (status.connected and _is_ready(seen) and status.subscribed):
        return
    left, since_ms = status.symbols - status.subscribed - len(status.refused), status.link_since_ms
    if left > 0 and since_ms is not None and seen.now_ms - since_ms > _SUBSCRIBING_MS:
        why = _WITH_ANOTHER if status.refused else Words("OpenD did not answer", "OpenD 沒有回覆")
        yield STILL_SUBSCRIBING.found(Severity.WARNING, left=left, all=status.symbols, why=why)


_WITH_ANOTHER: Final = Words(
    "OpenD refused requests that contained them, because of another symbol", "OpenD 因另一隻股票拒絕了包含它們的請求"
)
STILL_SUBSCRIBING: Final = FindingSpec(
    code="still_subscribing",
    when=_still_subscribing,
    text=Words(
        "{left:,} of {all:,} symbols are not subscribed yet: {why}; they are requested again in smaller groups, at a"
        " limited rate",
        "{all:,} 隻股票中有 {left:,} 隻仍未訂閱：{why}；會分成較小的組，按限定頻率再次請求",
    ),
    remedy=Remedy(remedies.grep("subscribing")),
    meaning=Words(
        "some symbols are not subscribed ten seconds after the connection began; the others are collected",
        "連線十秒後仍有股票未訂閱；其餘照常收集",
    ),
    do=Words(
        "OpenD refuses a whole request because of one symbol: see symbols_refused, correct FUTU_SYMBOLS; the others"
        " are then"
        " subscribed automatically",
        "OpenD 會因一隻股票拒絕整個請求：見 `symbols_refused`，改正 `FUTU_SYMBOLS`；其餘股票會自行訂閱",
    ),
    alert=PATIENT,
)
