"""`report`: what is kept and what is missing, as one line and an exit code; it changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.archived_days import seal_day
from tests.e2e.conftest import PROGRAM
from tests.others import open_to_others

from hk_tick_collector import market
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal
from hk_tick_collector.store.snapshot import take
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAY: Final = "20251120"


@pytest.fixture
def root(workdir: Path) -> Path:
    """DATA_ROOT of the settings in force."""
    root = workdir / "HK"
    root.mkdir()
    (workdir / ".env").write_text(f"DATA_ROOT={root}\nDISK_MIN_FREE_MB=1\n")
    return root


@pytest.fixture
def keep(root: Path, tick: Callable[..., TickRow]) -> Callable[..., Path]:
    """Makes a sealed day with its snapshot, as the collector and its timer do; returns its file."""

    def make(day: str, *, rows: int = 3, sealed: bool = True, snapshot: bool = True) -> Path:
        start_ms = market.day_start_ms(market.parse_day(day)) + 34_200_000
        file = DayFile(root / f"{day}.db", day, "run", start_ms, "test", StoreOptions())
        file.write(Batch(rows=[tick("HK.00700", n, start_ms + n) for n in range(rows)]), start_ms)
        file.close()
        if snapshot:
            take(file.path, root, keep_free_bytes=0, progress=lambda *_: None)
        if sealed:
            assert seal(file.path, start_ms, StoreOptions())
        return file.path

    return make


def test_all_is_well(cli: Cli, keep: Callable[..., Path]) -> None:
    """Sealed days with good snapshots: exit code 0, and the figures."""
    keep("20251119")
    keep(DAY)
    done = cli("report")
    assert (done.returncode, done.stderr) == (0, "")
    verdict, *lines = done.stdout.splitlines()
    assert verdict == "OK: nothing to do"
    figures = {line[:12].strip(): line[12:] for line in lines}
    assert figures["days"].startswith("2, 20251119 to 20251120, 2 sealed, ")
    assert figures["snapshots"].startswith("2 good, ")
    assert "MB a trading day: DISK_MIN_FREE_MB is reached in " in figures["growth"]
    assert figures["spool"] == "0 files, 0.0 MB"
    assert "may move" not in figures


def test_nothing_was_collected_yet(cli: Cli, root: Path) -> None:
    """A new host is fine, and unknown figures are shown as unknown; a missing DATA_ROOT is one line."""
    done = cli("report")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "OK: nothing to do")
    assert "unknown until the first day is finished" in done.stdout
    done = cli("report", DATA_ROOT=str(root / "nowhere"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot read DATA_ROOT" in done.stderr


def test_each_thing_that_is_missing_is_named(
    cli: Cli, root: Path, keep: Callable[..., Path], tick: Callable[..., TickRow]
) -> None:
    """Snapshot, SHA-256, last ticks, seal, damaged files, spool: each missing thing has its line and remedy."""
    keep("20251117", snapshot=False)
    keep("20251118")
    (root / "20251118.snapshot.db.sha256").unlink()
    keep("20251119", sealed=False)
    keep("20251119", rows=9, sealed=False, snapshot=False)
    keep(DAY, sealed=False)
    (root / f"{DAY}.db.damaged-20251120T020304Z").write_bytes(bytes(3 * 2**20))
    (root / ".spool").mkdir()
    for run in ("20251120T013000-0123abcd", "20251120T013000-0123abcd.20251119"):  # its own, and that of a held day
        Spool(root / ".spool" / run).append([tick("HK.00700", 1, 1)])
    (root / f".{DAY}.snapshot.db.partial").touch()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    done = cli("report", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["verdict"]) == (1, "WARNING")
    texts = {finding["code"]: (finding["text"], finding["remedy"]) for finding in document["findings"]}
    assert texts["no_snapshot"] == ("20251117: no snapshot", "sudo hk-tick-collector snapshot --day 20251117")
    assert texts["no_sum"][0].startswith("20251118: a snapshot without its SHA-256")
    assert texts["snapshot_behind"][0] == "20251119: the snapshot has fewer ticks than the day file"
    assert texts["unsealed"][0].startswith(f"20251119, {DAY} not sealed yet")
    assert f"3 MB: {DAY}.db.damaged-20251120T020304Z; save" in texts["damaged_files"][0]
    assert texts["spool"][0].startswith("2 spool files")
    assert "partial" in texts
    assert [(day["day"], day["snapshot"], day["sealed"]) for day in document["days"]] == [
        ("20251117", "none", True), ("20251118", "no_sum", True), ("20251119", "behind", False), (DAY, "good", False),
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_copy_made_by_hand_is_not_damaged(cli: Cli, keep: Callable[..., Path], root: Path) -> None:
    """The runbook's `.backup` is marked as WAL, so a reader without write access cannot open it: nothing tells that it
    was checked, and that is all there is to say.
    """
    keep(DAY, snapshot=False)
    (root / f"{DAY}.snapshot.db").write_text("what this reader cannot open " * 100)
    done = cli("report", "--json")
    assert done.returncode < 2
    assert json.loads(done.stdout)["days"][0]["snapshot"] == "no_sum"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another account")
def test_a_copy_in_wal_mode_has_one_verdict_for_every_account(keep: Callable[..., Path], root: Path) -> None:
    """`.backup` makes such a copy: without write access it is judged good as by root, and no file remains."""
    copy = root / f"{DAY}.snapshot.db"
    path = keep(DAY, sealed=False, snapshot=False)
    shutil.copy(path, copy)
    with closing(apsw.Connection(str(copy))) as db:
        db.execute("PRAGMA journal_mode = WAL")
    assert copy.read_bytes()[18:20] == b"\2\2"
    (root / f"{copy.name}.sha256").write_text(f"{hashlib.sha256(copy.read_bytes()).hexdigest()}  {copy.name}\n")
    root.chmod(0o755)
    for each in root.iterdir():
        each.chmod(0o644)
    before = sorted(root.iterdir())
    for as_who in ((), ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")):
        command = [*as_who, *PROGRAM, "report", "--json"]
        environ = {**os.environ, "DATA_ROOT": str(root)}
        open_to_others(root)  # another pytest of this host closes its directory again
        done = subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        assert [day["snapshot"] for day in json.loads(done.stdout)["days"]] == ["good"], done.stdout
        assert sorted(root.iterdir()) == before


def test_what_is_damaged_is_critical(cli: Cli, keep: Callable[..., Path], root: Path) -> None:
    """--read finds a snapshot that does not match its SHA-256; a damaged day file is found without it."""
    keep(DAY)
    with closing(apsw.Connection(str(root / f"{DAY}.snapshot.db"))) as db:
        db.execute("UPDATE ticks SET price = 1")
    assert cli("report").returncode == 0
    done = cli("report", "--read")
    assert done.returncode == 2
    verdict = done.stdout.splitlines()[0]
    assert verdict == (
        f"CRITICAL: the snapshot of {DAY} is damaged -> sudo hk-tick-collector snapshot --day {DAY}"
    )  # fmt: skip
    assert cli("snapshot", "--day", DAY).returncode == 0
    assert cli("report", "--read").returncode == 0
    (root / "20251118.db").write_text("no database " * 1000)
    done = cli("report")
    assert (done.returncode, "20251118 cannot be read" in done.stdout.splitlines()[0]) == (2, True)


def test_little_disk_is_told_with_what_may_move(cli: Cli, keep: Callable[..., Path], root: Path) -> None:
    """Less than DISK_MIN_FREE_MB is critical; of 23 good days the oldest three may be moved, with a command."""
    keep(DAY)
    for number in range(22):
        for suffix in (".db", ".snapshot.db"):
            shutil.copy2(root / (DAY + suffix), root / f"{20251001 + number}{suffix}")
        text = (root / f"{DAY}.snapshot.db.sha256").read_text().replace(DAY, str(20251001 + number))
        (root / f"{20251001 + number}.snapshot.db.sha256").write_text(text)
    done = cli("report", DISK_MIN_FREE_MB="1000000000")
    assert done.returncode == 2
    assert "MB are free, less than DISK_MIN_FREE_MB (1,000,000,000 MB)" in done.stdout.splitlines()[0]
    move = done.stdout.splitlines()[-1]
    assert move.startswith("may move    3 sealed days with a good snapshot, 20251001 to 20251003, ")
    assert " MB -> read -rp 'move to: ' to && sudo mv --no-clobber " in move
    assert f"{root}/20251001.db {root}/20251001.snapshot.db " in move
    elsewhere = root.parent / "an archive"
    elsewhere.mkdir()
    typed = move.partition(" -> ")[2].replace("sudo ", "")
    subprocess.run(["bash", "-c", typed], input=f"{elsewhere}\n", text=True, check=True)
    assert len(list(elsewhere.iterdir())) == 3
    for path in elsewhere.iterdir():
        path.rename(root / path.name)
    assert len(list(root.iterdir())) == 23 * 3


def test_what_prune_would_free(cli: Cli, root: Path, tmp_path: Path) -> None:
    """By names alone, in a bounded time: the older days with a certificate and the older snapshots.

    Nothing is wrong with an older sealed day whose snapshot was pruned, nor with an archived day without one.
    """
    archive = tmp_path / "the 檔案"
    (archive / "certificates").mkdir(parents=True)
    start = market.parse_day("20260101")
    days = [market.day_name(start + number) for number in range(33)]
    for day in days:
        seal_day(root, day, rows=3)
    taken = take(root / f"{days[0]}.db", root, keep_free_bytes=0, progress=lambda *_: None)
    for day in (days[1], days[-1]):
        (archive / "certificates" / f"{day[:4]}-{day[4:6]}-{day[6:]}.txt").touch()
    told = json.loads(cli("report", "--json", ARCHIVE_DIR=str(archive)).stdout)
    size = taken.size_bytes + (root / f"{days[1]}.db").stat().st_size
    assert told["prune"] == {"days": [days[1]], "snapshots": [days[0]], "size_bytes": size, "problem": ""}
    (missing,) = [each["text"] for each in told["findings"] if each["code"] == "no_snapshot"]
    assert missing.startswith(f"{days[3]}, {days[4]}, {days[5]} and 26 more days: no snapshot")
    done = cli("report", ARCHIVE_DIR=str(archive))
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("prune ")]
    size_mb = f"{size / 2**20:,.1f}"
    assert line == (
        f"prune       would free up to {size_mb} MB: 1 day and 1 snapshot, all older than the newest 30 days"
        " -> sudo -u hkcollector hk-tick-collector prune"
    )
    done = cli("report", ARCHIVE_DIR=str(tmp_path / "unmounted"))
    assert "(archived days are not counted: there is no directory" in done.stdout
    done = cli("report", ARCHIVE_DIR="s3://bucket")
    assert "(archived days are not counted: ARCHIVE_DIR is an object store" in done.stdout
