"""OpenD's answers → checks: login, clock, quota against symbols, symbols, calendar. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.opend_states import meaning_of, remedy_of
from hk_tick_collector.ops.findings.words import Words

from .result import Check, failure, not_checked, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hk_tick_collector.errors import CollectorError

    from .opend_probe import Answers

NAMES: Final = ("login", "OpenD's clock", "quota", "symbols", "calendar")
_LOCAL_V6: Final = "::1"  # the first address of localhost, where OpenD does not listen; it refuses at once
_KINDS: Final = {"whole": "a whole day", "morning": "a half day: the morning only", "afternoon": "the afternoon only"}


def check_away(error: CollectorError) -> list[Check]:
    """OpenD cannot be asked: one failure, and all that depends on it is not checked."""
    away = failure("OpenD", str(error), error.hint or remedies.OPEND_STATUS)
    return [away, *(not_checked(name, "OpenD could not be asked") for name in NAMES)]


def check_answers(
    answers: Answers, symbols: Sequence[str], ours: int | None, *, drift_warn_s: float, today: int
) -> Iterator[Check]:
    """Every check that OpenD's answers allow.

    `ours` is what our own running service has subscribed, None where that may not be read; `today` is this host's
    Hong Kong day.
    """
    yield _addresses(answers)
    yield _login(answers)
    yield _clock(answers, drift_warn_s)
    yield _quota(answers, symbols, ours)
    yield _symbols(answers, symbols)
    yield _calendar(answers, today)


def _addresses(answers: Answers) -> Check:
    where = f" at {answers.address}" if answers.address else ""
    text = f"answers{where}, version {answers.server_ver}"
    unreachable = {address: reason for address, reason in answers.unreachable.items() if address != _LOCAL_V6}
    if not unreachable:
        return ok("OpenD", text)
    count = len(unreachable)
    dead = "; ".join(f"{address}: {reason}" for address, reason in unreachable.items())
    words = "another address of FUTU_HOST does" if count == 1 else f"{count} other addresses of FUTU_HOST do"
    return warning("OpenD", f"{text}; {words} not: {dead}", f"set FUTU_HOST={answers.address}, or correct the name")


def _login(answers: Answers) -> Check:
    state = answers.state
    if state is None:
        return _unanswered("login", answers, "state")
    if state.program != "ready":
        en, zh = (f" ({state.program_detail})", f"（{state.program_detail}）") if state.program_detail else ("", "")
        text = Words(f"OpenD is {state.program}{en}", f"{meaning_of(state.program).zh}{zh}")
        return failure("login", *remedies.advised(text, remedy_of(state.program)))
    if not state.quote_logged_in:
        text = Words("OpenD is not logged in to the quote server", "OpenD 未登入行情伺服器")
        return failure("login", *remedies.advised(text, remedy_of("quote_link_lost")))
    return ok(
        "login", f"logged in to the quote server; the market is in the state {market.state_name(state.market_hk)}"
    )


def _clock(answers: Answers, drift_warn_s: float) -> Check:
    drift_s = answers.drift_s
    if drift_s is None:
        return not_checked("OpenD's clock", "OpenD told no time")
    text = f"this host's clock is {drift_s:+.1f} s off OpenD's"
    if abs(drift_s) > drift_warn_s:
        return warning("OpenD's clock", text, "timedatectl status; sudo systemctl restart systemd-timesyncd")
    return ok("OpenD's clock", text)


def _quota(answers: Answers, symbols: Sequence[str], ours: int | None) -> Check:
    """What is wanted against what is left, to which comes what our own running service holds."""
    if answers.quota is None:
        return _unanswered("quota", answers, "quota")
    used, left, wanted = answers.quota.used_quota, answers.quota.remaining_quota, len(symbols)
    by_us = min(ours or 0, used)
    text = f"{wanted:,} symbols wanted, {left + by_us:,} can be had ({used:,} of {used + left:,} used, {by_us:,} by us)"
    if wanted > used + left:
        return failure("quota", text, f"take {wanted - used - left:,} symbols out of FUTU_SYMBOLS, or raise the quota")
    if wanted > left + by_us and ours is None:
        text = f"{used:,} of {used + left:,} are used, perhaps by our own service: its live state cannot be read"
        return not_checked("quota", text, "run it with sudo, or as a member of the group hkcollector")
    if wanted > left + by_us:
        return failure(
            "quota", text, "end the other clients of OpenD; a closed one gives its quota back after a minute"
        )
    return ok("quota", text)


def _symbols(answers: Answers, symbols: Sequence[str]) -> Check:
    error = answers.failed.get("symbols")
    if error:
        return warning("symbols", f"OpenD says of FUTU_SYMBOLS: {error}", "correct FUTU_SYMBOLS: see its words")
    if answers.unknown:
        shown = ", ".join(answers.unknown[:5]) + (" …" if len(answers.unknown) > 5 else "")
        text = f"OpenD does not know {len(answers.unknown):,} of {len(symbols):,} symbols: {shown}"
        return warning("symbols", text, "take them out of FUTU_SYMBOLS: the others are collected all the same")
    return ok("symbols", f"OpenD knows all {len(symbols):,}")


def _calendar(answers: Answers, today: int) -> Check:
    if "calendar" in answers.failed:
        return _unanswered("calendar", answers, "calendar")
    name = market.day_date(today).isoformat()
    if not answers.calendar:
        return warning("calendar", "OpenD names no trading day of the next two weeks", remedies.OPEND_STATUS)
    kind = next((day.kind for day in answers.calendar if day.date == name), None)
    if kind:
        return ok("calendar", f"{name} is a trading day, {_KINDS.get(kind, kind)}")
    following = next((day for day in answers.calendar if day.date > name), None)
    then = (
        f"the next trading day is {following.date}, {_KINDS.get(following.kind, '')}" if following else "none is near"
    )
    return ok("calendar", f"{name} is no trading day; {then}")


def _unanswered(name: str, answers: Answers, question: str) -> Check:
    error = answers.failed.get(question)
    return not_checked(name, f"OpenD did not answer: {error}", remedies.OPEND_STATUS)
