"""Findings: real problems are found, named and have a remedy; harmless states have no finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.model import Reconciled
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.health import Limits, Severity, check, check_totals, lag_s, summary

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

NOW_MS: Final = 1_795_140_000_000
LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=2048, queue_warn_rows=50_000)
MINUTE: Final = 60_000

OK, WARNING, CRITICAL = Severity.OK, Severity.WARNING, Severity.CRITICAL


def test_a_healthy_service_has_no_finding(make_status: MakeStatus) -> None:
    """One line, exit code 0."""
    findings = check(make_status(), NOW_MS, LIMITS)
    assert findings == []
    severity, line = summary(findings)
    assert severity == OK == 0
    assert line.startswith("OK")


@pytest.mark.parametrize(
    ("away_s", "kind", "state", "is_losing"),
    [
        (20, "whole", "morning", False),
        (40, "whole", "morning", True),
        (40, "", "unknown", True),
        (40, "whole", "waiting_open", True),  # it was lost before the open
        (40, "holiday", "closed", False),
    ],
)
def test_an_outage_says_when_it_costs_ticks(
    make_status: MakeStatus, away_s: int, kind: str, state: str, is_losing: bool
) -> None:
    """In trading hours, from the moment at which OpenD no longer keeps all ticks of the busiest symbol.

    As the collector writes it: without a connection `trading` is False, and the state is the last one reported.
    """
    away: dict[str, Any] = {"connected": False, "link_since_ms": NOW_MS - away_s * 1000, "link_reason": "refused"}
    live = make_status(**away, outage_budget_s=30, trading=False, market_state=state, day_kind=kind)
    (found,) = [finding for finding in check(live, NOW_MS, LIMITS) if finding.code == "opend_away"]
    assert ("ticks are being lost" in found.text) == is_losing
    assert found.text.endswith(": refused")


@pytest.mark.parametrize(
    ("since_ms", "started_ms", "is_first"),
    [(None, NOW_MS - 2_000, True), (None, NOW_MS - 2 * MINUTE, False), (NOW_MS - 1_000, NOW_MS - 2_000, False)],
)
def test_nobody_restarts_opend_before_the_first_attempt_has_failed(
    make_status: MakeStatus, since_ms: int | None, started_ms: int, is_first: bool
) -> None:
    """While the collector starts, the remedy only shows its log; an attempt that failed or lasts has the usual one."""
    live = make_status(connected=False, link_since_ms=since_ms, link_reason="starting", started_ms=started_ms)
    (found,) = [finding for finding in check(live, NOW_MS, LIMITS) if finding.code == "opend_away"]
    assert found.text.endswith("; this is the first attempt since the collector started") == is_first
    assert ("restart" not in found.remedy) == is_first


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"state": "stopped"}, "service_stopped", CRITICAL),
        ({"written_ms": NOW_MS - 11_000}, "service_hung", CRITICAL),
        ({"written_ms": NOW_MS + 60 * MINUTE}, "service_hung", CRITICAL),
        ({"connected": False, "link_since_ms": NOW_MS - 5_000, "link_reason": "refused"}, "opend_away", WARNING),
        ({"connected": False, "link_since_ms": NOW_MS - 2 * MINUTE, "link_reason": "refused"}, "opend_away", CRITICAL),
        ({"trouble": {"kicked_out": "another login"}}, "opend_kicked_out", CRITICAL),
        ({"quote_logged_in": False}, "opend_not_ready", CRITICAL),
        ({"program": "needs_sms_code"}, "opend_not_ready", CRITICAL),
        ({"subscribed": 0}, "not_subscribed", WARNING),
        ({"subscribed": 0, "refused": {"HK.00005": "no quota"}}, "not_subscribed", CRITICAL),
        ({"subscribed": 9, "refused": {"HK.00005": "no quota"}}, "symbols_refused", WARNING),
        ({"bad_symbols": ["/etc/hk.txt:3: 'x' is not a valid symbol"]}, "bad_symbols", WARNING),
        ({"writer_trouble": "busy", "writer_trouble_since_ms": NOW_MS - 5_000}, "writer_busy", WARNING),
        ({"writer_trouble": "busy", "writer_trouble_since_ms": NOW_MS - 2 * MINUTE}, "writer_busy", CRITICAL),
        ({"writer_trouble": "disk_full", "writer_trouble_since_ms": NOW_MS}, "writer_disk_full", CRITICAL),
        ({"writer_alive_ms": NOW_MS - MINUTE}, "writer_stuck", CRITICAL),
        ({"drift_s": -3.0}, "clock_drift", WARNING),
        ({"newest_ts_ms": NOW_MS - 2 * MINUTE}, "lag", WARNING),
        ({"newest_ts_ms": NOW_MS - 6 * MINUTE}, "lag", CRITICAL),
        ({"waiting": 60_000}, "queue", WARNING),
        ({"dropped": 1, "dropped_lately": 1}, "dropped", WARNING),
        ({"rejected": 1, "rejected_lately": 1}, "rejected", WARNING),
        ({"sealed_day_backfill": 60_000, "sealed_day_backfill_lately": 60_000}, "sealed_day_backfill", WARNING),
        ({"conflicts": 9, "conflicts_lately": 9, "conflicts_most": "HK.00002"}, "conflict", WARNING),
        ({"no_sequence": 9, "no_sequence_lately": 9, "no_sequence_most": "HK.00002"}, "no_sequence", WARNING),
        ({"sealed_day": 1, "sealed_day_lately": 1, "persisted_rows_per_min": 9}, "sealed_day", WARNING),
        ({"sealed_day": 1, "sealed_day_lately": 1, "persisted_rows_per_min": 0}, "sealed_day", CRITICAL),
        ({"rejected_lately": 9, "future_date_lately": 9, "persisted_rows_per_min": 9}, "future_date", WARNING),
        ({"rejected_lately": 9, "future_date_lately": 9, "persisted_rows_per_min": 0}, "future_date", CRITICAL),
        ({"gaps_open": 2, "gaps_healing": 2}, "gaps_healing", WARNING),
        ({"gaps_open": 2, "gaps_lost_lately": 2}, "gaps_lost", WARNING),
        (
            {"backfill_failing_ms": {"HK.1": NOW_MS - MINUTE}, "backfill_failed_ms": {"HK.1": NOW_MS}},
            "backfill_failing",
            WARNING,
        ),
        ({"unplanned_ms": [NOW_MS - MINUTE, NOW_MS]}, "restarts", WARNING),
        ({"unplanned_ms": [NOW_MS - n * MINUTE for n in (50, 40, 30, 20, 0)]}, "restarts", CRITICAL),
        ({"spooled": 5, "waiting": 5}, "spooling", WARNING),
        ({"stalls": 1, "waiting": 5, "last_commit_ms": NOW_MS - MINUTE}, "persistent_stall", CRITICAL),
        ({"stalls": 1, "stalls_lately": 1, "waiting": 5}, "persistent_stall", WARNING),
        ({"stalls": 2, "stalls_lately": 2}, "persistent_stall", CRITICAL),
        ({"damaged_files": ["20261120.db.damaged-20261120T013000Z"]}, "day_damaged", WARNING),
        ({"gone_files": ["/data/sqlite/HK/20261120.db"]}, "day_gone", WARNING),
        ({"wal_bytes": 2**30}, "wal_large", WARNING),
        ({"wal_bytes": 65 * 2**20, "wal_autocheckpoint_bytes": 2**20}, "wal_large", WARNING),
        ({"wal_bytes": 260 * 2**20, "wal_autocheckpoint_bytes": 16 * 2**20}, "wal_large", WARNING),
        ({"disk_free_mb": 2000}, "disk", WARNING),
        ({"disk_free_mb": 100}, "disk", CRITICAL),
        ({"disk_wait_s": 3.0, "disk_wait_max_s": 3.0}, "writer_slow_disk", WARNING),
        ({"disk_wait_s": 30.0, "writer_alive_ms": NOW_MS - MINUTE}, "writer_slow_disk", CRITICAL),
        ({"disk_wait_max_s": 3.0, "disk_waits": 1}, "writer_slow_disk", WARNING),
        ({"disk_wait_max_s": 0.9, "disk_waits": 3}, "writer_slow_disk", WARNING),
        ({"disk_wait_max_s": 3.0, "writer_alive_ms": NOW_MS - MINUTE}, "writer_stuck", CRITICAL),
        ({"link_breaks_lately": 3, "link_break_reason": "reset by peer"}, "link_unstable", WARNING),
        ({"link_breaks_lately": 1, "protocol_errors_lately": 1, "protocol_error": "SHA-1"}, "bad_messages", WARNING),
        ({"skipped_messages_lately": 2, "skipped_message": "9999"}, "messages_skipped", WARNING),
        ({"pushes_stopped_lately": 2, "pushes_stopped_first": "HK.00005"}, "pushes_stopped", WARNING),
        ({"copy_path": "/data/x.db", "copy_since_ms": NOW_MS - MINUTE}, "copy_too_slow", WARNING),
        ({"descriptors": 820, "descriptors_limit": 1024}, "descriptors", WARNING),
        ({"descriptors": 1024, "descriptors_limit": 1024}, "descriptors", CRITICAL),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_problem_gives_its_own_finding(
    make_status: MakeStatus, changes: dict[str, Any], code: str, severity: Severity
) -> None:
    """Each problem alone gives exactly its finding, with text, remedy, and the exit code of its severity."""
    (finding,) = check(make_status(**changes), NOW_MS, LIMITS)
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.text
    assert finding.remedy or code == "sealed_day_backfill"
    told, line = summary([finding])
    assert told == severity
    assert line.count("\n") == 0
    assert finding.remedy in line


@pytest.mark.parametrize(
    "changes",
    [
        {"link_breaks_lately": 2, "link_break_ms": NOW_MS - MINUTE, "link_break_reason": "OpenD closed the connection"},
        {"connects": 9, "protocol_error": "SHA-1", "skipped_messages": 9, "skipped_message": "9999"},
        {"disk_wait_s": 0.9, "disk_wait_max_s": 0.9, "disk_waits": 2},
        {"descriptors": 30, "descriptors_limit": 1024},
        {"descriptors": None},
        {"unplanned_ms": [NOW_MS - MINUTE]},
        {"unplanned_ms": [NOW_MS - n * MINUTE for n in (62, 61, 1)]},
        {"backfill_failing_ms": {"HK.1": NOW_MS - 50_000}, "backfill_failed_ms": {"HK.1": NOW_MS}},
        {"backfill_failing_ms": {"HK.1": NOW_MS - 9 * MINUTE}, "backfill_failed_ms": {"HK.1": NOW_MS - 9 * MINUTE}},
    ],
    ids=[
        "came back",
        "long ago",
        "a slow second",
        "descriptors to spare",
        "descriptors unknown",
        "one restart",
        "restarts an hour ago",
        "not yet a minute",
        "one failure, not needed again",
    ],
)
def test_past_or_normal_events_are_no_finding(make_status: MakeStatus, changes: dict[str, Any]) -> None:
    """A connection that is back, an event older than a quarter of an hour, a disk that is slow for a moment."""
    assert check(make_status(**changes), NOW_MS, LIMITS) == []


@pytest.mark.parametrize(
    ("drift_s", "text", "zh"),
    [
        (129.6, "129.6 s ahead of OpenD's", "比 OpenD 快 129.6 秒"),
        (-3600.0, "3,600.0 s behind OpenD's", "比 OpenD 慢 3,600.0 秒"),
    ],
)
def test_a_wrong_clock_says_which_way(make_status: MakeStatus, drift_s: float, text: str, zh: str) -> None:
    """A sign alone leaves open whose clock is ahead."""
    [found] = [each for each in check(make_status(drift_s=drift_s), NOW_MS, LIMITS) if each.code == "clock_drift"]
    assert text in found.text
    assert zh in found.zh


def test_no_pushes_at_all_are_told_from_a_few_that_stopped(make_status: MakeStatus) -> None:
    """All symbols subscribed, none pushed: the account's right is the likely cause, and the command takes it back."""
    silent = {"pushes_stopped_lately": 8, "pushes_stopped_first": "HK.00005", "symbols": 8, "subscribed": 8}
    silent |= {"trading": True, "link_since_ms": NOW_MS - 90_000, "last_tick_ms": None}
    for changes, is_all in (
        ({}, True),
        ({"last_tick_ms": NOW_MS - 60_000}, True),
        ({"last_tick_ms": NOW_MS - 900}, False),  # pushes came back
        ({"pushes_stopped_lately": 7}, False),
        ({"link_since_ms": NOW_MS - 9_000}, False),  # not known yet
        ({"trading": False}, False),
    ):
        status = make_status(**{**silent, **changes})
        [found] = [each for each in check(status, NOW_MS, LIMITS) if each.code == "pushes_stopped"]
        assert ("everything that is subscribed, 8 symbols, and pushes none" in found.text) is is_all, changes
        assert ("request_highest_quote_right" in found.remedy) is is_all, changes


