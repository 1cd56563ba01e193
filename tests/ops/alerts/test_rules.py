"""Which findings are sent, when, and how often; by a clock that the test sets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector import market
from hk_tick_collector.ops.alerts.message import CHINESE, Kind, Message
from hk_tick_collector.ops.alerts.mutes import EVERYTHING, Mute
from hk_tick_collector.ops.alerts.rules import Alerts, Memory, Open, rule_of
from hk_tick_collector.ops.findings.connection import OPEND_AWAY
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.health import Limits, check
from hk_tick_collector.ops.findings.opend_states import TOLD

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

LIMITS = Limits(drift_warn_s=2, lag_critical_s=300, disk_min_free_mb=100, queue_warn_rows=1000)
KICKED: dict[str, Any] = {"trouble": {"kicked_out": "another login"}}
KICK = "opend_kicked_out"
FULL: dict[str, Any] = {"writer_trouble": "disk_full", "writer_detail": "no space", "writer_trouble_since_ms": NOW_MS}


class Watch:
    """Alerts, updated once a second from NOW_MS on."""

    def __init__(self, make_status: MakeStatus, memory: Memory | None = None, lang: str = "en") -> None:
        self.alerts = Alerts("one", memory, lang)
        self.now_ms = NOW_MS
        self.wall_ms = 0  # by how much the wall clock is ahead of it
        self.mutes: list[Mute] = []
        self._make = make_status

    def look(self, seconds: int, **changes: Any) -> list[Message]:
        """The messages of this many seconds with a live state that differs from a healthy one in these fields."""
        found = []
        for _ in range(seconds):
            self.now_ms += 1000
            wall_ms = self.now_ms + self.wall_ms
            alive = {"written_ms": wall_ms, "writer_alive_ms": wall_ms, "newest_ts_ms": wall_ms - 1000}
            status = self._make(**alive | changes)
            found += self.alerts.update(status, check(status, wall_ms, LIMITS), self.now_ms, self.mutes)
        return found


@pytest.fixture
def watch(make_status: MakeStatus) -> Watch:
    """No alert is open."""
    return Watch(make_status)


def kinds(messages: list[Message]) -> list[tuple[Kind, str]]:
    return [(message.kind, message.code) for message in messages]


def test_a_finding_opens_once_and_closes_once(watch: Watch) -> None:
    """Sent after some seconds, with what to do; resolved after a minute without it; nothing in between."""
    assert watch.look(3, **KICKED) == []
    (opened,) = watch.look(200, **KICKED)
    assert (opened.kind, opened.title) == (Kind.WARNING, "[one] WARNING opend_kicked_out")
    assert "another login" in opened.body
    assert "since 2026-11-20 " in opened.body
    assert opened.body.endswith("\nnext: echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222")
    assert watch.look(59) == []
    (resolved,) = watch.look(200)
    assert (resolved.kind, resolved.code) == (Kind.RESOLVED, "opend_kicked_out")
    assert "it lasted 3 min" in resolved.body


def test_a_finding_that_changes_every_two_seconds_is_sent_once(watch: Watch) -> None:
    """An hour of two seconds on, two seconds off: one message, and one when it ends."""
    messages = []
    for _ in range(900):
        messages += watch.look(2, **KICKED) + watch.look(2)
    assert kinds(messages) == [(Kind.WARNING, "opend_kicked_out")]
    assert kinds(watch.look(120)) == [(Kind.RESOLVED, "opend_kicked_out")]


def test_a_second_outage_within_the_cooldown_is_reported(watch: Watch) -> None:
    """It was called resolved, so whoever heard of that hears at once that it is not; then it is over only after ten
    quiet minutes, and the last message says what holds at every moment.
    """
    assert kinds(watch.look(90, **KICKED) + watch.look(90)) == [(Kind.WARNING, KICK), (Kind.RESOLVED, KICK)]
    (again,) = watch.look(90, **KICKED)
    assert (again.kind, "came back" in again.body) == (Kind.WARNING, True)
    assert watch.look(590) == []
    (resolved,) = watch.look(30)
    assert resolved.kind is Kind.RESOLVED
    assert "it lasted 89 s" in resolved.body


def test_a_finding_that_changes_every_90_s_is_sent_every_half_hour(watch: Watch) -> None:
    """90 s on, 90 s off, for an hour: four messages, the last with the number of returns; then one when it is over."""
    messages = []
    for _ in range(20):
        messages += watch.look(90, **KICKED) + watch.look(90)
    warned, resolved = (Kind.WARNING, KICK), (Kind.RESOLVED, KICK)
    assert kinds(messages) == [warned, resolved, warned, warned]
    assert "it returned 10 times meanwhile" in messages[-1].body
    (over,) = watch.look(700)
    assert "it returned 8 times meanwhile" in over.body


def test_times_are_those_of_the_event(watch: Watch) -> None:
    """The connection was lost a minute before the critical message, which has that time and its own."""
    away_ms = NOW_MS + 1000
    messages = watch.look(90, connected=False, link_since_ms=away_ms, link_reason="refused")
    assert kinds(messages) == [(Kind.WARNING, "opend_away"), (Kind.CRITICAL, "opend_away")]
    assert "since 2026-11-20 10:00:01 HKT, as of 10:00:16" in messages[0].body
    assert "since 2026-11-20 10:00:01 HKT, worse than before (as of 10:01:02)" in messages[1].body
    (over,) = watch.look(90)
    assert "from 2026-11-20 10:00:01 HKT until 2026-11-20 10:01:30 HKT" in over.body


def test_times_follow_the_wall_clock_that_was_set(watch: Watch) -> None:
    """A clock that was wrong at the start and was set later: times are right, durations are not affected."""
    watch.wall_ms = 3_600_000
    (told,) = watch.look(30, **KICKED)
    assert "since 2026-11-20 11:00:01 HKT" in told.body


def test_growing_losses_are_sent_again_at_growing_intervals(watch: Watch) -> None:
    """Each message has the present number; an hour of losses is a few messages."""
    lost: dict[str, Any] = {"gaps_lost_lately": 1, "ticks_lost_lately": 12}
    assert kinds(watch.look(300, ticks_lost=12, **lost)) == [(Kind.WARNING, "gaps_lost")]
    (more,) = watch.look(60, ticks_lost=500, **lost | {"gaps_lost_lately": 2, "ticks_lost_lately": 500})
    assert "500 ticks" in more.body
    assert "more than before" in more.body
    messages = []
    for minute in range(60):
        growing = lost | {"ticks_lost_lately": minute + 501, "ticks_lost": minute + 501}
        messages += watch.look(60, **growing)
    assert 5 <= len(messages) <= 10
    assert watch.look(800, ticks_lost=560, **lost) == [] or "560" not in messages[-1].body


def test_losses_after_a_restart_are_sent(watch: Watch, make_status: MakeStatus) -> None:
    """The count starts again with the service: a smaller loss is a new loss; none is none."""
    lost: dict[str, Any] = {"gaps_lost_lately": 1}
    assert len(watch.look(60, ticks_lost=1388, **lost)) == 1
    after = Watch(make_status, Memory.from_json(watch.alerts.memory.to_json()))
    after.now_ms = watch.now_ms + 20_000
    assert after.look(100, ticks_lost=0, **lost) == []
    assert kinds(after.look(10, ticks_lost=7, **lost)) == [(Kind.WARNING, "gaps_lost")]


@pytest.mark.parametrize(("budget_s", "critical_after_s"), [(17.0, 18), (90.0, 91), (4000.0, 301), (None, 301)])
def test_kicked_out_is_critical_once_the_outage_budget_is_used_up(
    watch: Watch, budget_s: float | None, critical_after_s: int
) -> None:
    """From then on ticks are lost. Five minutes are the most, also if the budget is not known."""
    kicked = KICKED | {"trouble_since_ms": {"kicked_out": NOW_MS}, "last_tick_ms": NOW_MS, "outage_budget_s": budget_s}
    kicked |= {"ticks_expected_since_ms": NOW_MS - 1_800_000}
    assert kinds(watch.look(critical_after_s - 1, **kicked)) == [(Kind.WARNING, KICK)]
    assert kinds(watch.look(1, **kicked)) == [(Kind.CRITICAL, KICK)]
    assert watch.look(300, **kicked) == []


def test_kicked_out_at_night_stays_a_warning(watch: Watch) -> None:
    """No tick is lost while the market is closed."""
    night = {"trading": False, "market_state": "closed", "trading_since_ms": None, "newest_ts_ms": NOW_MS}
    kicked = KICKED | {"trouble_since_ms": {"kicked_out": NOW_MS}, "outage_budget_s": 17.0}
    assert kinds(watch.look(900, **night, **kicked)) == [(Kind.WARNING, KICK)]


def test_messages_are_in_the_operators_language(make_status: MakeStatus) -> None:
    """OPERATOR_LANG=zh-Hant: title, text, time and next step in Chinese; commands and OpenD's text unchanged."""
    watch = Watch(make_status, lang=CHINESE)
    (told,) = watch.look(30, **KICKED)
    assert told.title == "[one] 警告 opend_kicked_out"
    assert told.body.startswith("OpenD 回報：同一帳戶的另一終端取得了行情")
    assert told.body.partition("\n")[0].endswith("，another login；此命令取回行情，毋須重啟 OpenD")
    assert "由 2026-11-20 10:00:01 HKT 起，截至 10:00:06" in told.body
    assert "下一步：" in told.body
    (over,) = watch.look(100)
    assert over.title == "[one] 已恢復 opend_kicked_out"
    assert "持續 29 秒，由 2026-11-20 10:00:01 HKT 至 2026-11-20 10:00:30 HKT" in over.body


