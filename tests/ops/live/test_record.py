"""Which live state counts if there are several: the page and `status` agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import clock
from hk_tick_collector.cli import _service_report
from hk_tick_collector.ops.live.record import newest_of
from hk_tick_collector.ops.live.status import STATUS_NAME, write_status
from hk_tick_collector.web import live_file

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from tests.ops.conftest import MakeStatus

NOW_MS = 1_795_140_000_000
HOUR_MS = 3_600_000


def test_a_service_that_runs_counts_before_a_newer_state(
    tmp_path: Path, make_status: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run by hand, while the clock was eight hours ahead, has left a state beside the day files."""
    runtime, root = tmp_path / "run", tmp_path / "data"
    for directory, state in (
        (runtime, make_status(pid=222, written_ms=NOW_MS - 500, data_root=str(root))),
        (root, make_status(pid=111, written_ms=NOW_MS + 8 * HOUR_MS, state="stopped", data_root=str(root))),
    ):
        directory.mkdir()
        write_status(directory / STATUS_NAME, state)
    for module in (_service_report, live_file):
        monkeypatch.setattr(module, "RUNTIME_DIRECTORY", runtime)
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    live, read = _service_report.live_status(root), live_file.read_newest(root).live
    assert live is not None
    assert read is not None
    assert (live.pid, read.pid) == (222, 222)


def test_of_those_that_do_not_run_the_newest_counts(make_status: MakeStatus) -> None:
    """One of the future counts only if there is no other."""
    future = make_status(pid=1, written_ms=NOW_MS + HOUR_MS)
    hangs = make_status(pid=2, written_ms=NOW_MS - 60_000)
    stopped = make_status(pid=3, written_ms=NOW_MS - HOUR_MS, state="stopped")
    assert newest_of([stopped, future, hangs], NOW_MS) is hangs
    assert newest_of([future], NOW_MS) is future
    assert newest_of([], NOW_MS) is None
