"""`archive` and `certificate`: what an operator sees, and a day is archived whole or not at all."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.archive.conftest import files_in, verify_sh
from tests.bigday import make_big_day
from tests.predecessor_files import write_file

from hk_tick_collector import market
from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.clock import now_ms
from hk_tick_collector.store.dayfile import StoreOptions, seal

if TYPE_CHECKING:
    from collections.abc import Callable

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAYS: Final = ("20261118", "20261119", "20261120")
SEALED_MS: Final = 1_795_212_000_000
CAP_S: Final = 300.0
KILLS: Final = int(os.environ.get("ARCHIVE_KILLS", "20"))


@pytest.fixture
def data(workdir: Path) -> Path:
    """DATA_ROOT with three sealed days, and ARCHIVE_DIR, both with blanks in their names."""
    root = workdir / "the 數據"
    root.mkdir()
    (workdir / "the 檔案").mkdir()
    (workdir / ".env").write_text(f"DATA_ROOT={root}\nARCHIVE_DIR={workdir}/the 檔案\nINSTANCE_ID=host-1\n")
    for day in DAYS:
        make_big_day(root / f"{day}.db", 1800)
        assert seal(root / f"{day}.db", SEALED_MS, StoreOptions())
    return root


@pytest.fixture
def archive_root(data: Path) -> Path:
    """ARCHIVE_DIR."""
    return data.parent / "the 檔案"


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def test_the_first_run_and_the_second(cli: Cli, data: Path, archive_root: Path) -> None:
    """Every sealed day is archived, and the new key of the host is reported; the second run has nothing to do."""
    done = cli("archive")
    assert done.returncode == 0, done.stderr
    shown = [line.partition(" ticks, not_provable, ")[0] for line in done.stdout.splitlines()]
    assert shown == [f"{day}: archived and verified: 1,800" for day in DAYS]
    assert done.stderr.startswith(f"warning: made the key {data}/.certificate_key, which signs certificates")
    assert (data / ".certificate_key").stat().st_mode & 0o777 == 0o600
    before = files_in(archive_root)
    done = cli("archive")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"3 days were archived before in {archive_root}\n"
    assert files_in(archive_root) == before
    assert verify_sh(archive_root).returncode == 0


def test_json_is_one_document(cli: Cli, data: Path, archive_root: Path) -> None:
    """For a program: what became of each day, and its files."""
    cli("archive", "--day", DAYS[0])
    document = json.loads(cli("archive", "--since", DAYS[0], "--until", DAYS[1], "--json").stdout)
    assert document["archive"] == str(archive_root)
    assert [(day["day"], day["state"]) for day in document["days"]] == [(DAYS[0], "already"), (DAYS[1], "archived")]
    second: dict[str, Any] = document["days"][1]
    assert (second["rows"], second["verdict"]) == (1800, "not_provable")
    assert set(second["files"]) <= set(files_in(archive_root))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--day", "20261332"], 2, "--day 20261332 is not a date: write a day like 20261120"),
        (["--since", "x"], 2, "--since x is not a date: write a day like 20261120"),
        (["--day", "20261120", "--since", "20261119"], 2, "give one of them"),
        (["--since", "20261120", "--until", "20261119"], 2, "--since 20261120 is after --until 20261119"),
        (["--day", "20261117"], 1, "a holiday, or the collector did not run that day"),
        (["--to", "none"], 1, "there is no directory none: create it or mount its disk"),
        (["--to", "ftp://x"], 2, "ftp:// is not supported"),
    ],
)
def test_wrong_values(cli: Cli, data: Path, arguments: list[str], code: int, says: str) -> None:
    """One line each: what was wrong, what is allowed, what to do."""
    done = cli("archive", *arguments)
    assert done.returncode == code
    assert says in only_line(done)


def test_no_archive_is_named(cli: Cli, data: Path) -> None:
    """Neither by --to nor by ARCHIVE_DIR."""
    done = cli("archive", ARCHIVE_DIR="")
    assert done.returncode == 2
    assert only_line(done).endswith("no archive is named: set ARCHIVE_DIR, or name a directory with --to")


def test_days_that_cannot_be_archived(cli: Cli, data: Path, archive_root: Path) -> None:
    """They are named, each with its reason, and do not keep the others from being archived."""
    make_big_day(data / "20261117.db", 900)
    write_file(data / "20261113.db", [])
    (data / "20261116.db").write_text("no database" * 1000)
    done = cli("archive")
    assert done.returncode == 1
    assert "20261117: not sealed yet, so not archived" in done.stdout
    assert "20261116: " in done.stderr
    assert "is not an SQLite file" in done.stderr
    assert "20261113: " in done.stderr
    assert "hk-tick-collector import" in done.stderr
    assert len(Directory(archive_root).list("certificates/")) == 6
    done = cli("archive", "--day", "20261117")
    assert done.returncode == 1
    assert "20261117 is not sealed: ticks may still come" in only_line(done)


def test_an_error_after_some_days_says_which_are_archived(cli: Cli, data: Path, archive_root: Path) -> None:
    """The Delta log is of another version: the days are archived and shown, then the error; exit code 1."""
    (archive_root / "ticks/_delta_log").mkdir(parents=True)
    log = archive_root / f"ticks/_delta_log/{0:020}.json"
    log.write_text('{"protocol":{"minReaderVersion":3,"minWriterVersion":7}}\n')
    done = cli("archive", "--day", DAYS[0], "--delta", "--json")
    assert done.returncode == 1
    assert "demands reader version 3" in done.stderr.splitlines()[-1]
    document = json.loads(done.stdout)
    assert [(each["day"], each["state"]) for each in document["days"]] == [(DAYS[0], "archived")]
    assert "demands reader version 3" in document["error"]
    done = cli("archive", "--delta")
    assert done.returncode == 1
    shown = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert shown[:2] == list(DAYS[1:])
    assert "demands reader version 3" in only_error(done)
    done = cli("archive", "--delta")
    assert "demands reader version 3" in only_line(done)


def only_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_day_after_today_is_told(cli: Cli, data: Path) -> None:
    """The clock of the host was set back: that days are left alone is not passed over in silence."""
    shutil.copy(data / f"{DAYS[0]}.db", data / "20991130.db")
    shutil.copy(data / f"{DAYS[0]}.db", data / "20991231.db")
    done = cli("archive")
    assert done.returncode == 0
    today = market.day_name(market.day_number(now_ms()))
    assert (
        f"warning: 2 days, 20991130 first, are after today, {today}, by the clock of this host: they are not archived"
        " -> timedatectl status\n"
    ) in done.stderr
    assert "20991231: " not in done.stdout


def test_a_clock_that_was_set_back(cli: Cli, data: Path, workdir: Path) -> None:
    """A sealed day after today, by this host's clock, is a finished day to every verb: its file says so."""
    day = "20370105"
    make_big_day(data / f"{day}.db", 900)
    assert seal(data / f"{day}.db", SEALED_MS, StoreOptions())
    assert cli("archive", "--day", DAYS[0]).returncode == 0
    assert cli("archive", "--day", day).stdout.startswith(f"{day}: archived and verified: 900 ticks")
    done = cli("certificate", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"newest: number 2, {day}, SHA-256 ")
    for place in ("day file", "archive"):
        found = json.loads(cli("quality", "--day", day, "--json").stdout)["days"][0]
        assert (found["rows"], found["verdict"], "so far" in found["line"]) == (900, "WARNING", False), place
        done = cli("export", "--day", day, "--out", f"{place}.csv")
        assert (done.returncode, "partial" in done.stderr) == (0, False)
        assert len((workdir / f"{place}.csv").read_text().splitlines()) == 901
        assert cli("bars", "--day", day, "--out", f"{place}.bars.csv").returncode == 0
        (data / f"{day}.db").unlink(missing_ok=True)
    assert cli("restore", day).returncode == 0


