"""What is told of findings, when, and how often; by a clock that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector.ops.alerts import RULES, Alerts, Kind, Memory, Message, rule_of
from hk_tick_collector.ops.finding import Finding, Severity
from hk_tick_collector.ops.health import Limits, check

from .conftest import NOW_MS

if TYPE_CHECKING:
    from .conftest import MakeStatus

LIMITS = Limits(drift_warn_s=2, lag_critical_s=300, disk_min_free_mb=100, queue_warn_rows=1000)
KICKED: dict[str, Any] = {"trouble": {"kicked_out": "another login"}}
FULL: dict[str, Any] = {"writer_trouble": "disk_full", "writer_detail": "no space", "writer_trouble_since_ms": NOW_MS}


class Watch:
    """Alerts, looked at once a second from NOW_MS on."""

    def __init__(self, make_status: MakeStatus, memory: Memory | None = None) -> None:
        self.alerts = Alerts("one", memory)
        self.now_ms = NOW_MS
        self._make = make_status

    def look(self, seconds: int, **changes: Any) -> list[Message]:
        """The messages of so many seconds with a live state that differs from a healthy one in this."""
        found = []
        for _ in range(seconds):
            self.now_ms += 1000
            alive = {"written_ms": self.now_ms, "writer_alive_ms": self.now_ms, "newest_ts_ms": self.now_ms - 1000}
            status = self._make(**alive | changes)
            found += self.alerts.look(status, check(status, self.now_ms, LIMITS), self.now_ms)
        return found


@pytest.fixture
def watch(make_status: MakeStatus) -> Watch:
    """Nothing is open."""
    return Watch(make_status)


def kinds(messages: list[Message]) -> list[tuple[Kind, str]]:
    return [(message.kind, message.code) for message in messages]


def test_a_finding_opens_once_and_closes_once(watch: Watch) -> None:
    """Told after it has held for some seconds, with what to do; resolved after a minute without it; nothing between."""
    assert watch.look(3, **KICKED) == []
    (opened,) = watch.look(200, **KICKED)
    assert (opened.kind, opened.title) == (Kind.WARNING, "[one] WARNING opend_kicked_out")
    assert "another login" in opened.body
    assert "since 2026-11-20 " in opened.body
    assert "next: sudo systemctl restart futu-opend, once the other terminal" in opened.body
    assert watch.look(59) == []
    (resolved,) = watch.look(200)
    assert (resolved.kind, resolved.code) == (Kind.RESOLVED, "opend_kicked_out")
    assert "it lasted 3 min" in resolved.body


def test_what_flickers_is_told_once(watch: Watch) -> None:
    """An hour of two seconds on, two seconds off: one message; then it ends, and that is one more."""
    messages = []
    for _ in range(900):
        messages += watch.look(2, **KICKED) + watch.look(2)
    assert kinds(messages) == [(Kind.WARNING, "opend_kicked_out")]
    assert kinds(watch.look(120)) == [(Kind.RESOLVED, "opend_kicked_out")]


def test_what_comes_back_within_the_cooldown_is_told_when_that_ends(watch: Watch) -> None:
    """90 s on, 90 s off, for an hour: a message every ten minutes at most, each counting what was not told."""
    messages = []
    for _ in range(20):
        messages += watch.look(90, **KICKED) + watch.look(90)
    opened = [message for message in messages if message.kind is Kind.WARNING]
    assert 2 <= len(opened) <= 6
    assert "came back 3 times meanwhile" in opened[1].body
    assert len(messages) <= 2 * len(opened)


def test_a_blip_is_not_told(watch: Watch) -> None:
    """A second of something every two minutes is nothing that a person must read."""
    messages = []
    for _ in range(30):
        messages += watch.look(1, **KICKED) + watch.look(119)
    assert messages == []


def test_it_is_told_again_while_it_stays_open(watch: Watch) -> None:
    """What is critical every half hour, a warning every six hours."""
    assert kinds(watch.look(3700, **FULL)) == [(Kind.CRITICAL, "writer_disk_full")] * 3
    assert kinds(watch.look(60)) == [(Kind.RESOLVED, "writer_disk_full")]
    assert kinds(watch.look(22_000, **KICKED)) == [(Kind.WARNING, "opend_kicked_out")] * 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (FULL, "writer_disk_full"),
        (FULL | {"writer_trouble": "read_only"}, "writer_read_only"),
        (FULL | {"writer_trouble": "no_permission"}, "writer_no_permission"),
        ({"connected": False, "link_since_ms": NOW_MS, "link_reason": "refused"}, "opend_away"),
        ({"newest_ts_ms": NOW_MS - 200_000}, "lag"),
        ({"program": "needs_sms_code", "quote_logged_in": False}, "opend_not_ready"),
    ],
)
def test_what_section_6_of_the_runbook_names_is_critical(watch: Watch, changes: dict[str, Any], code: str) -> None:
    """Each ends as a critical message that says what to do."""
    messages = watch.look(400, **changes)
    assert (Kind.CRITICAL, code) in kinds(messages)
    assert len(messages) <= 2
    assert "next: " in messages[-1].body


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (KICKED, "opend_kicked_out"),
        ({"refused": {"HK.00700": "quota"}, "subscribed": 9}, "symbols_refused"),
        ({"gaps_lost_lately": 2}, "gaps_lost"),
        ({"gaps_open": 2, "gaps_healing": 2}, "gaps_healing"),
        ({"drift_s": 9.0}, "clock_drift"),
        ({"disk_free_mb": 5}, "disk"),
    ],
)
def test_what_it_does_not_name_stays_a_warning(watch: Watch, changes: dict[str, Any], code: str) -> None:
    """However long it lasts, and whatever `status` calls it."""
    assert kinds(watch.look(1200, **changes)) == [(Kind.WARNING, code)]


def test_no_tick_since_the_open(watch: Watch) -> None:
    """The market trades and nothing comes: told as a warning after a minute, in those words; critical after five."""
    yesterday_ms = NOW_MS - 60_000_000
    messages = watch.look(400, trading_since_ms=NOW_MS, newest_ts_ms=yesterday_ms)
    assert kinds(messages) == [(Kind.WARNING, "lag"), (Kind.CRITICAL, "lag")]
    assert "no tick since the market began to trade" in messages[0].body
    assert "worse than before" in messages[1].body


def test_a_lag_that_shrinks_is_no_more_than_a_warning(watch: Watch) -> None:
    """After an outage the newest tick comes nearer by the second: nobody needs to get up."""
    messages = []
    for second in range(150):
        newest_ms = watch.now_ms - 600_000 + second * 3000
        messages += watch.look(1, newest_ts_ms=newest_ms)
    assert kinds(messages) == [(Kind.WARNING, "lag")]


def test_a_repeated_stall_is_critical_also_across_a_restart(watch: Watch, make_status: MakeStatus) -> None:
    """One is a warning; a second one within half an hour is critical, though the service was restarted between."""
    assert kinds(watch.look(60, stalls=1, waiting=900)) == [(Kind.WARNING, "persistent_stall")]
    after = Watch(make_status, Memory.from_json(watch.alerts.memory.to_json()))
    after.now_ms = watch.now_ms + 20_000
    assert kinds(after.look(60, stalls=1, waiting=900)) == [(Kind.CRITICAL, "persistent_stall")]


def test_a_stall_of_this_morning_is_history(watch: Watch) -> None:
    """The counter stays and rows always wait for a moment: half an hour after the last stall it is resolved."""
    watch.look(60, stalls=1, waiting=900)
    assert kinds(watch.look(2400, stalls=1, waiting=3)) == [(Kind.RESOLVED, "persistent_stall")]


def test_what_is_open_is_not_told_again_by_a_restart(watch: Watch, make_status: MakeStatus) -> None:
    """The memory goes over: the same finding is silent, its end is told."""
    assert len(watch.look(60, **KICKED)) == 1
    after = Watch(make_status, Memory.from_json(watch.alerts.memory.to_json()))
    after.now_ms = watch.now_ms + 3_600_000
    assert after.look(10) == []
    assert after.look(300, **KICKED) == []
    assert kinds(after.look(100)) == [(Kind.RESOLVED, "opend_kicked_out")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"open": {"a": {"x": 1}}, "stalls_ms": [], "digest_day": ""}'])
def test_a_memory_that_is_none_is_refused(text: str) -> None:
    """With an error that the caller expects, and no other."""
    with pytest.raises(ValueError, match=r"Expecting|memory"):
        Memory.from_json(text)


def test_what_is_critical_elsewhere_is_alerted_even_without_a_rule() -> None:
    """A finding that is made tomorrow is not forgotten; one that is only listed is not alerted."""
    assert rule_of(Finding("brand_new", Severity.CRITICAL, "", ""))
    assert rule_of(Finding("brand_new", Severity.WARNING, "", "")) is None
    assert rule_of(Finding("opend_away", Severity.WARNING, "", "")) is RULES["opend_away"]
    assert rule_of(Finding("opend_kicked_out", Severity.CRITICAL, "", "")) is RULES["opend_"]