@pytest.mark.parametrize(("slow", "remedy"), [(0, ""), (2, ""), (3, remedies.SLOW_DISK)])
def test_a_disk_that_was_frozen_needs_no_command(make_status: MakeStatus, slow: int, remedy: str) -> None:
    """For a minute after the thaw: it was frozen, it writes again. A disk that is still slow has to be looked at."""
    waits = {"disk_wait_max_s": 40.0, "disk_waits": 40 + slow, "disk_waits_frozen": 40}
    (finding,) = check(make_status(**waits), NOW_MS, LIMITS)
    assert (finding.code, finding.remedy) == ("writer_slow_disk", remedy)
    assert ("was frozen" in finding.text, "曾被凍結" in finding.zh) == (not remedy, not remedy)


def test_recent_events_are_named(make_status: MakeStatus) -> None:
    """The reason of the last break, the last message, the first symbol; without a connection its hint is the remedy."""
    lately = {"link_breaks_lately": 4, "link_break_reason": "reset by peer", "protocol_errors_lately": 1}
    lately |= {"protocol_error": "SHA-1 of 3011", "skipped_messages_lately": 2, "skipped_message": "9999, no request"}
    lately |= {"pushes_stopped_lately": 2, "pushes_stopped_first": "HK.00005"}
    texts = {finding.code: finding.text for finding in check(make_status(**lately), NOW_MS, LIMITS)}
    assert "4 times in the last 15 minutes, most recently: reset by peer" in texts["link_unstable"]
    assert "once in the last 15 minutes, most recently: SHA-1 of 3011" in texts["bad_messages"]
    assert "2 unknown messages" in texts["messages_skipped"]
    assert "9999, no request" in texts["messages_skipped"]
    assert "2 symbols in the last 15 minutes, HK.00005 first: subscribed again" in texts["pushes_stopped"]
    away = make_status(
        connected=False, link_since_ms=NOW_MS, link_reason="got HTTP", link_hint="check FUTU_PORT", **lately
    )
    findings = {finding.code: finding for finding in check(away, NOW_MS, LIMITS)}
    assert findings.keys() == {"opend_away", "messages_skipped", "pushes_stopped"}
    assert "got HTTP; check FUTU_PORT" in findings["opend_away"].text
    assert findings["opend_away"].remedy.startswith("sudo systemctl status futu-opend")