def test_the_key_is_gone(cli: Cli, data: Path) -> None:
    """An archive with certificates gets no new key automatically: a person must decide that."""
    cli("archive", "--day", DAYS[0])
    (data / ".certificate_key").unlink()
    done = cli("archive")
    assert done.returncode == 1
    assert "there is no key" in only_line(done)
    assert "certificate --new-key" in done.stderr
    assert cli("certificate", "--new-key").returncode == 0
    assert "never overwritten" in only_line(cli("certificate", "--new-key"))
    assert cli("archive").returncode == 0
    assert cli("certificate", "--check").returncode == 0


def test_a_certificate_of_another_key(cli: Cli, data: Path, archive_root: Path) -> None:
    """Nothing is archived after it: the next certificate would vouch for it. A file without one is named as well."""
    cli("archive", "--day", DAYS[0])
    (data / ".certificate_key").unlink()
    before = (archive_root / "allowed_signers").read_text()
    cli("certificate", "--new-key")
    assert cli("archive", "--day", DAYS[1]).returncode == 0
    (archive_root / "allowed_signers").write_text(before)  # as if another host had written into the archive
    (data / ".certificate_key").rename(data / "other_key")
    cli("certificate", "--new-key")
    files = files_in(archive_root)
    done = cli("archive")
    assert done.returncode == 1
    assert (
        "nothing is archived, because the newest certificate there is not to be trusted, number 2 of 20261119: it is"
        in (only_line(done))
    )
    assert "signed by another key (SHA256:" in done.stderr
    assert files_in(archive_root) == files
    done = cli("certificate", "--check")
    assert "20261119: certificates/2026-11-19.txt: it is signed by another key" in done.stderr
    (archive_root / "certificates/2026-11-19.txt").unlink()
    document = json.loads(cli("certificate", "--check", "--json").stdout)
    assert (document["as_signed"], document["uncertified"][1]) == (False, "books/2026-11-19.db")
    assert "books/2026-11-19.db has no certificate, and readers" in cli("certificate", "--check").stderr


