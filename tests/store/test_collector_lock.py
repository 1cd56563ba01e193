"""One collector for a DATA_ROOT, ensured by a lock that ends with its holder."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.others import open_to_others

from hk_tick_collector.errors import OwnedError, StoreError
from hk_tick_collector.store import locks
from hk_tick_collector.store.collector_lock import LOCK_NAME, SPOOL_LOCK_NAME, OwnerLock, spool_owned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import os, sys
from pathlib import Path
from hk_tick_collector.store.collector_lock import OwnerLock
lock = OwnerLock(Path(sys.argv[1]), f"pid {os.getpid()}, instance other")
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """The line names the holder; when it releases the lock, the next one gets it and writes its own name."""
    first = OwnerLock(tmp_path, f"pid {os.getpid()}, instance first")
    with pytest.raises(OwnedError, match=f"pid {os.getpid()}, instance first") as caught:
        OwnerLock(tmp_path, "pid 2")
    assert caught.value.hint
    first.release()
    second = OwnerLock(tmp_path, f"pid {os.getpid()}, second")
    with pytest.raises(OwnedError, match=r"second\n"):
        OwnerLock(tmp_path, "pid 3")
    second.release()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    """The lock is held while the process lives; SIGKILL releases it at once, and the old name does not mislead."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OwnedError, match=rf"pid {holder.pid}, instance other"):
            OwnerLock(tmp_path, "me")
        holder.kill()
        holder.wait(30)
        OwnerLock(tmp_path, "me").release()
    assert (tmp_path / LOCK_NAME).read_text() == "me\n"


def test_a_refused_lock_leaks_no_descriptor(tmp_path: Path) -> None:
    """Asking a hundred times for a held lock leaves no descriptor open."""
    lock = OwnerLock(tmp_path, f"pid {os.getpid()}")
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


LOCK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is not a collector holds a shared lock, as any reader may."""
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == "held\n"
        yield reader
        reader.kill()


def test_a_lock_of_somebody_else_is_named_with_its_holder(tmp_path: Path) -> None:
    """Not the collector of last week whose name is still in the file: pid, user and command, and what ends it."""
    OwnerLock(tmp_path, "pid 999999, instance gone").release()
    with locked_by_another(tmp_path / LOCK_NAME) as reader:
        with pytest.raises(OwnedError) as caught:
            OwnerLock(tmp_path, "me")
        user = pwd.getpwuid(os.geteuid()).pw_name
        assert f"is locked by pid {reader.pid} ({user}: {sys.executable} -c " in str(caught.value)
        assert "instance gone" not in str(caught.value)
        assert caught.value.hint == f"sudo kill -TERM {reader.pid}"
        assert caught.value.one_line().isprintable()
    OwnerLock(tmp_path, "me").release()


def test_where_the_list_of_locks_is_hidden_no_dead_collector_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under the unit: a living collector is named by its file; else the command that finds the holder."""
    monkeypatch.setattr(locks, "_TABLE", tmp_path / "hidden")
    lock = OwnerLock(tmp_path, f"pid {os.getpid()}, instance alive")
    monkeypatch.setattr(locks, "_OURS", re.compile("python"))
    with pytest.raises(OwnedError, match=r"^DATA_ROOT .* belongs to another collector: .*instance alive"):
        OwnerLock(tmp_path, "me")
    with pytest.raises(OwnedError, match=r"^MERGE_ROOT .* belongs to another collector: .*instance alive"):
        OwnerLock(tmp_path, "me", "MERGE_ROOT")
    lock.release()
    OwnerLock(tmp_path, "pid 999999, instance gone").release()
    with locked_by_another(tmp_path / LOCK_NAME):
        with pytest.raises(OwnedError) as caught:
            OwnerLock(tmp_path, "me")
        assert "instance gone" not in str(caught.value)
        assert caught.value.hint == f"sudo fuser -v {tmp_path}/{LOCK_NAME}*"


def test_the_group_can_take_no_lock(tmp_path: Path) -> None:
    """The lock files are for their owner alone, also one that an earlier version left to the group's eyes."""
    (tmp_path / LOCK_NAME).touch(mode=0o640)
    lock = OwnerLock(tmp_path, "me")
    with spool_owned(tmp_path, "me"):
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (LOCK_NAME, SPOOL_LOCK_NAME)]
        assert modes == [0o600, 0o600]
        with pytest.raises(OwnedError, match="SPOOL_DIR"), spool_owned(tmp_path, "another"):
            pass
    with spool_owned(tmp_path, "me"):
        pass
    lock.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a file of root's")
def test_a_lock_file_of_root_is_named_with_the_command_that_corrects_it(tmp_path: Path) -> None:
    """After a run as root the service's account gets the file's owner and the command to paste."""
    open_to_others(tmp_path)
    tmp_path.chmod(0o777)
    for name in (LOCK_NAME, SPOOL_LOCK_NAME):
        (tmp_path / name).touch(mode=0o640)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    account = f"{pwd.getpwuid(65534).pw_name}:{grp.getgrgid(65534).gr_name}"
    for line, name in zip(done.stdout.splitlines(), (LOCK_NAME, SPOOL_LOCK_NAME), strict=True):
        assert f"{tmp_path}/{name}: it belongs to root, mode 0640, and the collector runs as " in line
        assert line.endswith(f": sudo chown {account} {tmp_path}/{name}")


AS_NOBODY = """
import os, sys
from pathlib import Path
from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.collector_lock import OwnerLock, spool_owned
os.setgroups([]), os.setgid(65534), os.setuid(65534)
for lock in (OwnerLock, lambda *args: spool_owned(*args).__enter__()):
    try:
        lock(Path(sys.argv[1]), "me")
    except StoreError as error:
        print(error.one_line())
"""


def test_a_full_disk_does_not_prevent_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without space for the name, or for the file itself, the lock is still held."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = OwnerLock(tmp_path, "me")
    monkeypatch.undo()
    with pytest.raises(OwnedError):
        OwnerLock(tmp_path, "other")
    lock.release()
    real_open = os.open

    def no_new_file(path: Path, flags: int, *mode: int) -> int:
        return full() if flags & os.O_CREAT else real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", no_new_file)
    with spool_owned(tmp_path, "me"):
        assert not (tmp_path / SPOOL_LOCK_NAME).exists()
        with pytest.raises(OwnedError), spool_owned(tmp_path, "other"):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
def test_a_run_by_another_account_is_sent_to_systemd(tmp_path: Path) -> None:
    """The remedy does not change the owner of the lock: no chown, whether the service runs or not."""
    open_to_others(tmp_path)
    for name in (LOCK_NAME, SPOOL_LOCK_NAME):
        (tmp_path / name).touch(mode=0o600)
    command = [sys.executable, "-c", AS_NOBODY, str(tmp_path)]
    idle = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout
        assert service.stdout.readline() == "held\n"
        running = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        service.kill()
    runs_as = f"{tmp_path} belongs to root, and this runs as {pwd.getpwuid(65534).pw_name}: "
    assert [line.partition(" ")[0] for line in idle + running] == ["DATA_ROOT", "SPOOL_DIR"] * 2
    assert all(runs_as in line and "chown" not in line for line in idle + running)
    assert all(line.endswith("not by hand: sudo systemctl start hk-tick-collector") for line in idle)
    assert f"another collector is running there, pid {service.pid} (" in running[0]
    assert running[0].endswith("): sudo systemctl status hk-tick-collector --no-pager")
