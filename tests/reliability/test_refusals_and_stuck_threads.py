"""Rows 19, 20 and 22: what OpenD refuses, the owner of DATA_ROOT, and stuck parts of the service."""

from __future__ import annotations

import math
import resource
from typing import TYPE_CHECKING, Final

import pytest
from tests.descriptors import descriptors
from tests.faults.faulty_disk import Fault

from .trial import Trial, wait_until

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.finding import Finding

    from .conftest import Begin
    from .trial import FaultyCollector

GATE: Final = Fault(operations=("write",), files=("wal",), delay_s=math.inf)
STALL: Final = {"WATCHDOG_STALL_SEC": "3", "WATCHDOG_QUEUE_THRESHOLD_ROWS": "500"}
WRITES: Final = (1,)  # that never return
LOCK_MET: Final = {"the lock met": "50", "the lock not met": "60000"}  # SQLITE_BUSY_TIMEOUT_MS
TROUBLES: Final = {
    "kicked-out": ("opend_kicked_out", "another terminal of this account"),
    "quote-link-lost": ("opend_quote_link_lost", "Futu"),
    "quote-right none": ("opend_quote_right_none", "quote right"),
    "program needs_sms_code": ("opend_not_ready", "SMS"),
    "not-logged-in": ("opend_not_ready", "not logged in to the quote server"),
}


# --- row 19 ---


@pytest.mark.parametrize("step", TROUBLES)
def test_a_problem_that_opend_reports_is_a_finding_with_its_remedy(begin: Begin, step: str) -> None:
    """Row 19: kicked out, no connection, no right, a code needed, not logged in: critical in `status`, with what to do;
    when it is over the missed ticks are backfilled and the finding ends.
    """
    code, words = TROUBLES[step]
    trial = begin("--wait", "--within-window", symbols="20", rate=200)
    collector = trial.run()
    trial.wait_stored(200)
    trial.market.tell(step)
    finding = trial.wait_finding(code)
    assert finding.severity.name == "CRITICAL"
    assert words in f"{finding.text} -> {finding.remedy}"
    if not step.startswith("not-"):
        assert collector.wait_for("opend_notice").level == "ERROR"
    made = trial.market.made()
    wait_until(lambda: trial.market.made() >= made + 200, "a second of the market")
    trial.market.tell("end all")
    trial.wait_more(100)
    wait_until(lambda: code not in trial.findings(), lambda: f"{sorted(trial.findings())}\n{trial.tail()}")
    trial.finish()


def test_a_short_quota_and_refused_symbols_leave_the_others_alone(begin: Begin) -> None:
    """Row 19: three symbols beyond the quota, one that OpenD does not know: named, and the rest is whole."""
    trial = begin("--within-window", "--quota", "16", "--refuse", "HK.00700", symbols="20", rate=300)
    collector = trial.run()
    refused = [collector.wait_for("symbols_refused", count=count) for count in (1, 2)]
    assert sum(int(event.fields["count"]) for event in refused) == 4
    trial.wait_finding("symbols_refused", "quota")
    trial.wait_more(300)
    absent = {symbol for event in refused for symbol in event.fields["symbols"].split(",")}
    assert "HK.00700" in absent
    trial.pause()
    trial.settle(excused=sum(tick.symbol in absent for tick in trial.market.process.truth()))
    trial.stop()
    verdict = trial.verdict(ok=False)
    lost = verdict.findings.pop("missing_outside_gaps")
    assert verdict.ok, verdict.line()
    assert lost.count == sum(tick.symbol in absent for tick in trial.market.process.truth())


# --- row 20 ---


def test_the_second_collector_is_refused_and_the_first_goes_on(begin: Begin) -> None:
    """Row 20: on one DATA_ROOT the second exits with 1 and names the holder; the first loses nothing."""
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    first = trial.run(INSTANCE_ID="first")
    trial.wait_stored(200)
    second = trial.another()
    assert second.finish() == 1
    assert f"pid {first.pid}, instance first" in second.output
    assert len(second.output.splitlines()) == 1
    second.close()
    trial.wait_more(200)
    trial.finish()


def test_a_spool_has_one_owner_too(begin: Begin) -> None:
    """Row 20: a collector with its own DATA_ROOT but the spool of another one is refused: it would take the rows that
    the first one spools now for rows of an earlier run.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    trial.run()
    trial.wait_stored(200)
    other = Trial(trial.nursery, trial.directory, trial.market, "OTHER")
    second = other.run(SPOOL_DIR=str(trial.data_root / ".spool"))
    assert second.finish() == 1
    assert "SPOOL_DIR" in second.output
    assert len(second.output.splitlines()) == 1
    other.close()
    trial.wait_more(200)
    trial.finish()


# --- row 22 ---


def stalls_of(collector: FaultyCollector) -> list[str]:
    """The watchdog's action for each stall."""
    lines = [line for line in collector.output.splitlines() if "WATCHDOG persistent_stall" in line]
    print("\n".join(line.split("persistent_stall")[1] for line in lines))
    return [line.split("action=")[1].split()[0] for line in lines]