def test_a_certificate_is_shown_and_checked(cli: Cli, data: Path, archive_root: Path, workdir: Path) -> None:
    """The text itself, a document, the check of all days and of one, with signers kept elsewhere."""
    cli("archive")
    text = (archive_root / "certificates/2026-11-20.txt").read_text()
    assert cli("certificate").stdout == text
    document = json.loads(cli("certificate", "--day", DAYS[0], "--json").stdout)
    assert (document["day"], document["rows"], document["number"]) == ("2026-11-18", 1800, 1)
    done = cli("certificate", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("20261118: as signed by host-1, 1,800 ticks, not_provable\n")
    (workdir / "kept").write_text((archive_root / "allowed_signers").read_text())
    book = archive_root / "books/2026-11-19.db"
    book.write_bytes(book.read_bytes() + b"x")
    done = cli("certificate", "--check", "--json", "--signers", "kept")
    assert done.returncode == 1
    checked = json.loads(done.stdout)
    assert [day["as_signed"] for day in checked["days"]] == [True, False, True]
    assert "books/2026-11-19.db is not what was signed" in checked["days"][1]["faults"][0]
    assert cli("certificate", "--check", "--day", DAYS[0]).returncode == 0
    assert "there is no certificate of 20261117" in cli("certificate", "--day", "20261117").stderr


def start(workdir: Path, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "hk_tick_collector", "archive", *arguments]
    return subprocess.Popen(program, cwd=workdir, env={**os.environ}, **streams)


def test_killed_at_any_moment(cli: Cli, data: Path, archive_root: Path, workdir: Path) -> None:
    """No certificate without its files, and the next run finishes. ARCHIVE_KILLS=200 tries more moments."""
    cli("certificate", "--new-key")
    killer = Path(__file__).parent / "kill_archive.py"
    done = subprocess.run(
        [sys.executable, killer, archive_root, str(KILLS)], cwd=workdir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > KILLS // 2  # a later run has less to do, and may end before its moment
    assert cli("archive").returncode == 0
    assert sorted(read_chain(Directory(archive_root)).by_day) == list(DAYS)
    assert verify_sh(archive_root).returncode == 0


def test_a_signal_leaves_nothing_unfinished(data: Path, archive_root: Path, workdir: Path) -> None:
    """One line says so; no file of the day, and no workspace, is left."""
    (data / f"{DAYS[0]}.db").unlink()
    make_big_day(data / f"{DAYS[0]}.db", 600_000)
    assert seal(data / f"{DAYS[0]}.db", SEALED_MS, StoreOptions())
    process = start(workdir, "--day", DAYS[0], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end_s = time.monotonic() + CAP_S
    while not (archive_root / ".partial" / "ticks.parquet").exists():
        assert process.poll() is None
        assert time.monotonic() < end_s
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=CAP_S)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b"")
    assert errors.decode().endswith("ended by SIGTERM, nothing of the unfinished day was left\n")
    assert set(files_in(archive_root)) == {"allowed_signers", "verify.sh"}
    assert not (archive_root / ".partial").exists()


def test_two_runs_at_once(cli: Cli, data: Path, archive_root: Path) -> None:
    """The second is refused with one line."""
    cli("certificate", "--new-key")
    with Directory(archive_root).hold():
        done = cli("archive")
    assert done.returncode == 1
    assert f"another run is writing in the archive {archive_root}: wait until it has ended" in only_line(done)
    assert cli("archive").returncode == 0


def test_a_terminal_shows_how_far_it_is(data: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar while it works, and a clear line for the final output."""
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has no bar
    ours, theirs = pty.openpty()
    process = start(workdir, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # how a terminal says that nobody writes to it any more
            break
    os.close(ours)
    assert process.communicate(timeout=CAP_S)[0].count(b"\n") == 3
    text = shown.decode()
    assert text.index("20261118 hash  [") < text.index("20261118 write [") < text.index("20261118 verify[")
    assert text.endswith("\r\033[K")
