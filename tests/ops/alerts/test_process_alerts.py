"""Alerts of publish and merge: sent by those processes themselves."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from tests.ops.alerts.conftest import wait_until
from tests.receiver import PATIENT, Receiver

from hk_tick_collector.clock import now_ms
from hk_tick_collector.ops.alerts.destination import open_destinations
from hk_tick_collector.ops.alerts.process_alerts import ProcessAlerts
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.merge import SEQUENCE_DISAGREES

if TYPE_CHECKING:
    from pathlib import Path


def test_a_finding_is_sent_once_also_over_a_restart(tmp_path: Path) -> None:
    """One message in the name of the process; the next run knows that it was sent."""
    receiver = Receiver()
    try:
        finding = SEQUENCE_DISAGREES.found(Severity.CRITICAL, what="HK.00700", root="/merged")
        for _ in range(2):
            destinations = open_destinations([f"json://127.0.0.1:{receiver.port}/{PATIENT}"])
            alerts = ProcessAlerts(destinations, tmp_path / "memory", tmp_path, "en", now_ms)
            alerts.start("host-3 merge")
            for _ in range(3):
                alerts.update([finding])
            wait_until(lambda: receiver.messages)
            alerts.stop(time.monotonic() + 60)
        (message,) = receiver.messages
        assert "host-3 merge" in message["title"]
        assert "number the same ticks differently" in message["message"]
    finally:
        receiver.close()


@pytest.mark.parametrize("since_ms", [10**18, -(10**18), "soon"])
def test_a_memory_with_a_wrong_time_is_begun_anew(
    tmp_path: Path, since_ms: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that somebody changed stops neither alerts nor the process; the log says so."""
    times = {"since_ms": since_ms, "until_ms": 1, "last_ms": 1, "told": 2, "told_ms": 1}
    memory = {"open": {"sequence_disagrees": times}, "stalls_ms": [], "digest_day": ""}
    (tmp_path / "memory").write_text(json.dumps(memory))
    receiver = Receiver()
    try:
        destinations = open_destinations([f"json://127.0.0.1:{receiver.port}/{PATIENT}"])
        alerts = ProcessAlerts(destinations, tmp_path / "memory", tmp_path, "en", now_ms)
        alerts.start("host-3 merge")
        alerts.update([SEQUENCE_DISAGREES.found(Severity.CRITICAL, what="HK.00700", root="/merged")])
        wait_until(lambda: receiver.messages)
        alerts.stop(time.monotonic() + 60)
        assert "alerts_not_kept" in caplog.text
    finally:
        receiver.close()


def test_without_a_destination_nothing_happens(tmp_path: Path) -> None:
    """No thread, no file."""
    alerts = ProcessAlerts((), tmp_path / "memory", tmp_path, "en", now_ms)
    alerts.start("host-3 merge")
    alerts.update([SEQUENCE_DISAGREES.found(Severity.CRITICAL, what="HK.00700", root="/merged")])
    alerts.stop(time.monotonic())
    assert list(tmp_path.iterdir()) == []