def last_fields(collector: FaultyCollector) -> dict[str, int]:
    """The figures of `shutdown`, of a collector whose log holds stacks too."""
    line = next(line for line in reversed(collector.output.splitlines()) if " shutdown " in line)
    fields = dict(field.split("=") for field in line.split()[3:])
    return {name: int(value) for name, value in fields.items() if value.isdecimal()}


@pytest.mark.early
@pytest.mark.parametrize("met", LOCK_MET)
def test_a_stuck_writer_ends_the_service_with_everything_spooled(begin: Begin, met: str) -> None:
    """Row 22: the writer thread never returns from a write, without a known cause: stacks in the log, three recoveries
    in steps, then exit 1 with all rows spooled; the next start stores them without OpenD. The new writer may or may not
    find the lock of the stuck one.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=400)
    collector = trial.run_on_faulty_disk(**STALL, SQLITE_BUSY_TIMEOUT_MS=LOCK_MET[met], STOP_FLUSH_TIMEOUT_SEC="20")
    trial.wait_stored(200)
    collector.inject(GATE)
    assert collector.finish() == 1
    assert stalls_of(collector) == ["interrupt", "new_connection", "new_writer", "exit"]
    assert "cause=unknown" in collector.output
    assert "most recent call first" in collector.output, "the stacks"
    last = last_fields(collector)
    assert last["received"] == sum(last[part] for part in ("stored", "duplicate", "rejected", "dropped", "left_rows"))
    assert last["spooled_rows"] == last["left_rows"] > 0
    trial.market.tell("pause")
    trial.market.tell("window 1")
    after = trial.run()
    assert int(after.wait_for("spool_replayed").fields["rows"]) == last["spooled_rows"]
    trial.market.tell("end window")
    trial.market.tell("resume")
    trial.settle()
    assert trial.stop()["left_rows"] == "0"
    trial.verdict()


@pytest.mark.early
@pytest.mark.parametrize("times", WRITES)
def test_a_write_that_never_returns_loses_no_tick(begin: Begin, times: int) -> None:
    """Row 22: one write never returns, every other works: the service ends for a restart, and nothing is lost."""
    trial = begin("--wait", "--within-window", symbols="40", rate=150)
    collector = trial.run_on_faulty_disk(**STALL, SQLITE_BUSY_TIMEOUT_MS="60000", STOP_FLUSH_TIMEOUT_SEC="20")
    trial.wait_stored(200)
    collector.inject(Fault(operations=("write",), files=("wal",), delay_s=math.inf, times=times))
    assert collector.finish() == 1
    assert stalls_of(collector)[-1] == "exit"
    trial.run()
    trial.settle()
    assert trial.stop()["left_rows"] == "0"
    assert trial.verdict().days[0].missing == 0


def described(trial: Trial) -> list[Finding]:
    """The finding on descriptors, if there is one."""
    return [finding for code, finding in trial.findings().items() if code == "descriptors"]


def test_the_collector_recovers_from_exhausted_descriptors(begin: Begin) -> None:
    """Row 22: no descriptor is left when the connection breaks: named, also in `status`; then it recovers."""
    trial = begin("--wait", "--within-window", symbols="20", rate=300)
    collector = trial.run()
    trial.wait_stored(200)
    before = resource.prlimit(collector.pid, resource.RLIMIT_NOFILE)
    kept = descriptors(collector.pid).keys()
    resource.prlimit(collector.pid, resource.RLIMIT_NOFILE, (min(set(range(max(kept) + 2)) - kept), before[1]))
    trial.market.tell("cut")
    assert collector.wait_for("descriptors_short").level == "ERROR"
    told = f"descriptors as CRITICAL\n{trial.tail()}"  # before the last one is taken it is a warning
    wait_until(lambda: "CRITICAL" in [each.severity.name for each in described(trial)], told)
    (finding,) = described(trial)
    assert f"/proc/{collector.pid}/fd" in finding.remedy
    lines = len(collector.events("health"))
    collector.wait_for("health", count=lines + 2)
    resource.prlimit(collector.pid, resource.RLIMIT_NOFILE, before)
    collector.wait_for("subscribed", count=2)
    trial.wait_more(200)
    wait_until(lambda: "descriptors" not in trial.findings(), lambda: f"{trial.findings()}")
    assert not collector.events("status_not_written")
    reasons = [event.fields["reason"] for event in collector.events("futu_disconnected")]
    print(reasons)
    trial.finish()
