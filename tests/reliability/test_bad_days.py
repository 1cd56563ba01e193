"""Row 30 with real processes: one day's file cannot be written, live and over restarts; nothing is lost."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector.store.dayfile import DayFile, StoreOptions

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
    """As nobody would; SQLite looks for a rollback journal there, and would wait for a writer of the pipe for ever."""
    DayFile(path, path.stem, "earlier", now_ms(), "test", StoreOptions()).close()
    os.mkfifo(path.with_name(f"{path.name}-journal"))


KINDS: Final = {
    "newer": (newer, "foreign_file", ".aside"),
    "directory": (directory, "foreign_file", ".aside"),
    "of_another_account": (of_another_account, "no_permission", "sudo chown "),
    "pipe_beside": (pipe_beside, "foreign_file", "-journal"),
}


def wait_held(trial: Trial, day: str, rows: int) -> None:
    """Returns once so many ticks of the day wait."""

    def held() -> bool:
        status = trial.status()
        return status is not None and status.held_rows.get(day, 0) >= rows

    wait_until(held, lambda: f"{rows} ticks of {day} held: {trial.status()}\n{trial.tail()}")


def late_or_not(trial: Trial, which: str) -> None:
    """Has ticks of the day come; of today they do anyway."""
    if which == "yesterday":
        trial.market.tell("late 30")


@pytest.mark.parametrize("which", DAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_costs_nothing(begin: Begin, kind: str, which: str) -> None:
    """The service starts and collects; `status` names day, file, cause and remedy; the account is even; a SIGKILL and a
    stop cost no tick; and once the file is out of the way all is stored, without a restart.
    """
    make: Callable[[Path], None]
    make, cause, remedy = KINDS[kind]
    if kind == "of_another_account" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    trial = begin("--wait", *CLOCK, symbols="10", rate=200)
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
