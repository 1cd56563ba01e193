"""OpenD's answers → checks: login, clock, quota and symbols, calendar. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.opend import refusals
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.market_data import CLOCK_DRIFT, drift_way
from hk_tick_collector.ops.findings.opend_states import meaning_of, remedy_of
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, cause_of, hint_of, same

from .result import AS_ROOT, Check, failure, not_checked, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hk_tick_collector.errors import CollectorError

    from .opend_probe import Answers

NAMES: Final = ("login", "OpenD's clock", "quota", "symbols", "calendar")
_LOCAL_V6: Final = "::1"  # an address of localhost; OpenD does not listen on it
_KINDS: Final = {
    "whole": Words("a whole day", "全日"),
    "morning": Words("a half day: the morning only", "半日市：只有早市"),
    "afternoon": Words("the afternoon only", "只有午市"),
}


def check_away(error: CollectorError) -> list[Check]:
    """One failure for an OpenD that cannot be queried. The checks that need its answers are not made."""
    away = failure("OpenD", cause_of(error), hint_of(error) or remedies.OPEND_STATUS)
    unasked = Words("OpenD could not be asked", "未能查詢 OpenD")
    return [away, *(not_checked(name, unasked) for name in NAMES)]


def check_answers(
    answers: Answers,
    symbols: Sequence[str],
    ours: int | None,
    *,
    drift_warn_s: float,
    today: int,
    reported: Mapping[str, str] | None = None,
    refused: Mapping[str, str] | None = None,
) -> Iterator[Check]:
    """All checks that OpenD's answers allow.

    `ours` is the number of symbols that our running service has subscribed, None if it cannot be read; `today` is this
    host's Hong Kong day. `reported` is what OpenD reported to that service: its answers do not say why it is not
    logged in. `refused` is what it refused to that service: symbol → text.
    """
    yield _addresses(answers)
    yield _login(answers, reported or {})
    yield _clock(answers, drift_warn_s)
    yield _quota(answers, symbols, ours)
    yield _symbols(answers, symbols, refused or {})
    yield _calendar(answers, today)


def _addresses(answers: Answers) -> Check:
    at = answers.address
    text = Words(
        f"answers{f' at {at}' if at else ''}, version {answers.server_ver}",
        f"{f'{at} ' if at else ''}有回應，版本 {answers.server_ver}",
    )
    unreachable = {address: reason for address, reason in answers.unreachable.items() if address != _LOCAL_V6}
    if not unreachable:
        return ok("OpenD", text)
    count = len(unreachable)
    dead = "; ".join(f"{address}: {reason}" for address, reason in unreachable.items())
    others = Words(
        "another address of FUTU_HOST does" if count == 1 else f"{count} other addresses of FUTU_HOST do",
        f"FUTU_HOST 的另外 {count} 個位址",
    )
    text = Words("{text}; {others} do not: {dead}", "{text}；{others}沒有回應：{dead}").filled(
        text=text, others=others, dead=dead
    )
    return warning("OpenD", text, Words(f"set FUTU_HOST={at}, or correct the name", f"設 FUTU_HOST={at}，或改正名稱"))


def _login(answers: Answers, reported: Mapping[str, str]) -> Check:
    state = answers.state
    if state is None:
        return _unanswered("login", answers, "state")
    if state.program != "ready":
        said = state.program_detail
        text = Words("OpenD is {state}{detail}", "{state}{detail}").filled(
            state=Words(state.program, meaning_of(state.program).zh),
            detail=Words(f" ({said})", f"（{said}）") if said else NO_WORDS,
        )
        return failure("login", *remedies.advised(text, remedy_of(state.program)))
    if not state.quote_logged_in:
        text = Words("OpenD is not logged in to the quote server", "OpenD 未登入行情伺服器")
        for kind, words in reported.items():  # the same text and remedy as in `status`; only the first one is used
            text = Words("{text}, as it reported: {told}{words}", "{text}，其回報：{told}{words}").filled(
                text=text,
                told=Words(kind.replace("_", " "), meaning_of(kind).zh),
                words=Words(f" ({words})", f"（{words}）") if words else NO_WORDS,
            )
            return failure("login", *remedies.advised(text, remedy_of(kind)))
        return failure("login", *remedies.advised(text, remedies.LOGGED_OUT))
    name = market.state_name(state.market_hk)
    text = Words(
        f"logged in to the quote server; the market is in the state {name}", f"已登入行情伺服器；市場狀態為 {name}"
    )
    return ok("login", text)


def _clock(answers: Answers, drift_warn_s: float) -> Check:
    drift_s = answers.drift_s
    if drift_s is None:
        return not_checked("OpenD's clock", Words("OpenD gave no time", "OpenD 沒有提供時間"))
    text = CLOCK_DRIFT.text.filled(off_s=abs(drift_s), way=drift_way(drift_s))
    if abs(drift_s) > drift_warn_s:
        return warning("OpenD's clock", text, "timedatectl status; sudo systemctl restart systemd-timesyncd")
    return ok("OpenD's clock", text)


def _quota(answers: Answers, symbols: Sequence[str], ours: int | None) -> Check:
    """The number of symbols compared with the free quota, including what our running service uses."""
    if answers.quota is None:
        return _unanswered("quota", answers, "quota")
    used, left, wanted = answers.quota.used_quota, answers.quota.remaining_quota, len(symbols)
    by_us = min(ours or 0, used)
    text = Words(
        "{wanted:,} symbols wanted, {free:,} available ({used:,} of {all:,} used, {by_us:,} by this service)",
        "需要 {wanted:,} 隻股票，可用 {free:,}（{all:,} 中已用 {used:,}，其中本服務 {by_us:,}）",
    ).filled(wanted=wanted, free=left + by_us, used=used, all=used + left, by_us=by_us)
    if wanted > used + left:
        count = f"{wanted - used - left:,}"
        remedy = Words(
            f"remove {count} symbols from FUTU_SYMBOLS, or raise the quota",
            f"從 FUTU_SYMBOLS 移除 {count} 隻股票，或提高額度",
        )
        return failure("quota", text, remedy)
    if wanted > left + by_us and ours is None:
        text = Words(
            f"{used:,} of {used + left:,} are used, perhaps by our own service: its live state cannot be read",
            f"{used + left:,} 中已用 {used:,}，可能由本服務使用：不能讀取其即時狀態",
        )
        return not_checked("quota", text, AS_ROOT)
    if wanted > left + by_us:
        remedy = Words(
            "stop the other clients of OpenD; the quota of a closed one is returned after a minute",
            "結束 OpenD 的其他用戶端；關閉一分鐘後會釋放額度",
        )
        return failure("quota", text, remedy)
    return ok("quota", text)


def _refused(symbols: Sequence[str], refused: Mapping[str, str]) -> Check:
    """Symbols whose subscription OpenD refused to the running service, whatever it says about them here."""
    largest = refusals.groups(refused)[0]
    text = Words(
        "OpenD refused {count:,} of {all:,} symbols to the running service, {first} first: {words}",
        "OpenD 拒絕了運行中的服務 {all:,} 隻股票中的 {count:,} 隻，首隻 {first}：{words}",
    ).filled(count=len(refused), all=len(symbols), first=largest.symbols[0], words=largest.words)
    said, command = remedies.advised(text, remedies.for_refusal(largest.cause))
    if len(refused) >= len(symbols):
        return failure("symbols", said, command)
    return warning("symbols", said, command, urgent=True)


def _symbols(answers: Answers, symbols: Sequence[str], refused: Mapping[str, str]) -> Check:
    if refused:
        return _refused(symbols, refused)
    error = answers.failed.get("symbols")
    if error:
        text = Words(f"OpenD says of FUTU_SYMBOLS: {error}", f"OpenD 對 FUTU_SYMBOLS 回覆：{error}")
        cause = refusals.cause_of(str(error))
        if cause == refusals.QUOTE_RIGHT:
            return failure("symbols", *remedies.advised(text, remedies.RIGHT))
        if cause == refusals.TEMPORARY:
            return not_checked("symbols", text, remedies.DOCTOR)
        remedy = Words("correct FUTU_SYMBOLS as OpenD's text says", "按其回覆改正 FUTU_SYMBOLS")
        return warning("symbols", text, remedy, urgent=True)
    if answers.unknown:
        shown = ", ".join(answers.unknown[:5]) + (" …" if len(answers.unknown) > 5 else "")
        text = Words(
            f"OpenD does not know {len(answers.unknown):,} of {len(symbols):,} symbols: {shown}",
            f"OpenD 不認識 {len(symbols):,} 隻股票中的 {len(answers.unknown):,} 隻：{shown}",
        )
        if len(answers.unknown) == len(symbols):
            remedy = Words("correct FUTU_SYMBOLS: no symbol is left", "改正 FUTU_SYMBOLS：沒有股票可以收集")
            return failure("symbols", text, remedy)
        remedy = Words(
            "remove them from FUTU_SYMBOLS: the others are collected anyway", "從 FUTU_SYMBOLS 移除；其餘照常收集"
        )
        return warning("symbols", text, remedy, urgent=True)
    return ok("symbols", Words(f"OpenD knows all {len(symbols):,}", f"OpenD 認識全部 {len(symbols):,} 隻"))


def _calendar(answers: Answers, today: int) -> Check:
    if "calendar" in answers.failed:
        return _unanswered("calendar", answers, "calendar")
    name = market.day_date(today).isoformat()
    if not answers.calendar:
        text = Words("OpenD lists no trading day in the next two weeks", "OpenD 沒有列出未來兩週的交易日")
        return warning("calendar", text, remedies.OPEND_STATUS)
    kind = next((day.kind for day in answers.calendar if day.date == name), None)
    if kind:
        words = _KINDS.get(kind, same(kind))
        return ok("calendar", Words(f"{name} is a trading day, {words.en}", f"{name} 是交易日，{words.zh}"))
    following = next((day for day in answers.calendar if day.date > name), None)
    then = Words("none is known", "近日沒有")
    if following:
        words = _KINDS.get(following.kind, NO_WORDS)
        then = Words(
            f"the next trading day is {following.date}, {words.en}", f"下一個交易日是 {following.date}，{words.zh}"
        )
    return ok("calendar", Words(f"{name} is not a trading day; {then.en}", f"{name} 不是交易日；{then.zh}"))


def _unanswered(name: str, answers: Answers, question: str) -> Check:
    error = answers.failed.get(question)
    text = Words(f"OpenD did not answer: {error}", f"OpenD 沒有回覆：{error}")
    return not_checked(name, text, remedies.OPEND_STATUS)