def test_without_a_live_state_the_result_is_critical() -> None:
    """Without a status file the result is critical: no collector runs."""
    (finding,) = check(None, NOW_MS, LIMITS)
    assert (finding.code, finding.severity) == ("service_down", CRITICAL)


@pytest.mark.parametrize(
    "changes",
    [
        {"trading": False, "market_state": "rest", "newest_ts_ms": NOW_MS - 60 * MINUTE},
        {"trading": False, "market_state": "closed", "newest_ts_ms": NOW_MS - 3 * 1440 * MINUTE},
        {"trading_since_ms": NOW_MS - 10_000, "newest_ts_ms": NOW_MS - 90 * MINUTE},
        {"newest_ts_ms": None, "trading_since_ms": NOW_MS - 10_000},
        {"newest_ts_ms": NOW_MS + 5_000},
    ],
    ids=["lunch", "weekend", "just opened", "first day", "exchange ahead"],
)
def test_silence_outside_trading_is_no_lag(make_status: MakeStatus, changes: dict[str, Any]) -> None:
    """Lag is judged only while OpenD reports that the market trades, from the start of the session."""
    assert check(make_status(**changes), NOW_MS, LIMITS) == []


def test_a_wrong_clock_is_reported_once_and_makes_no_lag(make_status: MakeStatus) -> None:
    """A host one hour ahead of OpenD has a clock finding, not a lag of one hour."""
    status = make_status(drift_s=3600.0, newest_ts_ms=NOW_MS - 3_601_000, trading_since_ms=NOW_MS - 2 * 3_600_000)
    assert len(check(status, NOW_MS, LIMITS)) == 1


