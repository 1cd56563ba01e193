"""Row 4 with the system's own errors: nothing in DATA_ROOT, the spool included, can be opened for writing any more.

An open file stays open. The error occurs when today's file must be opened again, for example after an I/O error, with
which most file systems become read-only; and when the file of another day must be created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.faults.faulty_disk import Fault

from .disks import closed
from .trial import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Begin
    from .trial import Trial

ERRORS: Final = {"EROFS": ("read_only", "mount"), "EACCES": ("no_permission", "chown")}  # cause, word of the remedy
MEMORY: Final = {"MAX_QUEUE_ROWS": "5000"}
BURST: Final = 80_000  # more than that and the spool's buffer


def reopen_the_live_file(trial: Trial) -> None:
    """One write fails."""
    trial.collector.inject(Fault(error="EIO", times=1))


def begin_another_file(trial: Trial) -> None:
    """Ticks of the day before come late; that day has no file yet."""
    trial.market.tell("late 20")


NEEDS: Final = (reopen_the_live_file, begin_another_file)
CASES: Final = tuple((error, need) for error in ERRORS for need in NEEDS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}, {case[1].__name__}")
def test_a_closed_disk_is_named_and_the_collector_recovers(
    begin: Begin, case: tuple[str, Callable[[Trial], None]]
) -> None:
    """Row 4: a read-only mount, or a `chown -R` by another person: open files are still written; then `status` is
    critical with the remedy, memory is bounded, and drops are counted exactly. When it is corrected the service
    continues automatically.
    """
    error, need = case
    cause, remedy = ERRORS[error]
    trial = begin("--wait", symbols="20", rate=200)
    trial.powerless = True
    trial.runtime = trial.directory / "run"
    trial.runtime.mkdir()
    trial.data_root.chmod(0o750)
    collector = trial.run_on_faulty_disk(**MEMORY)
    trial.wait_stored(100)
    _, before_kib = collector.resources()
    with closed(trial.data_root, error):
        stored = trial.live().stored
        wait_until(lambda: trial.live().stored >= stored + 200, "what is open takes ticks all the same")
        need(trial)
        assert collector.wait_for("persist_failed", cause=cause).level == "ERROR"
        finding = trial.wait_finding(f"writer_{cause}")
        assert finding.severity.name == "CRITICAL"
        assert remedy in finding.remedy
        trial.market.tell(f"burst {BURST}")
        collector.wait_for("ticks_dropped")
        assert collector.wait_for("spool_failed", cause=cause).level == "ERROR"
        wait_until(lambda: trial.live().received >= BURST, "the burst")
        _, full_kib = collector.resources()
        print(f"{case}: memory {before_kib} KiB before, {full_kib} KiB with memory full")
        assert full_kib < before_kib + 200_000
    collector.wait_for("writer_recovered", cause=cause)
    verdict = trial.finish(complete=False)
    assert trial.stored.ledger()["dropped"] == int(collector.shutdown()["dropped"]) > 0
    assert all(day.missing == day.in_gaps for day in verdict.days)
    assert len(trial.collectors) == 1