def test_a_short_finding_is_not_sent(watch: Watch) -> None:
    """A finding that lasts one second every two minutes sends no message."""
    messages = []
    for _ in range(30):
        messages += watch.look(1, **KICKED) + watch.look(119)
    assert messages == []


def test_it_is_sent_again_while_it_stays_open(watch: Watch) -> None:
    """A critical one every half hour, a warning every six hours."""
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
def test_findings_of_section_6_of_the_runbook_are_critical(watch: Watch, changes: dict[str, Any], code: str) -> None:
    """Each is sent as a critical message that says what to do."""
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
def test_other_findings_stay_warnings(watch: Watch, changes: dict[str, Any], code: str) -> None:
    """However long it lasts, and whatever `status` calls it."""
    assert kinds(watch.look(1200, **changes)) == [(Kind.WARNING, code)]


def test_no_tick_since_the_open(watch: Watch) -> None:
    """The market trades and no ticks come: a warning after a minute, with that text; critical after five."""
    yesterday_ms = NOW_MS - 60_000_000
    messages = watch.look(400, trading_since_ms=NOW_MS, newest_ts_ms=yesterday_ms)
    assert kinds(messages) == [(Kind.WARNING, "lag"), (Kind.CRITICAL, "lag")]
    assert "no tick since the market began to trade" in messages[0].body
    assert "worse than before" in messages[1].body


