"""Any change in an archive is reported: by this program, and by verify.sh with only the tools of Debian."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.archive.conftest import files_in, open_ms, verify_sh

from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.check import check_day, demand_continuable, uncertified
from hk_tick_collector.archive.day import Run, archive_day
from hk_tick_collector.archive.signers import known_signers, place_helpers
from hk_tick_collector.archive.sshsig import SigningKey, make_key, read_signers
from hk_tick_collector.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDay

    from hk_tick_collector.archive.places import Directory

DAYS: Final = ("20261118", "20261119", "20261120")


@pytest.fixture
def archive(make_day: MakeDay, place: Directory, key: SigningKey) -> Directory:
    """Three archived days."""
    with place.hold() as workspace:
        place_helpers(place, workspace, key.public)
        chain = read_chain(place)
        run = Run(place, workspace, key, "host-1", lambda *_: None, lambda: open_ms(DAYS[-1]) + 10**8)
        for day in DAYS:
            archive_day(run, chain, make_day(day, 20))
    return place


def faults(place: Directory) -> dict[str, list[str]]:
    """What this program finds: day → faults."""
    chain = read_chain(place)
    days = sorted({*chain.by_day, *chain.damaged})
    checked = {day: check_day(place, chain, day, known_signers(place)).faults for day in days}
    return {day: found for day, found in checked.items() if found}


def wrong(place: Directory) -> str:
    """What verify.sh finds: its lines that begin with WRONG."""
    done = verify_sh(place.root)
    assert (done.returncode, done.stderr) == (1, "")
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith("WRONG"))


def test_an_archive_as_it_was_signed(archive: Directory) -> None:
    """No fault; one day can be checked alone; the newest certificate is named to be compared."""
    assert faults(archive) == {}
    done = verify_sh(archive.root, "2026-11-19")
    assert done.stdout.startswith("right  2026-11-19  complete\nThe newest certificate is number 3, of 2026-11-20, SHA")
    last = read_chain(archive).last
    assert last is not None
    assert last.sha256 in done.stdout


@pytest.mark.parametrize("kind", ["ticks/date=2026-11-19/", "books/2026-11-19.db"])
def test_a_flipped_byte_in_a_file(archive: Directory, kind: str) -> None:
    """The day and the file are named."""
    name = archive.list(kind)[0]
    content = bytearray((archive.root / name).read_bytes())
    content[len(content) // 2] ^= 1
    (archive.root / name).write_bytes(content)
    assert name in faults(archive)["20261119"][0]
    assert "2026-11-19" in wrong(archive)
    assert name in wrong(archive)


def test_a_flipped_byte_in_a_certificate_or_signature(archive: Directory) -> None:
    """Each of many places: never as it was signed."""
    for name in ("certificates/2026-11-19.txt", "certificates/2026-11-19.txt.sig"):
        whole = (archive.root / name).read_bytes()
        for at in range(0, len(whole) - 1, 211):
            (archive.root / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert "20261119" in faults(archive)
            assert verify_sh(archive.root, "2026-11-19").returncode == 1
        (archive.root / name).write_bytes(whole)
    assert faults(archive) == {}


@pytest.mark.parametrize("kind", ["ticks/date=2026-11-19/", "books/2026-11-19.db", "certificates/2026-11-19.txt.sig"])
def test_a_missing_file(archive: Directory, kind: str) -> None:
    """It is named."""
    name = archive.list(kind)[0]
    (archive.root / name).unlink()
    assert "missing" in faults(archive)["20261119"][0]
    assert "2026-11-19" in wrong(archive)


def test_a_day_taken_out_of_the_chain(archive: Directory) -> None:
    """With all its files: the next day shows it."""
    for name in [name for name in archive.list() if "2026-11-19" in name]:
        (archive.root / name).unlink()
    expected = "the certificate before it is missing: number 2, of 2026-11-19"
    assert faults(archive) == {"20261120": [expected]}
    assert "certificate number 2 is missing" in wrong(archive)


def test_a_day_taken_out_by_moving_it_aside(archive: Directory) -> None:
    """Its certificate lies where those of replaced days lie, so no number is missing; but none is in force."""
    for name in [name for name in archive.list() if "2026-11-19" in name]:
        archive.move(name, f"_superseded/2026-11-19-0123456789abcdef/{name}")
    (words,) = [words for day, words in read_chain(archive).faults() if day == "20261119"]
    assert words == "its certificate, number 2, lies in _superseded/ and no newer one is in force"
    assert "2026-11-19: its certificate, number 2, lies in _superseded/" in wrong(archive)


def test_a_replaced_day_that_is_put_back(archive: Directory, make_day: MakeDay, key: SigningKey) -> None:
    """The old certificate and its files in the place of the new ones: all are signed, and the order shows it."""
    (archive.root.parent / "the 數據 data" / "20261119.db").unlink()
    with archive.hold() as workspace:
        run = Run(archive, workspace, key, "host-1", lambda *_: None, lambda: open_ms(DAYS[-1]) + 10**8)
        archive_day(run, read_chain(archive), make_day("20261119", 30), replace=True)
    assert faults(archive) == {}
    assert verify_sh(archive.root).returncode == 0
    old = [name for name in archive.list("_superseded/") if "2026-11-19" in name]
    for name in [name for name in archive.list() if "2026-11-19" in name and name not in old]:
        archive.move(name, f"_superseded/2026-11-19-0123456789abcdef/{name}")
    for name in old:
        archive.move(name, name.split("/", 2)[2])
    assert faults(archive) == {
        "20261119": ["its certificate, number 4, lies in _superseded/ and no newer one is in force"]
    }
    assert "2026-11-19: its certificate, number 4, lies in _superseded/" in wrong(archive)


def test_certificates_of_another_key(archive: Directory, tmp_path: Path) -> None:
    """A day signed again by a key that is not in allowed_signers."""
    make_key(tmp_path / "other", tmp_path)
    name = archive.root / "certificates" / "2026-11-20.txt"
    name.with_name(name.name + ".sig").write_bytes(SigningKey(tmp_path / "other", "x").sign(name.read_bytes()))
    assert "signed by another key" in faults(archive)["20261120"][0]
    assert "2026-11-20: the signature" in wrong(archive)


def test_signers_that_are_kept_elsewhere(archive: Directory, tmp_path: Path, key: SigningKey) -> None:
    """An archive that another person made again with another key and another allowed_signers."""
    make_key(tmp_path / "other", tmp_path)
    other = SigningKey(tmp_path / "other", "host-1")
    (tmp_path / "kept").write_text(f"{key.public.line}\n")
    (archive.root / "allowed_signers").write_text(f"{other.public.line}\n")
    for name in archive.list("certificates/"):
        if name.endswith(".txt"):
            (archive.root / f"{name}.sig").write_bytes(other.sign(archive.read(name)))
    assert verify_sh(archive.root).returncode == 0
    assert verify_sh(archive.root, signers=tmp_path / "kept").returncode == 1
    chain = read_chain(archive)
    kept = read_signers((tmp_path / "kept").read_text())
    assert "another key" in check_day(archive, chain, DAYS[0], kept).faults[0]


def test_a_changed_order_is_noticed(archive: Directory, key: SigningKey) -> None:
    """Two certificates exchanged, or one made again by the same key with other figures."""
    name = archive.root / "certificates" / "2026-11-19.txt"
    text = name.read_bytes().replace(b"# gaps_open: 0", b"# gaps_open: 1")
    name.write_bytes(text)
    name.with_name(name.name + ".sig").write_bytes(key.sign(text))
    assert list(faults(archive)) == ["20261120"]
    assert "2026-11-20: it was not made after" in wrong(archive)


@pytest.mark.parametrize("number", ["9" * 9, "9" * 5000])
def test_a_number_that_is_much_too_high(archive: Directory, number: str) -> None:
    """Whoever changes a certificate can write any number: both checks end soon, with a fault."""
    name = archive.root / "certificates" / "2026-11-20.txt"
    name.write_text(name.read_text().replace("# number: 3", f"# number: {number}"))
    assert "20261120" in faults(archive)
    assert "2026-11-20" in wrong(archive)


def test_a_second_file_beside_the_ticks(archive: Directory) -> None:
    """Otherwise a reader of the directory would see the ticks of the day twice."""
    (archive.root / "ticks/date=2026-11-19/ticks-0123456789abcdef.parquet").write_bytes(b"x")
    assert "doubles the day" in faults(archive)["20261119"][0]
    said = wrong(archive)
    assert said.count("\n") == 0
    assert "2026-11-19: ticks/date=2026-11-19/ticks-0123456789abcdef.parquet is not in the certificate" in said


def test_wrong_usage_of_the_script(archive: Directory, tmp_path: Path) -> None:
    """Exit code 2 and one line: a day in another form, no file of signers, no ssh-keygen."""
    for done in (verify_sh(archive.root, "20261119"), verify_sh(archive.root, signers=tmp_path / "none")):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert verify_sh(archive.root, "2026-11-17").returncode == 1
    without = subprocess.run(
        ["/bin/sh", archive.root / "verify.sh"], capture_output=True, env={"PATH": "/nowhere"}, check=False
    )
    assert without.returncode == 2
    assert b"openssh-client" in without.stderr


def test_it_needs_nothing_but_ssh_keygen_and_coreutils(archive: Directory, tmp_path: Path) -> None:
    """With a PATH that has only these two."""
    for name in ("ssh-keygen", "sha256sum", "tr", "ls"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    command = ["/bin/sh", str(archive.root / "verify.sh")]
    assert subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, check=False).returncode == 0
    assert set(files_in(archive.root)) == set(archive.list())


@pytest.mark.parametrize("directory", ["certificates", "_superseded", "ticks/date=2026-11-19", "books"])
def test_a_directory_that_cannot_be_listed_is_not_an_empty_one(
    archive: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """A disk or a right prevents it: both checks say so, and no chain begins anew at number 1."""
    (archive.root / "_superseded").mkdir(exist_ok=True)
    scandir = os.scandir

    def failing(path: str) -> Any:
        if str(path) == str(archive.root / directory):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(ArchiveError, match=f"cannot read .*{directory} .Input/output error"):
        archive.list(f"{directory}/")
    if directory in ("certificates", "_superseded"):
        with pytest.raises(ArchiveError, match="Input/output error"):
            read_chain(archive)
    for name in ("ssh-keygen", "sha256sum", "tr"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "ls").write_text(
        f'#!/bin/sh\nfor each; do [ "$each" != {directory} ] || exit 2; done\nexec /bin/ls "$@"\n'
    )
    (tmp_path / "ls").chmod(0o755)
    command = ["/bin/sh", str(archive.root / "verify.sh")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"the directory {directory} cannot be listed" in done.stdout


@pytest.mark.parametrize(
    "name", ["ticks/date=2026-11-17/ticks-0123456789abcdef.parquet", "ticks/x.parquet", "books/2026-11-17.db"]
)
def test_files_of_a_day_without_a_certificate(archive: Directory, name: str) -> None:
    """Readers of the directory take them: both checks name them, and an empty directory is nothing."""
    (archive.root / "ticks/date=2026-11-16").mkdir()
    assert uncertified(archive, read_chain(archive)) == []
    assert verify_sh(archive.root).returncode == 0
    (archive.root / name).parent.mkdir(exist_ok=True)
    (archive.root / name).write_bytes(b"x")
    assert uncertified(archive, read_chain(archive)) == [name]
    assert "has no certificate, and readers of the directory take it" in wrong(archive)
    assert verify_sh(archive.root, "2026-11-19").returncode == 0


def test_a_signature_without_its_last_line_break(archive: Directory) -> None:
    """ssh-keygen accepts it, so both checks do."""
    path = archive.root / "certificates/2026-11-19.txt.sig"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert faults(archive) == {}
    assert verify_sh(archive.root).returncode == 0


def test_nothing_of_an_archive_controls_the_terminal(archive: Directory) -> None:
    """Names and figures of a hostile archive are shown by the script without their escape sequences."""
    path = archive.root / "certificates/2026-11-19.txt"
    path.write_bytes(path.read_bytes().replace(b"# verdict: complete", b"# verdict: \x1b[2Jcomplete"))
    (archive.root / "certificates/\x1b]0;x\x07.txt").write_text("x")
    (archive.root / "ticks/date=2026-11-20/\x1b[2J\x9b.parquet").write_text("x")
    done = verify_sh(archive.root)
    assert done.returncode == 1
    assert done.stdout.replace("\n", "").isprintable()
    assert done.stdout.count("WRONG") >= 3


def test_no_certificate_is_made_after_one_that_is_not_to_be_trusted(
    archive: Directory, tmp_path: Path, key: SigningKey
) -> None:
    """The next one would vouch for it: a foreign signature, a missing one, and damage that may be of the newest."""
    newest, older = (archive.root / f"certificates/2026-11-{day}.txt" for day in (20, 19))
    signature = newest.with_name(newest.name + ".sig")
    text, signed = newest.read_bytes(), signature.read_bytes()
    demand_continuable(archive, read_chain(archive), known_signers(archive))
    make_key(tmp_path / "other", tmp_path)
    signature.write_bytes(SigningKey(tmp_path / "other", "x").sign(text))
    for content in (signature.read_bytes(), b"", signed[:-30]):
        signature.write_bytes(content)
        with pytest.raises(ArchiveError, match="because the newest certificate there is not to be trusted"):
            demand_continuable(archive, read_chain(archive), [key.public])
    signature.unlink()
    with pytest.raises(ArchiveError, match="number 3 of 20261120: its signature is missing"):
        demand_continuable(archive, read_chain(archive), [key.public])
    signature.write_bytes(signed)
    older.write_bytes(older.read_bytes()[:-9])
    demand_continuable(archive, read_chain(archive), [key.public])  # number 2 of 3: it cannot be the newest
    newest.write_bytes(text[:-9])
    with pytest.raises(ArchiveError, match="a damaged certificate, of 20261120, may be the newest"):
        demand_continuable(archive, read_chain(archive), [key.public])
