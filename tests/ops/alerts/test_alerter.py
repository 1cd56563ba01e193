"""From a live state to a message on a real socket, and the record of it in a real file."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.ops import conftest as ops
from tests.ops.alerts.conftest import CAP_S, LIMITS
from tests.receiver import PATIENT

from hk_tick_collector.ops.alerts.alerter import MEMORY_NAME, Alerter
from hk_tick_collector.ops.alerts.destination import open_destinations
from hk_tick_collector.ops.alerts.failed_service import FAILURES_NAME, Failures, keep_failures, read_failures
from hk_tick_collector.ops.alerts.mutes import MUTES_NAME, Mute, change_mutes, read_mutes
from hk_tick_collector.ops.alerts.options import AlertOptions
from hk_tick_collector.ops.alerts.rules import Memory
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from pathlib import Path

    from tests.receiver import Receiver

    from hk_tick_collector.ops.live.status import LiveStatus

TITLE = "[one] WARNING persistent_stall"


@pytest.fixture
def stalled(make_status: ops.MakeStatus) -> LiveStatus:
    """A finding that is sent at once: a stall found by the watchdog."""
    return make_status(stalls=1, stalls_lately=1, waiting=900)


def looked(
    data_root: Path,
    there: Receiver,
    *statuses: LiveStatus,
    heartbeat_min: int = 0,
    runs_again_ms: int = 60_000,
    until: Callable[[], object] = lambda: True,
) -> Stats:
    """Runs a service that has these live states, and stops it once `until()` is true."""
    destinations = open_destinations([f"json://127.0.0.1:{there.port}/{PATIENT}"])
    options = AlertOptions(destinations, LIMITS, data_root, data_root / MUTES_NAME, "one", heartbeat_min=heartbeat_min)
    stats = Stats()
    alerter = Alerter(options, stats, lambda: ops.NOW_MS, runs_again_ms=runs_again_ms)
    alerter.start()
    for status in statuses:
        alerter.update(status)
    deadline_s = time.monotonic() + CAP_S
    while not until():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    alerter.stop()
    alerter.join(time.monotonic() + CAP_S)
    return stats


def test_sent_alerts_are_remembered_in_the_data_root(
    receiver: Callable[..., Receiver], tmp_path: Path, stalled: LiveStatus
) -> None:
    """Recorded although the service stops at once; readable for the group; a restart sends no second stall."""
    there = receiver()
    looked(tmp_path, there, stalled)
    assert there.titles() == [TITLE]
    assert (tmp_path / MEMORY_NAME).stat().st_mode & 0o777 & ~0o640 == 0
    looked(tmp_path, there)
    assert there.titles() == [TITLE]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"open": 3}', "\0"])
def test_an_invalid_file_of_sent_alerts_is_reported_and_set_aside(
    receiver: Callable[..., Receiver], tmp_path: Path, stalled: LiveStatus, lines: io.StringIO, text: str
) -> None:
    """Alerts work as without a file, and the file is valid afterwards."""
    (tmp_path / MEMORY_NAME).write_text(text)
    there = receiver()
    looked(tmp_path, there, stalled)
    assert there.titles() == [TITLE]
    assert lines.getvalue().count("alerts_not_kept") == 1
    looked(tmp_path, there)
    assert lines.getvalue().count("alerts_not_kept") == 1


def test_a_record_that_cannot_be_written_prevents_no_message(
    receiver: Callable[..., Receiver], tmp_path: Path, stalled: LiveStatus, lines: io.StringIO
) -> None:
    """Without DATA_ROOT the message still arrives, and the log gives the cause."""
    there = receiver()
    looked(tmp_path / "gone", there, stalled)
    assert there.titles() == [TITLE]
    assert 'detail="No such file or directory"' in lines.getvalue()


def test_a_service_that_stops_is_no_alert(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus
) -> None:
    """The last live state of a stopping service causes no alert."""
    there = receiver()
    looked(tmp_path, there, make_status(stalls=1, waiting=900, state="stopping"))
    assert there.titles() == []


def test_the_time_it_was_last_seen_is_kept_across_runs(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus
) -> None:
    """The next run sends the end, with the time when the finding was last seen, not that of its first message."""
    there = receiver()
    moments = (ops.NOW_MS, ops.NOW_MS + 20_000)
    looked(tmp_path, there, *(make_status(stalls=1, stalls_lately=1, waiting=900, written_ms=at) for at in moments))
    memory = Memory.from_json((tmp_path / MEMORY_NAME).read_text("utf-8"))
    assert memory.open["persistent_stall"].until_ms == moments[-1]


def test_a_muted_finding_is_not_sent_and_the_live_state_says_so(
    receiver: Callable[..., Receiver], tmp_path: Path, stalled: LiveStatus
) -> None:
    """The mute is in force from the first second of a run on."""
    there = receiver()
    mute = Mute("persistent_stall", ops.NOW_MS - 1000, ops.NOW_MS + 60_000, "duty")
    change_mutes(tmp_path / MUTES_NAME, lambda _: [mute], ops.NOW_MS)
    stats = looked(tmp_path, there, stalled)
    assert there.titles() == []
    assert stats.alerts_muted == {"persistent_stall": ops.NOW_MS + 60_000}


def test_a_mute_is_in_force_again_after_a_boot_and_one_that_was_ended_is_not(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus, stalled: LiveStatus
) -> None:
    """The file of mutes lies where a boot removes everything; the service has a record of its own."""
    there, path = receiver(), tmp_path / MUTES_NAME
    mute = Mute("persistent_stall", ops.NOW_MS - 1000, ops.NOW_MS + 60_000, "duty")
    change_mutes(path, lambda _: [mute], ops.NOW_MS)
    looked(tmp_path, there, make_status())
    path.unlink()
    stats = looked(tmp_path, there, stalled)
    assert there.titles() == []
    assert stats.alerts_muted == {"persistent_stall": mute.until_ms}
    assert read_mutes(path) == [mute]
    change_mutes(path, lambda _: [], ops.NOW_MS)
    looked(tmp_path, there, make_status())
    path.unlink()
    looked(tmp_path, there, stalled, until=there.titles)
    assert not path.exists()


def test_a_heartbeat_message_is_not_repeated_by_a_restart(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus
) -> None:
    """Its time is recorded."""
    there = receiver()
    for _ in range(2):
        looked(tmp_path, there, make_status(), heartbeat_min=15)
    assert there.titles() == ["[one] heartbeat"]
    assert there.messages[0]["message"].startswith("OK: ")


def test_the_figures_of_the_day_survive_a_restart(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus, stalled: LiveStatus
) -> None:
    """The busiest minute and the number of alerts of both runs."""
    there = receiver()
    looked(tmp_path, there, stalled, make_status(persisted_rows_per_min=900))
    looked(tmp_path, there, make_status(persisted_rows_per_min=5))
    today = Memory.from_json((tmp_path / MEMORY_NAME).read_text("utf-8")).today
    assert (today.peak_rows, today.warnings) == (900, 1)


def test_a_service_that_runs_again_sends_the_end_of_the_notice(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus
) -> None:
    """Once, when a run has lasted for its time; not while it is muted."""
    there = receiver()
    ended = Failures().with_end(ops.NOW_MS).with_notice("service_died", ops.NOW_MS)
    keep_failures(tmp_path / FAILURES_NAME, ended)
    looked(tmp_path, there, make_status())
    assert there.titles() == [], "a run of a moment"
    mute = Mute("all", ops.NOW_MS - 1000, ops.NOW_MS + 60_000, "duty")
    change_mutes(tmp_path / MUTES_NAME, lambda _: [mute], ops.NOW_MS)
    looked(tmp_path, there, make_status(), runs_again_ms=0)
    assert there.titles() == []
    change_mutes(tmp_path / MUTES_NAME, lambda _: [], ops.NOW_MS)
    for _ in range(2):
        looked(tmp_path, there, make_status(), runs_again_ms=0, until=there.titles)
    assert there.titles() == ["[one] resolved service_died"]
    assert read_failures(tmp_path / FAILURES_NAME) == replace(ended, code="")


def test_ends_that_no_notice_told_are_told_by_the_service(
    receiver: Callable[..., Receiver], tmp_path: Path, make_status: ops.MakeStatus
) -> None:
    """A second crash soon after the first: with the end of the notice, or ten minutes after it; each of them once."""
    there, path = receiver(), tmp_path / FAILURES_NAME
    first = Failures().with_end(ops.NOW_MS - 900_000).with_notice("service_died", ops.NOW_MS - 900_000)
    keep_failures(path, first.with_end(ops.NOW_MS - 890_000))
    looked(tmp_path, there, make_status(), runs_again_ms=0, until=there.titles)
    assert "ends since the last notice: 1, the last one at 2026-11-20 09:45:10 HKT" in str(there.messages[0]["message"])
    keep_failures(path, read_failures(path).with_end(ops.NOW_MS - 800_000))
    for _ in range(2):
        looked(tmp_path, there, make_status(), runs_again_ms=0, until=lambda: len(there.titles()) == 2)
    assert there.titles() == ["[one] resolved service_died"] * 2
    keep_failures(path, read_failures(path).with_end(ops.NOW_MS))
    looked(tmp_path, there, make_status(), runs_again_ms=0)
    assert len(there.titles()) == 2, "a loop sends no flood"
