"""Permissions of another account, judged by owner and mode; the files are real."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from tests.faults.days import open_day
from tests.others import open_to_others
from tests.others_lock import in_transaction
from tests.reliability.disks import small_disk

from hk_tick_collector.ops.doctor.files import (
    Account,
    check_directory,
    check_env_file,
    check_file_system,
    check_files,
    check_left_behind,
    check_locks,
)
from hk_tick_collector.ops.doctor.result import Check, Outcome, failure, not_checked, ok, verdict, warning

if TYPE_CHECKING:
    from pathlib import Path

DAY: Final = "20261120"
STRANGER = Account("stranger", 54_321, frozenset({54_321}), installed=True)


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A directory that every account may enter, as far as this test made it."""
    open_to_others(tmp_path)
    return tmp_path


def test_rights_are_those_of_the_account(reachable: Path) -> None:
    """A missing permission is reported with the command; a directory above that may not be entered is named."""
    root = reachable / "data"
    root.mkdir(mode=0o755)
    found = check_directory("DATA_ROOT", root, STRANGER, made_by_service=False)
    assert (found.outcome, found.remedy) == (Outcome.FAILURE, f"sudo chown hkcollector:hkcollector {root}")
    root.chmod(0o777)
    found = check_directory("DATA_ROOT", root, STRANGER, made_by_service=False)
    assert (found.outcome, found.remedy) == (Outcome.WARNING, f"sudo chmod 0750 {root}")
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    found = check_directory("SPOOL_DIR", closed / "spool", STRANGER, made_by_service=True)
    assert found.outcome is Outcome.FAILURE
    (closed / "spool").mkdir(mode=0o777)
    found = check_directory("SPOOL_DIR", closed / "spool", STRANGER, made_by_service=True)
    assert f"may not enter {closed}" in found.text


def test_commands_quote_a_path_with_blanks(reachable: Path) -> None:
    """They can be pasted: an unquoted path would be two."""
    root = reachable / "my ticks"
    root.mkdir(mode=0o755)
    found = check_directory("DATA_ROOT", root, STRANGER, made_by_service=False)
    assert found.remedy == f"sudo chown hkcollector:hkcollector '{root}'"
    (root / "HK").mkdir(mode=0o777)
    root.chmod(0o700)
    found = check_directory("DATA_ROOT", root / "HK", STRANGER, made_by_service=False)
    assert found.remedy == f"sudo chmod o+x '{root}'"


def test_a_mount_point_may_have_blanks(tmp_path: Path) -> None:
    """The kernel's table has them escaped, and separates its fields by a blank."""
    with small_disk(tmp_path / "my \\ disk\u3000\x0c", "size=1m") as disk:
        found = check_file_system(disk / "HK")
        assert found.outcome is Outcome.WARNING
        assert f"on tmpfs at {disk}:" in found.text


def test_files_of_another_account_are_reported(reachable: Path) -> None:
    """An unfinished day that the service cannot write is a failure; a sealed one need not be writable."""
    sealed, live = reachable / "20261119.db", reachable / "20261120.db"
    sealed.touch(mode=0o440)
    assert check_files(reachable, STRANGER).outcome is Outcome.OK
    live.touch(mode=0o640)
    found = check_files(reachable, STRANGER)
    assert (found.outcome, "20261120.db" in found.text) == (Outcome.FAILURE, True)
    assert found.remedy == f"sudo chown -R hkcollector:hkcollector {reachable}"
    live.chmod(0o666)
    assert "everybody may read" in check_files(reachable, STRANGER).text


@pytest.mark.parametrize("name", [".collector.lock", ".spool/.spool.lock"])
def test_a_lock_file_of_another_account_is_named(reachable: Path, name: str) -> None:
    """Its owner, and the command that gives it to the service."""
    spool = reachable / ".spool"
    spool.mkdir()
    (reachable / name).touch(mode=0o640)
    user = pwd.getpwuid(os.geteuid()).pw_name
    found = check_locks(reachable, spool, "20261120", STRANGER)
    assert (found.outcome, found.remedy) == (
        Outcome.FAILURE,
        f"sudo chown hkcollector:hkcollector {reachable}/{name}",
    )
    assert f"{reachable}/{name}: it belongs to {user}, mode 0640" in found.text