def test_the_worst_comes_first_and_the_others_are_counted(make_status: MakeStatus) -> None:
    """The first line is about the worst finding, and says that there are more."""
    findings = check(make_status(dropped_lately=3, disk_free_mb=100, waiting=60_000), NOW_MS, LIMITS)
    assert findings[0].code == "disk"
    assert [finding.severity for finding in findings] == [CRITICAL, WARNING, WARNING]
    assert "and 2 more" in summary(findings)[1]


def test_lag_is_now_minus_the_newest_stored(make_status: MakeStatus) -> None:
    """In seconds; None before the first tick."""
    assert lag_s(make_status(newest_ts_ms=NOW_MS - 1_500), NOW_MS) == 1.5
    assert lag_s(make_status(newest_ts_ms=None), NOW_MS) is None


@pytest.mark.parametrize(("wal_mb", "checkpoint_mb"), [(60, 1), (200, 16), (1000, 100)])
def test_a_wal_that_waits_for_its_checkpoint_is_no_finding(
    make_status: MakeStatus, wal_mb: int, checkpoint_mb: int
) -> None:
    """The limit depends on when the WAL is reused; one large transaction of a backlog does not mean a reader."""
    status = make_status(wal_bytes=wal_mb * 2**20, wal_autocheckpoint_bytes=checkpoint_mb * 2**20)
    assert check(status, NOW_MS, LIMITS) == []


