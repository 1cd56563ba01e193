"""From a live state to a message on a real socket, and the record of it in a real file."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from tests.ops import conftest as ops

from hk_tick_collector import log
from hk_tick_collector.ops.alerts.alerter import MEMORY_NAME, Alerter
from hk_tick_collector.ops.alerts.destination import open_destinations
from hk_tick_collector.ops.alerts.rules import Memory
from hk_tick_collector.ops.findings.health import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.receiver import Receiver

    from hk_tick_collector.ops.live.status import LiveStatus

CAP_S = 300.0
LIMITS = Limits(drift_warn_s=2, lag_critical_s=300, disk_min_free_mb=100, queue_warn_rows=1000)
TITLE = "[one] WARNING persistent_stall"

make_status = ops.make_status


@pytest.fixture
def lines() -> io.StringIO:
    """The log from here on."""
    stream = io.StringIO()
    log.configure("DEBUG", stream)
    return stream


@pytest.fixture
def stalled(make_status: ops.MakeStatus) -> LiveStatus:
    """A finding that is sent at once: a stall found by the watchdog."""
    return make_status(stalls=1, stalls_lately=1, waiting=900)


def looked(data_root: Path, there: Receiver, *statuses: LiveStatus) -> None:
    """Runs a service that has these live states and stops."""
    destinations = open_destinations([f"json://127.0.0.1:{there.port}/?cto=5&rto=5"])
    alerter = Alerter(destinations, LIMITS, data_root, "one", lambda: ops.NOW_MS)
    alerter.start()
    for status in statuses:
        alerter.update(status)
    alerter.stop()
    alerter.join(time.monotonic() + CAP_S)


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
