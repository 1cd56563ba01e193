"""The live state: always complete, always readable by the group, and understood across versions."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from tests.faults.descriptors import no_descriptors

from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.live.record import text_of
from hk_tick_collector.ops.live.status import STATUS_NAME, StatusFile, read_status, write_status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ops.conftest import MakeStatus


def test_every_written_field_is_read_back(tmp_path: Path, make_status: MakeStatus) -> None:
    """Every field is read back; nothing else is left in the directory; only owner and group can read it."""
    status = make_status(refused={"HK.00005": "說明 unknown"}, rows_per_s=[1, 2, 3], drift_s=-0.25)
    path = tmp_path / STATUS_NAME
    write_status(path, status)
    assert read_status(path) == status
    assert [file.name for file in tmp_path.iterdir()] == [STATUS_NAME]
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_reader_never_finds_a_partial_file(tmp_path: Path, make_status: MakeStatus) -> None:
    """While it is replaced again and again, every read finds a complete one."""
    path = tmp_path / STATUS_NAME
    write_status(path, make_status())
    done = threading.Event()

    def replace() -> None:
        while not done.is_set():
            write_status(path, make_status(link_reason="x" * 10_000))

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        assert all(read_status(path) is not None for _ in range(300))
    finally:
        done.set()
        writer.join()


def test_it_is_written_without_a_free_descriptor(tmp_path: Path, make_status: MakeStatus) -> None:
    """With every descriptor in use it is still written, again and again: one is reserved for the live state."""
    path = tmp_path / STATUS_NAME
    file = StatusFile(path)
    with no_descriptors():
        with pytest.raises(OSError, match="Too many open files"):
            path.open("rb").close()
        for number in (1, 2, 3):
            file.write(text_of(make_status(received=number)), 1)
    status = read_status(path)
    assert status
    assert status.received == 3


def test_any_other_failed_write_is_an_os_error(tmp_path: Path, make_status: MakeStatus) -> None:
    """The reserved descriptor is only for that case; every other error is raised at once."""
    file = StatusFile(tmp_path / "gone" / STATUS_NAME)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            file.write(text_of(make_status()), 1)


def test_a_missing_file_is_no_error(tmp_path: Path) -> None:
    """A service that never ran left no file."""
    assert read_status(tmp_path / STATUS_NAME) is None


def test_a_later_version_is_understood(tmp_path: Path, make_status: MakeStatus) -> None:
    """Fields that this version does not know are ignored."""
    path = tmp_path / STATUS_NAME
    path.write_text(json.dumps({**asdict(make_status()), "invented_later": 1}))
    assert read_status(path) == make_status()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', '{"pid": 1}', "\udcff"])
def test_a_file_that_is_no_live_state_is_named(tmp_path: Path, text: str) -> None:
    """Half a file, another document, missing fields: one error with a remedy."""
    path = tmp_path / STATUS_NAME
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(StoreError, match="not the live state") as caught:
        read_status(path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("written_ms", None),
        ("written_ms", "now"),
        ("newest_ts_ms", 10**30),
        ("newest_ts_ms", -1),
        ("drift_s", "x"),
        ("drift_s", float("nan")),
        ("drift_s", 1e308),
        ("pid", True),
        ("connected", 1),
        ("trouble", 5),
        ("refused", ["HK.00700"]),
        ("refused", {"HK.00700": 1}),
        ("rows_per_s", [1, "2"]),
        ("damaged_files", [None]),
        ("newest_day", 20261120),
        ("newest_day", "../../etc/passwd"),
        ("data_root", "/data\0"),
        ("link_reason", "\ud800"),
        ("wal_bytes", 10**400),
        ("drift_s", 10**400),
        ("held_rows", {"20261120": 2**63}),
    ],
)
def test_an_impossible_field_is_no_live_state(
    tmp_path: Path, make_status: MakeStatus, name: str, value: object
) -> None:
    """`status` says so in one line, and no later reader fails because of it."""
    path = tmp_path / STATUS_NAME
    path.write_text(json.dumps({**asdict(make_status()), name: value}))
    with pytest.raises(StoreError, match="not the live state"):
        read_status(path)


def test_endless_nesting_is_no_live_state(tmp_path: Path) -> None:
    """A hundred thousand nested brackets."""
    path = tmp_path / STATUS_NAME
    path.write_text("[" * 100_000)
    with pytest.raises(StoreError, match="not the live state"):
        read_status(path)


def test_an_endless_file_is_no_live_state(tmp_path: Path) -> None:
    """A pipe without a writer, a device that never ends, a file of gigabytes: each gives an error at once."""
    path = tmp_path / STATUS_NAME
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not the live state"):
        read_status(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="not the live state"):
        read_status(path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(8 * 2**30)
    with pytest.raises(StoreError, match="not the live state"):
        read_status(path)


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path, make_status: MakeStatus) -> None:
    """The caller decides what to do; reading something else than a file gives a clear error."""
    with pytest.raises(OSError, match="No such file"):
        write_status(tmp_path / "gone" / STATUS_NAME, make_status())
    (tmp_path / STATUS_NAME).mkdir()
    with pytest.raises(StoreError, match="directory"):
        read_status(tmp_path / STATUS_NAME)
