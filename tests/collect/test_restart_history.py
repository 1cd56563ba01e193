"""Which restarts were planned and which not: from a real file, over several runs, some of them killed."""

from __future__ import annotations

import errno
import io
import json
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector import log
from hk_tick_collector.collect import restart_history as starts_module
from hk_tick_collector.collect.restart_history import STARTS_NAME, EarlierRuns

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS: Final = 1_795_140_000_000
MINUTE_MS: Final = 60_000
CAP_S: Final = 300.0


class Host:
    """Runs of the service on one DATA_ROOT."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_ms = NOW_MS

    def run(self, end: str, minutes: int = 1) -> list[int]:
        """A run that ends so: killed, failed, stopped; what it knew of the unplanned starts before it."""
        starts = EarlierRuns(self.root, lambda: self.now_ms)
        starts.begin()
        self.now_ms += minutes * MINUTE_MS
        if end != "killed":
            starts.end(failed=end == "failed")
            starts.join(CAP_S)
        return [(at_ms - NOW_MS) // MINUTE_MS for at_ms in starts.unplanned_ms]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Nothing ever ran."""
    return Host(tmp_path)


@pytest.fixture
def lines() -> io.StringIO:
    """The log from here on."""
    stream = io.StringIO()
    log.configure("DEBUG", stream)
    return stream


def test_a_start_after_a_killed_or_failed_run_is_unplanned(host: Host, lines: io.StringIO) -> None:
    """Killed, then failed: two unplanned starts, each with how the run before it ended."""
    assert host.run("killed") == []
    assert host.run("failed") == [1]
    assert host.run("killed") == [1, 2]
    told = [line for line in lines.getvalue().splitlines() if "unplanned_restart" in line]
    assert 'previous_end="not recorded" within_an_hour=1' in told[0]
    assert "previous_end=failed within_an_hour=2" in told[1]


def test_a_restart_by_an_operator_or_an_upgrade_is_planned_and_resets_the_count(host: Host) -> None:
    """However many planned restarts; earlier crashes no longer count."""
    for _ in range(9):
        assert host.run("stopped") == []
    host.run("killed")
    host.run("killed")
    assert len(host.run("stopped")) == 2
    assert host.run("killed") == []


def test_only_the_last_hour_counts(host: Host) -> None:
    """A crash each half hour is never more than two of an hour; a loop is bounded in the file."""
    for _ in range(6):
        assert len(host.run("killed", minutes=31)) <= 2
    for _ in range(150):
        host.run("killed", minutes=0)
    assert len(json.loads((host.root / STARTS_NAME).read_text())["unplanned_ms"]) == 100


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"pid": "x"}', "\0", '{"unplanned_ms": 3, "pid": 1}', "[" * 99_999]
)
def test_an_invalid_file_is_logged_and_replaced(host: Host, lines: io.StringIO, text: str) -> None:
    """The service starts, and the next crash is seen."""
    (host.root / STARTS_NAME).write_text(text)
    assert host.run("killed") == []
    assert lines.getvalue().count("starts_not_kept") == 1
    assert host.run("killed") == [1]


def test_a_full_disk_prevents_neither_a_start_nor_a_stop(
    host: Host, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(starts_module, "replace_file", full)
    assert host.run("stopped") == []
    assert lines.getvalue().count("starts_not_kept path=") == 2