@pytest.mark.parametrize(
    ("gaps", "unknown", "words"),
    [
        (1, 0, "95 ticks in 1 gap are lost"),
        (14, 12, "95 ticks in 2 gaps and an unknown number in 12 gaps are lost"),
        (1, 1, "an unknown number of ticks in 1 gap are lost"),
    ],
)
def test_a_gap_of_unknown_size_is_not_shown_as_one_tick(
    make_status: MakeStatus, gaps: int, unknown: int, words: str
) -> None:
    """The finding says how many ticks are known to be lost, and in how many gaps the number is unknown."""
    ticks = 95 if gaps > unknown else 0
    status = make_status(gaps_lost_lately=gaps, unknown_gaps_lost_lately=unknown, ticks_lost_lately=ticks)
    (found,) = [finding for finding in check(status, NOW_MS, LIMITS) if finding.code == "gaps_lost"]
    assert found.text.startswith(words)


def test_old_losses_are_no_findings(make_status: MakeStatus) -> None:
    """After a quarter of an hour they are listed without a warning: a start at 14:00 is not a warning all day."""
    status = make_status(dropped=9, rejected=9, sealed_day=5, gaps_open=3, gaps_missing=500)
    assert check(status, NOW_MS, LIMITS) == []


@pytest.mark.parametrize(
    "kind",
    [
        *("loaded", "logging_in", "needs_captcha", "needs_sms_code", "login_failed", "needs_update", "preparing"),
        *("data_missing", "disclaimer_not_agreed", "forced_logout", "disclaimer_unavailable"),
    ],
)
def test_every_state_of_opend_has_its_remedy(make_status: MakeStatus, kind: str) -> None:
    """In an answer or in a notice: the operator reads the same text with a specific remedy."""
    (answered,) = check(make_status(program=kind), NOW_MS, LIMITS)
    (told,) = check(make_status(trouble={f"program_{kind}": ""}), NOW_MS, LIMITS)
    assert answered.remedy == told.remedy
    assert "status futu-opend" not in answered.remedy


def test_kicked_out_has_one_remedy(make_status: MakeStatus) -> None:
    """While another terminal has the quotes no remedy restarts OpenD, and the time since when is shown."""
    silent = {"quote_logged_in": False, "newest_ts_ms": NOW_MS - 9 * MINUTE, "last_tick_ms": NOW_MS - 9 * MINUTE}
    kicked = {"trouble": {"kicked_out": ""}, "trouble_since_ms": {"kicked_out": NOW_MS - 9 * MINUTE}}
    findings = check(make_status(**silent, **kicked), NOW_MS, LIMITS)
    assert [finding.code for finding in findings] == ["opend_kicked_out", "lag"]
    assert not any("restart futu-opend" in f"{finding.text} {finding.remedy}" for finding in findings)
    assert findings[0].text.startswith("OpenD reports: kicked out since 09:51:00 HKT; another terminal")


