"""No ticks: no finding if market, calendar and time explain it; otherwise a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector import market
from hk_tick_collector.ops.findings.health import Limits, Severity, check, summary
from hk_tick_collector.ops.findings.market_silence import silence
from hk_tick_collector.ops.findings.words import NO_WORDS

if TYPE_CHECKING:
    from tests.ops.conftest import MakeStatus

LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=2048, queue_warn_rows=50_000)
DAY_MS: Final = market.day_start_ms(market.parse_day("20261224"))


def at(clock: str) -> int:
    """A Hong Kong time of the day, UTC epoch ms."""
    hour, minute, second = map(int, clock.split(":"))
    return DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000


def fresh(clock: str, **changes: Any) -> dict[str, Any]:
    """The report of a healthy service at that time."""
    now_ms = at(clock)
    alive = {"written_ms": now_ms, "writer_alive_ms": now_ms, "last_commit_ms": now_ms, "started_ms": at("08:00:00")}
    return {**alive, "link_since_ms": at("08:00:00"), **changes}


@pytest.mark.parametrize(
    ("clock", "state", "kind", "words"),
    [
        ("08:59:00", "closed", "whole", "closed until the pre-open at 09:00"),
        ("09:29:00", "waiting_open", "whole", "before the open at 09:30"),
        ("09:05:00", "auction", "whole", "pre-open auction"),
        ("12:30:00", "rest", "whole", "lunch, until 13:00"),
        ("16:05:00", "closing_auction", "whole", "closing auction"),
        ("17:00:00", "closed", "whole", "closed until the next trading day"),
        ("14:00:00", "closed", "morning", "half day: only the morning trades"),
        ("10:00:00", "closed", "afternoon", "half day: only the afternoon trades"),
        ("10:00:00", "closed", "holiday", "not a trading day by OpenD's calendar"),
        ("10:00:00", "closed", "whole", "unscheduled close"),
        ("14:00:00", "closed", "whole", "unscheduled close"),
        ("10:00:00", "rest", "morning", "unscheduled close"),
        ("12:30:00", "closed", "", "closed until the next trading day"),
    ],
)
def test_a_silence_is_explained(make_status: MakeStatus, clock: str, state: str, kind: str, words: str) -> None:
    """The first line says why no ticks come, and that nothing is to be done."""
    changes = fresh(clock, market_state=state, day_kind=kind, trading="auction" in state, trading_since_ms=None)
    status = make_status(**changes, newest_ts_ms=at(clock) - 3_600_000, drift_s=0.0)
    quiet = silence(status, at(clock))
    assert words in quiet.en
    severity, line = summary(check(status, at(clock), LIMITS), quiet)
    assert severity == Severity.OK
    assert quiet.en in line


@pytest.mark.parametrize("state", ["morning", "afternoon", "none", "unknown", ""])
def test_silence_during_trading_is_not_explained(make_status: MakeStatus, state: str) -> None:
    """While the market trades, or its state is unknown, there is no explanation."""
    assert silence(make_status(**fresh("10:00:00", market_state=state)), at("10:00:00")) == NO_WORDS


@pytest.mark.parametrize(
    ("state", "clock", "since"), [("auction", "09:19:00", "09:00:00"), ("closing_auction", "16:07:00", "16:00:00")]
)
def test_an_auction_is_no_lag(make_status: MakeStatus, state: str, clock: str, since: str) -> None:
    """Orders are collected for 20 and 8 minutes before the auction trades: that is normal every day."""
    changes = fresh(clock, market_state=state, trading_since_ms=at(since), newest_ts_ms=at(since) - 1000)
    assert check(make_status(**changes, last_tick_ms=at(since) - 1000), at(clock), LIMITS) == []


@pytest.mark.parametrize(
    ("clock", "severity"), [("09:30:30", None), ("09:31:30", Severity.WARNING), ("09:36:00", Severity.CRITICAL)]
)
@pytest.mark.parametrize("newest", [None, "09:21:00"])
def test_no_tick_at_the_open(
    make_status: MakeStatus, clock: str, severity: Severity | None, newest: str | None
) -> None:
    """Connected, subscribed, OpenD reports trading, and no tick comes: a finding, whatever the auction had."""
    last_ms = at(newest) if newest else None
    changes = fresh(clock, trading_since_ms=at("09:30:02"), newest_ts_ms=last_ms, last_tick_ms=last_ms, received=0)
    findings = check(make_status(**changes), at(clock), LIMITS)
    assert [finding.code for finding in findings] == (["no_tick_at_open", "lag"] if severity else [])
    assert {finding.severity for finding in findings} == ({severity} if severity else set())


def test_no_tick_of_any_symbol_during_trading_is_a_finding(make_status: MakeStatus) -> None:
    """Ticks came, and no longer come; ticks that are received and wait for the disk are another case."""
    changes = fresh("10:00:00", newest_ts_ms=at("09:58:00"), last_tick_ms=at("09:58:00"))
    assert [each.code for each in check(make_status(**changes), at("10:00:00"), LIMITS)] == ["no_ticks", "lag"]
    changes |= {"last_tick_ms": at("10:00:00"), "waiting": 9}
    assert [each.code for each in check(make_status(**changes), at("10:00:00"), LIMITS)] == ["lag"]


def test_rows_that_wait_for_a_moment_hide_no_silence(make_status: MakeStatus) -> None:
    """While no tick is pushed the collector asks OpenD for ticks, whose answers wait to be stored: still no ticks."""
    changes = fresh("10:00:00", newest_ts_ms=at("09:58:00"), last_tick_ms=at("09:58:00"), waiting=20)
    for exposed_s, codes in ((0.4, ["no_ticks", "lag"]), (119.0, ["no_ticks", "lag"]), (120.5, ["lag"])):
        found = check(make_status(**changes, exposed_s=exposed_s), at("10:00:00"), LIMITS)
        assert [each.code for each in found] == codes, exposed_s


def test_one_halted_symbol_is_no_finding(make_status: MakeStatus) -> None:
    """The newest tick of all symbols counts, not that of each symbol."""
    changes = fresh("10:00:00", newest_ts_ms=at("09:59:59"), last_tick_ms=at("09:59:59"), symbols=2, subscribed=2)
    assert check(make_status(**changes), at("10:00:00"), LIMITS) == []


@pytest.mark.parametrize("drift_s", [3600.0, -3600.0])
def test_a_wrong_clock_explains_no_silence(make_status: MakeStatus, drift_s: float) -> None:
    """Whatever this host's clock shows: two minutes without a tick are two minutes."""
    shift_ms = int(drift_s * 1000)
    now_ms = at("10:00:00") + shift_ms
    own = {name: value + shift_ms for name, value in fresh("10:00:00", last_tick_ms=at("09:58:00")).items()}
    own["trading_since_ms"] = at("09:30:02") + shift_ms
    status = make_status(**own, newest_ts_ms=at("09:58:00"), drift_s=drift_s)
    assert {each.code for each in check(status, now_ms, LIMITS)} == {"clock_drift", "no_ticks", "lag"}


