"""The notice that the service has ended: its words, how often it is sent, and the file that remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector.ops.alerts.failed_service import (
    FAILURES_NAME,
    LINES,
    Ending,
    Failures,
    failures_locked,
    keep_failures,
    notice,
    read_failures,
    runs_again,
)
from hk_tick_collector.ops.alerts.message import Kind
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.service import SERVICE_DIED, SERVICE_SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

ENDED = SERVICE_DIED.found(Severity.WARNING, "ended")


def told(ends_ms: list[int]) -> list[tuple[int, int]]:
    """The ends of a service at these times: when a notice is sent, and how many ends it is about."""
    failures, found = Failures(), []
    for now_ms in ends_ms:
        failures = failures.with_end(now_ms)
        if failures.is_due(now_ms):
            found.append((now_ms - NOW_MS, failures.ends))
            failures = failures.with_notice("service_died", now_ms)
    return found


def test_a_restart_loop_sends_no_flood() -> None:
    """An end every five seconds for three hours: at once, after ten minutes, then every half hour, with the count."""
    found = told([NOW_MS + second * 1000 for second in range(0, 3 * 3600, 5)])
    assert found[:3] == [(0, 1), (600_000, 120), (2_400_000, 360)]
    assert len(found) == 7


def test_two_crashes_a_day_are_told_both() -> None:
    """After a quiet hour the next one is told at once."""
    assert len(told([NOW_MS, NOW_MS + 2 * 3_600_000])) == 2
    assert len(told([NOW_MS, NOW_MS + 60_000])) == 1


def test_a_service_that_is_not_started_again_is_always_told() -> None:
    """A crash that was told a moment ago withholds nothing: no other end will come."""
    failures = Failures().with_end(NOW_MS).with_notice("service_died", NOW_MS).with_end(NOW_MS + 1000)
    assert not failures.is_due(NOW_MS + 1000)
    assert failures.is_due(NOW_MS + 1000, is_final=True)


def test_a_clock_that_was_set_back_withholds_nothing() -> None:
    """It begins anew."""
    assert len(told([NOW_MS, NOW_MS - 3_600_000])) == 2


def test_a_notice_that_nobody_took_is_not_counted() -> None:
    """The next end is told again, with the one before."""
    failures = Failures().with_end(NOW_MS)
    failures = failures.with_notice("service_died", NOW_MS).without_notice(1).with_end(NOW_MS + 5000)
    assert failures.is_due(NOW_MS + 5000)
    assert failures.ends == 2


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit-code:exited:1", "with exit code 1"),
        ("signal:killed:9", "by the signal KILL"),
        ("signal:killed:KILL", "by the signal KILL"),
        ("core-dump:dumped:SEGV", "by the signal SEGV, with a core dump"),
        ("watchdog:dumped:ABRT", "by the signal ABRT, with a core dump, because it no longer answered"),
        ("oom-kill:killed:KILL", "by the signal KILL, because memory ran out"),
        ("hk-tick-collector.service", "in a way that is not known"),
        ("a:b:c", "in a way that is not known"),
        ("", "in a way that is not known"),
        ("signal:killed:999", "by the signal 999"),
    ],
)
def test_how_it_ended(how: str, words: str) -> None:
    """As systemd names it; a text of another form is not guessed at."""
    assert Ending.parsed(how).words().en.startswith(words)


def test_what_the_notice_says() -> None:
    """What is wrong, how it ended and when, what to type, the last lines, cleaned and bounded."""
    failures = Failures(last_end_ms=NOW_MS, ends=3)
    lines = [f"line {number}" for number in range(20)] + ["", "\x1b[31mred\u202e", "x" * 5000]
    message = notice(ENDED, Ending("signal", "killed", "KILL"), failures, lines, "one", "en")
    assert (message.kind, message.title) == (Kind.WARNING, "[one] WARNING service_died")
    first, how, command, head, *last = message.body.splitlines()
    assert first == "the collector ended by itself, and systemd starts it again"
    assert how == "ended by the signal KILL at 2026-11-20 10:00:00 HKT; 3 ends since the last notice"
    assert command.startswith("next: sudo journalctl -u hk-tick-collector")
    assert head == "last log lines:"
    assert len(last) == LINES
    assert "\\x1b[31mred\\u202e" in last
    assert max(map(len, last)) <= 240


def test_a_service_that_stays_down_or_keeps_ending_is_critical() -> None:
    """The second notice of a loop is; so is a service that systemd does not start again."""
    ending = Ending("exit-code", "exited", "2")
    loop = notice(ENDED, ending, Failures(last_end_ms=NOW_MS, notices=1, ends=9), [], "one", "en")
    assert loop.kind is Kind.CRITICAL
    settings = SERVICE_SETTINGS.found(Severity.CRITICAL, ended="x", why="FUTU_PORT=abc", file="/x/.env")
    chinese = notice(settings, ending, Failures(last_end_ms=NOW_MS, ends=1), ["a"], "one", "zh-Hant")
    assert chinese.title == "[one] 嚴重 service_settings"
    assert "結束方式：結束碼 2，時間 2026-11-20 10:00:00 HKT" in chinese.body
    assert "下一步：sudo vim /x/.env; " in chinese.body


def test_the_end_of_the_problem() -> None:
    """The service itself sends it, with the code of the notice."""
    message = runs_again(Failures(code="service_died"), "service_died", NOW_MS, "one", "en")
    assert (message.kind, message.title) == (Kind.RESOLVED, "[one] resolved service_died")
    assert message.body.startswith("the service runs again since 2026-11-20 10:00:00 HKT")


def test_it_is_kept(tmp_path: Path) -> None:
    """Between two notices, which are processes of their own."""
    path = tmp_path / FAILURES_NAME
    with failures_locked(path) as failures:
        keep_failures(path, failures.with_end(NOW_MS))
    assert read_failures(path) == Failures(last_end_ms=NOW_MS, ends=1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"notices": "1"}',
        '{"more": 1}',
        '{"last_end_ms": -1}',
        '{"notices": true}',
        "[" * 3000,
        " " * 5000,
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str) -> None:
    """The notice is sent at once."""
    (tmp_path / FAILURES_NAME).write_text(content)
    assert read_failures(tmp_path / FAILURES_NAME) == Failures()