def test_a_lag_that_shrinks_is_no_more_than_a_warning(watch: Watch) -> None:
    """After an outage the newest tick comes nearer every second: no critical alert."""
    messages = []
    for second in range(150):
        newest_ms = watch.now_ms - 600_000 + second * 3000
        messages += watch.look(1, newest_ts_ms=newest_ms)
    assert kinds(messages) == [(Kind.WARNING, "lag")]


def test_a_repeated_stall_is_critical_also_across_a_restart(watch: Watch, make_status: MakeStatus) -> None:
    """One is a warning; a second one within half an hour is critical, even if the service was restarted in between."""
    assert kinds(watch.look(60, stalls=1, waiting=900)) == [(Kind.WARNING, "persistent_stall")]
    after = Watch(make_status, Memory.from_json(watch.alerts.memory.to_json()))
    after.now_ms = watch.now_ms + 20_000
    assert kinds(after.look(60, stalls=1, waiting=900)) == [(Kind.CRITICAL, "persistent_stall")]


def test_an_old_stall_is_resolved(watch: Watch) -> None:
    """The counter remains and rows always wait for a moment: half an hour after the last stall it is resolved."""
    watch.look(60, stalls=1, waiting=900)
    assert kinds(watch.look(2400, stalls=1, waiting=3)) == [(Kind.RESOLVED, "persistent_stall")]