# --- nothing is stored, and no steady connection says that the market trades ---


def unsteady(clock: str, **changes: Any) -> dict[str, Any]:
    """A service whose connection has broken again and again since 09:40; nothing is stored since 09:50."""
    found = {
        "link_breaks_lately": 9,
        "link_break_reason": "OpenD closed the connection",
        "newest_ts_ms": at("09:50:00"),
    }
    found |= {"last_tick_ms": at("09:50:00"), "trading_since_ms": at(clock) - 2000, "link_since_ms": at(clock) - 2000}
    return fresh(clock, **found, ticks_expected_since_ms=at("09:30:00"), drift_s=0.0) | changes


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("state", ["morning", "unknown"])
@pytest.mark.parametrize(
    ("clock", "severity"), [("09:50:30", None), ("09:51:30", Severity.WARNING), ("09:55:30", Severity.CRITICAL)]
)
def test_repeated_reconnections_hide_no_silence(
    make_status: MakeStatus, clock: str, severity: Severity | None, state: str, connected: bool
) -> None:
    """Each connection starts the session again; the newest stored tick still gets older."""
    changes = unsteady(clock, market_state=state, trading=state == "morning", connected=connected)
    if not connected:
        changes |= {"trading_since_ms": None, "trading": False}
    found = {each.code: each for each in check(make_status(**changes), at(clock), LIMITS)}
    assert ("no_ticks_stored" in found) == (severity is not None)
    if severity is not None:
        assert found["no_ticks_stored"].severity == severity
        assert "broke 9 times" in found["no_ticks_stored"].text
        assert "OpenD closed the connection" in found["no_ticks_stored"].text
        assert found["no_ticks_stored"].remedy.startswith("sudo hk-tick-collector doctor; ")


