"""An archived day is restored completely or not at all, and never over an existing file."""

from __future__ import annotations

import stat
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from tests.archive.conftest import files_in
from tests.archive.test_day import archived, changed
from tests.archived_days import flip, seal_day

from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.day import ALREADY
from hk_tick_collector.archive.restoring import Restored, restore_day
from hk_tick_collector.archive.signers import known_signers
from hk_tick_collector.errors import ArchiveError, StoreError
from hk_tick_collector.frames import parquet_file
from hk_tick_collector.frames.day_file import BATCH_ROWS
from hk_tick_collector.store.schema import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDay

    from hk_tick_collector.archive.places import Directory
    from hk_tick_collector.archive.sshsig import SigningKey

DAY = "20261120"
ODD = {
    "direction = CAST(x'ff41' AS TEXT)": "direction has text that is not UTF-8",
    "push_type = CAST(x'f2656c74696d65' AS TEXT)": "push_type has text that is not UTF-8",
    "recv_ts_ms = recv_ts_ms | (1 << 58)": "recv_ts is ",
    "opend_recv_ts_ms = opend_recv_ts_ms | (1 << 58)": "opend_recv_ts is ",
}


def restored(place: Directory, directory: Path, day: str = DAY) -> Restored:
    return restore_day(place, read_chain(place), day, directory, known_signers(place), lambda *_: None)


def dump(path: Path) -> list[str]:
    """Every table, row, index and trigger, as the stock sqlite3 writes them."""
    done = subprocess.run(["sqlite3", "-readonly", path, ".dump"], capture_output=True, check=True)
    return sorted(done.stdout.decode(errors="surrogateescape").splitlines())


@pytest.mark.parametrize("schema", range(2, VERSION + 1))
@pytest.mark.parametrize("rows", [0, 60])
def test_a_restored_day_is_archived_as_the_same_bytes(
    data_root: Path, place: Directory, key: SigningKey, schema: int, rows: int
) -> None:
    """Of any schema, a day without ticks too: the same rows in all tables, sealed; archived again, the same bytes."""
    day = seal_day(data_root, DAY, rows=rows, gaps=2, schema=schema)
    archived(place, key, day)
    before, content = files_in(place.root), dump(day)
    day.unlink()
    found = restored(place, data_root)
    assert (found.path, found.rows, found.signer) == (day, rows, "host-1")
    assert stat.S_IMODE(day.stat().st_mode) == 0o440
    assert dump(day) == content
    assert archived(place, key, day).state == ALREADY
    assert files_in(place.root) == before
    assert [path.name for path in data_root.iterdir()] == [day.name]


def test_many_batches_come_back_in_order(make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey) -> None:
    """More rows than one batch of the reader."""
    day = make_day(DAY, 20_000)
    archived(place, key, day)
    content = dump(day)
    day.unlink()
    assert restored(place, data_root).rows == 40_000
    assert dump(day) == content


@pytest.mark.parametrize("pattern", ["ticks/*/*.parquet", "books/*.db", "certificates/*.txt", "certificates/*.sig"])
def test_a_flipped_bit_is_noticed(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey, pattern: str
) -> None:
    """In each kind of file: nothing is restored, and nothing half-made stays."""
    day = make_day(DAY)
    archived(place, key, day)
    day.unlink()
    (file,) = place.root.glob(pattern)
    flip(file)
    with pytest.raises(ArchiveError, match=f"{DAY} is not restored: "):
        restored(place, data_root)
    assert list(data_root.iterdir()) == []


