"""One collector a DATA_ROOT, told by a lock that dies with its holder."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.errors import OwnedError, StoreError
from hk_tick_collector.store.owner import LOCK_NAME, OwnerLock

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from hk_tick_collector.store.owner import OwnerLock
lock = OwnerLock(Path(sys.argv[1]), "pid 4711, instance other")
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """The line names the holder; when it lets go, the next one gets in and leaves its own name."""
    first = OwnerLock(tmp_path, "pid 1, instance first")
    with pytest.raises(OwnedError, match="pid 1, instance first") as caught:
        OwnerLock(tmp_path, "pid 2")
    assert caught.value.hint
    first.release()
    second = OwnerLock(tmp_path, "pid 2")
    with pytest.raises(OwnedError, match=r"pid 2$"):
        OwnerLock(tmp_path, "pid 3")
    second.release()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    """While another process lives it holds; SIGKILL frees at once, and what it wrote does not mislead."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OwnedError, match="pid 4711, instance other"):
            OwnerLock(tmp_path, "me")
        holder.kill()
        holder.wait(30)
        OwnerLock(tmp_path, "me").release()
    assert (tmp_path / LOCK_NAME).read_text() == "me\n"


def test_a_refused_one_leaks_no_descriptor(tmp_path: Path) -> None:
    """Asking a hundred times for what is held costs nothing."""
    lock = OwnerLock(tmp_path, "me")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    for _ in range(100):
        with pytest.raises(OwnedError):
            OwnerLock(tmp_path, "other")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    lock.release()


def test_a_data_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A directory that is missing and one that is a file: one error with DATA_ROOT in it."""
    (tmp_path / "file").touch()
    for root in (tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(StoreError, match="DATA_ROOT"):
            OwnerLock(root, "me")
