"""The file of mutes, a real file: what the verb writes, the service reads; what is damaged mutes nothing."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector.errors import BusyFileError, StoreError
from hk_tick_collector.ops.alerts.mutes import (
    EVERYTHING,
    MOST_MS,
    MUTES_NAME,
    Mute,
    change_mutes,
    in_force,
    is_muted,
    read_mutes,
)

HOUR_MS = 3_600_000
DISK = Mute("disk", NOW_MS, NOW_MS + HOUR_MS, "duty")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / MUTES_NAME


def test_a_mute_is_kept_and_ends_by_itself(path: Path) -> None:
    """The file has it until its time is over; the next change leaves it out."""
    assert change_mutes(path, lambda mutes: [*mutes, DISK], NOW_MS) == [DISK]
    assert in_force(read_mutes(path), NOW_MS + HOUR_MS - 1) == [DISK]
    assert in_force(read_mutes(path), NOW_MS + HOUR_MS) == []
    assert change_mutes(path, lambda mutes: mutes, NOW_MS + HOUR_MS) == []
    assert read_mutes(path) == []
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == [MUTES_NAME], "no draft is left"


def test_one_finding_or_all() -> None:
    """A mute is for one code, or for every code."""
    assert is_muted([DISK], "disk")
    assert not is_muted([DISK], "lag")
    assert is_muted([Mute(EVERYTHING, 0, 1, "duty")], "lag")


def test_a_clock_that_was_set_back_ends_a_mute() -> None:
    """Otherwise one hour could become a day."""
    assert in_force([DISK], NOW_MS - 2 * HOUR_MS) == []
    assert in_force([DISK], NOW_MS - 30_000) == [DISK]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"mutes": 3}',
        '{"mutes": [3]}',
        '{"mutes": [{"code": "disk"}]}',
        "[" * 5000,
        *(
            json.dumps({"mutes": [{"code": "disk", "from_ms": 1, "until_ms": 2, "by": "x"} | change]})
            for change in (
                {"code": "../x"},
                {"code": 7},
                {"from_ms": "1"},
                {"from_ms": True},
                {"until_ms": 0},
                {"until_ms": MOST_MS + 2},
                {"until_ms": 10**30},
                {"by": None},
                {"more": 1},
            )
        ),
        json.dumps({"mutes": [{"code": "disk", "from_ms": 1, "until_ms": 2, "by": "x"}] * 201}),
        " " * 70_000,
    ],
)
def test_a_file_that_is_no_file_of_mutes_mutes_nothing(path: Path, content: str) -> None:
    """The reader gets an error with the command that replaces it; a new mute replaces it as well."""
    path.write_text(content)
    with pytest.raises(StoreError, match="nothing is muted") as caught:
        read_mutes(path)
    assert caught.value.hint == "sudo hk-tick-collector alerts --unmute"
    assert change_mutes(path, lambda mutes: [*mutes, DISK], NOW_MS) == [DISK]


def test_a_pipe_or_a_directory_in_its_place_blocks_nobody(path: Path) -> None:
    """An error at once."""
    os.mkfifo(path)
    with pytest.raises(StoreError):
        read_mutes(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError):
        read_mutes(path)


def test_commands_at_the_same_time_lose_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each adds a mute of its own, however long it waits for the others."""
    monkeypatch.setattr("hk_tick_collector.ops.alerts.mutes._LOCK_S", 300.0)

    def add(number: int) -> None:
        change_mutes(path, lambda mutes: [*mutes, Mute(f"x{number}", NOW_MS, NOW_MS + 1000, "duty")], NOW_MS)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {mute.code for mute in read_mutes(path)} == {f"x{number}" for number in range(8)}


def test_a_lock_that_stays_is_told(path: Path) -> None:
    """A command gives up after moments."""
    fd = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(BusyFileError):
        change_mutes(path, lambda mutes: [*mutes, DISK], NOW_MS)
    os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_writes_can_be_read_by_the_service(path: Path) -> None:
    """It belongs to the owner of the directory, and a link that another account put there is not followed."""
    os.chown(path.parent, 65534, 65534)
    victim = path.parent / "victim"
    victim.write_text("mine")
    path.symlink_to(victim)
    change_mutes(path, lambda mutes: [*mutes, DISK], NOW_MS)
    found = path.lstat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (65534, 65534, 0o640)
    assert victim.read_text() == "mine"


def test_a_directory_that_is_gone_is_an_error(path: Path) -> None:
    """With the name of the file."""
    changes: Any = lambda mutes: mutes  # noqa: E731
    with pytest.raises(StoreError, match="cannot write"):
        change_mutes(Path("/nonexistent") / MUTES_NAME, changes, NOW_MS)