@pytest.mark.parametrize("change", ODD)
def test_a_day_with_odd_values_that_an_earlier_version_archived(
    make_day: MakeDay,
    data_root: Path,
    place: Directory,
    key: SigningKey,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    """It comes back as it was. Another reader of the archive names the file and the column in one line."""
    day = make_day(DAY, 60)
    changed(day, f"UPDATE ticks SET {change} WHERE symbol = 'HK.00700' AND seq & 63 = 60")
    before = dump(day)
    with monkeypatch.context() as earlier:
        earlier.setattr("hk_tick_collector.frames.faults.fault_of", lambda _: "")
        archived(place, key, day)
    day.unlink()
    parquet = next(place.root.glob("ticks/*/*.parquet"))
    with pytest.raises(StoreError, match=f"{parquet.name}: {ODD[change]}"):
        list(parquet_file.read_ticks(parquet, dictionaries=True))
    assert restored(place, data_root).rows == 120
    assert dump(day) == before
    assert archived(place, key, day).state == ALREADY


def test_a_parquet_file_that_cannot_be_read_is_named(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name in the archive, not by that of an open file."""
    day = make_day(DAY, 60)
    archived(place, key, day)
    day.unlink()
    name = next(place.root.glob("ticks/*/*.parquet")).relative_to(place.root)
    damaged = OSError("page checksum")
    monkeypatch.setattr("pyarrow.parquet.read_metadata", Mock(side_effect=damaged))
    with pytest.raises(StoreError, match=rf"cannot read {place.where}/{name} \(page checksum\)"):
        restored(place, data_root)


def test_the_certificate_of_another_day_is_refused(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey
) -> None:
    """Nor do files that were exchanged between two right days."""
    for name in (DAY, "20261123"):
        day = make_day(name)
        archived(place, key, day)
        day.unlink()
    first, second = place.root / "books/2026-11-20.db", place.root / "books/2026-11-23.db"
    first.rename(place.root / "x")
    second.rename(first)
    (place.root / "x").rename(second)
    with pytest.raises(ArchiveError, match="is not what was signed"):
        restored(place, data_root)


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal", "-shm"])
def test_an_existing_file_stays(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey, suffix: str
) -> None:
    """A day file, and a WAL without one, which SQLite would apply to the new file."""
    day = make_day(DAY)
    archived(place, key, day)
    day.unlink()
    there = data_root / f"{DAY}.db{suffix}"
    there.write_bytes(b"x")
    with pytest.raises(StoreError, match=r"exists: it is not replaced"):
        restored(place, data_root)
    assert there.read_bytes() == b"x"


def test_the_replaced_content_comes_back(make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey) -> None:
    """The certificate in force counts, not the one in _superseded/."""
    day = make_day(DAY)
    archived(place, key, day)
    changed(day)
    archived(place, key, day, replace=True)
    content = dump(day)
    day.unlink()
    restored(place, data_root)
    assert dump(day) == content


def test_a_killed_run_does_not_stop_the_next(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey
) -> None:
    """The next run uses the hidden directory again and removes it."""
    day = make_day(DAY)
    archived(place, key, day)
    day.unlink()
    left = data_root / f".restoring-{DAY}"
    left.mkdir()
    (left / day.name).write_bytes(b"half")
    restored(place, data_root)
    assert [path.name for path in data_root.iterdir()] == [day.name]


def test_a_disk_that_becomes_full_leaves_nothing(
    make_day: MakeDay, place: Directory, key: SigningKey, tmp_path: Path
) -> None:
    """It had room when the work began. One line that says so; with space again the day comes back."""
    archived(place, key, make_day(DAY, BATCH_ROWS))
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", small], check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    ballast = small / "ballast"

    def fill(_step: str, _done: int, _total: int) -> None:
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    try:
        with pytest.raises(StoreError, match="full"):
            restore_day(place, read_chain(place), DAY, small, known_signers(place), fill)
        assert list(small.iterdir()) == [ballast]
        ballast.unlink()
        assert restored(place, small).rows == 2 * BATCH_ROWS
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_link_in_place_of_the_hidden_directory(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey, tmp_path: Path
) -> None:
    """It is named with the command that removes it, and nothing is written where it leads."""
    archived(place, key, make_day(DAY, 20))
    (tmp_path / "elsewhere").mkdir()
    (data_root / f"{DAY}.db").unlink()
    link = data_root / f".restoring-{DAY}"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is a link or a file") as caught:
        restored(place, data_root)
    subprocess.run(["sh", "-c", caught.value.hint], check=True)
    assert restored(place, data_root).rows == 40
