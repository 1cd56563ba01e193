"""The limit on how long a reading child may wait counts waiting, not work, in all of its threads."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.cli import _patience
from hk_tick_collector.cli._patience import in_child
from hk_tick_collector.errors import BusyFileError, StoreError

if TYPE_CHECKING:
    from pathlib import Path


def computed(cpu_s: float) -> int:
    """Works for so many seconds of CPU time in a second thread, for which the first one waits."""
    rounds = 0

    def work() -> None:
        nonlocal rounds
        while time.thread_time() < cpu_s:
            rounds += 1

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return rounds


def test_a_thread_that_waits_for_one_that_works_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a large Parquet file, which the threads of Arrow decode: that is no lock, however long it takes."""
    monkeypatch.setattr(_patience, "_ALL_WAITS_S", 0.5)
    assert in_child(lambda: computed(2.0), tmp_path) > 0


def test_a_child_that_only_waits_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its threads sleep."""
    monkeypatch.setattr(_patience, "_ALL_WAITS_S", 0.5)
    with pytest.raises(BusyFileError, match="stays locked"):
        in_child(threading.Event().wait, tmp_path)


def test_a_child_that_waits_for_a_server_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests over the network have limits of their own."""
    monkeypatch.setattr(_patience, "_ALL_WAITS_S", 0.2)
    assert in_child(lambda: threading.Event().wait(2.0), tmp_path, network=True) is False


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGABRT, r"the process that reads .* ended with SIGABRT: a file there is damaged"),
        (signal.SIGBUS, r"the process that reads .* ended with SIGBUS: a file there is damaged"),
        (signal.SIGKILL, "the system killed the process that reads"),
    ],
)
def test_a_child_that_a_signal_ends(tmp_path: Path, number: signal.Signals, says: str) -> None:
    """Libraries abort at some damaged files, like Arrow at some bytes of a footer: one line names the file."""

    def end_it() -> None:
        faulthandler.disable()  # `python -X dev` would print where the child was
        os.kill(os.getpid(), number)

    with pytest.raises(StoreError, match=says) as caught:
        in_child(end_it, tmp_path / "x.parquet")
    assert str(tmp_path / "x.parquet") in str(caught.value)