@pytest.mark.parametrize(
    "kind",
    [
        *("config_load_failed", "api_server_failed", "needs_update", "login_failed", "disclaimer_not_agreed"),
        *("network_config_missing", "kicked_out", "password_changed", "login_banned", "needs_captcha"),
        *("needs_sms_code", "app_data_missing", "data_missing", "trade_password_changed", "device_lock_enabled"),
        *("quote_link_lost", "quote_right_bmp", "quote_right_none"),
    ],
)
def test_every_notice_has_its_remedy(make_status: MakeStatus, kind: str) -> None:
    """Every notice that matters is critical, has a name and a remedy of its own."""
    (finding,) = check(make_status(trouble={kind: ""}), NOW_MS, LIMITS)
    assert (finding.code, finding.severity) == (f"opend_{kind}", CRITICAL)
    assert "status futu-opend" not in finding.remedy


def test_unexplained_totals_are_a_warning() -> None:
    """How many symbols differ, and the worst; explained differences, or a day not yet compared, are no finding."""
    same = Reconciled("close", "HK.00005", NOW_MS, 100, 1.0, 0, 0.0, 0, 0.0, 100, 1.0, "match")
    gap = same._replace(symbol="HK.00388", official_volume=9000, explained="gap")
    small = same._replace(symbol="HK.00700", official_volume=90, explained="unexplained")
    large = small._replace(symbol="HK.09988", official_volume=2300)
    assert check_totals([]) == check_totals([same, gap]) == []
    (finding,) = check_totals([same, gap, small, large])
    assert (finding.code, finding.severity) == ("totals_differ", WARNING)
    assert "2 of 4 symbols" in finding.text
    assert "HK.09988 by 2,200 shares" in finding.text


def test_a_conflict_names_its_symbol_and_how_many(make_status: MakeStatus) -> None:
    """The command shows the ticks of the symbol with the most."""
    status = make_status(
        conflicts=12,
        conflicts_lately=11,
        conflicts_symbols=2,
        conflicts_most="HK.00003",
        conflicts_most_ticks=10,
    )
    (finding,) = (each for each in check(status, NOW_MS, LIMITS) if each.code == "conflict")
    assert "11 ticks" in finding.text
    assert "HK.00003 most: 10" in finding.text
    assert finding.remedy.endswith("grep 'tick_rejected cause=conflict' | grep HK.00003 | tail -n 10")


ASIDE: Final = 'd={db}.aside-$(date +%H%M%S); sudo mkdir "$d"'


def test_files_of_the_predecessor_name_the_command(make_status: MakeStatus) -> None:
    """One finding for all earlier days, and one for a renamed file that cannot be imported now."""
    name = "20261120.db.predecessor-20261120T013000Z.not-imported"
    status = make_status(
        predecessor_days=["20261117", "20261118", "20261119"],
        predecessor_files={name: "it is open in process 7", "20261119.db.predecessor-1Z.not-imported": ""},
    )
    waiting, days = check(status, NOW_MS, LIMITS)
    assert waiting.code == "predecessor_file"
    assert waiting.text.endswith("is not imported: it is open in process 7")
    assert waiting.remedy == f"sudo hk-tick-collector import {status.data_root}/{name}"
    assert days.text.startswith("3 day files, 20261117 to 20261119, belong to the predecessor")
    assert days.remedy == f"sudo hk-tick-collector import {status.data_root}"
    assert {waiting.severity.name, days.severity.name} == {"WARNING"}


def test_a_running_import_is_shown_and_is_no_finding(make_status: MakeStatus) -> None:
    """The file, the progress, and that it ends by itself: the first line stays OK."""
    name = "20261120.db.predecessor-20261120T013000Z.not-imported"
    under_way: dict[str, Any] = {"importing": name, "importing_rows": 1_200_000, "predecessor_files": {name: ""}}
    for done, checked, words in (
        (300_000, 0, "300,000 of 1,200,000 rows so far"),
        (1_200_000, 40_000, "all rows are imported, 40,000 of 1,200,000 are checked"),
    ):
        status = make_status(**under_way, importing_done=done, importing_checked=checked)
        (finding,) = check(status, NOW_MS, LIMITS)
        assert (finding.code, finding.severity.name, finding.remedy) == ("day_being_imported", "OK", "")
        assert finding.text.startswith(f"20261120 is being imported from the predecessor's file: {words}")
        assert summary([finding])[0].name == "OK"


