"""Row 30 with real processes: one day's file cannot be written, live and across restarts; nothing is lost."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.store.dayfile import DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader
from hk_tick_collector.store.spool import Spool

from .trial import now_ms, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Begin
    from .trial import Trial

DAY: Final = "20261120"  # a Friday, whatever today is
BEFORE: Final = "20261119"
CLOCK: Final = ("--day", DAY, "--at", "10:00")
DAYS: Final = {"today": DAY, "yesterday": BEFORE}


def newer(path: Path) -> None:
    """As after a rollback."""
    DayFile(path, path.stem, "newer", now_ms(), "later", StoreOptions()).close()
    db = apsw.Connection(str(path))
    db.pragma("user_version", db.pragma("user_version") + 1)
    db.close()


def directory(path: Path) -> None:
    """As a script with a slip of the pen leaves one."""
    path.mkdir()


def of_another_account(path: Path) -> None:
    """As `sudo sqlite3` leaves one."""
    DayFile(path, path.stem, "earlier", now_ms(), "test", StoreOptions()).close()
    os.chown(path, 65534, 65534)
    path.chmod(0o600)


def pipe_beside(path: Path) -> None:
    """SQLite looks for a rollback journal there, and would wait for a writer of the pipe for ever."""
    DayFile(path, path.stem, "earlier", now_ms(), "test", StoreOptions()).close()
    os.mkfifo(path.with_name(f"{path.name}-journal"))


KINDS: Final = {
    "newer": (newer, "foreign_file", ".aside"),
    "directory": (directory, "foreign_file", ".aside"),
    "of_another_account": (of_another_account, "no_permission", "sudo chown "),
    "pipe_beside": (pipe_beside, "foreign_file", "-journal"),
}


def wait_held(trial: Trial, day: str, rows: int) -> None:
    """Returns when this many ticks of the day wait."""

    def held() -> bool:
        status = trial.status()
        return status is not None and status.held_rows.get(day, 0) >= rows

    wait_until(held, lambda: f"{rows} ticks of {day} held: {trial.status()}\n{trial.tail()}")


def wait_spooled(trial: Trial, day: str) -> None:
    """Returns when ticks of the day are in its spool. It is read from a copy: whoever opens a spool may change it."""

    def spooled() -> bool:
        copy = trial.directory / "spool-copy"
        shutil.rmtree(copy, ignore_errors=True)
        with suppress(OSError):  # the collector removes and creates files meanwhile
            shutil.copytree(trial.data_root / ".spool", copy)
            return any(Spool(directory).rows for directory in copy.glob(f"*.{day}"))
        return False

    wait_until(spooled, lambda: f"ticks of {day} in a spool\n{trial.tail()}")


def late_or_not(trial: Trial, which: str) -> None:
    """Has ticks of the day come; of today they do anyway."""
    if which == "yesterday":
        trial.market.tell("late 30")


@pytest.mark.parametrize("which", DAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_loses_no_tick(begin: Begin, kind: str, which: str) -> None:
    """The service starts and collects; `status` names day, file, cause and remedy; the account balances; a SIGKILL and
    a stop lose no tick. When the file is moved away all ticks are stored, without a restart.
    """
    make: Callable[[Path], None]
    make, cause, remedy = KINDS[kind]
    if kind == "of_another_account" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    trial = begin("--wait", "--within-window", *CLOCK, symbols="10", rate=100)
    trial.powerless = True
    day = DAYS[which]
    path = trial.data_root / f"{day}.db"
    make(path)
    collector = trial.run()
    collector.wait_for("subscribed")
    late_or_not(trial, which)
    assert collector.wait_for("day_held", day=day).fields["cause"] == cause
    wait_held(trial, day, 20)
    finding = trial.wait_finding("day_held", str(path))
    assert finding.severity.name == ("CRITICAL" if which == "today" else "WARNING")
    assert remedy in finding.remedy
    assert str(path) in finding.remedy
    live = trial.live()
    assert live.received == live.stored + live.duplicate + live.rejected + live.dropped + live.waiting
    assert live.writer_trouble == ""

    wait_spooled(trial, day)
    collector.kill()
    collector = trial.run()
    collector.wait_for("day_held", day=day)
    collector.wait_for("spool_replayed")
    wait_held(trial, day, 20)
    assert collector.stop() == 0
    last = trial.ended()
    assert int(last["left_rows"]) >= 20
    assert last["lost_rows"] == "0"

    collector = trial.run()
    collector.wait_for("day_held", day=day)
    collector.wait_for("subscribed")
    late_or_not(trial, which)
    wait_held(trial, day, 20)
    if path.is_dir():
        shutil.rmtree(path)
    elif kind == "of_another_account":
        os.chown(path, 0, 0)
    elif kind == "pipe_beside":
        path.with_name(f"{path.name}-journal").unlink()
    else:
        path.rename(path.with_suffix(".aside"))
    assert int(collector.wait_for("day_writable", day=day).fields["rows"]) >= 20
    wait_until(lambda: trial.live().held_rows == {}, "nothing held")
    trial.finish(complete=which == "today")
    assert len(trial.collectors) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_gaps_of_an_unreadable_file_are_kept(begin: Begin) -> None:
    """Today's file belongs to another account at a start; its owner is corrected later. Its gaps keep id and cause,
    none is added twice or reported as damage, and the ticks between the two runs are backfilled."""
    trial = begin("--day", DAY, "--at", "10:00", symbols="10", rate=200)
    trial.powerless = True
    trial.market.tell("burst 20000")  # more than OpenD's window has: what comes before it is missing for good
    collector = trial.run()
    collector.wait_for("subscribed")
    trial.wait_stored(2000)
    trial.settle()  # a gap that OpenD may still fill would change by itself
    trial.stop()
    path = trial.data_root / f"{DAY}.db"
    before = known_gaps(path)
    assert {cause for *_, cause in before} == {"before_start"}
    os.chown(path, 65534, 65534)
    path.chmod(0o600)
    collector = trial.run()
    collector.wait_for("subscribed")
    trial.market.tell("resume")
    collector.wait_for("day_not_resumed", day=DAY)
    collector.wait_for("day_held", day=DAY)
    wait_held(trial, DAY, 200)
    os.chown(path, 0, 0)
    collector.wait_for("day_resumed", day=DAY)
    trial.wait_more(200)
    trial.finish(complete=False)
    assert known_gaps(path)[: len(before)] == before
    assert not [gap for gap in known_gaps(path) if gap[-1] == "damaged"]
    assert trial.stored.gaps_open() == sum(gap[5] == GAP_OPEN for gap in before)
    assert "day_begun_afresh" not in collector.output


def known_gaps(path: Path) -> list[tuple[object, ...]]:
    """The rows of the table `gaps`, by id."""
    with DayReader(path) as reader:
        gaps = sorted(reader.gaps(), key=lambda gap: gap.id)
    return [(gap.id, gap.symbol, gap.from_seq, gap.to_seq, gap.missing, gap.status, gap.cause) for gap in gaps]
