"""The notice that the service has ended: its text, and how often it is sent. Another process sends it, not the service.

Input: how the service ended, what `status` says about it, its last log lines. Output: a message, and
`service_failures.json` beside `status.json`, which limits notices to one at once, one after ten minutes, then one each
half hour while the service keeps ending and being started again. The running service reads it too: it sends the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.service import SERVICE_DIED
from hk_tick_collector.ops.findings.words import NO_WORDS, Words
from hk_tick_collector.ops.live.atomic_file import replace_file
from hk_tick_collector.store.small_file import read_small
from hk_tick_collector.text import plain

from .message import Kind, Message, title_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.ops.findings.finding import Finding

FAILURES_NAME: Final = "service_failures.json"
LINES: Final = 8  # of the log, at most
_LINE_CHARS: Final = 240
_MOST_BYTES: Final = 4096
_WAITS_MS: Final = (0, 600_000, 1_800_000)  # before the first, the second, and each later notice
_QUIET_MS: Final = 3_600_000  # after so long without an end the next one is told at once
_AS_OF: Final = Words("ended {how} at {at}{times}", "結束方式：{how}，時間 {at}{times}")
_TIMES: Final = Words("; {count} ends since the last notice", "；上次通知之後共結束 {count} 次")
_FAILED_AT: Final = Words(
    "failed at {at}; its timer starts it again at its next time", "失敗時間 {at}；計時器到下次時間會再啟動"
)
_LOG: Final = Words("last log lines:", "最後的日誌：")
_NEXT: Final = Words("next: {command}", "下一步：{command}")
_BACK: Final = Words(
    "the service runs again since {since}; it has run for a minute{more}\nnothing to do",
    "服務由 {since} 起再次運行，已滿一分鐘{more}\n毋須處理",
)
_MORE_ENDS: Final = Words(
    "\nends since the last notice: {count}, the last one at {at}", "\n上次通知之後的結束次數：{count}，最近一次在 {at}"
)
_TRIAL: Final = Words(
    "hk-tick-collector-failed works: this notice comes from it. The service runs, nothing is wrong.",
    "hk-tick-collector-failed 運作正常：這則通知由它發出。服務正在運行，沒有問題。",
)
_HOW: Final = {
    "exited": Words("with exit code {status}", "結束碼 {status}"),
    "killed": Words("by the signal {status}", "被信號 {status} 終止"),
    "dumped": Words("by the signal {status}, with a core dump", "被信號 {status} 終止，並留下 core dump"),
}
_RESULTS: Final = {
    "watchdog": Words(", because it no longer answered systemd's watchdog", "，原因是沒有回應 systemd 的 watchdog"),
    "oom-kill": Words(", because memory ran out", "，原因是記憶體不足"),
    "timeout": Words(", because it took too long to start or to stop", "，原因是啟動或停止逾時"),
}


class Ending(NamedTuple):
    """How the service ended, by systemd: result, code (exited, killed, dumped) and status. Empty if not known."""

    result: str = ""
    code: str = ""
    status: str = ""

    @classmethod
    def parsed(cls, text: str) -> Ending:
        """From `exit-code:exited:1`, as the unit passes it; from any other text an empty one."""
        parts = text.split(":")
        return cls(*map(plain, parts)) if len(parts) == len(cls._fields) and parts[1] in _HOW else cls()

    def words(self) -> Words:
        """For a sentence; the name of a signal instead of its number."""
        if not self.code:
            return Words("in a way that is not known", "不明")
        status = self.status
        if self.code != "exited" and status.isdigit():
            with suppress(ValueError):
                status = signal.Signals(int(status)).name.removeprefix("SIG")
        told, why = _HOW[self.code].filled(status=status), _RESULTS.get(self.result, Words("", ""))
        return Words(told.en + why.en, told.zh + why.zh)


@dataclass(frozen=True, slots=True)
class Failures:
    """The ends of the service that belong together. Times are UTC epoch ms."""

    last_end_ms: int = 0  # the last end
    notice_ms: int = 0  # the last notice
    notices: int = 0  # notices so far
    ends: int = 0  # ends since the last notice
    code: str = ""  # of the last notice's finding; empty once the end was sent

    def with_end(self, now_ms: int) -> Failures:
        """One more end. After a quiet hour, or after the clock was set back, it begins anew."""
        earlier = self if 0 <= now_ms - self.last_end_ms < _QUIET_MS else Failures()
        return replace(earlier, last_end_ms=now_ms, ends=earlier.ends + 1)

    def is_due(self, now_ms: int, *, is_final: bool = False) -> bool:
        """Whether a notice may be sent now. An end after which nobody starts the service again is always told."""
        wait_ms = 0 if is_final else _WAITS_MS[min(self.notices, len(_WAITS_MS) - 1)]
        return self.ends > 0 and now_ms - self.notice_ms >= wait_ms

    def with_notice(self, code: str, now_ms: int) -> Failures:
        """After a notice with the code of this finding."""
        return replace(self, notice_ms=now_ms, notices=self.notices + 1, ends=0, code=code)

    def code_to_end(self, now_ms: int) -> str:
        """The code of the finding that is over while the service runs: the notice's, or of ends that no notice told
        and that could be told by now. Empty if there is neither.
        """
        return self.code or (SERVICE_DIED.code if self.is_due(now_ms) else "")

    def with_return(self, now_ms: int) -> Failures:
        """After the message that the service runs again, which tells every end."""
        told = self if self.code else self.with_notice("", now_ms)
        return replace(told, code="", ends=0)

    def without_notice(self, ends: int) -> Failures:
        """After a notice that no destination took: the next end is told again."""
        return replace(self, notice_ms=0, notices=max(0, self.notices - 1), ends=self.ends + ends)


@contextmanager
def failures_locked(path: Path) -> Iterator[Failures]:
    """The ends so far, with a lock until the block ends; send nothing in it. A file that is missing or invalid is none.

    OSError if the directory cannot be opened.
    """
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield read_failures(path)
    finally:
        os.close(fd)


def read_failures(path: Path) -> Failures:
    """The ends so far; none if there is no valid file."""
    try:
        found = Failures(**json.loads(read_small(path, _MOST_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError):
        return Failures()
    numbers = (found.last_end_ms, found.notice_ms, found.notices, found.ends)
    is_valid = all(type(number) is int and number >= 0 for number in numbers) and isinstance(found.code, str)
    return found if is_valid else Failures()


def keep_failures(path: Path, failures: Failures) -> None:
    """Replaces the file. OSError on failure."""
    replace_file(path, json.dumps(asdict(failures)), f".{path.name}.{os.getpid()}")


def notice(
    finding: Finding, ending: Ending, failures: Failures, log_lines: Sequence[str], instance: str, lang: str
) -> Message:
    """The message: what `status` says, how the service ended, what to type, the last lines of its log.

    `failures` are those before the notice. It is critical if the finding is, or if the service keeps ending.
    """
    count = failures.ends
    times = _TIMES.filled(count=count) if count > 1 else Words("", "")
    as_of = _AS_OF.filled(how=ending.words(), at=market.moment_text(failures.last_end_ms), times=times).of(lang)
    command = [_NEXT.filled(command=finding.remedy).of(lang)] if finding.remedy else []
    body = [finding.words.of(lang), as_of, *command, *_last_lines(log_lines, lang)]
    is_critical = finding.severity is Severity.CRITICAL or failures.notices > 0
    kind = Kind.CRITICAL if is_critical else Kind.WARNING
    return Message(kind, finding.code, title_of(instance, kind, finding.code, lang), "\n".join(body))


def job_notice(finding: Finding, now_ms: int, log_lines: Sequence[str], instance: str, lang: str) -> Message:
    """The message about a daily job that has failed: which, when, what to type, the last lines of its log."""
    at, command = market.moment_text(now_ms), _NEXT.filled(command=finding.remedy).of(lang)
    body = [finding.words.of(lang), _FAILED_AT.filled(at=at).of(lang), command, *_last_lines(log_lines, lang)]
    title = title_of(instance, Kind.WARNING, finding.code, lang)
    return Message(Kind.WARNING, finding.code, title, "\n".join(body))


def _last_lines(log_lines: Sequence[str], lang: str) -> list[str]:
    told = [plain(line)[:_LINE_CHARS] for line in log_lines if line.strip()][-LINES:]
    return [_LOG.of(lang), *told] if told else []


def trial(instance: str, lang: str) -> Message:
    """The message for someone who tries the unit while the service runs."""
    return Message(Kind.TEST, "", title_of(instance, Kind.TEST, "", lang), _TRIAL.of(lang))


def runs_again(failures: Failures, code: str, started_ms: int, instance: str, lang: str) -> Message:
    """The end of the problem `code`, with the ends of the service that no notice told. `started_ms`: of its run."""
    more = NO_WORDS
    if failures.ends:
        more = _MORE_ENDS.filled(count=failures.ends, at=market.moment_text(failures.last_end_ms))
    text = _BACK.filled(since=market.moment_text(started_ms), more=more).of(lang)
    return Message(Kind.RESOLVED, code, title_of(instance, Kind.RESOLVED, code, lang), text)
