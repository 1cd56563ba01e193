"""A file is removed only if a copy is proved to be elsewhere; every other file stays, with the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.archive.conftest import open_ms
from tests.archived_days import flip, seal_day

from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.day import Run, archive_day
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.archive.pruning import ASIDE, Asked, Judged, prune
from hk_tick_collector.archive.restoring import restore_day
from hk_tick_collector.archive.signers import known_signers, place_helpers
from hk_tick_collector.archive.sshsig import SigningKey, make_key
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import GAP_OPEN, Gap
from hk_tick_collector.store.snapshot import sum_path, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.archive.conftest import MakeDay

    from hk_tick_collector.archive.places import Place

DAY, NEXT = "20261120", "20261123"


def nothing(*_: object) -> None:
    """No progress is shown."""


def archived(place: Directory, key: SigningKey, *sources: Path) -> None:
    with place.hold() as workspace:
        place_helpers(place, workspace, key.public)
        run = Run(place, workspace, key, "host-1", nothing, lambda: open_ms(DAY) + 10**8)
        chain = read_chain(place)
        for source in sources:
            archive_day(run, chain, source)


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    path = tmp_path / "快照 snapshots"
    path.mkdir()
    return path


@pytest.fixture
def pruned(data_root: Path, snapshots: Path, place: Directory, key: SigningKey) -> Callable[..., list[Judged]]:
    def run(*others: Place, copies: int = 1, keep_days: int = 0, frees: bool = True) -> list[Judged]:
        asked = Asked(data_root, snapshots, [place, *others], [key.public], copies, keep_days, frees)
        return list(prune(asked, nothing))

    return run


def test_a_proved_day_is_freed(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """A dry run says so and changes nothing; the real one leaves no file of that day."""
    day = make_day(DAY, gaps=[Gap("HK.00700", 1, 9, None, None, 1, "disconnected", GAP_OPEN, 1, None, 1)])
    archived(place, key, day)
    size = day.stat().st_size
    (dry,) = pruned(frees=False)
    assert (dry.freed, dry.size_bytes, dry.why) == (True, size, f"proved in {place.where}")
    assert day.exists()
    (real,) = pruned()
    assert (real.freed, real.size_bytes) == (True, size)
    assert [path.name for path in day.parent.iterdir()] == [".prune.lock"]
    assert pruned() == []


def test_links_to_one_file_are_one_copy(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """Hard links as `cp -al` makes them, and a directory of symbolic links: one failed disk block takes both."""
    day = make_day(DAY)
    archived(place, key, day)
    hard, soft = (Directory(place.root.with_name(name)) for name in ("hard", "soft"))
    shutil.copytree(place.root, hard.root, copy_function=os.link)
    soft.root.mkdir()
    for name in ("ticks", "books", "certificates"):
        (soft.root / name).symlink_to(place.root / name)
    for copy in (hard, soft):
        (kept,) = pruned(copy, copies=2)
        assert (kept.freed, kept.is_fault) == (False, True)
        assert f"{copy.where}: its files are those of {place.where}: that is one copy" in kept.why
    assert day.exists()


def test_an_archive_that_is_not_mounted_is_a_fault(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """Not the same as a day that is not archived yet: the exit code has to tell it."""
    day = make_day(DAY)
    archived(place, key, day)
    place.root.rename(place.root.with_name("elsewhere"))
    (kept,) = pruned()
    assert (kept.freed, kept.is_fault) == (False, True)
    assert kept.why == f"there is no directory {place.where}"


def test_the_newest_days_stay_whatever_the_clock_says(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """They are counted by files: a clock that is set back or forward frees nothing more."""
    days = [make_day(name) for name in ("20261118", "20261119", DAY, NEXT)]
    archived(place, key, *days)
    judged = pruned(keep_days=3)
    assert [(each.day, each.freed) for each in judged] == [
        ("20261118", True), ("20261119", False), (DAY, False), (NEXT, False),
    ]  # fmt: skip
    assert {each.why for each in judged[1:]} == {"it is one of the newest 3 days"}


def test_a_day_that_is_not_proved_stays(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """Not archived, not sealed, damaged, of another program, of another day, a link: each with its reason."""
    known = make_day(NEXT)
    archived(place, key, known)
    make_day("20261116")
    make_day("20261117", sealed=False)
    flip(make_day("20261118"), 200)
    (data_root / "20261119.db").write_text("no database")
    (data_root / "20261119.db").chmod(0o440)
    shutil.copy2(known, data_root / f"{DAY}.db")
    (data_root / "20261121.db").symlink_to(known)
    judged = {each.day: each for each in pruned(keep_days=0)}
    assert {day for day, each in judged.items() if each.freed} == {NEXT}
    reasons = {day: each.why for day, each in judged.items() if not each.freed}
    assert reasons["20261116"] == f"{place.where}: it is not archived there"
    assert reasons["20261117"] == "it is not sealed: it has write permission"
    assert "is not an SQLite file" in reasons["20261119"]
    assert reasons[DAY] == f"it is the file of {NEXT}"
    assert reasons["20261121"].startswith("it cannot be opened")
    assert [day for day, each in sorted(judged.items()) if each.is_fault][-3:] == ["20261119", DAY, "20261121"]
    assert all((data_root / f"{day}.db").is_symlink() or (data_root / f"{day}.db").exists() for day in reasons)


@pytest.mark.parametrize("what", ["ticks/*/*.parquet", "books/*.db", "certificates/*.txt", "certificates/*.sig"])
@pytest.mark.parametrize("how", [flip, os.unlink])
def test_a_day_stays_if_a_file_of_its_archive_is_wrong(
    make_day: MakeDay,
    place: Directory,
    key: SigningKey,
    pruned: Callable[..., list[Judged]],
    what: str,
    how: Callable[[Path], None],
) -> None:
    """One flipped bit, or a missing file, in any of them; with a second, right copy the day may be removed."""
    day = make_day(DAY)
    archived(place, key, day)
    copy = Directory(place.root.with_name("copy"))
    shutil.copytree(place.root, copy.root)
    (file,) = place.root.glob(what)
    how(file)
    (kept,) = pruned()
    assert not kept.freed
    assert day.exists()
    (kept,) = pruned(copy, copies=2)
    assert not kept.freed
    assert kept.why.startswith("1 of 2 copies proved; ")
    (freed,) = pruned(copy, copies=1)
    assert freed.freed
    assert freed.why.startswith(f"proved in {copy.where}")
    assert freed.is_fault or not place.exists("certificates/2026-11-20.txt")


def test_a_day_file_with_a_flipped_bit_stays(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """It differs from the archive: the day file may be right and the archive wrong."""
    day = make_day(DAY)
    archived(place, key, day)
    day.chmod(0o640)
    with apsw.Connection(str(day)) as db:
        db.execute("UPDATE ticks SET price = price + 1 WHERE seq = (SELECT min(seq) FROM ticks)")
    day.chmod(0o440)
    (kept,) = pruned()
    assert (kept.freed, kept.is_fault) == (False, True)
    assert "what is archived there is not what the day file has" in kept.why


def test_a_certificate_of_another_key_proves_nothing(
    make_day: MakeDay, tmp_path: Path, place: Directory, pruned: Callable[..., list[Judged]]
) -> None:
    """Even if the archive names that key: anyone who can write there could have added it."""
    make_key(tmp_path / "another", tmp_path)
    archived(place, SigningKey(tmp_path / "another", "host-2"), make_day(DAY))
    (kept,) = pruned()
    assert (kept.freed, kept.is_fault) == (False, True)
    assert "it is signed by another key" in kept.why


@pytest.mark.parametrize("schema", [2, 3])
def test_a_restored_day_and_an_older_schema_are_proved_by_content(
    data_root: Path, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]], schema: int
) -> None:
    """A restored file has other bytes than the one that was archived, and the same ticks and tables."""
    day = seal_day(data_root, DAY, schema=schema, gaps=1)
    archived(place, key, day)
    before = day.read_bytes()
    assert pruned()[0].freed
    restore_day(place, read_chain(place), DAY, data_root, known_signers(place), nothing)
    assert day.read_bytes() != before
    assert pruned()[0].freed


def test_a_reader_with_the_day_open_can_continue(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """A reader in the middle of its transaction gets all its rows, and a file that is open all its bytes."""
    day = make_day(DAY)
    archived(place, key, day)
    content = day.read_bytes()
    reader = apsw.Connection(str(day), flags=apsw.SQLITE_OPEN_READONLY)
    rows = reader.execute("SELECT symbol, seq FROM ticks")
    first = next(rows)
    with day.open("rb") as file:
        assert pruned()[0].freed
        assert file.read() == content
    assert len([first, *rows]) == 400
    reader.close()


def test_a_snapshot_is_proved_by_the_sealed_day(
    make_day: MakeDay, snapshots: Path, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """It may have fewer ticks, never other ones; its SHA-256 goes with it. The day itself need not be archived."""
    day = make_day(DAY)
    taken = take(day, snapshots, keep_free_bytes=0, progress=nothing).path
    with apsw.Connection(str(taken)) as db:
        db.execute("DELETE FROM ticks WHERE seq = (SELECT max(seq) FROM ticks)")
    dry, kept = pruned(frees=False)
    assert (dry.kind, dry.freed, dry.why) == ("snapshot", True, "the sealed day file has every tick of it")
    assert (kept.kind, kept.freed) == ("day", False)
    with apsw.Connection(str(taken)) as db:
        db.execute("UPDATE ticks SET price = 1 WHERE seq = (SELECT max(seq) FROM ticks)")
    stays = pruned()[0]
    assert (stays.freed, stays.is_fault) == (False, True)
    assert stays.why == "it has 2 ticks that the sealed day file does not have"
    take(day, snapshots, keep_free_bytes=0, progress=nothing)
    archived(place, key, day)
    assert [(each.kind, each.freed) for each in pruned()] == [("snapshot", True), ("day", True)]
    assert list(snapshots.iterdir()) == []


def test_a_snapshot_without_its_day_stays(
    make_day: MakeDay, snapshots: Path, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """And the reason is the command that helps; with --copies 2 the archive is needed beside the day file."""
    day = make_day(DAY)
    taken = take(day, snapshots, keep_free_bytes=0, progress=nothing).path
    (stays, _) = pruned(copies=2)
    assert "it is not archived there" in stays.why
    archived(place, key, day)
    day.unlink()
    (stays,) = pruned()
    assert f"hk-tick-collector restore {DAY}, then prune again" in stays.why
    assert sum_path(taken).exists()
    restore_day(place, read_chain(place), DAY, day.parent, known_signers(place), nothing)
    assert [each.freed for each in pruned()] == [True, True]


def test_the_next_run_completes_or_undoes_a_killed_run(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """A proved day goes; another one gets its name back; and no file is replaced by that."""
    proved, other = make_day(DAY), make_day("20261119")
    archived(place, key, proved)
    asides = [path.rename(path.with_name(path.name + ASIDE)) for path in (proved, other)]
    judged = {each.day: each for each in pruned(keep_days=0)}
    assert judged[DAY].freed
    assert (judged["20261119"].freed, judged["20261119"].path) == (False, other)
    assert [path.exists() for path in (*asides, proved, other)] == [False, False, False, True]
    make_day(NEXT)
    shutil.copy2(other, asides[1])
    kept = [each for each in pruned() if each.day == "20261119"]
    assert [each.path for each in kept] == [other, asides[1]]  # both stay
    assert asides[1].exists()


def test_one_run_at_a_time(
    make_day: MakeDay, data_root: Path, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """A second run that would remove files is refused; a dry run may run at the same time."""
    for name in (DAY, NEXT):
        archived(place, key, make_day(name))
    running = prune(Asked(data_root, data_root, [place], [key.public], 1, 0, frees=True), nothing)
    next(running)
    with pytest.raises(StoreError, match="another run is pruning"):
        pruned()
    assert pruned(frees=False)
    assert [each.day for each in running] == [NEXT]


def test_an_archive_that_cannot_be_read_frees_nothing(
    make_day: MakeDay, place: Directory, key: SigningKey, pruned: Callable[..., list[Judged]]
) -> None:
    """Its disk is not mounted: the day stays, with that as the reason."""
    day = make_day(DAY)
    archived(place, key, day)
    place.root.rename(place.root.with_name("unmounted"))
    (kept,) = pruned()
    assert (kept.freed, kept.is_fault) == (False, True)
    assert kept.why == f"there is no directory {place.where}"
    assert day.exists()


def test_only_the_file_that_was_read_is_removed(
    make_day: MakeDay, place: Directory, key: SigningKey, data_root: Path
) -> None:
    """A file that replaces it while the copies are read is not removed."""
    day = make_day(DAY)
    archived(place, key, day)
    another = data_root / "another"
    shutil.copy2(day, another)

    def exchange(*_: object) -> None:
        if another.exists():
            another.rename(day)

    (kept,) = prune(Asked(data_root, data_root, [place], [key.public], 1, 0, frees=True), exchange)
    assert (kept.freed, kept.is_fault) == (False, True)
    assert "it was changed while it was read" in kept.why
    assert subprocess.run(["sqlite3", day, "SELECT count(*) FROM ticks"], capture_output=True, check=True).stdout


def test_without_an_archive_only_snapshots_are_removed(
    make_day: MakeDay, data_root: Path, snapshots: Path, key: SigningKey
) -> None:
    """Without an archive no day file is proved to be elsewhere."""
    day = make_day(DAY)
    take(day, snapshots, keep_free_bytes=0, progress=nothing)
    judged = prune(Asked(data_root, snapshots, [], [key.public], 1, 0, frees=True), nothing)
    assert [(each.kind, each.freed, each.why) for each in judged] == [
        ("snapshot", True, "the sealed day file has every tick of it"),
        ("day", False, "no archive is named"),
    ]
    assert day.exists()