def test_an_open_finding_is_not_sent_again_after_a_restart(watch: Watch, make_status: MakeStatus) -> None:
    """The record is kept: the same finding is not sent again, its end is."""
    assert len(watch.look(60, **KICKED)) == 1
    after = Watch(make_status, Memory.from_json(watch.alerts.memory.to_json()))
    after.now_ms = watch.now_ms + 3_600_000
    assert after.look(10) == []
    assert after.look(300, **KICKED) == []
    assert kinds(after.look(100)) == [(Kind.RESOLVED, "opend_kicked_out")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"open": {"a": {"x": 1}}, "stalls_ms": [], "digest_day": ""}'])
def test_an_invalid_record_is_refused(text: str) -> None:
    """With an error that the caller expects, and no other."""
    with pytest.raises(ValueError, match=r"Expecting|saved state"):
        Memory.from_json(text)


def test_a_critical_finding_is_alerted_even_without_a_rule() -> None:
    """A new kind of finding is not forgotten; one that is only listed is not alerted."""
    assert rule_of(Finding("brand_new", Severity.CRITICAL, "", ""))
    assert rule_of(Finding("brand_new", Severity.WARNING, "", "")) is None
    assert rule_of(Finding("opend_away", Severity.WARNING, "", "")) is OPEND_AWAY.alert
    assert rule_of(Finding("opend_kicked_out", Severity.CRITICAL, "", "")) is TOLD


def test_the_start_does_not_count_for_a_later_outage(watch: Watch) -> None:
    """The second before the first connection does not count: a later outage has its own start, delay and length."""
    started_ms = NOW_MS
    begin = {"started_ms": started_ms, "connected": False, "link_reason": "connecting", "link_since_ms": started_ms}
    assert watch.look(2, **begin) == []
    assert watch.look(45, started_ms=started_ms) == []
    since_ms = watch.now_ms + 1000
    away = {**begin, "link_reason": "refused", "link_since_ms": since_ms}
    assert watch.look(15, **away) == []
    (opened,) = watch.look(15, **away)
    assert f"since 2026-11-20 {market.hkt(since_ms):%H:%M:%S}" in opened.body
    (resolved,) = watch.look(100, started_ms=started_ms)
    assert "it lasted 29 s" in resolved.body


def test_repeated_short_outages_are_sent(watch: Watch) -> None:
    """Ten seconds without a connection, ten seconds with one, each an event of its own: together they are sent."""
    told = []
    for _ in range(4):
        since_ms = watch.now_ms + 1000
        away = {"started_ms": NOW_MS - 3_600_000, "connected": False, "link_reason": "x", "link_since_ms": since_ms}
        told += watch.look(10, **away) + watch.look(10, started_ms=NOW_MS - 3_600_000)
    assert (Kind.WARNING, "opend_away") in kinds(told)


