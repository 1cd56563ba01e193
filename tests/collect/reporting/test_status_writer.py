"""The live state on a disk that does not answer: the caller of `put` does not wait."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.collect.conftest import CAP_S, wait_until
from tests.live_state import live_state

from hk_tick_collector.collect.reporting.status_writer import StatusWriter
from hk_tick_collector.ops.live.status import read_status

if TYPE_CHECKING:
    from pathlib import Path


def test_a_disk_that_hangs_blocks_no_caller(tmp_path: Path) -> None:
    """A pipe in place of the draft blocks the thread, like a frozen file system: `put` returns, `wait` ends at its time
    limit, and when the thread is no longer blocked the newest state is written.
    """
    path = tmp_path / "status.json"
    draft = tmp_path / f".status.json.{live_state().pid}"
    os.mkfifo(draft)
    writer = StatusWriter(path)
    for number in range(50):
        writer.put(live_state(received=number))
    assert not writer.wait(time.monotonic() + 0.05)
    with draft.open("rb") as reader:  # it gets its text, and the pipe becomes the file
        reader.read()
    wait_until(path.exists, "the pipe took the place of the file")
    assert writer.wait(time.monotonic() + CAP_S)
    status = read_status(path)
    assert status is not None
    assert status.received == 49


def test_a_failed_write_is_repeated(tmp_path: Path) -> None:
    """A directory is created later: then the state is written."""
    writer = StatusWriter(tmp_path / "later" / "status.json")
    writer.put(live_state())
    assert writer.wait(time.monotonic() + CAP_S)
    (tmp_path / "later").mkdir()
    writer.put(live_state())
    assert writer.wait(time.monotonic() + CAP_S)
    assert read_status(tmp_path / "later" / "status.json") is not None


@pytest.mark.usefixtures("journal")
def test_later_changes_are_not_in_the_written_state(tmp_path: Path) -> None:
    """The state is that of the moment when it was put."""
    status = live_state()
    writer = StatusWriter(tmp_path / "status.json")
    writer.put(status)
    status.refused["HK.00700"] = "no right"
    assert writer.wait(time.monotonic() + CAP_S)
    found = read_status(tmp_path / "status.json")
    assert found is not None
    assert found.refused == {}