def test_repeated_reconnections_are_critical_in_the_first_line(make_status: MakeStatus) -> None:
    """The first line that an operator reads names it."""
    severity, line = summary(check(make_status(**unsteady("09:56:00")), at("09:56:00"), LIMITS))
    assert severity == Severity.CRITICAL
    assert "no tick has been stored for 360 s" in line


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"link_breaks_lately": 0, "market_state": "unknown", "trading": False}, Severity.CRITICAL),
        ({"link_breaks_lately": 0, "market_state": "unknown", "day_kind": "holiday"}, None),
        ({"link_breaks_lately": 0, "subscribed": 0}, Severity.CRITICAL),
        ({"newest_ts_ms": at("09:59:50")}, None),  # a connection broke, and ticks are stored
        ({"ticks_expected_since_ms": None, "market_state": "closed", "trading": False}, None),
        ({"ticks_expected_since_ms": at("09:59:30")}, None),  # the session has just begun
        ({"symbols": 0, "subscribed": 0}, None),
    ],
)
def test_when_nothing_stored_is_a_finding(
    make_status: MakeStatus, changes: dict[str, Any], severity: Severity | None
) -> None:
    """With an unknown state or no subscription it is judged; with a closed market or on a holiday it is not."""
    found = {each.code: each for each in check(make_status(**unsteady("10:00:00", **changes)), at("10:00:00"), LIMITS)}
    assert (found["no_ticks_stored"].severity if "no_ticks_stored" in found else None) == severity


@pytest.mark.parametrize("clock", ["08:30:00", "12:30:00", "20:00:00"])
def test_an_unknown_state_outside_trading_hours_is_no_finding(make_status: MakeStatus, clock: str) -> None:
    """A steady connection on which OpenD does not report the market's state, at a time outside trading."""
    changes = unsteady(clock, link_breaks_lately=0, market_state="unknown", trading=False, trading_since_ms=None)
    changes |= {"newest_ts_ms": at("08:00:00") - 3_600_000, "ticks_expected_since_ms": at("08:00:00") - 3_600_000}
    assert check(make_status(**changes), at(clock), LIMITS) == []


def test_requests_without_an_answer_are_named(make_status: MakeStatus) -> None:
    """A warning, because ticks still come; a state that was never reported is not `not logged in`."""
    failed = {"GetGlobalState": "OpenD did not answer message 1002 in time", "GetSubInfo": "too frequent"}
    changes = fresh("10:00:00", program="", quote_logged_in=False, market_state="unknown", newest_ts_ms=at("09:59:59"))
    [finding] = check(make_status(**changes, questions_failed=failed), at("10:00:00"), LIMITS)
    assert (finding.code, finding.severity) == ("questions_failed", Severity.WARNING)
    assert "GetGlobalState (and 1 more): OpenD did not answer" in finding.text


@pytest.mark.parametrize("pushed", ["09:50:00", None])
def test_a_tick_dated_ahead_hides_no_silence(make_status: MakeStatus, pushed: str | None) -> None:
    """While the newest stored tick has a time in the future, silence is judged by the time of the last push."""
    last_ms = None if pushed is None else at(pushed)
    changes = fresh("10:00:00", newest_ts_ms=at("12:00:00"), last_tick_ms=last_ms, started_ms=at("09:50:00"))
    changes["received"] = 0 if pushed is None else 9
    findings = check(make_status(**changes), at("10:00:00"), LIMITS)
    assert [finding.code for finding in findings] == ["no_ticks", "lag"]
    assert {finding.severity for finding in findings} == {Severity.CRITICAL}
    assert findings[1].text == (
        "no tick has come for 600 s while the market trades; the newest stored one has a time in the future"
    )
    flowing = {**changes, "last_tick_ms": at("09:59:59"), "received": 9}
    assert check(make_status(**flowing), at("10:00:00"), LIMITS) == []


def test_a_tick_dated_ahead_hides_no_silence_without_a_state(make_status: MakeStatus) -> None:
    """The same if OpenD does not report the market's state."""
    changes = fresh("10:00:00", newest_ts_ms=at("12:00:00"), last_tick_ms=at("09:50:00"), market_state="unknown")
    changes |= {"trading": False, "trading_since_ms": None, "ticks_expected_since_ms": at("09:30:00")}
    assert "no_ticks_stored" in [finding.code for finding in check(make_status(**changes), at("10:00:00"), LIMITS)]