@pytest.mark.parametrize("code", ["lag", "no_ticks_stored", "backfill_failing"])
def test_a_restart_without_a_tick_does_not_resolve_a_lag(make_status: MakeStatus, code: str) -> None:
    """Sent before the restart, and no tick since: it is not resolved; the first ticks resolve it."""
    told = Open(NOW_MS - 90_000, NOW_MS - 1000, NOW_MS - 1000, held_ms=60_000, told=2, told_ms=NOW_MS - 60_000)
    watch = Watch(make_status, Memory({code: told}, []))
    assert (Kind.RESOLVED, code) not in kinds(watch.look(300, last_tick_ms=None, newest_ts_ms=None))
    assert (Kind.RESOLVED, code) in kinds(watch.look(100, last_tick_ms=NOW_MS))


def test_a_mute_withholds_and_forgets_nothing(watch: Watch) -> None:
    """While it lasts nothing is sent; then what is open is sent as open, with the time at which it began."""
    watch.mutes = [Mute(KICK, NOW_MS, NOW_MS + 3_600_000, "duty")]
    assert watch.look(120, **KICKED) == []
    assert watch.alerts.memory.open[KICK].held_ms > 100_000
    watch.mutes = []
    (opened,) = watch.look(60, **KICKED)
    assert (opened.kind, opened.code) == (Kind.WARNING, KICK)
    assert f"since {market.hkt(NOW_MS + 1000):%Y-%m-%d %H:%M:%S}" in opened.body


def test_a_finding_that_ends_while_it_is_muted_is_resolved_afterwards(watch: Watch) -> None:
    """The last message is always the present state; the end has the time at which it ended."""
    watch.look(60, **KICKED)
    watch.mutes = [Mute(EVERYTHING, NOW_MS, NOW_MS + 3_600_000, "duty")]
    assert watch.look(600) == []
    watch.mutes = []
    (resolved,) = watch.look(60)
    assert (resolved.kind, resolved.code) == (Kind.RESOLVED, KICK)
    assert "it lasted 59 s" in resolved.body


def test_a_mute_of_another_finding_withholds_nothing(watch: Watch) -> None:
    """Only its own."""
    watch.mutes = [Mute("lag", NOW_MS, NOW_MS + 3_600_000, "duty")]
    assert kinds(watch.look(60, **KICKED)) == [(Kind.WARNING, KICK)]


def test_a_finding_that_nobody_was_told_of_is_forgotten(watch: Watch) -> None:
    """It opened and ended while it was muted: no message about it ever."""
    watch.mutes = [Mute(KICK, NOW_MS, NOW_MS + 3_600_000, "duty")]
    assert watch.look(120, **KICKED) + watch.look(300) == []
    watch.mutes = []
    assert watch.look(300) == []


def test_a_clock_that_was_ahead_in_an_earlier_run_withholds_nothing(make_status: MakeStatus) -> None:
    """What it saved lies in the future: reminders, findings that become critical and stalls count as of now."""
    ahead_ms = NOW_MS + 8 * 3_600_000
    seen = Open(ahead_ms, ahead_ms, ahead_ms, held_ms=60_000, critical_ms=ahead_ms)
    told = replace(seen, told=2, told_ms=ahead_ms)
    watch = Watch(make_status, Memory({"writer_disk_full": told}, [ahead_ms]))
    full = {"writer_trouble": "disk_full", "writer_trouble_since_ms": NOW_MS}
    (reminder,) = watch.look(1900, **full)
    assert (reminder.kind, reminder.code) == (Kind.CRITICAL, "writer_disk_full")
    watch = Watch(make_status, Memory({"opend_not_ready": seen}, []))
    assert kinds(watch.look(400, program="needs_sms_code"))[-1] == (Kind.CRITICAL, "opend_not_ready")
    watch = Watch(make_status, Memory({}, [ahead_ms]))
    (stall,) = watch.look(60, stalls=1, stalls_lately=1, waiting=900)
    assert (stall.kind, stall.code) == (Kind.WARNING, "persistent_stall")
    assert "(1 stall within half an hour, restarts included)" in stall.body
