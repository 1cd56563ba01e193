"""A day is archived once, whole, and never over another one."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING

import apsw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.archive.conftest import files_in, open_ms, verify_sh
from tests.archived_days import flip

from hk_tick_collector.archive import layout
from hk_tick_collector.archive.certificate import Origin, make
from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.check import demand_continuable
from hk_tick_collector.archive.day import ALREADY, ARCHIVED, REPLACED, Outcome, Run, archive_day
from hk_tick_collector.archive.digests import Digests
from hk_tick_collector.archive.facts import read_facts
from hk_tick_collector.archive.pruning import Asked, prune
from hk_tick_collector.archive.signers import place_helpers
from hk_tick_collector.archive.sshsig import SigningKey, make_key
from hk_tick_collector.archive.ticks import Written
from hk_tick_collector.errors import ArchiveError, ForeignFileError, OtherContentError, StoreError
from hk_tick_collector.frames.columns import NAMES, schema
from hk_tick_collector.frames.day_file import read_ticks
from hk_tick_collector.store.book import write_book

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.archive.conftest import MakeDay

    from hk_tick_collector.archive.places import Directory

DAY, NEXT = "20261120", "20261123"
PARQUET = "ticks/date=2026-11-20/ticks-"


def archived(place: Directory, key: SigningKey, source: Path, *, replace: bool = False) -> Outcome:
    with place.hold() as workspace:
        place_helpers(place, workspace, key.public)
        run = Run(place, workspace, key, "host-1", lambda *_: None, lambda: open_ms(DAY) + 10**8)
        return archive_day(run, read_chain(place), source, replace=replace)


def changed(
    source: Path, sql: str = "UPDATE ticks SET price = price + 1 WHERE seq = (SELECT min(seq) FROM ticks)"
) -> None:
    """Another price in a sealed day file, with which its counters agree, or what this statement changes."""
    source.chmod(0o640)
    with apsw.Connection(str(source)) as db:
        db.execute(sql)
    source.chmod(0o440)


def test_the_archive_has_the_files_of_its_layout(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """The files of the layout and no other; the stock tools find them as they were signed."""
    outcome = archived(place, key, make_day(DAY))
    assert outcome.state == ARCHIVED
    names = list(files_in(place.root))
    digest = outcome.certificate.content[:16]
    assert names == [
        "allowed_signers", "books/2026-11-20.db", "certificates/2026-11-20.txt", "certificates/2026-11-20.txt.sig",
        f"{PARQUET}{digest}.parquet", "verify.sh",
    ]  # fmt: skip
    done = verify_sh(place.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("right  2026-11-20  complete\n")
    listed = subprocess.run(
        ["sha256sum", "-c", "--strict", "certificates/2026-11-20.txt"], cwd=place.root, capture_output=True, check=False
    )
    assert listed.returncode == 0


def test_a_second_time_changes_nothing(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """Nor does a file with the same content in other bytes, like a restored one."""
    source = make_day(DAY)
    archived(place, key, source)
    before = files_in(place.root)
    assert archived(place, key, source).state == ALREADY
    copy = source.parent / "copy"
    subprocess.run(["sqlite3", source, f"VACUUM INTO '{copy}'"], check=True)
    assert copy.read_bytes() != source.read_bytes()
    copy.replace(source)
    assert archived(place, key, source).state == ALREADY
    assert files_in(place.root) == before


def test_other_content_is_an_error_unless_it_replaces(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """Replaced files are kept in another directory under their names; the chain of certificates continues."""
    source = make_day(DAY)
    first = archived(place, key, source).certificate
    archived(place, key, make_day(NEXT))
    before = files_in(place.root)
    changed(source)
    with pytest.raises(OtherContentError, match="2026-11-20 is archived with other content"):
        archived(place, key, source)
    assert files_in(place.root) == before
    assert archived(place, key, source, replace=True).state == REPLACED
    after = files_in(place.root)
    aside = f"_superseded/2026-11-20-{first.sha256[:16]}/"
    for name in [*first.files, "certificates/2026-11-20.txt", "certificates/2026-11-20.txt.sig"]:
        assert after[aside + name] == before[name]
    assert len([name for name in after if name.startswith(PARQUET)]) == 1
    assert verify_sh(place.root).returncode == 0
    chain = read_chain(place)
    assert (chain.faults(), chain.last and chain.last.number) == ([], 3)
    assert archived(place, key, source, replace=True).state == ALREADY


def test_a_reader_during_a_replacement(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """A reader with the file open reads it to its end; the directory never has two files of the day."""
    source = make_day(DAY)
    name = archived(place, key, source).certificate.ticks_name
    changed(source)
    seen: list[int] = []

    def progress(*_: object) -> None:
        seen.append(len(place.list("ticks/date=2026-11-20/")))

    with place.open(name) as reader, place.hold() as workspace:
        before = reader.read(100)
        run = Run(place, workspace, key, "host-1", progress, lambda: open_ms(DAY) + 10**8)
        archive_day(run, read_chain(place), source, replace=True)
        assert len(before + reader.read()) > 1000
    assert set(seen) == {1}
    assert len(place.list("ticks/date=2026-11-20/")) == 1
    assert not place.exists(name)


def test_files_of_a_killed_run_do_not_stop_the_next(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """Files without a certificate: the same content stays, other content is moved aside."""
    source = make_day(DAY)
    outcome = archived(place, key, source)
    name = f"{PARQUET}{outcome.certificate.content[:16]}.parquet"
    whole = files_in(place.root)
    (place.root / "certificates" / "2026-11-20.txt").unlink()
    (place.root / name).write_bytes(b"of another version")
    (place.root / f"{PARQUET}0123456789abcdef.parquet").write_bytes(b"doubles the day")
    assert archived(place, key, source).state == ARCHIVED
    after = files_in(place.root)
    assert {each: content for each, content in after.items() if not each.startswith("_superseded/")} == whole
    assert b"doubles the day" in after.values()
    assert verify_sh(place.root).returncode == 0


@pytest.mark.parametrize("cut", ["sealed", "text"])
def test_what_cannot_be_archived(make_day: MakeDay, place: Directory, key: SigningKey, cut: str) -> None:
    """A day that is not sealed, a foreign file: an error, and nothing in the archive."""
    source = make_day(DAY, sealed=False)
    if cut == "text":
        source.write_text("no database" * 1000)
    with pytest.raises(StoreError if cut == "sealed" else ForeignFileError):
        archived(place, key, source)
    assert set(files_in(place.root)) == {"allowed_signers", "verify.sh"}


def test_an_older_schema_and_an_empty_day(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """Both are archived; the certificate says the schema, and that no tick proves nothing."""
    older = make_day(DAY)
    older.chmod(0o640)
    with apsw.Connection(str(older)) as db:
        db.execute("DROP TABLE reconciliation; PRAGMA user_version = 1")
        db.execute("ALTER TABLE symbols DROP COLUMN rule; ALTER TABLE symbols DROP COLUMN run_seq")
    certificate = archived(place, key, older).certificate
    assert (certificate.figures["schema"], certificate.verdict) == ("1", "not_provable")
    assert certificate.figures["seconds_without_opend"] == "not_recorded"
    empty = archived(place, key, make_day(NEXT, 0)).certificate
    assert (empty.rows, empty.verdict) == (0, "not_provable")
    assert verify_sh(place.root).returncode == 0


def test_a_file_that_changes_meanwhile(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """A day file that is still being written gets no certificate."""
    source = make_day(DAY)

    def progress(what: str, done: int, _total: int) -> None:
        if what == "verify" and done:
            changed(source)

    with place.hold() as workspace:
        run = Run(place, workspace, key, "host-1", progress, lambda: open_ms(DAY) + 10**8)
        with pytest.raises(StoreError, match="changed while it was archived"):
            archive_day(run, read_chain(place), source)
    assert files_in(place.root) == {}


def test_a_full_disk_leaves_nothing(make_day: MakeDay, place: Directory, key: SigningKey, tmp_path: Path) -> None:
    """One line, and the next run with space finishes."""
    small = place.root
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", small], check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        with pytest.raises((ArchiveError, StoreError), match="full"):
            archived(place, key, make_day(DAY, 9000))
        assert not [name for name in files_in(small) if name.startswith(("ticks", "certificates"))]
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        assert archived(place, key, make_day(NEXT)).state == ARCHIVED
    finally:
        subprocess.run(["umount", small], check=True)


def test_keys_of_two_hosts(make_day: MakeDay, place: Directory, key: SigningKey, tmp_path: Path) -> None:
    """allowed_signers has both, the old one is kept, and the days of both are right."""
    archived(place, key, make_day(DAY))
    make_key(tmp_path / "other", tmp_path)
    second = make_day(NEXT)
    archived(place, SigningKey(tmp_path / "other", "host-2"), second)
    signers = (place.root / "allowed_signers").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in signers] == ["host-1", "host-2"]
    assert verify_sh(place.root).returncode == 0
    place.move("allowed_signers", "_superseded/allowed_signers-0/allowed_signers")  # a run that was killed then
    archived(place, key, second)
    assert (place.root / "allowed_signers").read_text().splitlines() == signers


def test_archiving_works_without_hard_links(
    make_day: MakeDay, place: Directory, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk of another kind, exFAT for example."""

    def link(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", link)
    assert archived(place, key, make_day(DAY)).state == ARCHIVED
    assert verify_sh(place.root).returncode == 0


def test_a_copy_under_the_name_of_another_day_is_refused(make_day: MakeDay, place: Directory, key: SigningKey) -> None:
    """Its ticks are of another day, so a certificate of the day in its name would say what is not true."""
    source = make_day(DAY)
    copy = source.rename(source.with_name(f"{NEXT}.db"))
    with pytest.raises(StoreError, match=f"is the file of {DAY}, not of {NEXT}"):
        archived(place, key, copy)
    assert [name for name in files_in(place.root) if NEXT[-2:] in name] == []


@pytest.mark.parametrize("how", [flip, os.unlink])
def test_a_damaged_file_of_an_archived_day(
    make_day: MakeDay, place: Directory, key: SigningKey, how: Callable[[Path], None]
) -> None:
    """It is not called archived; --replace archives the day anew from its day file, and the check finds no fault."""
    source = make_day(DAY)
    archived(place, key, source)
    archived(place, key, make_day(NEXT))
    (ticks,) = place.root.glob(f"{PARQUET}*")
    how(ticks)
    with pytest.raises(OtherContentError, match=r"ticks-.*\.parquet is missing in .* or is not what was signed"):
        archived(place, key, source)
    assert archived(place, key, source, replace=True).state == REPLACED
    done = verify_sh(place.root)
    assert (done.returncode, done.stdout.count("right")) == (0, 2)
    assert archived(place, key, source, replace=True).state == ALREADY


@pytest.mark.parametrize("how", [flip, os.unlink])
def test_a_damaged_signature_of_an_archived_day(
    make_day: MakeDay, place: Directory, key: SigningKey, how: Callable[[Path], None]
) -> None:
    """Of an earlier day --replace repairs it. Of the newest one the hint of the error does.

    No certificate is made after one that is not signed.
    """
    source, newest = make_day(DAY), make_day(NEXT)
    for day in (source, newest):
        archived(place, key, day)
    how(place.root / "certificates/2026-11-20.txt.sig")
    with pytest.raises(OtherContentError, match=r"certificates/2026-11-20\.txt in .*: ") as caught:
        archived(place, key, source)
    assert "--replace" in caught.value.hint
    assert archived(place, key, source, replace=True).state == REPLACED
    assert archived(place, key, source, replace=True).state == ALREADY
    assert verify_sh(place.root).returncode == 0
    how(place.root / "certificates/2026-11-20.txt.sig")
    with pytest.raises(ArchiveError, match="the newest certificate") as refused:
        demand_continuable(place, read_chain(place), [key.public])
    assert "move certificates/2026-11-20.txt away, then hk-tick-collector archive --day 20261120" in refused.value.hint
    (place.root / "certificates/2026-11-20.txt").unlink()
    demand_continuable(place, read_chain(place), [key.public])
    assert archived(place, key, source).state == ARCHIVED
    done = verify_sh(place.root)
    assert (done.returncode, done.stdout.count("right")) == (0, 2), done.stdout


@pytest.mark.parametrize("has_values", [False, True])
def test_an_archive_of_an_older_version(
    make_day: MakeDay, place: Directory, key: SigningKey, data_root: Path, has_values: bool
) -> None:
    """It did not know two columns: the content is the same all the same, unless the day file has values in them.

    The certificate names this very day file, but what nobody archived is neither `already` there nor pruned.
    """
    source = make_day(DAY)
    source.chmod(0o640)
    with apsw.Connection(str(source)) as db:
        db.execute("UPDATE ticks SET opend_recv_ts_ms = NULL, type_sign = NULL")
        if has_values:
            db.execute("UPDATE ticks SET type_sign = 'P' WHERE seq = (SELECT max(seq) FROM ticks)")
    source.chmod(0o440)
    archived_by_older_version(place, key, source)
    asked = Asked(data_root, data_root, [place], [key.public], 1, 0, frees=False)
    (judged,) = prune(asked, lambda *_: None)
    assert judged.freed is not has_values
    if has_values:
        assert "does not have the column type_sign" in judged.why
        with pytest.raises(OtherContentError, match="is archived with other content"):
            archived(place, key, source)
        assert archived(place, key, source, replace=True).state == REPLACED
        return
    assert archived(place, key, source).state == ALREADY
    copy = source.parent / "copy"
    subprocess.run(["sqlite3", source, f"VACUUM INTO '{copy}'"], check=True)
    copy.replace(source)
    assert archived(place, key, source).state == ALREADY


def archived_by_older_version(place: Directory, key: SigningKey, source: Path) -> None:
    """Archives a day as a version did that knew the first eleven columns only."""
    columns = schema(NAMES[:11])
    digests, facts = Digests(columns), read_facts(source)
    batches = list(read_ticks(source, columns=NAMES[:11]))
    for batch in batches:
        digests.update(batch)
    with place.hold() as space:
        place_helpers(place, space, key.public)
        pq.write_table(pa.Table.from_batches(batches, columns), space / "ticks")
        write_book(source, space / "book")
        names = {layout.ticks_name(DAY, digests.content()): "ticks", layout.book_name(DAY): "book"}
        sums = {name: hashlib.sha256((space / draft).read_bytes()).hexdigest() for name, draft in names.items()}
        origin = Origin("host-1", "1", hashlib.sha256(source.read_bytes()).hexdigest(), open_ms(DAY), None)
        written = Written(digests.rows, facts.counters, None, digests.content())
        certificate = make(DAY, facts, written, origin, sums)
        (space / "text").write_bytes(certificate.text)
        (space / "signature").write_bytes(key.sign(certificate.text))
        text = layout.certificate_name(DAY)
        for name, draft in {**names, text + layout.SIGNATURE: "signature", text: "text"}.items():
            place.put_new(name, space / draft)