@pytest.mark.parametrize(
    ("day", "severity"), [("20261119", "WARNING"), ("20261120", "CRITICAL"), ("20261121", "WARNING")]
)
@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        (
            "foreign_file",
            f'{ASIDE}; for f in {{db}}{{-journal,-wal,-shm,}}; do [ ! -e "$f" ] || sudo mv "$f" "$d"/; done',
        ),
        ("no_permission", "sudo chown hkcollector:hkcollector {db}*; sudo chmod u+rw {db}*"),
        ("cannot_open", "ls -l {db}*; sudo hk-tick-collector doctor"),
    ],
)
def test_a_day_that_is_held_names_its_own_file(
    make_status: MakeStatus, day: str, severity: str, cause: str, remedy: str
) -> None:
    """How many ticks wait, for which day, why, and what to do, with that day's file and no other's. The rows are no
    queue and no stall.
    """
    status = make_status(
        waiting=60_000,
        held_rows={day: 60_000},
        held_causes={day: cause},
        held_details={day: "words"},
        stalls=1,
        last_commit_ms=NOW_MS - 10_000,
    )
    (finding,) = check(status, NOW_MS, LIMITS)
    assert (finding.code, finding.severity.name) == ("day_held", severity)
    assert finding.text.startswith(f"60,000 ticks of {day} wait: /data/sqlite/HK/{day}.db cannot be written, {cause}")
    assert finding.remedy == remedy.replace("{db}", f"/data/sqlite/HK/{day}.db")
    assert ("moves that file aside and keeps it" in finding.text) == (cause in ("foreign_file", "damaged"))


def test_the_remedy_of_a_writer_names_the_file_that_it_waits_for(make_status: MakeStatus) -> None:
    """A lock on another day's file: the remedy names that file, not today's."""
    (finding,) = check(make_status(writer_trouble="busy", writer_day="20261119"), NOW_MS, LIMITS)
    assert "20261119.db" in finding.remedy
    assert "20261120.db" not in finding.remedy


def test_a_day_that_cannot_be_sealed_is_a_finding(make_status: MakeStatus) -> None:
    """With its file and the cause."""
    (finding,) = check(make_status(not_sealed={"20261118.db": "it is a directory"}), NOW_MS, LIMITS)
    assert (finding.code, finding.severity.name) == ("day_not_sealed", "WARNING")
    assert finding.text == "/data/sqlite/HK/20261118.db cannot be sealed: it is a directory; see docs/sqlite-wal.md"


def test_symbols_that_are_not_subscribed_yet_are_a_finding(make_status: MakeStatus) -> None:
    """Collecting only some symbols is not OK; during the first seconds of a connection it is."""
    young = make_status(symbols=90, subscribed=57, link_since_ms=NOW_MS - 9_000)
    assert check(young, NOW_MS, LIMITS) == []
    old = make_status(symbols=90, subscribed=57, link_since_ms=NOW_MS - 21_000, refused={"HK.00005": "unknown stock"})
    findings = check(old, NOW_MS, LIMITS)
    assert [finding.code for finding in findings] == ["symbols_refused", "still_subscribing"]
    assert findings[1].text.startswith("32 of 90 symbols are not subscribed yet")


@pytest.mark.parametrize(
    ("words", "command", "advice"),
    [
        ("No right to subscribe", "echo request_highest_quote_right", "quote right"),
        ("股票無行情權限", "echo request_highest_quote_right", "quote right"),
        ("訂閱額度不足", "sudo hk-tick-collector doctor", "doctor shows the quota"),
        ("Unknown stock", "sudo vim", "correct FUTU_SYMBOLS"),
        ("网络异常，请稍后再试", "sudo hk-tick-collector doctor", "the request is repeated every minute"),
    ],
)
@pytest.mark.parametrize("subscribed", [0, 1])
def test_a_refusal_is_reported_with_its_own_cause(
    make_status: MakeStatus, words: str, command: str, advice: str, subscribed: int
) -> None:
    """Quote right, quota and wrong symbols have their own remedies; the largest group decides."""
    refused = dict.fromkeys(("HK.00005", "HK.00011"), words)
    if subscribed:
        refused = {"HK.00001": "one of another kind", **refused}
    finding = check(make_status(subscribed=subscribed, refused=refused), NOW_MS, LIMITS)[0]
    assert finding.code == ("symbols_refused" if subscribed else "not_subscribed")
    assert words in finding.text
    assert advice in finding.text
    assert finding.remedy.startswith(command)
