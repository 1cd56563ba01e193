"""Row 33: the disk frozen under a running collector, as a backup of its virtual machine does it, and thawed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .disks import disk_of_its_own, frozen
from .trial import Stored, wait_until

if TYPE_CHECKING:
    from .conftest import Begin


def test_a_frozen_disk_is_named_and_the_collector_recovers(begin: Begin) -> None:
    """`status` and the log say that the disk is frozen and how to unfreeze it, and never advise a restart: ticks wait
    in memory and are all stored afterwards.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=200)
    trial.runtime = trial.directory / "run"
    trial.runtime.mkdir()
    with disk_of_its_own(trial.directory / "disk", size_mb=256) as disk:
        trial.data_root = disk / "HK"
        trial.data_root.mkdir()
        trial.stored = Stored(trial.data_root)
        collector = trial.run(WATCHDOG_STALL_SEC="5", WATCHDOG_QUEUE_THRESHOLD_ROWS="100")
        trial.wait_stored(200)
        with frozen(disk):
            finding = trial.wait_finding("writer_slow_disk", "is frozen (fsfreeze")
            assert finding.remedy == f"sudo fsfreeze --unfreeze $(findmnt -n -o TARGET -T {trial.data_root})"
            assert collector.wait_for("disk_slow", frozen="True").level == "WARNING"
            # A stall with this name is waited for; a new writer or a new process could not write either.
            assert collector.wait_for("WATCHDOG persistent_stall", cause="frozen_disk").fields["action"] == "wait"
            received = trial.live().received
            wait_until(lambda: trial.live().received > received + 200, "the network never waits for the disk")
        thawed = trial.wait_finding("writer_slow_disk", "was frozen (fsfreeze")
        assert (thawed.remedy, "no action is needed" in thawed.text) == ("", True)
        trial.finish()
