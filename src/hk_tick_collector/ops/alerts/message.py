"""The text of an alert in the operator's language: title, problem, start time, command to type. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.ops.findings.words import CHINESE, ENGLISH, LANGUAGES

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.finding import Finding

__all__ = ["CHINESE", "ENGLISH", "LANGUAGES", "Happened", "Kind", "Message", "body_of", "resolved_of", "title_of"]


class Kind(StrEnum):
    """The kind of a message; the first word of its title, in capitals for a problem."""

    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    RESOLVED = "resolved"
    DIGEST = "digest"
    HEARTBEAT = "heartbeat"
    TEST = "test"


class Happened(StrEnum):
    """Why a finding is sent now."""

    OPENED = "opened"
    BACK = "back"
    WORSE = "worse"
    MORE = "more"
    STILL = "still"


@dataclass(frozen=True, slots=True)
class Message:
    """What a person reads."""

    kind: Kind
    code: str  # of the finding; "" if there is none
    title: str
    body: str


_KINDS: Final = {
    Kind.WARNING: "警告",
    Kind.CRITICAL: "嚴重",
    Kind.RESOLVED: "已恢復",
    Kind.DIGEST: "每日摘要",
    Kind.HEARTBEAT: "心跳",
    Kind.TEST: "測試",
}
_ENGLISH: Final = {
    Happened.OPENED: "as of {now}",
    Happened.BACK: "came back (as of {now})",
    Happened.WORSE: "worse than before (as of {now})",
    Happened.MORE: "more than before (as of {now})",
    Happened.STILL: "still open at {now}",
}
_CHINESE: Final = {
    Happened.OPENED: "截至 {now}",
    Happened.BACK: "再次出現（截至 {now}）",
    Happened.WORSE: "情況惡化（截至 {now}）",
    Happened.MORE: "數量增加（截至 {now}）",
    Happened.STILL: "到 {now} 仍未解決",
}


def title_of(instance: str, kind: Kind, code: str, lang: str) -> str:
    """`[collector-1] CRITICAL opend_away`."""
    return " ".join(filter(None, (f"[{instance}]", _KINDS[kind] if lang == CHINESE else kind, code)))


def body_of(finding: Finding, happened: Happened, since_ms: int, now_ms: int, times: int, lang: str) -> str:
    """The problem, its start by the event's own time, why it is sent now, the command. Times are UTC epoch ms.

    `times` is how often it returned since the last message.
    """
    since, now = market.moment_text(since_ms), f"{market.hkt(now_ms):%H:%M:%S}"
    if lang == CHINESE:
        state = _CHINESE[happened].format(now=now) + (f"，其間再現 {times} 次" if times else "")
        next_step = [f"下一步：{finding.remedy}"] if finding.remedy else []
        return "\n".join([finding.zh, f"由 {since} 起，{state}", *next_step])
    state = _ENGLISH[happened].format(now=now) + (f", it returned {_times(times)} meanwhile" if times else "")
    return "\n".join(
        [finding.text, f"since {since}, {state}", *([f"next: {finding.remedy}"] if finding.remedy else [])]
    )


def resolved_of(since_ms: int, until_ms: int, times: int, lang: str) -> str:
    """How long it lasted, by the event's own times; `times` is how often it returned since the last message."""
    seconds = max(0.0, (until_ms - since_ms) / 1000)
    since, until = market.moment_text(since_ms), market.moment_text(until_ms)
    if lang == CHINESE:
        again = f"，其間再現 {times} 次" if times else ""
        return f"持續 {_duration(seconds, lang)}，由 {since} 至 {until}{again}\n毋須處理"
    again = f"; it returned {_times(times)} meanwhile" if times else ""
    return f"it lasted {_duration(seconds, lang)}, from {since} until {until}{again}\nnothing to do"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _duration(seconds: float, lang: str) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    units = ("秒", "分鐘", "小時") if lang == CHINESE else ("s", "min", "h")
    if seconds < 120:
        return f"{seconds:.0f} {units[0]}"
    return f"{seconds / 60:.0f} {units[1]}" if seconds < 7200 else f"{seconds / 3600:.1f} {units[2]}"


def clock_of(moment_ms: int, beside_ms: int) -> str:
    """`15:30 HKT`, or with its date if that is not the date of `beside_ms`."""
    same_day = market.day_number(moment_ms) == market.day_number(beside_ms)
    return f"{market.hkt(moment_ms):%H:%M} HKT" if same_day else f"{market.hkt(moment_ms):%Y-%m-%d %H:%M} HKT"