def test_a_held_lock_is_named_with_its_holder(tmp_path: Path) -> None:
    """A locked lock file prevents a start, a locked day file prevents storing: pid and command of the holder."""
    me = Account("me", os.geteuid(), frozenset(), installed=False)
    assert check_locks(tmp_path, tmp_path / ".spool", DAY, me).outcome is Outcome.OK
    lock = tmp_path / ".collector.lock"
    lock.touch(mode=0o600)
    with subprocess.Popen(["flock", "--shared", lock, "sh", "-c", "echo held; exec cat"], stdin=-1, stdout=-1) as other:
        assert other.stdout
        other.stdout.readline()
        found = check_locks(tmp_path, tmp_path / ".spool", DAY, me)
        assert found.outcome is Outcome.FAILURE
        assert f"{lock} is locked by pid {other.pid} (" in found.text
        assert found.remedy == f"sudo kill -TERM {other.pid}"
    path = tmp_path / f"{DAY}.db"
    day = open_day(path)
    with in_transaction(path, "BEGIN IMMEDIATE;") as writer:
        found = check_locks(tmp_path, tmp_path / ".spool", DAY, me)
        assert f"{path} is locked by pid {writer.pid} (" in found.text
    assert check_locks(tmp_path, tmp_path / ".spool", DAY, me).outcome is Outcome.OK
    assert day.close()


def test_files_of_root_in_the_spool_and_of_snapshots_are_named(reachable: Path) -> None:
    """The run's directory, a segment, an unfinished copy; one command gives all of them to the service."""
    spool, snapshots = reachable / "my spool", reachable / "copies"
    run = spool / "20261120T093000-0123abcd"
    run.mkdir(parents=True)
    snapshots.mkdir()
    draft = snapshots / f".{DAY}.snapshot.db.partial"
    (run / "0000000001.spool").touch(mode=0o640)
    draft.touch(mode=0o600)
    found = check_left_behind(spool, snapshots, STRANGER)
    assert found.outcome is Outcome.FAILURE
    assert f"{run} and 2 more" in found.text
    assert found.remedy == f"sudo chown -R hkcollector:hkcollector {draft} '{spool}'"
    assert check_left_behind(reachable / "nowhere", reachable / "nowhere", STRANGER).outcome is Outcome.OK


def test_a_settings_file_that_all_may_read_is_a_warning(tmp_path: Path) -> None:
    """0640 is right; a file that all may read or others may change is a warning with the command."""
    path = tmp_path / ".env"
    path.touch()
    path.chmod(0o640)
    assert check_env_file(path, secrets=True, installed=True).outcome is Outcome.OK
    for mode in (0o644, 0o660):
        path.chmod(mode)
        found = check_env_file(path, secrets=True, installed=True)
        assert (found.outcome, "chmod 0640" in found.remedy) == (Outcome.WARNING, True)
    path.chmod(0o644)
    assert check_env_file(path, secrets=False, installed=False).outcome is Outcome.OK


def test_a_file_system_in_memory_is_a_warning(tmp_path: Path) -> None:
    """A file system that is lost at a reboot is a warning; /dev/shm is one on every Linux."""
    from pathlib import Path as RealPath

    shm = RealPath("/dev/shm")
    if not shm.is_dir():
        pytest.skip("no /dev/shm here")
    assert check_file_system(shm).outcome is Outcome.WARNING
    assert check_file_system(tmp_path / "not" / "there").text


def test_the_verdict_names_the_first_thing_to_do() -> None:
    """The worst outcome decides; checks that were not made are counted, and are no fault."""
    fine, unseen = ok("a", "fine"), not_checked("b", "no right")
    warned, failed = warning("c", "odd", "mend c"), failure("d", "wrong", "mend d")
    cases: list[tuple[list[Check], Outcome, str]] = [
        ([fine, unseen], Outcome.OK, "OK: all 1 checks passed; 1 could not be checked"),
        ([fine, warned], Outcome.WARNING, "WARNING: failures 0, warnings 1; first c: odd; mend c"),
        (
            [warned, failed, unseen],
            Outcome.FAILURE,
            "FAILURE: failures 1, warnings 1; 1 could not be checked; first d: wrong; mend d",
        ),
    ]
    for checks, outcome, line in cases:
        assert verdict(checks) == (outcome, line)
